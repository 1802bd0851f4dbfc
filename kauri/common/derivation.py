"""Deposit addresses from an account's extended public key (BIP-32, BIP-44): no private key is near.

The web process holds only the xpub; who has it sees every deposit address and can spend none.
"""

from __future__ import annotations

from coincurve import PublicKey
from embit.base import EmbitError
from embit.bip32 import HDKey

from kauri.common import evm

HARDENED = 1 << 31
#: m/44'/60'/account': the level whose xpub is exported.
ACCOUNT_DEPTH = 3


def evm_address(account_xpub: str, index: int, *, change: bool = False) -> str:
    """The EIP-55 address at ``0/index`` (``1/index``) under ``account_xpub`` (that of m/44'/60'/account').

    Raises ValueError for a private key, for a key that is not an account's, and for an index that
    is not a plain (not hardened) one. The key itself is never in the error.
    """
    if not 0 <= index < HARDENED:
        raise ValueError("the index must be from 0 to 2147483647")
    child = account_key(account_xpub).derive([int(change), index])
    return evm.public_key_address(PublicKey(child.key.sec()).format(compressed=False))


def account_key(account_xpub: str) -> HDKey:
    """Read an account's xpub, refusing everything else; for checks when a person enters one.

    Bitcoin wallets export the same kind of key as zpub, ypub or tpub: it would make valid addresses
    that nobody looks for.
    """
    text = account_xpub.strip()
    try:
        key = HDKey.from_base58(text)
    except (EmbitError, ValueError, IndexError, KeyError):
        raise ValueError("this is not an extended public key (xpub…)") from None
    if key.is_private:
        raise ValueError("this is an extended PRIVATE key; only the public one (xpub…) belongs here")
    if not text.startswith("xpub"):
        raise ValueError("this is not an extended public key (xpub…)")
    if key.depth != ACCOUNT_DEPTH:
        raise ValueError(f"the xpub must be that of an account (m/44'/60'/0'), not of depth {key.depth}")
    return key
