"""The calls, by name."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Self

from kauri_client.transport import Transport

Amount = Decimal | int | str
Answer = dict[str, Any]


class Client:
    """An account's API key at one Kauri.

    Answers are the API's own objects; numbers with a point are ``Decimal``, whole ones ``int``: both exact.
    Every method raises :class:`~kauri_client.Refused` when the API says no.
    """

    def __init__(self, base_url: str, *, key: str = "", secret: str = "", **options: Any) -> None:
        """``options``: ``timeout`` (seconds), ``tries``, ``pause``, ``session``; see :class:`Transport`."""
        self.http = Transport(base_url, key, secret, **options)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connections that were kept for the next call."""
        self.http.session.close()

    def currencies(self) -> list[str]:
        """Codes of the currencies."""
        return [str(code) for code in self.http.get("/api/v1/currency")["currencies"]]

    def pairs(self) -> list[Answer]:
        """Pairs in both directions, named ``<get>_<spend>``."""
        return list(self.http.get("/api/v1/pair")["pairs"])

    def balance(self, at: str | None = None) -> Answer:
        """What the account has, or had at the moment ``at`` (ISO 8601 with zone)."""
        return self.http.get("/api/v1/user/balance", {"at": at})

    def account_info(self) -> Answer:
        """Who the account is, and its limits, fees and rules as they hold now."""
        return self.http.get("/api/v1/user/account_info")

    def settings(self) -> Answer:
        """Every setting of the account, by name."""
        found: Answer = self.http.get("/api/v1/user/account/setting")["settings"]
        return found

    def set_setting(self, name: str, value: str, **more: Any) -> Answer:
        """Change one setting; all of them as they stand then."""
        data = {"name": name, "value": value, **more}
        found: Answer = self.http.post("/api/v1/user/account/setting", data)["settings"]
        return found

    def statistics(self, period: str = "day", **filters: Any) -> list[Answer]:
        """Counts, turnover and fees by ``period`` (day, week, month), order type and currency."""
        return list(self.http.get("/api/v1/statistics", {"period": period, **filters})["statistics"])

    def deposit_address(self, currency: str, **more: Any) -> Answer:
        """Where to pay in; the same address each time for a crypto currency."""
        return self.http.post("/api/v1/deposit/address", {"currency": currency, **more})

    def withdrawal(
        self,
        currency: str,
        amount: Amount,
        wallet_to: str,
        *,
        idempotency_key: str | None = None,
        **more: Any,
    ) -> Answer:
        """Pay out. ``external_id`` is your own name of the order. Raises ``OutcomeUnknown`` too."""
        data = {"currency": currency, "amount": amount, "wallet_to": wallet_to, **more}
        return self._moving("/api/v1/withdrawal", data, idempotency_key)

    def withdrawal_repeat(
        self, order_id: str, amount: Amount | None = None, *, idempotency_key: str | None = None, **more: Any
    ) -> Answer:
        """The same withdrawal again as a new order, with another amount if given."""
        data = {"order_id": order_id, "amount": amount, **more}
        return self._moving("/api/v1/withdrawal/repeat", data, idempotency_key)

    def withdrawal_cancel(self, order_id: str, *, idempotency_key: str | None = None) -> Answer:
        """Take a withdrawal back while it still waits, for its code or for an operator."""
        return self._moving("/api/v1/withdrawal/cancel", {"order_id": order_id}, idempotency_key)

    def withdrawal_confirm(self, order_id: str, code: str) -> Answer:
        """Confirm a withdrawal that is WAITING_FOR_CONFIRMATION with the code of its letter."""
        return self.call("POST", "/api/v1/withdrawal/confirm", {"order_id": order_id, "code": code})

    def withdrawal_confirm_resend(self, order_id: str) -> Answer:
        """Send another letter: its code replaces the one before."""
        return self.call("POST", "/api/v1/withdrawal/confirm/resend", {"order_id": order_id})

    def withdrawal_addresses(self) -> Answer:
        """The account's saved addresses, and whether money goes to them only."""
        return self.call("GET", "/api/v1/withdrawal/addresses")

    def internal_movement(
        self,
        currency: str,
        amount: Amount,
        *,
        email: str | None = None,
        number: str | None = None,
        telegram: str | None = None,
        idempotency_key: str | None = None,
        **more: Any,
    ) -> Answer:
        """Move money to another account, named by e-mail, account number or Telegram."""
        data = {
            "currency": currency,
            "amount": amount,
            "destination_account_email": email,
            "destination_account_number": number,
            "destination_telegram": telegram,
            **more,
        }
        return self._moving("/api/v1/internal_movement", data, idempotency_key)

    def internal_movement_repeat(
        self, order_id: str, amount: Amount | None = None, *, idempotency_key: str | None = None, **more: Any
    ) -> Answer:
        """The same movement again, with another amount if given."""
        data = {"order_id": order_id, "amount": amount, **more}
        return self._moving("/api/v1/internal_movement/repeat", data, idempotency_key)

    def order(self, order_id: str) -> Answer:
        """One order as its owner sees it."""
        details: Answer = self.http.get("/api/v1/orders/details", {"order_id": order_id})["order_details"]
        return details

    def orders(self, *, limit: int = 100, **filters: Any) -> Iterator[Answer]:
        """Every order that fits, newest first; pages are fetched as they are needed."""
        cursor: str | None = ""
        while cursor is not None:
            page = self.http.get("/api/v1/orders/history", {**filters, "limit": limit, "cursor": cursor})
            yield from page["orders"]
            cursor = page["next_cursor"]

    def call(self, method: str, path: str, data: Mapping[str, Any] | None = None, **options: Any) -> Answer:
        """Any other call of the API's document, signed and retried in the same way."""
        if method.upper() == "GET":
            return self.http.get(path, data)
        return self.http.post(path, data or {}, **options)

    def _moving(self, path: str, data: Mapping[str, Any], idempotency_key: str | None) -> Answer:
        return self.http.post(path, data, idempotency_key=idempotency_key or str(uuid.uuid4()))
