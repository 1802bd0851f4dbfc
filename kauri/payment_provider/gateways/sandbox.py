"""A payment provider that exists only here: for the demo, tests and training. Every outcome on demand.

It has no network, no memory and no chance in it: what happens to a payout is said by its destination,
and what happens later is told from the time written into its payload.

==========================  =======================================================================
destination                 what happens
==========================  =======================================================================
``sandbox:success``         paid at once (so is any well-formed card number or IBAN)
``sandbox:decline``         ``send`` raises Rejected; a look-up says FAILED
``sandbox:fail``            accepted, then a look-up says FAILED
``sandbox:delay:SECONDS``   PENDING until so long after it was prepared, then CONFIRMED
``sandbox:lost``            ``send`` raises OutcomeUnknown, but it was paid: a look-up says CONFIRMED
``sandbox:lost-unsent``     ``send`` raises OutcomeUnknown and nothing arrived: NOT_FOUND
``sandbox:unavailable``     ``send`` raises Retryable
``sandbox:nofunds``         ``send`` raises InsufficientFloat
``sandbox:strange``         answers with a word that nobody knows: UNKNOWN
==========================  =======================================================================

Callbacks are POSTs of JSON, signed in the header ``X-Sandbox-Signature`` (:func:`sign_callback`)::

    {"event": "payin", "reference": "…ours…", "provider_reference": "…", "status": "success",
     "currency": "UAH", "amount": "150.00", "timestamp": 1767225600}

Settings: ``currencies`` (list), ``scale`` (digits of every amount), ``page_url`` (the page that plays the
customer), ``balances`` (currency to text), ``max_callback_age_seconds``. Credentials: ``secret``.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, ClassVar, Final
from urllib.parse import urlencode

from kauri.common import clock, money
from kauri.common.errors import KauriError
from kauri.payment_provider.gateway import (
    CallbackMeaning,
    Capability,
    ConfigError,
    Direction,
    Event,
    EventKind,
    Gateway,
    Health,
    InstructionKind,
    InsufficientFloat,
    Invalid,
    OutcomeUnknown,
    PayinInstruction,
    PayinRequest,
    PayoutRequest,
    PayoutState,
    PayoutStatus,
    PreparedPayout,
    ProviderBalance,
    RawCallback,
    Rejected,
    Retryable,
)

CURRENCIES: Final = ("UAH", "RUB", "USD", "EUR")
SIGNATURE_HEADER: Final = "x-sandbox-signature"
MAX_BODY: Final = 64 * 1024
DEFAULT_AGE: Final = 300
DEFAULT_BALANCE: Final = "1000000"
MAX_DELAY: Final = 7 * 24 * 3600

_STATUSES: Final = {
    "success": PayoutStatus.CONFIRMED,
    "declined": PayoutStatus.FAILED,
    "pending": PayoutStatus.PENDING,
}
#: What a look-up says; a delay is reckoned apart.
_FINALLY: Final = {
    "success": PayoutStatus.CONFIRMED,
    "decline": PayoutStatus.FAILED,
    "fail": PayoutStatus.FAILED,
    "lost": PayoutStatus.CONFIRMED,
    "lost-unsent": PayoutStatus.NOT_FOUND,
    "unavailable": PayoutStatus.NOT_FOUND,
    "nofunds": PayoutStatus.NOT_FOUND,
    "strange": PayoutStatus.UNKNOWN,
}
_DELAY: Final = re.compile(r"delay:([0-9]{1,6})")
_CARD: Final = re.compile(r"[0-9]{13,19}")
_IBAN: Final = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}")


def sign_callback(secret: str, body: bytes, timestamp: str | int) -> str:
    """The value of ``X-Sandbox-Signature``: hex HMAC-SHA256 over ``timestamp + "." + body``.

    ``timestamp`` is the body's own, Unix seconds.
    """
    return hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()


class Sandbox(Gateway):
    """Fiat in and out, without any bank."""

    code: ClassVar[str] = "sandbox"

    def capabilities(self) -> tuple[Capability, ...]:
        return tuple(
            Capability(currency, direction) for currency in self._currencies for direction in Direction
        )

    def validate_destination(self, currency: str, destination: str) -> str:
        self._require_currency(currency)
        text = destination.strip()
        if text.lower().startswith("sandbox:"):
            outcome = text.lower().removeprefix("sandbox:")
            delay = _DELAY.fullmatch(outcome)
            if outcome not in _FINALLY and not (delay and int(delay[1]) <= MAX_DELAY):
                raise Rejected("the sandbox knows no such outcome")
            return f"sandbox:{outcome}"
        packed = re.sub(r"[ -]", "", text).upper()
        if (_CARD.fullmatch(packed) and _luhn(packed)) or (_IBAN.fullmatch(packed) and _mod97(packed)):
            return packed
        raise Rejected("this is neither a card number, nor an IBAN, nor an outcome of the sandbox")

    def check_health(self) -> Health:
        callbacks = "" if self.config.credentials.get("secret") else "; no secret: callbacks are refused"
        return Health(ok=True, detail=f"sandbox{callbacks}")

    def fetch_balances(self) -> tuple[ProviderBalance, ...]:
        given = self.config.settings.get("balances") or {}
        held = {currency: Decimal(str(given.get(currency, DEFAULT_BALANCE))) for currency in self._currencies}
        return tuple(ProviderBalance(code, money.exact(amount, self._scale)) for code, amount in held.items())

    def create_payin(self, request: PayinRequest) -> PayinInstruction:
        self._require_currency(request.currency)
        amount = "" if request.amount is None else self._text_of(request.amount)
        name = _name("in", request.reference)
        page = str(self.config.settings.get("page_url") or "")
        if not page:
            words = f"Pay {amount} {request.currency}".replace("  ", " any amount of ")
            text = f"{words} to the sandbox, quoting {request.reference}. No real money moves."
            return PayinInstruction(InstructionKind.CHALLENGE, text, name)
        fields = {
            "reference": request.reference,
            "provider_reference": name,
            "currency": request.currency,
            "amount": amount,
            "description": request.description,
            "return_url": request.return_url,
            "callback_url": request.callback_url,
        }
        query = urlencode({key: value for key, value in fields.items() if value})
        return PayinInstruction(InstructionKind.REDIRECT, f"{page}{'&' if '?' in page else '?'}{query}", name)

    # -- money out ------------------------------------------------------------------------------

    def prepare_payout(self, request: PayoutRequest) -> PreparedPayout:
        payload = {
            "reference": request.reference,
            "currency": request.currency,
            "amount": self._text_of(request.amount),
            "destination": _masked(self.validate_destination(request.currency, request.destination)),
            "prepared_at": clock.now().isoformat(),
        }
        return PreparedPayout(
            provider_reference=_name("out", request.reference),
            payload=json.dumps(payload, separators=(",", ":")),
        )

    def send_payout(self, request: PayoutRequest, prepared: PreparedPayout) -> PayoutState:
        payload = self._payload(request, prepared)
        outcome = _outcome(payload)
        if outcome == "unavailable":
            raise Retryable("the sandbox plays a provider that is down")
        if outcome == "nofunds":
            raise InsufficientFloat("the sandbox plays a provider where our balance is empty")
        if outcome == "decline":
            raise Rejected("the sandbox declines this payout")
        if outcome in {"lost", "lost-unsent"}:
            raise OutcomeUnknown("the sandbox's answer was lost")
        if outcome == "fail":
            return PayoutState(PayoutStatus.PENDING, prepared.provider_reference)
        return self._state(payload, prepared)

    def fetch_payout(self, request: PayoutRequest, prepared: PreparedPayout) -> PayoutState:
        try:
            payload = self._payload(request, prepared)
        except ConfigError as exc:
            answer = {"reason": str(exc)}
            return PayoutState(PayoutStatus.UNKNOWN, prepared.provider_reference, answer=answer)
        return self._state(payload, prepared)

    def _state(self, payload: dict[str, Any], prepared: PreparedPayout) -> PayoutState:
        outcome = _outcome(payload)
        delay = _DELAY.fullmatch(outcome)
        if delay:
            ready = datetime.fromisoformat(payload["prepared_at"]) + timedelta(seconds=int(delay[1]))
            status = PayoutStatus.CONFIRMED if clock.now() >= ready else PayoutStatus.PENDING
        else:
            status = _FINALLY.get(outcome, PayoutStatus.UNKNOWN)
        return PayoutState(status, prepared.provider_reference, answer={"outcome": outcome})

    def _payload(self, request: PayoutRequest, prepared: PreparedPayout) -> dict[str, Any]:
        try:
            payload: dict[str, Any] = json.loads(prepared.payload)
            matches = payload["reference"] == request.reference
        except (ValueError, KeyError, TypeError):
            matches = False
        if not matches:
            raise ConfigError("the stored payload does not belong to this payout")
        return payload

    # -- callbacks ------------------------------------------------------------------------------

    def parse_callback(self, raw: RawCallback) -> CallbackMeaning:
        secret = self.config.credentials.get("secret", "")
        if not secret:
            return Invalid("no secret is set, so nothing can be trusted")
        if raw.method.upper() != "POST" or len(raw.body) > MAX_BODY:
            return Invalid("not a POST of a reasonable size")
        try:
            body = json.loads(raw.body)
            stamp = body["timestamp"]
        except (ValueError, KeyError, TypeError, RecursionError):
            return Invalid("not a JSON object with a timestamp")
        if not isinstance(stamp, int) or isinstance(stamp, bool):
            return Invalid("the timestamp is not a whole number")
        signature = raw.headers.get(SIGNATURE_HEADER, "")
        if not hmac.compare_digest(signature.encode(), sign_callback(secret, raw.body, stamp).encode()):
            return Invalid("the signature does not match")
        if abs(int(raw.received_at.timestamp()) - stamp) > self._max_age:
            return Invalid("signed too long ago, or in the future")
        return self._event(body)

    def _event(self, body: dict[str, Any]) -> CallbackMeaning:
        names = ("event", "reference", "provider_reference", "status", "currency", "amount")
        fields = {name: body.get(name) for name in names}
        if not all(isinstance(value, str) and value for value in fields.values()):
            return Invalid("a field is missing or is not text")
        if fields["event"] not in set(EventKind) or fields["currency"] not in self._currencies:
            return Invalid("not an event or not a currency of ours")
        try:
            amount = money.exact(Decimal(str(fields["amount"])), self._scale)
        except (InvalidOperation, KauriError):
            return Invalid("the amount is not an amount of this currency")
        if amount < 0:
            return Invalid("the amount is negative")
        return Event(
            kind=EventKind(str(fields["event"])),
            reference=str(fields["reference"]),
            provider_reference=str(fields["provider_reference"]),
            status=_STATUSES.get(str(fields["status"]), PayoutStatus.UNKNOWN),
            currency=str(fields["currency"]),
            amount=amount,
        )

    # -- settings -------------------------------------------------------------------------------

    @property
    def _currencies(self) -> tuple[str, ...]:
        return tuple(self.config.settings.get("currencies") or CURRENCIES)

    @property
    def _scale(self) -> int:
        return int(self.config.settings.get("scale", 2))

    @property
    def _max_age(self) -> int:
        return int(self.config.settings.get("max_callback_age_seconds", DEFAULT_AGE))

    def _require_currency(self, currency: str) -> None:
        if currency not in self._currencies:
            raise Rejected(f"the sandbox has no {currency}")

    def _text_of(self, amount: Decimal) -> str:
        """The amount as the wire has it: text with exactly ``scale`` digits. Rejected rather than rounded."""
        try:
            return format(money.exact(money.parse_amount(amount, self._scale), self._scale), "f")
        except KauriError as exc:
            raise Rejected(exc.detail) from None


def _name(direction: str, reference: str) -> str:
    """The sandbox's own name of an order: the same for the same reference."""
    return f"sbx-{direction}-{hashlib.sha256(reference.encode()).hexdigest()[:24]}"


def _outcome(payload: dict[str, Any]) -> str:
    destination = str(payload.get("destination", ""))
    return destination.removeprefix("sandbox:") if destination.startswith("sandbox:") else "success"


def _masked(destination: str) -> str:
    """A card number has no business in stored bytes that do not need it."""
    return f"{destination[:6]}******{destination[-4:]}" if _CARD.fullmatch(destination) else destination


def _luhn(digits: str) -> bool:
    doubled = [sum(divmod(int(d) * 2, 10)) for d in digits[-2::-2]]
    return (sum(map(int, digits[-1::-2])) + sum(doubled)) % 10 == 0


def _mod97(iban: str) -> bool:
    return int("".join(str(int(c, 36)) for c in iban[4:] + iban[:4])) % 97 == 1
