"""Benches: each measures what was promised and writes results/NAME.json."""
