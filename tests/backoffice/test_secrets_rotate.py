"""Keys of secrets at rest can be changed, and what could not be read is said."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection

from backoffice import rotation
from kauri.account.cases import files
from kauri.account.models import ApiKey, User, VerificationDocument
from kauri.account.services import letter
from kauri.common import crypto
from kauri.common.actor import SYSTEM
from kauri.core.models import AuditEntry, OutboxEvent, Provider
from kauri.payment_card import bans, selectors, services
from tests.backoffice import scene
from tests.cards import VISA, add
from tests.moves import as_owner, code_of

NEW, OLD = Fernet.generate_key().decode(), Fernet.generate_key().decode()


@pytest.fixture
def keys(settings: Any) -> Callable[..., None]:
    def use(*names: str) -> None:
        settings.KAURI = settings.KAURI.model_copy(update={"encryption_keys": list(names)})

    return use


def run(*words: str) -> str:
    out = io.StringIO()
    with as_owner():
        call_command("secrets_rotate", *words, stdout=out, stderr=out)
    return out.getvalue()


def stored(table: str, column: str) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(f"select {column} from {table} where {column} <> '' order by 1")
        return [row[0] for row in cursor.fetchall()]


@pytest.fixture
def secrets(keys: Callable[..., None], customer: Callable[..., User]) -> ApiKey:
    """A secret of each sort, all under the old key."""
    keys(OLD)
    user = customer()
    user.webhook_secret = "whsec_old"
    user.save(update_fields=["webhook_secret"])
    provider = Provider.objects.get(code="sandbox")
    provider.credentials_secret = "their password"
    provider.save()
    letter(user, "confirm_email", {"link_token": "a code"})
    return ApiKey.objects.create(
        user=user, name="shop", key="k" * 40, secret="the key's secret", scopes=["read"]
    )


def test_afterwards_the_new_key_alone_opens_everything(secrets: ApiKey, keys: Callable[..., None]) -> None:
    keys(NEW, OLD)
    with pytest.raises(CommandError, match="need an older key"):
        run("--check")
    assert "account_apikey.secret: 1 secrets, 1 under an older key" in run()
    [entry] = AuditEntry.objects.filter(verb="secrets_rotate")
    keys(NEW)
    assert run("--check").endswith("Every secret is under the newest key.\n")
    assert ApiKey.objects.get(pk=secrets.pk).secret == "the key's secret"
    assert User.objects.get(pk=secrets.user_id).webhook_secret == "whsec_old"
    provider = Provider.objects.get(code="sandbox")
    assert provider.credentials_secret == "their password"
    assert provider.history.first().credentials_secret == "their password"
    [event] = OutboxEvent.objects.filter(kind="letter")
    assert crypto.decrypt(event.payload["sealed"]) == '{"link_token": "a code", "phrase": ""}'
    before = stored("account_apikey", "secret")
    run()
    assert stored("account_apikey", "secret") == before  # nothing is written twice
    assert AuditEntry.objects.filter(verb="secrets_rotate").get() == entry


def test_a_missing_key_is_said_and_harms_nothing(secrets: ApiKey, keys: Callable[..., None]) -> None:
    before = stored("account_apikey", "secret")
    keys(NEW)
    with pytest.raises(CommandError, match="can't be opened"):
        run()
    assert stored("account_apikey", "secret") == before


def test_documents_too(house: None, keys: Callable[..., None], customer: Callable[..., User]) -> None:
    keys(OLD)
    case = scene.verification(customer(verification_level=0))
    [document] = VerificationDocument.objects.filter(case=case)[:1]
    picture = files.load(document.file_name, document.sha256)
    keys(NEW, OLD)
    count = VerificationDocument.objects.count()
    assert f"documents: {count} secrets, {count} under an older key" in run()
    keys(NEW)
    assert files.load(document.file_name, document.sha256) == picture
    assert f"documents: {count} secrets, 0 under an older key" in run("--check")
    keys(Fernet.generate_key().decode())
    with pytest.raises(CommandError, match="can't be opened"):
        run()
    keys(NEW)
    assert files.load(document.file_name, document.sha256) == picture


def test_more_than_a_batch(
    secrets: ApiKey, keys: Callable[..., None], monkeypatch: pytest.MonkeyPatch, customer: Callable[..., User]
) -> None:
    monkeypatch.setattr(rotation, "BATCH", 2)
    for number in range(4):
        ApiKey.objects.create(
            user=secrets.user, name="more", key=str(number) * 40, secret=f"secret {number}", scopes=["read"]
        )
    keys(NEW, OLD)
    assert "account_apikey.secret: 5 secrets, 5 under an older key" in run()
    keys(NEW)
    assert {key.secret for key in ApiKey.objects.all()} >= {f"secret {number}" for number in range(4)}


def test_cards_are_paid_to_and_bans_meet_them_afterwards(
    house: None, keys: Callable[..., None], customer: Callable[..., User], operator: Callable[..., Any]
) -> None:
    """The key of fingerprints gets a new seal and stays itself: what has only a fingerprint is found as before."""
    keys(OLD)
    user = customer()
    card = add(user)
    removed = add(customer())
    services.card_delete(user_id=removed.customer_id, token=removed.token, actor=SYSTEM)
    ban = bans.card_ban(number="5555555555554444", reason="stolen", actor=operator("Compliance"))
    before = stored("payment_card_paymentcard", "fingerprint")
    keys(NEW, OLD)
    said = run()
    assert "payment_card_paymentcard.number: 1 secrets, 1 under an older key" in said
    assert "payment_card_cardkey.secret: 1 secrets, 1 under an older key" in said
    keys(NEW)
    assert run("--check").endswith("Every secret is under the newest key.\n")
    assert selectors.card_destination(user.pk, card.token) == VISA
    assert stored("payment_card_paymentcard", "fingerprint") == before
    assert code_of(lambda: add(user)) == "conflict"
    assert code_of(lambda: add(user, "5555 5555 5555 4444")) == "card_banned"
    bans.card_unban(ban_id=ban.pk, reason="found", actor=operator("Senior"))
    assert add(user, "5555 5555 5555 4444").mask == "555555******4444"
