"""Producers for software that we did not write; each is loaded by what it integrates with."""
