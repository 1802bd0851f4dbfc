"""The operator's one-time code, asked for again by the services of this floor.

Whose code it is, is known a floor above (``account.second_factor``); the shell hands the two in at its start.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final

from kauri.common.actor import Actor
from kauri.common.errors import KauriError

Guard = Callable[..., AbstractContextManager[None]]
Prove = Callable[[Actor, str], None]


@dataclass(frozen=True, slots=True)
class _Asker:
    guard: Guard
    prove: Prove


_HOUSE: Final[list[_Asker]] = []


def ask_codes_by(guard: Guard, prove: Prove) -> None:
    """Say once, at the start: ``guard`` goes around a transaction, ``prove`` uses a code up inside it."""
    _HOUSE[:] = [_Asker(guard, prove)]


def code_again(
    actor: Actor, code: str, act: str, *, object_type: str, object_id: object
) -> AbstractContextManager[None]:
    """Around the transaction of an act that may ask for a code: wrong ones are counted and audited for good."""
    return _asker().guard(actor, code, act, object_type=object_type, object_id=object_id)


class SpentCode(str):
    """Stands for a code that its operator has used up for all acts of one press (:func:`spend`).

    No form and no request can make one: they carry plain texts.
    """

    operator_id: str


def spend(actor: Actor, code: str) -> SpentCode:
    """Use up the operator's code, in the caller's transaction, for several acts that would each ask for it.

    The answer is good as ``code`` of each of them. Raises as :func:`operator_code`.
    """
    operator_code(actor, code)
    spent = SpentCode()
    spent.operator_id = actor.id
    return spent


def operator_code(actor: Actor, code: str) -> None:
    """Use up the operator's code. Raises ``totp_required``, ``totp_invalid``."""
    if isinstance(code, SpentCode) and code.operator_id == actor.id:
        return
    _asker().prove(actor, code)


def _asker() -> _Asker:
    if not _HOUSE:
        raise KauriError("forbidden", "nobody can check a code here")
    return _HOUSE[0]
