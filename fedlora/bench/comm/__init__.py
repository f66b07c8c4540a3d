"""What federated rounds cost in bytes, and what the bytes buy."""
