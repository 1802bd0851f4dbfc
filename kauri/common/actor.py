"""Who acts. Stored as kind, id and label, so that nothing below points up by foreign key."""

from __future__ import annotations

import enum
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final


class ActorKind(enum.StrEnum):
    CUSTOMER = "customer"
    OPERATOR = "operator"
    API_KEY = "api_key"
    PROVIDER = "provider"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Actor:
    """``kind`` and ``id`` name the actor for ever; ``label`` is what people read (an e-mail, a code).

    ``via``: how an operator acts who is not at the back office's own pages (``telegram``); the audit keeps it.
    """

    kind: ActorKind
    id: str
    label: str
    ip: str = ""
    via: str = ""

    @property
    def is_operator(self) -> bool:
        return self.kind is ActorKind.OPERATOR


SYSTEM: Final = Actor(kind=ActorKind.SYSTEM, id="0", label="system")

#: The id of the request or task under way: set at the door, written on every audit and history row.
request_id: ContextVar[str] = ContextVar("request_id", default="")

#: The request of the back office's page that is being drawn: its reader decides which links the page has.
reading: ContextVar[Any] = ContextVar("reading", default=None)
