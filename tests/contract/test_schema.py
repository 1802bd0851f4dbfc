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
from schemathesis.specs.openapi import stateful
from schemathesis.specs.openapi.checks import positive_data_acceptance

from backoffice.openapi import SCOPES
from kauri.account.api import caller as open_calls
from kauri.account.models import User
from tests.contract.caller import Door, SignedKey, Token, document, forgotten
from tests.house import PASSWORD
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


def good(operation_id: str, person: User, friend: User) -> dict[str, Any] | None:
    """A body that is done, for a call that later ones follow from: no schema says who is there and what they have."""
    bodies: dict[str, dict[str, Any]] = {
        "withdrawal_create": {"currency": "UAH", "amount": "60.00", "wallet_to": "sandbox:success"},
        "internal_movement_create": {
            "currency": "UAH",
            "amount": 10,
            "destination_account_email": friend.email,
        },
        "api_key_create": {"name": "shop", "scopes": ["read"]},
        "obtain_token": {"email": person.email, "password": PASSWORD},
    }
    return bodies.get(operation_id)


#: Where a story begins. Schemathesis takes ``external_id`` for somebody else's key, and would begin none with it.
BEGINNINGS = {"withdrawal_create", "internal_movement_create", "api_key_create", "obtain_token", "sessions"}
#: What must have happened in a row, or the links lead nowhere: by token, and by key.
STORIES = [
    ("withdrawal_create", "orders_details"),
    ("withdrawal_create", "withdrawal_cancel"),
    ("withdrawal_cancel", "withdrawal_repeat"),
    ("internal_movement_create", "orders_details"),
    ("internal_movement_create", "internal_movement_repeat"),
]
#: How often the workflow is drawn anew while a story is missing.
ROUNDS = 4
OF_TOKENS = [
    ("api_key_create", "api_key_delete"),
    ("obtain_token", "refresh_token"),
    ("sessions", "session_end"),
]


@pytest.mark.parametrize(
    ("found", "stories"), [(BY_TOKEN, [*STORIES, *OF_TOKENS]), (BY_KEY, STORIES)], ids=["token", "key"]
)
def test_calls_that_follow_from_one_another(
    found: Any,
    stories: list[tuple[str, str]],
    person: User,
    opened: None,
    customer: Callable[..., User],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The document's links: orders are read, repeated, cancelled; keys deleted; sessions refreshed and ended."""
    monkeypatch.setattr(
        stateful, "is_likely_root_transition", lambda operation, *_: named(operation) in begins
    )
    begins = BEGINNINGS & {first for first, _then in stories}
    friend = customer()
    seen: set[tuple[str, str]] = set()

    class Workflow(found.as_state_machine()):  # type: ignore[misc]
        def setup(self) -> None:
            self.undone = forgotten()
            self.undone.__enter__()
            self.makers: dict[str, str] = {}

        def teardown(self) -> None:
            self.undone.__exit__(None, None, None)

        def before_call(self, case: Any) -> None:
            body = good(named(case.operation), person, friend)
            if body is not None:
                case.body, case.query = body, {}
                case.headers.pop("Idempotency-Key", None)

        def validate_response(self, response: Any, case: Any, **more: Any) -> None:
            case.validate_response(response, excluded_checks=NOT_ASKED)
            name = named(case.operation)
            if response.status_code == 200:
                seen.update((self.makers[value], name) for value in given(case) if value in self.makers)
                self.makers.update(dict.fromkeys(handed_out(response.json()), name))

    # Which call follows which is drawn by chance: more is drawn until every story has been told.
    for more in range(ROUNDS):
        settings = hypothesis.settings(SETTINGS, max_examples=EXAMPLES * 8 * 2**more, stateful_step_count=10)
        run_state_machine_as_test(Workflow, settings=settings)
        if all(story in seen for story in stories):
            break
    assert [story for story in stories if story not in seen] == []


def named(operation: Any) -> str:
    return str(operation.definition.raw["operationId"])


def given(case: Any) -> set[str]:
    """What the call names."""
    fields = [part for part in (case.body, case.query) if isinstance(part, dict)]
    return {str(value) for part in fields for value in part.values()}


def handed_out(body: dict[str, Any]) -> set[str]:
    """What later calls may name."""
    named_here = {body.get(name) for name in ("order_id", "api_key_id", "refresh")}
    return {str(value) for value in named_here if value} | {
        row["session_id"] for row in body.get("sessions", [])
    }
