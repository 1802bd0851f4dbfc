"""Kill switches: off by one person at once, on again by itself or by two."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from django.db import transaction
from django.utils.translation import gettext as _

from kauri.common import clock
from kauri.common.actor import Actor
from kauri.common.errors import KauriError
from kauri.common.ids import ledger_key
from kauri.common.locks import lock
from kauri.core import governing, proposals
from kauri.core.audit import audit
from kauri.core.models import Currency, Proposal, Provider, Switch
from kauri.core.outbox import emit

STOP: Final = "core.stop_switch"
TARGET: Final = "core.switch"


#: ``code -> (what, how much)`` rows: floors above know what a switch stops, and say it here.
Blast = Callable[[str], list[tuple[Any, Any]]]
_BLAST: Final[list[Blast]] = []


def measure_blast(measure: Blast) -> None:
    """Say once, at the start, how the blast radius is measured."""
    _BLAST[:] = [measure]


def blast_radius(code: str) -> list[tuple[Any, Any]]:
    """What switching ``code`` off would stop, as things stand."""
    return [row for measure in _BLAST for row in measure(code)]


def switch_make(code: str) -> Switch:
    """The switch of that code, made on first use for a currency or a provider. ``not_found`` otherwise."""
    kind, colon, name = code.partition(":")
    if colon:
        known = {
            "currency": Currency.objects.filter(code=name).exists,
            "provider": Provider.objects.filter(code=name).exists,
        }
        if kind not in known or not known[kind]():
            raise KauriError("not_found", f"there is no {code}")
        return Switch.objects.get_or_create(code=code, defaults={"title": name})[0]
    switch = Switch.objects.filter(code=code).first()
    if switch is None:
        raise KauriError("not_found", f"there is no switch {code}")
    return switch


@transaction.atomic
def switch_off(*, code: str, reason: str, expires_at: datetime | None, actor: Actor) -> Switch:
    """Stop it now: one person is enough. ``expires_at``: when it starts again by itself.

    Raises ``forbidden``, ``not_found``, ``validation_error`` (no reason, or an end in the past).
    """
    governing.require(actor, STOP)
    if not reason.strip():
        raise KauriError("validation_error", fields={"reason": "required"})
    if expires_at is not None and expires_at <= clock.now():
        raise KauriError("validation_error", fields={"expires_at": "in the past"})
    switch = lock(Switch.objects.filter(pk=switch_make(code).pk)).get()
    before = {"is_on": switch.is_on, "reason": switch.reason}
    switch.is_on = False
    switch.reason = reason.strip()[:300]
    switch.off_by = actor.label
    switch.off_at = clock.now()
    switch.expires_at = expires_at
    switch._change_reason = reason.strip()  # type: ignore[attr-defined]
    switch.save()
    audit(
        actor,
        "switch_off",
        object_type="switch",
        object_id=switch.pk,
        label=switch.code,
        before=before,
        after={"is_on": False, "expires_at": clock.iso(expires_at)},
        reason=reason.strip(),
    )
    _tell(switch, "off", actor)
    return switch


def switch_on_propose(*, code: str, reason: str, actor: Actor) -> Proposal:
    """Ask a second person to let it run again. Raises what :func:`proposals.propose` does."""
    return proposals.propose(
        target=TARGET,
        target_id=str(switch_make(code).pk),
        values={"is_on": True, "reason": "", "expires_at": None},
        reason=reason,
        actor=actor,
    )


def switches_expire(actor: Actor) -> int:
    """Write down that the time of some is over (they run since then already); how many."""
    due = Switch.objects.filter(is_on=False, expires_at__lte=clock.now()).values_list("pk", flat=True)
    ended = 0
    for pk in list(due):
        with transaction.atomic():
            switch = lock(Switch.objects.filter(pk=pk, is_on=False, expires_at__lte=clock.now())).first()
            if switch is None:
                continue
            switch.is_on, switch.reason, switch.expires_at = True, "", None
            switch._change_reason = _("its time is over")  # type: ignore[attr-defined]
            switch.save()
            audit(
                actor,
                "switch_expire",
                object_type="switch",
                object_id=switch.pk,
                label=switch.code,
                before={"is_on": False},
                after={"is_on": True},
            )
            _tell(switch, "on", actor)
            ended += 1
    return ended


def _tell(switch: Switch, what: str, actor: Actor) -> None:
    emit(
        f"switch.{what}",
        subject_type="switch",
        subject_id=ledger_key("switch", switch.pk, what, clock.now()),
        payload={"code": switch.code, "by": actor.label, "reason": switch.reason},
    )
