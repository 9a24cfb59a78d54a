"""Handoffs and their verification."""
