"""Verification providers, one to a file."""
