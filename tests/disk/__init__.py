"""Disks that fail: SQLite's files with faults and losses of power, and whole programs whose writes fail."""
