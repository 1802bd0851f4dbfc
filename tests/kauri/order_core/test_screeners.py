"""Providers of analysis on a loopback server that speaks their documented wire."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from kauri.order_core.screener import (
    ConfigError,
    Finding,
    Incoming,
    Level,
    Outgoing,
    Rejected,
    Retryable,
    Screener,
    ScreenerConfig,
    build,
)

AT = datetime(2026, 11, 25, 8, 0, 0, tzinfo=UTC)
SECRET = "s3cret-of-analysis"
CAME = Incoming("ref-1", "cust-1", "0xaa", "0xbb", "0xcc", "USDT", "erc20", Decimal("12.5"), AT)
GOES = Outgoing("ref-2", "cust-1", "0xdd", "USDT", "erc20", Decimal("12.5"), AT)
SETTINGS: dict[str, dict[str, Any]] = {
    "crystal": {"currencies": {"USDT": {"currency": "eth", "token_id": 7}}},
    "chainalysis": {"currencies": {"USDT": {"network": "Ethereum", "asset": "USDT"}}},
    "sumsub_kyt": {
        "currencies": {"USDT": {"currencyCode": "USDT", "cryptoChain": "ETH"}},
        "level_name": "kyt level",
    },
}
CREDENTIALS = {
    "crystal": {"api_key": SECRET},
    "chainalysis": {"token": SECRET},
    "sumsub_kyt": {"app_token": "sbx:t", "app_secret": SECRET},
}


@dataclass
class Wire:
    """What the server answers in turn, and what it was asked."""

    url: str = ""
    answers: list[tuple[int, Any] | None] = field(default_factory=list)
    asked: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)

    def screener(self, code: str, **settings: Any) -> Screener:
        given = {**SETTINGS[code], "base_url": self.url, "timeout_seconds": 1, **settings}
        return build(code, ScreenerConfig(code, "sandbox", given, CREDENTIALS[code]))

    def body(self, place: int = -1) -> Any:
        return json.loads(self.asked[place][3])


@pytest.fixture
def wire() -> Iterator[Wire]:
    told = Wire()
    ended = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            told.asked.append((self.command, self.path, headers, data))
            answer = told.answers.pop(0)
            if answer is None:
                ended.wait(5)
                return
            text = answer[1] if isinstance(answer[1], bytes) else json.dumps(answer[1]).encode()
            self.send_response(answer[0])
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_POST = do_GET

        def log_message(self, *args: object) -> None:
            """Nothing: what matters is asserted."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    told.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield told
    ended.set()
    server.shutdown()
    thread.join()
    server.server_close()


def crystal(status: str, **row: Any) -> tuple[int, Any]:
    return 200, {"data": {"id": 41, "status": status, **row}, "meta": {"error_code": 0}}


def test_crystal_waits_and_then_scores(wire: Wire) -> None:
    screener = wire.screener("crystal")
    wire.answers = [
        crystal("added", riskscore=None),
        crystal("ready", riskscore=0.625, alert_grade="severe", signals={"mixer": 0.5, "odd": "x"}),
    ]
    assert screener.screen_incoming(CAME) == Finding(
        ready=False, reference="41", answer={"id": 41, "status": "added", "riskscore": None}
    )
    method, path, headers, _ = wire.asked[0]
    assert (method, path, headers["x-auth-apikey"]) == ("POST", "/monitor/tx/add", SECRET)
    assert wire.body() == {
        "direction": "deposit",
        "address": "0xbb",
        "tx": "0xaa",
        "name": "cust-1",
        "currency": "eth",
        "token_id": 7,
    }
    found = screener.fetch("41", CAME)
    assert (found.ready, found.score, found.level) == (True, Decimal("0.625"), Level.SEVERE)
    assert found.signals == {"mixer": Decimal("0.5")}
    assert (wire.asked[1][1], wire.body()) == ("/monitor/batch/txs", {"filter": {"id": "41"}})


def test_crystal_looks_at_a_destination(wire: Wire) -> None:
    wire.answers = [crystal("ready", riskscore=0.1)]
    found = wire.screener("crystal").screen_outgoing(GOES)
    assert (found.score, found.level) == (Decimal("0.1"), Level.LOW)
    assert (wire.asked[0][1], wire.body()) == (
        "/monitor/one-time-check",
        {"address": "0xdd", "currency": "eth"},
    )


@pytest.mark.parametrize(
    "odd", [{"riskscore": 2}, {"riskscore": None}, {"riskscore": "NaN"}, {"riskscore": True}]
)
def test_crystal_s_nonsense_is_never_clean(wire: Wire, odd: dict[str, Any]) -> None:
    wire.answers = [crystal("ready", **odd)]
    assert wire.screener("crystal").screen_incoming(CAME).ready is False


def test_crystal_s_own_error_is_final(wire: Wire) -> None:
    wire.answers = [(200, {"meta": {"error_code": 12}})]
    with pytest.raises(Rejected, match=r"^error 12$"):
        wire.screener("crystal").screen_incoming(CAME)


def test_chainalysis_registers_waits_and_takes_the_worst_alert(wire: Wire) -> None:
    screener = wire.screener("chainalysis")
    wire.answers = [
        (202, {"externalId": "ext-1"}),
        (200, {"updatedAt": None}),
        (200, {"updatedAt": "2026-11-25T08:00:10Z"}),
        (
            200,
            {
                "alerts": [
                    {"alertLevel": "MEDIUM", "category": "Mixing"},
                    {"alertLevel": "HIGH", "category": "Sanctions", "secretField": "x"},
                ]
            },
        ),
    ]
    assert screener.screen_incoming(replace(CAME, price=Decimal("1.01"))).reference == "ext-1"
    method, path, headers, _ = wire.asked[0]
    assert (method, path, headers["token"]) == ("POST", "/v2/users/cust-1/transfers", SECRET)
    assert wire.body() == {
        "network": "Ethereum",
        "asset": "USDT",
        "transferReference": "0xaa:0xbb",
        "direction": "received",
        "transferTimestamp": "2026-11-25T08:00:00Z",
        "assetAmount": 12.5,
        "assetPrice": 1.01,
        "assetDenomination": "USD",
    }
    assert screener.fetch("ext-1", CAME).ready is False
    found = screener.fetch("ext-1", CAME)
    assert (found.ready, found.score, found.level) == (True, Decimal("0.75"), Level.HIGH)
    assert found.signals == {"mixing": Decimal("0.5"), "sanctions": Decimal("0.75")}
    assert [path for _, path, _, _ in wire.asked[1:]] == [
        "/v2/transfers/ext-1",
        "/v2/transfers/ext-1",
        "/v2/transfers/ext-1/alerts",
    ]
    assert "secretField" not in json.dumps(found.answer, default=str)


@pytest.mark.parametrize(
    ("alerts", "score", "level"),
    [([], 0, Level.LOW), ([{"alertLevel": "NEW WORD"}], 1, Level.SEVERE), ([{}], 1, Level.SEVERE)],
)
def test_chainalysis_without_alerts_is_clean_and_an_unknown_word_is_the_worst(
    wire: Wire, alerts: list[Any], score: int, level: Level
) -> None:
    wire.answers = [(200, {"updatedAt": "now"}), (200, {"alerts": alerts})]
    found = wire.screener("chainalysis").fetch("ext-1", GOES)
    assert (found.score, found.level) == (Decimal(score), level)
    assert wire.asked[0][1] == "/v2/withdrawal-attempts/ext-1"


def sumsub(status: str, answer: str | None = None, **result: Any) -> tuple[int, Any]:
    review = {"reviewStatus": status, "reviewResult": {"reviewAnswer": answer, **result}}
    return 200, {"id": "tx1", "score": 55, "review": review}


def test_sumsub_looks_first_and_submits_what_is_not_there(wire: Wire) -> None:
    wire.answers = [(404, {}), sumsub("pending")]
    found = wire.screener("sumsub_kyt").screen_incoming(CAME)
    assert (found.ready, found.reference) == (False, "tx1")
    look, submit = wire.asked
    assert (look[0], look[1]) == ("GET", "/resources/kyt/txns/-;data.txnId=ref-1/one")
    assert (submit[0], submit[1]) == (
        "POST",
        "/resources/applicants/-/kyt/txns/-/data?levelName=kyt%20level",
    )
    stamp = submit[2]["x-app-access-ts"].encode()
    signed = hmac.new(SECRET.encode(), stamp + b"POST" + submit[1].encode() + submit[3], hashlib.sha256)
    assert submit[2]["x-app-access-sig"] == signed.hexdigest()
    body = wire.body()
    assert (body["txnId"], body["info"]["amount"], body["info"]["cryptoParams"]) == (
        "ref-1",
        12.5,
        {"cryptoChain": "ETH"},
    )


def test_sumsub_s_lost_answer_is_found_again_and_not_submitted_twice(wire: Wire) -> None:
    wire.answers = [(404, {}), None, sumsub("completed", "GREEN")]
    screener = wire.screener("sumsub_kyt")
    with pytest.raises(Retryable):
        screener.screen_incoming(CAME)
    found = screener.screen_incoming(CAME)
    assert (found.ready, found.score, found.level) == (True, Decimal(0), Level.LOW)
    assert [method for method, *_ in wire.asked] == ["GET", "POST", "GET"]


@pytest.mark.parametrize(
    ("status", "answer", "ready", "level"),
    [
        ("completed", "RED", True, Level.SEVERE),
        ("completed", "YELLOW", False, None),
        ("completed", None, False, None),
        ("onHold", "GREEN", False, None),
    ],
)
def test_sumsub_s_words(
    wire: Wire, status: str, answer: str | None, ready: bool, level: Level | None
) -> None:
    wire.answers = [sumsub(status, answer, rejectLabels=["DARKNET"])]
    found = wire.screener("sumsub_kyt").fetch("tx1", CAME)
    assert (found.ready, found.level) == (ready, level)
    assert found.signals == ({"darknet": Decimal(1)} if ready else {})


@pytest.mark.parametrize("code", sorted(SETTINGS))
@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((500, {}), Retryable),
        ((429, {}), Retryable),
        ((401, {}), ConfigError),
        ((400, {"text": SECRET}), Rejected),
        ((200, b"<html>"), Retryable),
        ((200, []), Retryable),
        (None, Retryable),
    ],
)
def test_every_failure_says_what_it_allows_and_no_secret(
    wire: Wire, code: str, answer: tuple[int, Any] | None, error: type[Exception]
) -> None:
    wire.answers = [answer]
    with pytest.raises(error) as caught:
        wire.screener(code).screen_incoming(CAME)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("code", sorted(SETTINGS))
@pytest.mark.parametrize("changed", [{"currencies": {}}, {"base_url": "http://analysis.example"}])
def test_wrong_settings_ask_nobody(wire: Wire, code: str, changed: dict[str, Any]) -> None:
    screener = wire.screener(code, **changed)
    wire.answers = [(404, {})]
    with pytest.raises(ConfigError):
        screener.screen_incoming(CAME)
    assert [method for method, *_ in wire.asked if method == "POST"] == []
