"""The fault campaign: money under way while connections, processes and locks fail."""
