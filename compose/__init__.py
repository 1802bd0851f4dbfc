"""How Kauri is run: on one machine (``compose.local``) and in containers (the files beside this one)."""
