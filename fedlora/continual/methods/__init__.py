"""Continual methods, one file each."""
