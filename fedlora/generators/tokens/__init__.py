"""Adapters as sequences of tokens that a decoder can emit, and back."""

from fedlora.generators.tokens.layout import TokensConfig
from fedlora.generators.tokens.scale import TokenScale
from fedlora.generators.tokens.tokeniser import Tokeniser

__all__ = ["TokenScale", "Tokeniser", "TokensConfig"]
