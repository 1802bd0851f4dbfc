"""Schemathesis against the whole document: every call, good data and bad, by token and by signed key.

``CONTRACT_EXAMPLES`` raises the number of examples a call for a long run.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import hypothesis
import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from schemathesis.generation.stateful import run_state_machine_as_test
from schemathesis.specs.openapi.checks import positive_data_acceptance

from backoffice.openapi import SCOPES
from kauri.account.api import caller as open_calls
from kauri.account.models import User
from tests.contract.caller import Door, SignedKey, Token, document, forgotten
from tests.moves import give, sandbox_on

EXAMPLES = int(os.environ.get("CONTRACT_EXAMPLES", "5"))
SETTINGS = hypothesis.settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(hypothesis.HealthCheck),
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
)
#: A schema can't say that an address exists, that the money is there, or which of two fields is wanted: data
#: that fits it may be refused. How, is checked: status and code stand in the document.
NOT_ASKED = [positive_data_acceptance]

DOOR = Door()


def contract(who: type[Token]) -> Any:
    """The document, its calls made by such a caller."""
    found = schemathesis.openapi.from_dict(document())
    found.app = DOOR
    found.auth(refresh_interval=None)(who)
    return found


BY_TOKEN = contract(Token)
BY_KEY = contract(SignedKey)


@pytest.fixture
def person(customer: Callable[..., User], settings: Any, monkeypatch: pytest.MonkeyPatch) -> User:
    """A customer with money; rates that this many calls don't use up."""
    many = 10**9
    names = ("api_rate_per_minute", "api_rate_per_minute_address", "api_rate_per_minute_key")
    settings.KAURI = settings.KAURI.model_copy(update=dict.fromkeys(names, many))
    settings.ALLOWED_HOSTS = ["*"]
    monkeypatch.setattr(open_calls, "OPEN_CALLS_PER_MINUTE", many)
    sandbox_on()
    user = customer()
    for currency in ("UAH", "USDT"):
        give(user, currency, "100000")
    return user


@pytest.fixture
def opened(person: User) -> Iterator[None]:
    """The door is the customer's; a request's end leaves the test's own connection alone."""
    DOOR.opens_to(person)
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@BY_TOKEN.parametrize()
@SETTINGS
def test_every_call_by_token(case: schemathesis.Case, opened: None) -> None:
    with forgotten():
        case.call_and_validate(excluded_checks=NOT_ASKED)


@BY_KEY.include(operation_id=list(SCOPES)).parametrize()
@SETTINGS
def test_every_call_of_keys_by_signed_key(case: schemathesis.Case, opened: None) -> None:
    with forgotten():
        case.call_and_validate(excluded_checks=NOT_ASKED)


@pytest.mark.parametrize("found", [BY_TOKEN, BY_KEY], ids=["token", "key"])
def test_calls_that_follow_from_one_another(found: Any, opened: None) -> None:
    """The document's links: orders are read, repeated, cancelled; keys deleted; sessions ended."""

    class Workflow(found.as_state_machine()):  # type: ignore[misc]
        def setup(self) -> None:
            self.undone = forgotten()
            self.undone.__enter__()

        def teardown(self) -> None:
            self.undone.__exit__(None, None, None)

        def validate_response(self, response: Any, case: Any, **more: Any) -> None:
            case.validate_response(response, excluded_checks=NOT_ASKED)

    settings = hypothesis.settings(SETTINGS, max_examples=EXAMPLES * 4, stateful_step_count=8)
    run_state_machine_as_test(Workflow, settings=settings)
