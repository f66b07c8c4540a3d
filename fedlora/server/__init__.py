"""The side that holds the bank: it asks, checks, keeps, learns and serves."""
