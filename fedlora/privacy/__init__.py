"""How much noise a privacy budget asks for."""
