"""Connections, grants and invites."""
