"""The server of a continual run: it designs branches from statistics, and never sees an example."""
