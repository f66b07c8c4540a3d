"""Attacks on a federation, for tests and research: a file each."""
