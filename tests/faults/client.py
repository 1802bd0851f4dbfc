"""How a step is asked: through the API, or by the ledger's own functions where the API has no call."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.db import close_old_connections, transaction

from kauri.account import tokens
from kauri.account.models import User
from kauri.balance import ledger
from kauri.balance.chart import AccountKind, TransferKind
from kauri.balance.ledger import Leg
from kauri.common.actor import SYSTEM
from kauri.common.errors import KauriError
from kauri.common.ids import ledger_key
from kauri.common.locks import retried
from kauri.core.models import Currency, Provider
from kauri.order_core.models import Order
from kauri.withdrawal_order.services import withdrawal_reject
from tests.api.client import ApiClient
from tests.faults.plan import Step

#: Of a capture, what stays in the house; the rest goes to the provider's float.
OUR_CENTS = 1
REFUSED = "refused:"
PATHS = {"move": "/api/v1/internal_movement", "withdraw": "/api/v1/withdrawal"}
#: One for all: it costs a hundred requests to make.
API = ApiClient()
API.http.raise_request_exception = False


class Unanswered(Exception):
    """The service is there but has not done it: ask again."""


def money(cents: int) -> Decimal:
    return Decimal(cents).scaleb(-2)


def hold_id(name: str) -> uuid.UUID:
    """The order that a hold of the ledger's own stands for."""
    return ledger_key("faults", name)


@dataclass
class Client:
    """Asks as a client does. Database errors reach the caller only where no API is in between."""

    people: list[int]
    operator: int
    users: list[User] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)

    def ask(self, step: Step) -> str:
        """The answer to the step; a refusal is an answer too."""
        close_old_connections()  # as the server does when a request comes
        self._load()
        try:
            if step.kind in PATHS:
                return self._call(step)
            if step.kind == "reject":
                return self._reject(step)
            return str(retried(lambda: self._posted(step)))
        except KauriError as exc:
            if exc.code == "conflict":
                raise Unanswered from exc
            return REFUSED + exc.code

    def _load(self) -> None:
        if self.users:
            return
        found = User.objects.in_bulk(self.people)
        self.uah = Currency.objects.get(code="UAH")
        self.sandbox = Provider.objects.get(code="sandbox").pk
        self.decider = User.objects.get(pk=self.operator).as_actor(ip="127.0.0.1")
        self.tokens = [tokens.issue(found[pk]) for pk in self.people]
        self.users = [found[pk] for pk in self.people]

    def _call(self, step: Step) -> str:
        body = {"currency": "UAH", "amount": str(money(step.cents)), "comment": step.name}
        if step.kind == "move":
            body["destination_account_email"] = self.users[step.to].email
        else:
            body["wallet_to"] = "sandbox:success"
        API.token = self.tokens[step.who]
        answer = API.post(PATHS[step.kind], body, **{"Idempotency-Key": step.name})
        if answer.status_code == 200:
            return str(answer.content.decode())
        code = str(answer.json()["code"])
        if code in {"conflict", "internal_error"}:
            raise Unanswered(code)
        return REFUSED + code

    def _reject(self, step: Step) -> str:
        """An operator's no. It has no key: who asks twice is told that it was decided."""
        order = Order.objects.get(owner=self.people[step.who], comment=step.of)
        withdrawal_reject(order_id=order.public_id, actor=self.decider, reason=step.name)
        return "rejected"

    def _posted(self, step: Step) -> int:
        with transaction.atomic():
            return self._post(step)

    def _post(self, step: Step) -> int:
        amount, customer = money(step.cents), self.people[step.who]
        common: dict[str, Any] = {"actor": SYSTEM, "reference": step.name}
        held: dict[str, Any] = {"customer_id": customer, "currency": self.uah, "amount": amount, **common}
        if step.kind == "roll":
            ledger.roll()
            return 0
        if step.kind == "post":
            legs = [
                Leg(AccountKind.CAPITAL, self.uah, -amount),
                Leg(AccountKind.CUSTOMER_AVAILABLE, self.uah, amount, customer_id=customer),
            ]
            posted = ledger.post(ledger_key("faults", step.name), TransferKind.OPENING, legs, **common)
        elif step.kind == "hold":
            posted = ledger.hold(hold_id(step.name), TransferKind.WITHDRAWAL_HOLD, **held)
        elif step.kind == "release":
            kind = TransferKind.WITHDRAWAL_RELEASE
            posted = ledger.release(hold_id(step.of), kind, step=step.name, **held)
        else:
            ours = money(OUR_CENTS)
            legs = [
                Leg(AccountKind.CUSTOMER_HELD, self.uah, -amount, customer_id=customer),
                Leg(AccountKind.PROVIDER_FLOAT, self.uah, amount - ours, provider_id=self.sandbox),
                Leg(AccountKind.FEE_INCOME, self.uah, ours),
            ]
            kind = TransferKind.WITHDRAWAL_CAPTURE
            posted = ledger.capture(hold_id(step.of), kind, legs, amount=amount, step=step.name, **common)
        return posted.transfer_id
