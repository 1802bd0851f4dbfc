"""Whatever fails, and whenever: each request has one outcome, and the books say what its client was told.

``FAULTS`` in the environment says how many faults; ``python -m tests.faults`` runs the long campaign.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kauri.account.models import User
from kauri.balance import ledger
from kauri.balance.chart import AccountKind, TransferKind
from kauri.balance.ledger import Leg
from kauri.common.actor import SYSTEM, Actor
from kauri.core.models import Currency
from tests.faults import plan
from tests.faults.attacker import KINDS
from tests.faults.campaign import Campaign, prepare
from tests.faults.client import REFUSED, money
from tests.faults.journal import Journal
from tests.faults.proof import Proof
from tests.faults.worker import NO_LIMIT, Worker

FAULTS = int(os.environ.get("FAULTS") or 300)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def campaign(
    customer: Callable[..., User], operator: Callable[..., Actor], tmp_path: Path, settings: Any
) -> Campaign:
    settings.KAURI = settings.KAURI.model_copy(update=NO_LIMIT)
    people = [customer() for _ in range(plan.PEOPLE)]
    prepare(people)
    return Campaign(FAULTS, tmp_path, [person.pk for person in people], operator())


@pytest.mark.timeout(180 + FAULTS)
def test_every_request_has_one_outcome(campaign: Campaign, record_property: Any) -> None:
    campaign.run()
    proof = Proof(campaign)
    proof.check()
    record_property("campaign", proof.figures())
    assert sum(campaign.done.values()) >= FAULTS
    assert FAULTS < 100 or set(campaign.done) == set(KINDS)


def test_what_a_campaign_must_find_is_found(campaign: Campaign) -> None:
    """A client in peace is proven right; a journal that says otherwise, or money that nobody asked for, is not."""
    orders = campaign.orders(0)
    worker = Worker(orders, Journal(orders.journal))
    for number in range(25):
        worker.act(number)
    Proof(campaign).check()
    lines = [json.loads(line) for line in orders.journal.read_text().splitlines()]
    done = {name.split("-")[0]: [what, name, said] for what, name, said in lines if what == "answer"}
    post, move = done["post"], done["move"]
    for false in (
        [line if line != post else [*post[:2], "1"] for line in lines],
        [line if line != post else [*post[:2], REFUSED + "insufficient_funds"] for line in lines],
        [line for line in lines if line[1] != move[1]],
        [line for line in lines if line != move],
        [*lines, [*move[:2], move[2].replace("order_id", "id")]],
        [*lines, ["broken", "", "an error"]],
        [*lines, ["fail", "", "ProgrammingError: 42601"]],
    ):
        orders.journal.write_text("".join(json.dumps(line) + "\n" for line in false))
        with pytest.raises(AssertionError):
            Proof(campaign).check()
    orders.journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    uah = Currency.objects.get(code="UAH")
    legs = [
        Leg(AccountKind.CAPITAL, uah, -money(1)),
        Leg(AccountKind.CUSTOMER_AVAILABLE, uah, money(1), customer_id=campaign.people[0]),
    ]
    ledger.post(uuid.uuid4(), TransferKind.OPENING, legs, actor=SYSTEM)
    with pytest.raises(AssertionError):
        Proof(campaign).check()
