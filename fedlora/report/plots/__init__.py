"""Drawings of a run, each an SVG element that takes its colours from the page around it."""
