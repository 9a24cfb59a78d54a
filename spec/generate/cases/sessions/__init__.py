"""Transcripts of sessions."""
