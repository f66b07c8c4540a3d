"""Generators: a condition in, adapters out."""
