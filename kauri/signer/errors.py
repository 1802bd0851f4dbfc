"""What the signer answers instead of a signature."""

from __future__ import annotations


class Refused(Exception):
    """The policy, or the request's own shape, forbids it. The text names no secret."""


class Unusable(Exception):
    """The key store, the policy or the journal can't be used: the signer does not start."""
