"""Federations of real processes on this machine: rehearsed, broken on purpose, and measured."""
