"""Attacks against defences, hostile bytes, and kills: claims T1, T2 and T4."""
