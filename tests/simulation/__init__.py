"""Whole worlds in one process from one seed: the real relay and daemons, simulated time, network and disk."""
