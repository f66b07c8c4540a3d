"""How a client learns: its own shard, one adapter, and a few words about its task."""
