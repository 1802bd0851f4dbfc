"""Credentials that are proposed: sealed, known again by a digest, forgotten when they don't come into use."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.management import call_command
from django.db import transaction

from kauri.common import clock
from kauri.common.actor import SYSTEM, Actor
from kauri.core import governing, proposals
from kauri.core.models import AuditEntry, OutboxEvent, Proposal, Provider
from tests.moves import as_owner, code_of, six_digits, together

pytestmark = pytest.mark.usefixtures("house")

OLD, NEW = json.dumps({"key": "first-value"}), json.dumps({"key": "second-value"})
Op = Callable[..., Actor]


@pytest.fixture
def maker(operator: Op) -> Actor:
    return operator("Administrator")


@pytest.fixture
def checker(operator: Op) -> Actor:
    return operator("Administrator")


@pytest.fixture
def provider() -> Provider:
    row = Provider.objects.get(code="sandbox")
    row.credentials_secret = OLD
    row.save()
    return row


def propose(provider: Provider, actor: Actor, secret: str = NEW, **values: Any) -> Proposal:
    return proposals.propose(
        target="core.provider",
        target_id=str(provider.pk),
        values={"credentials_secret": secret, **values},
        reason="new key",
        actor=actor,
        code=six_digits(actor),
    )


def approve(row: Proposal, actor: Actor) -> Proposal:
    return proposals.approve(proposal_id=row.public_id, actor=actor, code=six_digits(actor))


def stored(provider: Provider) -> str:
    return Provider.objects.get(pk=provider.pk).credentials_secret


def test_no_secret_is_in_what_anybody_reads(provider: Provider, maker: Actor, checker: Actor) -> None:
    row = propose(provider, maker, title="Sandbox two")
    approve(row, checker)
    assert stored(provider) == NEW
    told = [
        *AuditEntry.objects.values_list("before", "after", "reason"),
        *OutboxEvent.objects.values_list("body", flat=True),
        *Proposal.objects.values_list("before", "after", "label", "error"),
    ]
    assert len(told) > 4
    assert not [text for text in map(str, told) if "first-value" in text or "second-value" in text]
    with as_owner() as cursor:
        cursor.execute("select secrets from core_proposal")
        (sealed,) = cursor.fetchone()
    assert sealed
    assert "value" not in sealed


@pytest.mark.parametrize("end", ["reject", "withdraw", "expire", "fail"])
def test_secrets_that_do_not_come_into_use_are_forgotten(
    provider: Provider, maker: Actor, checker: Actor, end: str
) -> None:
    row = propose(provider, maker)
    assert row.secrets
    if end == "reject":
        proposals.reject(proposal_id=row.public_id, actor=checker, reason="no")
    elif end == "withdraw":
        proposals.withdraw(proposal_id=row.public_id, actor=maker)
    elif end == "expire":
        with clock.standing_at(clock.now() + proposals.LIFE):
            assert proposals.apply_due(SYSTEM) == 1
    else:
        provider.credentials_secret = json.dumps({"key": "by another way"})
        provider.save()
        assert approve(row, checker).error == "changed meanwhile: credentials_secret"
    row.refresh_from_db()
    assert row.secrets == ""
    assert stored(provider) != NEW


def test_they_are_taken_back_by_two(provider: Provider, maker: Actor, checker: Actor) -> None:
    row = approve(propose(provider, maker), checker)
    back = proposals.revert(
        proposal_id=row.public_id, reason="it does not work", actor=maker, code=six_digits(maker)
    )
    assert stored(provider) == NEW
    assert approve(back, checker).state == "applied"
    assert stored(provider) == OLD


def test_what_was_proposed_is_what_is_applied(provider: Provider, maker: Actor, checker: Actor) -> None:
    row, other = propose(provider, maker), json.dumps({"key": "of a thief"})
    kept = json.loads(row.secrets)
    kept["after"]["credentials_secret"] = other
    Proposal.objects.filter(pk=row.pk).update(secrets=json.dumps(kept))
    done = approve(row, checker)
    assert (done.state, done.error) == ("failed", "credentials_secret is not what was proposed")
    assert stored(provider) == OLD


@pytest.mark.parametrize("secret", ["", "no json", '["a"]', '{"key": 1}', '"text"'])
def test_what_is_no_credential(provider: Provider, maker: Actor, secret: str) -> None:
    # Empty is to have none; the rest is refused.
    said = code_of(lambda: propose(provider, maker, secret))
    assert said == ("ok" if not secret else "validation_error")
    assert Proposal.objects.count() == (not secret)


def test_the_same_again_changes_nothing(provider: Provider, maker: Actor) -> None:
    assert code_of(lambda: propose(provider, maker, OLD)) == "conflict"


def test_keys_are_rotated_under_a_proposal(
    provider: Provider, maker: Actor, checker: Actor, settings: Any
) -> None:
    row = propose(provider, maker)
    newer = [Fernet.generate_key().decode(), *settings.KAURI.encryption_keys]
    settings.KAURI = settings.KAURI.model_copy(update={"encryption_keys": newer})
    with as_owner():
        call_command("secrets_rotate")
    settings.KAURI = settings.KAURI.model_copy(update={"encryption_keys": newer[:1]})
    assert approve(row, checker).state == "applied"
    assert stored(provider) == NEW


def test_it_waits_for_its_moment_sealed(provider: Provider, maker: Actor, checker: Actor) -> None:
    at = clock.now() + timedelta(days=1)
    row = proposals.propose(
        target="core.provider",
        target_id=str(provider.pk),
        values={"credentials_secret": NEW},
        reason="their key changes tomorrow",
        actor=maker,
        code=six_digits(maker),
        effective_from=at,
    )
    assert approve(row, checker).state == "approved"
    assert stored(provider) == OLD
    with clock.standing_at(at):
        assert proposals.apply_due(SYSTEM) == 1
    assert stored(provider) == NEW


@pytest.mark.django_db(transaction=True)
def test_of_many_deciders_one_applies(provider: Provider, maker: Actor, operator: Op) -> None:
    row = propose(provider, maker)
    deciders = [operator("Administrator") for _ in range(3)]
    codes = [six_digits(actor) for actor in deciders]

    def decide(number: int) -> str:
        return code_of(
            lambda: proposals.approve(proposal_id=row.public_id, actor=deciders[number], code=codes[number])
        )

    assert sorted(together(3, decide)) == ["ok", "wrong_state", "wrong_state"]
    assert stored(provider) == NEW


def test_a_digest_says_nothing_without_the_key(settings: Any) -> None:
    first = governing.digest(OLD)
    settings.SECRET_KEY = "another"
    assert first["names"] == governing.digest(OLD)["names"] == ["key"]
    assert first["digest"] != governing.digest(OLD)["digest"]


def test_a_code_is_used_up_only_by_what_is_done(provider: Provider, maker: Actor) -> None:
    code = six_digits(maker)
    with pytest.raises(RuntimeError), transaction.atomic():
        proposals.propose(
            target="core.provider",
            target_id=str(provider.pk),
            values={"credentials_secret": NEW},
            reason="new key",
            actor=maker,
            code=code,
        )
        raise RuntimeError
    assert Proposal.objects.count() == 0
