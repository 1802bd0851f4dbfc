"""What every payment provider adapter promises; the folder ``gateways/`` says which there are."""

from __future__ import annotations

import logging
import socket
import traceback
from dataclasses import replace
from decimal import Decimal

import pytest

from kauri.payment_provider.gateway import (
    Capability,
    ConfigError,
    Direction,
    Event,
    Gateway,
    GatewayConfig,
    GatewayError,
    Health,
    Invalid,
    OutcomeUnknown,
    PayoutStatus,
    RawCallback,
    Rejected,
    Retryable,
    build,
    registry,
)
from tests.kauri.payment_provider.gateway_cases import CASES, FIXTURES, Case


@pytest.fixture(params=sorted(registry()))
def case(request: pytest.FixtureRequest) -> Case:
    assert request.param in CASES, f"describe the adapter {request.param!r} in gateway_cases.py"
    chain, proxy = FIXTURES.get(request.param, ("eth", "middleman"))
    return CASES[request.param](request.getfixturevalue(chain), request.getfixturevalue(proxy))


@pytest.fixture
def no_network(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def test_the_folder_is_the_list() -> None:
    assert set(CASES) <= set(registry())
    for code, adapter in registry().items():
        assert adapter.code == code
        assert issubclass(adapter, Gateway)
    with pytest.raises(ConfigError, match=r"^no payment provider adapter 'nobody'$"):
        build("nobody", GatewayConfig("nobody", {}))


@pytest.mark.usefixtures("no_network")
def test_capabilities_are_told_without_network(case: Case) -> None:
    found = case.gateway().capabilities()
    assert found
    assert len({(c.currency, c.direction, c.network) for c in found}) == len(found)
    for capability in found:
        assert isinstance(capability, Capability)
        assert capability.currency == capability.currency.upper() != ""
    assert (case.payout.currency, Direction.OUT) in {(c.currency, c.direction) for c in found}


@pytest.mark.usefixtures("no_network")
def test_destinations_are_checked_without_network(case: Case) -> None:
    gateway, currency = case.gateway(), case.payout.currency
    for written, canonical in case.good_destinations.items():
        assert gateway.validate_destination(currency, written) == canonical
        assert gateway.validate_destination(currency, canonical) == canonical
    for bad in case.bad_destinations:
        with pytest.raises(Rejected):
            gateway.validate_destination(currency, bad)
        with pytest.raises(Rejected):
            gateway.prepare_payout(replace(case.payout, destination=bad))
    good = next(iter(case.good_destinations))
    for stranger in ("XXX", "", currency.lower()):
        with pytest.raises(Rejected):
            gateway.validate_destination(stranger, good)


def test_units_are_exact_or_refused(case: Case) -> None:
    gateway = case.gateway()
    assert case.on_the_wire in gateway.prepare_payout(case.payout).payload
    for amount in (case.too_exact, Decimal(0), -case.payout.amount, Decimal("1E+30")):
        with pytest.raises(Rejected):
            gateway.prepare_payout(replace(case.payout, amount=amount))


def test_preparing_names_the_payout_and_moves_nothing(case: Case) -> None:
    gateway = case.gateway()
    before = gateway.fetch_balances()
    prepared = gateway.prepare_payout(case.payout)
    assert prepared.payload
    assert prepared.provider_reference
    assert prepared.nonce == (case.payout.nonce if gateway.uses_nonce else None)
    assert gateway.fetch_balances() == before
    other = gateway.prepare_payout(replace(case.payout, reference="ref-2", **case.apart))
    assert other.provider_reference != prepared.provider_reference


def test_a_payout_is_sent_from_its_stored_bytes_by_another_process(case: Case) -> None:
    prepared = case.gateway().prepare_payout(case.payout)
    state = case.gateway().send_payout(case.payout, prepared)
    assert state.status in {PayoutStatus.PENDING, PayoutStatus.CONFIRMED}
    assert state.provider_reference == prepared.provider_reference
    later = case.gateway().fetch_payout(case.payout, prepared)
    assert later.status in {PayoutStatus.PENDING, PayoutStatus.CONFIRMED}
    if case.gateway().resend_is_safe:
        assert case.gateway().send_payout(case.payout, prepared).status is PayoutStatus.PENDING


def test_a_lost_answer_is_an_unknown_outcome(case: Case) -> None:
    gateway, request = case.lose_answer()
    prepared = gateway.prepare_payout(request)
    with pytest.raises(OutcomeUnknown):
        gateway.send_payout(request, prepared)
    assert gateway.fetch_payout(request, prepared).status in {PayoutStatus.PENDING, PayoutStatus.CONFIRMED}


def test_an_unknown_status_is_unknown(case: Case) -> None:
    assert case.strange_state().status is PayoutStatus.UNKNOWN


def test_nobody_at_the_other_end_is_retryable(case: Case) -> None:
    if case.unreachable is None:
        assert case.gateway().check_health().ok, "an adapter without another end is always well"
        return
    prepared = case.gateway().prepare_payout(case.payout)
    gateway = build(case.config.code, case.unreachable)
    for step in (
        lambda: gateway.prepare_payout(case.payout),
        lambda: gateway.send_payout(case.payout, prepared),
        lambda: gateway.fetch_payout(case.payout, prepared),
        # A node without a wallet knows coins, not balances.
        (lambda: gateway.unspent(case.payout.coins)) if gateway.uses_coins else gateway.fetch_balances,
    ):
        with pytest.raises(Retryable) as caught:
            step()
        assert_clean(case, caught.value)
    health = gateway.check_health()
    assert health.ok is False
    assert not any(secret in health.detail for secret in case.secrets)


def test_an_adapter_that_scans_scans_and_another_says_so(case: Case) -> None:
    gateway = case.gateway()
    if gateway.scans:
        scan = gateway.scan_incoming(None, 10)
        assert [b.height for b in scan.blocks] == [scan.head]
        assert gateway.block_at(scan.head) == scan.blocks[0]
        assert gateway.block_at(scan.head + 1) is None
    else:
        with pytest.raises(ConfigError):
            gateway.scan_incoming(None, 10)
    if gateway.uses_nonce:
        assert gateway.next_nonce(gateway.hot_address()) == 0
    else:
        assert gateway.hot_address() == ""


# -- callbacks --------------------------------------------------------------------------------------


def signed(case: Case, status: str) -> RawCallback:
    assert case.callback is not None
    return case.callback(status)


def test_an_unsigned_callback_is_invalid(case: Case) -> None:
    for body in (b"", b"{}", b'{"reference":"ref-1","status":"success"}', b"a=1&status=success"):
        raw = RawCallback("POST", "/callbacks/x", "status=success", {}, body, "192.0.2.1")
        meaning = case.gateway().parse_callback(raw)
        assert isinstance(meaning, Invalid)
        assert case.gateway().callback_reply(meaning).status >= 400


def test_duplicates_say_the_same_and_tampered_ones_nothing(case: Case) -> None:
    if case.callback is None:
        assert case.gateway().scans, "an adapter without callbacks must find money itself"
        return
    gateway = case.gateway()
    for status in case.callback_statuses:
        raw = signed(case, status)
        first, second = gateway.parse_callback(raw), gateway.parse_callback(raw)
        assert isinstance(first, Event)
        assert first == second
        assert first.status is not PayoutStatus.UNKNOWN
        assert gateway.callback_reply(first).status == 200
        for at in range(len(raw.body)):
            body = raw.body[:at] + bytes([raw.body[at] ^ 2]) + raw.body[at + 1 :]
            assert isinstance(gateway.parse_callback(replace(raw, body=body)), Invalid)
        for name, value in raw.headers.items():
            for forged in (value[:-1], value + "0", value[::-1], ""):
                headers = {**raw.headers, name: forged}
                assert isinstance(gateway.parse_callback(replace(raw, headers=headers)), Invalid)


def test_an_unknown_word_in_a_callback_is_unknown_not_failed(case: Case) -> None:
    if case.callback is None:
        return
    meaning = case.gateway().parse_callback(signed(case, "a-word-of-tomorrow"))
    assert isinstance(meaning, Event)
    assert meaning.status is PayoutStatus.UNKNOWN


# -- secrets ----------------------------------------------------------------------------------------


def assert_clean(case: Case, *shown: object) -> None:
    """No secret in a text, a repr, or an exception with everything that hangs on it."""
    for thing in shown:
        text = f"{thing!s} {thing!r}"
        if isinstance(thing, BaseException):
            text += "".join(traceback.format_exception(thing))
        for secret in case.secrets:
            assert secret not in text


def test_no_secret_is_shown_or_logged(case: Case, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    gateway = case.gateway()
    prepared = gateway.prepare_payout(case.payout)
    state = gateway.send_payout(case.payout, prepared)
    later = gateway.fetch_payout(case.payout, prepared)
    health: Health = gateway.check_health()
    assert_clean(case, gateway, prepared, state, state.answer, later, later.answer, health)
    assert_clean(case, gateway.fetch_balances(), gateway.capabilities())
    lossy, request = case.lose_answer()
    again = replace(request, reference="ref-3", **({"nonce": 1} if gateway.uses_nonce else {}))
    with pytest.raises(GatewayError) as caught:
        lossy.send_payout(again, lossy.prepare_payout(again))
    assert_clean(case, caught.value, caplog.text)
