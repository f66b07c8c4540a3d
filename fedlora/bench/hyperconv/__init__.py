"""The prompt-conditioned generator, measured."""
