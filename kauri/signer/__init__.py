"""The signer: the one process that holds private keys. It has no database, no network and no web.

``python -m kauri.signer`` makes the key store and serves on a Unix socket (``docs/signer.md``).
"""
