"""Federated learning of LoRA adapters."""
