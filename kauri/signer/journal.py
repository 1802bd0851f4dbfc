"""What was signed, one line each, on disk before the signature leaves: caps hold across restarts.

Each line names the hash of the line before it, so that a line taken out or changed is seen at the start.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from kauri.signer.errors import Unusable

DAY: Final = 86_400
_PRIVATE_MODE: Final = 0o600


@dataclass(frozen=True, slots=True)
class Entry:
    """One signature. ``slots`` are what it uses up (a nonce, coins): of two that share one, only one
    can ever be mined. ``amount`` is what leaves the house by it."""

    at: int  # seconds since 1970
    key: str
    name: str
    slots: tuple[str, ...]
    currency: str
    amount: Decimal
    to: str
    #: Coins: what each input was said to be worth.
    worth: tuple[tuple[str, int], ...] = ()


class Journal:
    """An append-only file and what of it the policy needs."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last = ""
        self._entries: list[Entry] = []
        self._worth: dict[str, int] = {}
        self._names: set[str] = set()
        if path.exists():
            self._load()

    def spent(self, key: str, currency: str, now: int, slots: tuple[str, ...], amount: Decimal) -> Decimal:
        """The most that ``key`` can have paid in the last 24 hours, with ``amount`` by ``slots`` among it.

        Only signatures that all use up one same slot exclude each other: they count once, as the
        largest. Two that each share a slot with a third do not: both can be mined.
        """
        largest: dict[str, Decimal] = {}
        recent = [
            (entry.slots, entry.amount)
            for entry in self._entries
            if entry.at > now - DAY and (entry.key, entry.currency) == (key, currency)
        ]
        for taken, paid in [*recent, (slots, amount)]:
            shared = next((slot for slot in taken if slot in largest), taken[0])
            largest[shared] = max(paid, largest.get(shared, Decimal(0)))
        return sum(largest.values(), Decimal(0))

    def known_worth(self, coin: str) -> int | None:
        """What a coin was said to be worth before."""
        return self._worth.get(coin)

    def add(self, entry: Entry) -> None:
        """Write and flush to disk; the same transaction signed again is no second line."""
        if entry.name in self._names:
            return
        line = json.dumps({"previous": self._last, **_as_json(entry)}, separators=(",", ":"))
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, _PRIVATE_MODE)
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            whole = os.fstat(descriptor).st_size
            try:
                _write(descriptor, line.encode() + b"\n")
            except OSError:
                # A full disk may have taken half of the line: the next one must not be written behind it.
                file.truncate(whole)
                raise
        self._remember(entry, line)

    def _load(self) -> None:
        text = self._path.read_text()
        whole, _, torn = text.rpartition("\n")
        if torn:
            # Killed in the middle of a line: its signature never left.
            with self._path.open("r+") as file:
                file.truncate(len(whole.encode()) + bool(whole))
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                data = json.loads(line)
                if data.pop("previous") != self._last:
                    raise ValueError
                self._remember(_from_json(data), line)
            except (ValueError, KeyError, TypeError, ArithmeticError):
                raise Unusable(f"line {number} of {self._path.name} was changed or taken out") from None

    def _remember(self, entry: Entry, line: str) -> None:
        self._last = hashlib.sha256(line.encode()).hexdigest()
        self._entries = [one for one in self._entries if one.at > entry.at - DAY]
        self._entries.append(entry)
        self._worth.update(entry.worth)
        self._names.add(entry.name)


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
    os.fsync(descriptor)


def _as_json(entry: Entry) -> dict[str, Any]:
    return {
        "at": entry.at,
        "key": entry.key,
        "name": entry.name,
        "slots": entry.slots,
        "currency": entry.currency,
        "amount": str(entry.amount),
        "to": entry.to,
        "worth": entry.worth,
    }


def _from_json(data: dict[str, Any]) -> Entry:
    return Entry(
        at=int(data["at"]),
        key=data["key"],
        name=data["name"],
        slots=tuple(data["slots"]),
        currency=data["currency"],
        amount=Decimal(data["amount"]),
        to=data["to"],
        worth=tuple((coin, int(units)) for coin, units in data["worth"]),
    )
