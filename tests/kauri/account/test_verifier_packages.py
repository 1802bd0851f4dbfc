"""A provider of the installation's own choice: a real package, found by its entry point."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kauri.account import cases, verifier
from kauri.account.cases.provider import verifier_of
from kauri.account.models import User
from kauri.account.verifier import ConfigError, Verdict
from kauri.common import clock
from kauri.core.models import Provider
from tests.kauri.account.papers import Sumsub, started, sumsub_on

PACKAGES = Path(__file__).parents[2] / "packages" / "kauri_verifier_acme"
NAME = "kauri_verifier_acme"


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The package lies where Python looks for packages, with its metadata beside it."""
    monkeypatch.syspath_prepend(str(PACKAGES))
    importlib.invalidate_caches()
    yield
    sys.modules.pop(NAME, None)


def acme_on(**fields: Any) -> Provider:
    values = {
        "title": "Acme",
        "kind": Provider.Kind.VERIFICATION,
        "adapter": "acme",
        "is_enabled": True,
        "priority": 1,
        "settings": {"decides": "provider"},
        "credentials_secret": json.dumps({"key": "k"}),
    }
    return Provider.objects.create(code="acme", **{**values, **fields})


@pytest.mark.usefixtures("installed")
def test_one_class_and_a_row_verify_a_customer(
    customer: Callable[..., User], drain: Callable[..., int]
) -> None:
    assert NAME not in sys.modules
    user = customer(verification_level=0)
    acme_on()
    case = started(user)
    drain()
    case.refresh_from_db()
    assert (case.provider.code, case.state) == ("acme", "waiting_for_customer")
    assert case.entrance_secret == f"https://acme.example/look/{case.public_id}"
    sys.modules[NAME].FOUND[str(case.public_id)] = Verdict.APPROVED
    cases.verifier_webhook(provider=case.provider, reference=str(case.public_id))
    drain()
    case.refresh_from_db()
    user.refresh_from_db()
    assert (case.state, user.verification_level) == ("approved", 1)
    assert user.verification_decisions.get().actor_label == "acme"


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("call", ["start", "fetch_status"])
def test_a_package_that_breaks_loses_nothing_and_is_said(
    customer: Callable[..., User],
    drain: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    caplog: Any,
    call: str,
) -> None:
    provider = acme_on()
    case = started(customer(verification_level=0))
    if call == "fetch_status":
        drain()
    verifier_class = type(verifier_of(provider))

    def broken(*args: object) -> None:
        raise ZeroDivisionError("inside of the package")

    with monkeypatch.context() as patch:
        patch.setattr(verifier_class, call, broken)
        cases.verifier_webhook(provider=provider, reference=str(case.public_id))
        drain()
    case.refresh_from_db()
    assert (case.last_error, case.attempts) == ("OutcomeUnknown: ZeroDivisionError", 1)
    assert case.lease_until is None
    assert case.next_attempt_at > clock.now()
    assert "the verifier acme broke" in caplog.text
    with clock.standing_at(case.next_attempt_at):
        cases.cases_sweep()
        drain()
    case.refresh_from_db()
    assert (case.last_error, case.attempts, case.state) == ("", 0, "waiting_for_customer")


@pytest.mark.usefixtures("installed")
def test_nothing_is_imported_that_no_row_names(sumsub: Sumsub, customer: Callable[..., User]) -> None:
    sumsub_on(sumsub.url)
    assert started(customer(verification_level=0)).provider.code == "sumsub"
    assert NAME not in sys.modules


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("manual", "more than one"),
        ("wrongname", "calls itself something else"),
        ("noclass", "names no verifier"),
        ("absent", "cannot be imported"),
        ("nowhere", "no verification adapter"),
    ],
)
def test_what_is_refused(name: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        verifier.adapter(name)


def test_without_the_package_its_row_is_passed_by(customer: Callable[..., User]) -> None:
    user = customer(verification_level=0)
    acme_on()
    assert started(user).provider.code == "manual"
