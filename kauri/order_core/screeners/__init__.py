"""Adapters of transaction analysis, one to a file."""
