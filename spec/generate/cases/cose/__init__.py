"""Signed structures and the keys they name."""
