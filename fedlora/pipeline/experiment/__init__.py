"""A generator from a folder of checkpoints and a file of prompts, without a federation."""
