"""Streams of tasks: each is learned once, in order, and none before it may be forgotten.

The mathematics (`statistics`, `design`, `memory`, `alignment`, `schedule`, `metrics`) imports
neither data nor fine-tuning, so that a server can use it; `learner` and `study` do both.
"""
