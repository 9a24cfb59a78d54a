"""Tests of the in-memory harness."""
