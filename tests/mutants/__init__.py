"""Deliberate faults, one at a time, to learn whether the tests would notice."""
