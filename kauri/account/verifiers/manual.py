"""Verification by hand: the customer uploads documents to us, and an operator looks at them."""

from __future__ import annotations

from typing import ClassVar, Final

from kauri.account.verifier import Health, Rejected, Verifier

#: What each level needs. A higher level asks for what the lower one did: papers grow old.
DOCUMENTS: Final[dict[int, tuple[str, ...]]] = {
    1: ("identity",),
    2: ("identity", "selfie", "address"),
    3: ("identity", "selfie", "address", "funds"),
}


class Manual(Verifier):
    """Nobody outside is asked."""

    code: ClassVar[str] = "manual"
    takes_documents: ClassVar[bool] = True

    def levels(self) -> tuple[int, ...]:
        return tuple(DOCUMENTS)

    def documents(self, level: int) -> tuple[str, ...]:
        try:
            return DOCUMENTS[level]
        except KeyError:
            raise Rejected(f"there is no level {level}") from None

    def check_health(self) -> Health:
        return Health(ok=True, detail="operators decide")
