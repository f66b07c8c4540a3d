"""A client of a continual run: every task of the stream reaches it, its own shard of each."""
