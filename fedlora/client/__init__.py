"""The side that holds data: it answers messages with adapters, vectors and scores."""
