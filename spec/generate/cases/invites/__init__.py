"""Invites: the statement, its link, and their use."""
