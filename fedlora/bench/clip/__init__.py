"""The CLIP module, measured: accuracy, bytes, time and memory, and what its layers leave alone."""
