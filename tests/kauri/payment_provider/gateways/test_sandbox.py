"""The sandbox plays every part that a provider can play."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from urllib.parse import parse_qs, urlsplit

import pytest

from kauri.common import clock
from kauri.payment_provider.gateway import (
    Capability,
    ConfigError,
    Direction,
    Event,
    EventKind,
    GatewayConfig,
    InstructionKind,
    InsufficientFloat,
    Invalid,
    OutcomeUnknown,
    PayinRequest,
    PayoutRequest,
    PayoutStatus,
    PreparedPayout,
    RawCallback,
    Rejected,
    Reply,
    Retryable,
)
from kauri.payment_provider.gateways.sandbox import SIGNATURE_HEADER, Sandbox, sign_callback

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
SECRET = "callback-secret"


@pytest.fixture(autouse=True)
def _still_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: NOW)


def sandbox(*, secret: str = SECRET, **settings: object) -> Sandbox:
    return Sandbox(GatewayConfig(code="sandbox", settings=settings, credentials={"secret": secret}))


def payout(
    destination: str = "sandbox:success", amount: str = "150.00", currency: str = "UAH"
) -> PayoutRequest:
    return PayoutRequest("order-7", currency, Decimal(amount), destination)


def test_fiat_in_and_out() -> None:
    assert sandbox().capabilities() == tuple(
        Capability(currency, direction)
        for currency in ("UAH", "RUB", "USD", "EUR")
        for direction in (Direction.IN, Direction.OUT)
    )
    assert {c.currency for c in sandbox(currencies=["EUR"]).capabilities()} == {"EUR"}
    assert sandbox().check_health().ok is True
    assert sandbox(secret="").check_health().detail == "sandbox; no secret: callbacks are refused"


def test_balances_come_from_the_settings() -> None:
    found = sandbox(currencies=["UAH", "EUR"], balances={"EUR": "12.5"}).fetch_balances()
    assert [(b.currency, b.amount) for b in found] == [
        ("UAH", Decimal("1000000.00")),
        ("EUR", Decimal("12.50")),
    ]


# -- money in ---------------------------------------------------------------------------------------


def test_a_payin_leads_to_the_page() -> None:
    request = PayinRequest(
        "order-1", "UAH", Decimal("150.5"), "Top up & go", "https://shop.test/back?a=1", "https://x.test/cb"
    )
    instruction = sandbox(page_url="https://kauri.test/sandbox/").create_payin(request)
    assert instruction.kind is InstructionKind.REDIRECT
    parts = urlsplit(instruction.value)
    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == "https://kauri.test/sandbox/"
    assert parse_qs(parts.query) == {
        "reference": ["order-1"],
        "provider_reference": [instruction.provider_reference],
        "currency": ["UAH"],
        "amount": ["150.50"],
        "description": ["Top up & go"],
        "return_url": ["https://shop.test/back?a=1"],
        "callback_url": ["https://x.test/cb"],
    }
    again = sandbox(page_url="https://kauri.test/sandbox/").create_payin(request)
    assert again == instruction


def test_without_a_page_a_payin_is_told_in_words() -> None:
    one = sandbox().create_payin(PayinRequest("order-1", "UAH", Decimal(150)))
    assert (one.kind, one.value) == (
        InstructionKind.CHALLENGE,
        "Pay 150.00 UAH to the sandbox, quoting order-1. No real money moves.",
    )
    free = sandbox().create_payin(PayinRequest("order-2", "EUR", None))
    assert free.value == "Pay any amount of EUR to the sandbox, quoting order-2. No real money moves."
    assert one.provider_reference != free.provider_reference


def test_a_page_with_a_query_keeps_it() -> None:
    found = sandbox(page_url="/s?lang=uk").create_payin(PayinRequest("r", "USD", None))
    assert found.value.startswith("/s?lang=uk&reference=r&")


@pytest.mark.parametrize(
    ("currency", "amount"), [("BTC", "1"), ("UAH", "0.001"), ("UAH", "0"), ("UAH", "-1")]
)
def test_a_payin_that_makes_no_sense_is_rejected(currency: str, amount: str) -> None:
    with pytest.raises(Rejected):
        sandbox().create_payin(PayinRequest("r", currency, Decimal(amount)))


# -- money out --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("sandbox:success", "sandbox:success"),
        (" Sandbox:LOST ", "sandbox:lost"),
        ("sandbox:delay:90", "sandbox:delay:90"),
        ("4111 1111 1111 1111", "4111111111111111"),
        ("5555-5555-5555-4444", "5555555555554444"),
        ("GB82 WEST 1234 5698 7654 32", "GB82WEST12345698765432"),
        ("ua213223130000026007233566001", "UA213223130000026007233566001"),
    ],
)
def test_a_good_destination_becomes_canonical(text: str, canonical: str) -> None:
    assert sandbox().validate_destination("UAH", text) == canonical


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sandbox:",
        "sandbox:maybe",
        "sandbox:delay:",
        "sandbox:delay:-1",
        "sandbox:delay:604801",
        "4111 1111 1111 1112",
        "411111111111",
        "GB82 WEST 1234 5698 7654 33",
        "a name",
        "١٢٣٤١٢٣٤١٢٣٤١٢٣٤",
    ],
)
def test_a_bad_destination_is_rejected(text: str) -> None:
    with pytest.raises(Rejected):
        sandbox().validate_destination("UAH", text)


def test_preparing_says_what_will_be_sent_and_when() -> None:
    prepared = sandbox().prepare_payout(payout("4111 1111 1111 1111", "150.5"))
    assert json.loads(prepared.payload) == {
        "reference": "order-7",
        "currency": "UAH",
        "amount": "150.50",
        "destination": "411111******1111",
        "prepared_at": "2026-03-01T12:00:00+00:00",
    }
    assert prepared.nonce is None
    assert prepared == sandbox().prepare_payout(payout("4111 1111 1111 1111", "150.50"))


@pytest.mark.parametrize("destination", ["sandbox:success", "4111111111111111", "GB82WEST12345698765432"])
def test_success(destination: str) -> None:
    request = payout(destination)
    prepared = sandbox().prepare_payout(request)
    for _ in range(2):
        sent = sandbox().send_payout(request, prepared)
        assert (sent.status, sent.provider_reference) == (PayoutStatus.CONFIRMED, prepared.provider_reference)
    assert sandbox().fetch_payout(request, prepared).status is PayoutStatus.CONFIRMED


@pytest.mark.parametrize(
    ("outcome", "error", "later"),
    [
        ("decline", Rejected, PayoutStatus.FAILED),
        ("lost", OutcomeUnknown, PayoutStatus.CONFIRMED),
        ("lost-unsent", OutcomeUnknown, PayoutStatus.NOT_FOUND),
        ("unavailable", Retryable, PayoutStatus.NOT_FOUND),
        ("nofunds", InsufficientFloat, PayoutStatus.NOT_FOUND),
    ],
)
def test_trouble_on_demand(outcome: str, error: type[Exception], later: PayoutStatus) -> None:
    request = payout(f"sandbox:{outcome}")
    prepared = sandbox().prepare_payout(request)
    for _ in range(2):
        with pytest.raises(error) as caught:
            sandbox().send_payout(request, prepared)
        assert caught.type is error
        assert sandbox().fetch_payout(request, prepared).status is later


def test_accepted_and_then_failed() -> None:
    request = payout("sandbox:fail")
    prepared = sandbox().prepare_payout(request)
    assert sandbox().send_payout(request, prepared).status is PayoutStatus.PENDING
    assert sandbox().fetch_payout(request, prepared).status is PayoutStatus.FAILED


def test_a_word_that_nobody_knows() -> None:
    request = payout("sandbox:strange")
    prepared = sandbox().prepare_payout(request)
    assert sandbox().send_payout(request, prepared).status is PayoutStatus.UNKNOWN
    assert sandbox().fetch_payout(request, prepared).status is PayoutStatus.UNKNOWN


def test_a_delay_runs_from_the_moment_of_preparing(monkeypatch: pytest.MonkeyPatch) -> None:
    request = payout("sandbox:delay:60")
    prepared = sandbox().prepare_payout(request)
    seen = []
    for seconds in (0, 59, 60, 3600):
        monkeypatch.setattr(clock, "now", lambda late=seconds: NOW + timedelta(seconds=late))
        seen.append(sandbox().fetch_payout(request, prepared).status.value)
        assert sandbox().send_payout(request, prepared).status.value == seen[-1]
    assert seen == ["pending", "pending", "confirmed", "confirmed"]


@pytest.mark.parametrize("payload", ["", "[]", "{}", '{"reference":"another"}'])
def test_bytes_of_another_payout_are_not_sent(payload: str) -> None:
    prepared = PreparedPayout("sbx", payload)
    with pytest.raises(ConfigError, match=r"^the stored payload does not belong to this payout$"):
        sandbox().send_payout(payout(), prepared)
    assert sandbox().fetch_payout(payout(), prepared).status is PayoutStatus.UNKNOWN


@pytest.mark.parametrize(
    ("currency", "amount"), [("BTC", "1"), ("UAH", "0.001"), ("UAH", "0"), ("UAH", "-5")]
)
def test_a_payout_that_makes_no_sense_is_rejected(currency: str, amount: str) -> None:
    with pytest.raises(Rejected):
        sandbox().prepare_payout(payout(amount=amount, currency=currency))


# -- callbacks --------------------------------------------------------------------------------------


def callback(
    *, secret: str = SECRET, age: int = 0, headers: dict[str, str] | None = None, **changes: object
) -> RawCallback:
    stamp = int(NOW.timestamp()) - age
    fields = {
        "event": "payin",
        "reference": "order-1",
        "provider_reference": "sbx-in-1",
        "status": "success",
        "currency": "UAH",
        "amount": "150.00",
        "timestamp": stamp,
        **changes,
    }
    body = json.dumps({key: value for key, value in fields.items() if value is not None}).encode()
    signed = {SIGNATURE_HEADER: sign_callback(secret, body, stamp)}
    return RawCallback(
        "POST", "/callbacks/sandbox", "", signed if headers is None else headers, body, "192.0.2.1", NOW
    )


def test_the_signature_is_hmac_sha256_of_timestamp_dot_body() -> None:
    # printf '1767225600.{"a":1}' | openssl dgst -sha256 -hmac key
    assert sign_callback("key", b'{"a":1}', 1767225600) == (
        "80f7b75f8618b9b24d72673996a625f1a43f7387a26b6739d667431724fe4d23"
    )
    assert sign_callback("key", b'{"a":1}', "1767225600") == sign_callback("key", b'{"a":1}', 1767225600)


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("success", PayoutStatus.CONFIRMED),
        ("declined", PayoutStatus.FAILED),
        ("pending", PayoutStatus.PENDING),
        ("SUCCESS", PayoutStatus.UNKNOWN),
        ("refunded", PayoutStatus.UNKNOWN),
    ],
)
@pytest.mark.parametrize("kind", list(EventKind))
def test_a_signed_callback_is_an_event(kind: EventKind, word: str, status: PayoutStatus) -> None:
    raw = callback(event=kind.value, status=word)
    expected = Event(kind, "order-1", "sbx-in-1", status, "UAH", Decimal("150.00"))
    assert sandbox().parse_callback(raw) == expected
    assert sandbox().parse_callback(raw) == expected, "a duplicate says the same"
    assert sandbox().callback_reply(expected) == Reply(200, '{"status":"ok"}')


@pytest.mark.parametrize("age", [-300, 0, 300])
def test_a_callback_may_be_five_minutes_off(age: int) -> None:
    assert isinstance(sandbox().parse_callback(callback(age=age)), Event)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (callback(secret="another"), "the signature does not match"),
        (callback(headers={}), "the signature does not match"),
        (callback(headers={SIGNATURE_HEADER: ""}), "the signature does not match"),
        (callback(headers={SIGNATURE_HEADER: "ü" * 64}), "the signature does not match"),
        (callback(age=301), "signed too long ago, or in the future"),
        (callback(age=-301), "signed too long ago, or in the future"),
        (callback(timestamp="1"), "the timestamp is not a whole number"),
        (callback(timestamp=True), "the timestamp is not a whole number"),
        (callback(timestamp=None), "not a JSON object with a timestamp"),
        (callback(timestamp=1), "the signature does not match"),
        (callback(event="refund"), "not an event or not a currency of ours"),
        (callback(currency="BTC"), "not an event or not a currency of ours"),
        (callback(amount=150), "a field is missing or is not text"),
        (callback(amount=None), "a field is missing or is not text"),
        (callback(reference=""), "a field is missing or is not text"),
        (callback(amount="150.001"), "the amount is not an amount of this currency"),
        (callback(amount="1e400"), "the amount is not an amount of this currency"),
        (callback(amount="NaN"), "the amount is not an amount of this currency"),
        (callback(amount="Infinity"), "the amount is not an amount of this currency"),
        (callback(amount="ten"), "the amount is not an amount of this currency"),
        (callback(amount="-1"), "the amount is negative"),
        (callback(description="x" * 70_000), "not a POST of a reasonable size"),
    ],
)
def test_a_forged_or_broken_callback_is_invalid(raw: RawCallback, reason: str) -> None:
    assert sandbox().parse_callback(raw) == Invalid(reason)
    assert sandbox().callback_reply(Invalid(reason)).status == 400


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{", b"\xff", b"[" * 60_000])
def test_a_body_that_is_no_object_is_invalid(body: bytes) -> None:
    raw = RawCallback("POST", "/", "", {SIGNATURE_HEADER: sign_callback(SECRET, body, 1)}, body, "")
    assert sandbox().parse_callback(raw) == Invalid("not a JSON object with a timestamp")


def test_every_changed_byte_breaks_the_signature() -> None:
    raw = callback()
    for at in range(len(raw.body)):
        body = raw.body[:at] + bytes([raw.body[at] ^ 1]) + raw.body[at + 1 :]
        changed = RawCallback(raw.method, raw.path, raw.query, raw.headers, body, raw.remote_addr)
        assert isinstance(sandbox().parse_callback(changed), Invalid)


def test_without_a_secret_nothing_is_trusted() -> None:
    assert sandbox(secret="").parse_callback(callback(secret="")) == Invalid(
        "no secret is set, so nothing can be trusted"
    )


def test_a_get_is_no_callback() -> None:
    raw = callback()
    got = RawCallback("GET", raw.path, raw.query, raw.headers, raw.body, raw.remote_addr)
    assert sandbox().parse_callback(got) == Invalid("not a POST of a reasonable size")
