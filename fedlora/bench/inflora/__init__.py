"""InfLoRA, measured: invariants, streams on one machine, streams in federations, cost."""
