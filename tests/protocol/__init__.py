"""Tests of the pure protocol: no event loop, no clock, no files."""
