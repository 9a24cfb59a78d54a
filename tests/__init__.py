"""Tests of TaskFerry, by layer; `tests` is a package so that its runnable parts start with `python -m`."""
