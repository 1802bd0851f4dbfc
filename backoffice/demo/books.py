"""What finance did in those days: dollar rates, closed days and months, a correction, a changed limit."""

from __future__ import annotations

import random
import uuid
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Final

from kauri.account.models import User
from kauri.balance import adjustments
from kauri.balance.adjustments import Place
from kauri.balance.chart import AccountKind
from kauri.balance.services import days_close, period_close
from kauri.common.actor import Actor
from kauri.common.documents import Document
from kauri.core import proposals
from kauri.core.models import Currency
from kauri.exchange_rate.services import usd_rate_propose
from kauri.order_core.models import Policy
from kauri.order_core.services import books_check
from kauri.order_core.states import OrderType

#: What a unit was worth in dollars on the first day; each week moves it a little.
FIRST_PRICES: Final = {
    "BTC": "91200",
    "ETH": "3120",
    "USDT": "1",
    "EUR": "1.08",
    "UAH": "0.0241",
    "RUB": "0.0124",
}
RATE_DAYS: Final = 7
#: Finance closes a month on this day of the next.
CLOSING_DAY: Final = 3


class Finance:
    """The people who keep the books, and what they do on a day."""

    def __init__(self, operators: Mapping[str, User], chance: random.Random) -> None:
        self.finance: Actor = operators["Finance"].as_actor()
        self.senior: Actor = operators["Senior"].as_actor()
        self.administrator: Actor = operators["Administrator"].as_actor()
        self.chance = chance
        self.prices = {code: Decimal(price) for code, price in FIRST_PRICES.items()}

    def morning(self, day: int, today: date) -> None:
        """Close yesterday; rates once a week; the month that ended, on its day."""
        days_close()
        if day % RATE_DAYS == 0:
            self.rates()
        if today.day == CLOSING_DAY and day >= CLOSING_DAY:
            period_close(month=today.replace(day=1) - timedelta(days=1), actor=self.finance)

    def rates(self) -> None:
        """This week's prices, good until the next are surely there."""
        for code, price in self.prices.items():
            if code != "USDT":
                moved = price * Decimal(str(round(1 + self.chance.gauss(0.002, 0.02), 4)))
                self.prices[code] = moved.quantize(Decimal("0.000001"))
            made = usd_rate_propose(
                currency_id=Currency.objects.get(code=code).pk,
                price=self.prices[code],
                source="Treasury's weekly sheet",
                good_for=timedelta(days=RATE_DAYS + 2),
                reason="This week's sheet",
                actor=self.finance,
            )
            proposals.approve(proposal_id=made.public_id, actor=self.senior)

    def corrections(self, customer: User, now: datetime) -> None:
        """One correction that a second person has posted, one that waits, and a limit that waits too."""
        done = self._goodwill(customer, "12.50", "Goodwill after a payout that took two days", now)
        adjustments.adjustment_approve(
            adjustment_id=done, actor=self.senior, reason="Agreed with the head of support"
        )
        self._goodwill(customer, "8.00", "The customer was charged the fee twice", now)
        policy = Policy.objects.get(operation=OrderType.WITHDRAWAL, currency__code="USDT")
        proposals.propose(
            target="order_core.policy",
            target_id=str(policy.pk),
            values={"approval_above": Decimal(2000)},
            reason="Most of what is approved between 1,000 and 2,000 is approved unchanged",
            actor=self.administrator,
        )

    def proof(self) -> None:
        """The books as they stand now, proven whole."""
        days_close()
        books_check(full=True)

    def _goodwill(self, customer: User, amount: str, reason: str, now: datetime) -> uuid.UUID:
        text = f"{now:%Y-%m-%d}. {reason}: {amount} EUR to {customer.email}."
        return adjustments.adjustment_propose(
            currency_id=Currency.objects.get(code="EUR").pk,
            amount=amount,
            source=Place(AccountKind.ADJUSTMENT),
            target=Place(AccountKind.CUSTOMER_AVAILABLE, customer_id=customer.pk),
            reason=reason,
            document=Document("note.pdf", _pdf(text)),
            actor=self.finance,
        ).public_id


def _pdf(text: str) -> bytes:
    """A page with one line: the least that a PDF can be."""
    line = text.translate(str.maketrans({"(": "[", ")": "]", "\\": "/"}))
    drawn = f"BT /F1 12 Tf 50 780 Td ({line}) Tj ET"
    parts = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R"
        " /Resources << /Font << /F1 5 0 R >> >> >>",
        f"<< /Length {len(drawn)} >>\nstream\n{drawn}\nendstream",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    body, places = "%PDF-1.4\n", []
    for number, part in enumerate(parts, 1):
        places.append(len(body))
        body += f"{number} 0 obj\n{part}\nendobj\n"
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    trailer = f"trailer\n<< /Size {len(parts) + 1} /Root 1 0 R >>\nstartxref\n{len(body)}\n%%EOF\n"
    return f"{body}xref\n0 {len(parts) + 1}\n0000000000 65535 f \n{table}{trailer}".encode("latin-1")
