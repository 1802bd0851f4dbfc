"""What the facts of a withdrawal say, in words: the ten seconds' reading of its page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from kauri.withdrawal_order.selectors import Decision, DestinationHistory

YOUNG_ACCOUNT: Final = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Signal:
    """One fact that speaks for or against: ``good``, ``warn`` or ``bad``, in words."""

    tone: str
    text: str


def signals(found: Decision) -> list[Signal]:
    """What the facts say, worst first: the ten seconds' reading of the whole page."""
    said = [*_destination_signals(found.destination), *_customer_signals(found), *_origin_signals(found)]
    return sorted(said, key=lambda signal: ("bad", "warn", "good").index(signal.tone))


def _destination_signals(known: DestinationHistory) -> list[Signal]:
    said = []
    if known.others:
        who = ", ".join(user.email for user, _times in known.others)
        said.append(Signal("bad", _("Other customers use this destination: %(who)s") % {"who": who}))
    if known.is_new:
        said.append(Signal("warn", _("The customer has never used this destination")))
    elif known.own_done:
        text = ngettext(
            "The customer was paid out here %(count)s time before",
            "The customer was paid out here %(count)s times before",
            known.own_done,
        )
        said.append(Signal("good", text % {"count": known.own_done}))
    else:
        said.append(Signal("warn", _("Used before, but nothing has arrived there yet")))
    return said


def _customer_signals(found: Decision) -> list[Signal]:
    owner, said = found.order.owner, []
    if not owner.is_active:
        said.append(Signal("bad", _("The account is disabled")))
    if owner.email_verified_at is None:
        said.append(Signal("bad", _("The e-mail is not confirmed")))
    if owner.verification_level == 0:
        said.append(Signal("bad", _("The customer is not verified")))
    else:
        text = _("Verified, level %(level)s") % {"level": owner.verification_level}
        said.append(Signal("good", text))
    if found.order.created_at - owner.created_at < YOUNG_ACCOUNT:
        said.append(Signal("warn", _("The account is younger than a week")))
    else:
        said.append(Signal("good", _("The account is older than a week")))
    return said


def _origin_signals(found: Decision) -> list[Signal]:
    if found.order.ip is None:
        return []
    if found.origin.ip_known:
        return [Signal("good", _("Ordered from an address that the customer signed in from"))]
    return [Signal("warn", _("Ordered from an address never seen in sign-ins"))]
