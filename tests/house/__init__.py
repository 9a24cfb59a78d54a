"""Tests of the repository itself: its layers, its locks and its documents."""
