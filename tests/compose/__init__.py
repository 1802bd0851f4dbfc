"""Tests of how Kauri is run on one machine."""
