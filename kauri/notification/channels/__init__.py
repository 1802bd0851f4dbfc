"""One file a channel; each has ``send(delivery) -> Result``."""
