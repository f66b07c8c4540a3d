"""How an adapter becomes bytes: one codec a file."""
