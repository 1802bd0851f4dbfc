"""Our own client against a running server: exact amounts, one movement however often the answer is lost."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import pytest
from kauri_client import Client, InvalidWebhook, OutcomeUnknown, Refused, Unavailable, read_webhook
from standardwebhooks.webhooks import Webhook

from kauri.account.models import ApiKey, User
from kauri.common import clock
from kauri.order_core.models import Order
from tests.house import WEBHOOK_SECRET
from tests.moves import balance_of, give, sandbox_on

pytestmark = pytest.mark.django_db(transaction=True)
SECRET = "of the key"


@pytest.fixture
def sender(house: None, customer: Callable[..., User]) -> User:
    user = customer()
    give(user, "UAH", "100.50")
    sandbox_on()
    return user


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def client(live_server: Any, sender: User, waits: list[float]) -> Iterator[Callable[..., Client]]:
    made: list[Client] = []

    def make(
        url: str = live_server.url, scopes: tuple[str, ...] = ("read", "trade", "withdraw"), **more: Any
    ) -> Client:
        key = ApiKey.objects.create(
            user=sender,
            name="shop",
            key="k" * 40,
            secret=SECRET,
            scopes=list(scopes),
            state=ApiKey.State.ACTIVE,
        )
        made.append(
            Client(url, key=key.key, secret=SECRET, **{"pause": waits.append, "timeout": 15.0, **more})
        )
        return made[-1]

    yield make
    for one in made:
        one.close()


class Lossy:
    """A TCP proxy in front of the server that swallows the answers to the first ``losses`` requests."""

    def __init__(self, target: str, losses: int) -> None:
        parts = urlsplit(target)
        self.target = (str(parts.hostname), int(parts.port or 80))
        self.losses = losses
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.seen: list[bytes] = []
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        while True:
            try:
                asker, _ = self.listener.accept()
            except OSError:
                return
            with asker, socket.create_connection(self.target) as server:
                request = self._message(asker)
                self.seen.append(request)
                server.sendall(request.replace(b"Connection: keep-alive", b"Connection: close"))
                answer = b"".join(iter(lambda server=server: server.recv(65536), b""))
                if len(self.seen) > self.losses:
                    asker.sendall(answer)

    @staticmethod
    def _message(asker: socket.socket) -> bytes:
        data = b""
        while b"\r\n\r\n" not in data:
            data += asker.recv(65536)
        head, _, body = data.partition(b"\r\n\r\n")
        lengths = [
            line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")
        ]
        while lengths and len(body) < int(lengths[0]):
            body += asker.recv(65536)
        return head + b"\r\n\r\n" + body

    def close(self) -> None:
        self.listener.close()


@pytest.fixture
def lossy(live_server: Any) -> Iterator[Callable[[int], Lossy]]:
    made: list[Lossy] = []

    def make(losses: int) -> Lossy:
        made.append(Lossy(live_server.url, losses))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_reading(client: Callable[..., Client], sender: User) -> None:
    kauri = client()
    assert kauri.currencies()[:3] == ["BTC", "ETH", "USDT"]
    assert {row["name"] for row in kauri.pairs()} >= {"BTC_USDT", "USDT_BTC"}
    total = kauri.balance()["balance"]["UAH"]["UAH"]["total"]
    assert (total, type(total)) == (Decimal("100.5"), Decimal)
    assert kauri.call("GET", "/api/v1/user/balance", {"at": clock.iso(clock.now())})["status"] == "success"


def test_a_movement_and_its_history(client: Callable[..., Client], customer: Callable[..., User]) -> None:
    kauri, friend = client(), customer()
    done = kauri.internal_movement("UAH", Decimal("10.01"), email=friend.email, external_id="rent-1")
    assert (done["order_status"], done["amount"]) == ("CLOSED", Decimal("10.01"))
    again = kauri.internal_movement_repeat(done["order_id"], "12.5")
    assert balance_of(friend, "UAH")[0] == Decimal("22.51")
    rows = list(kauri.orders(limit=1, order_type="INTERNAL_MOVEMENT"))
    assert [row["external_id"] for row in rows] == [again["order_id"], done["order_id"]]
    assert kauri.order(done["order_id"])["amount"] == Decimal("10.01")


def test_a_withdrawal(client: Callable[..., Client], sender: User) -> None:
    done = client().withdrawal("UAH", 50, "sandbox:success", external_id="payout-1")
    assert Order.objects.get(public_id=done["order_id"]).owner == sender


def test_a_withdrawal_is_taken_back_and_asked_for_again(client: Callable[..., Client], sender: User) -> None:
    kauri = client()
    first = kauri.withdrawal("UAH", 50, "sandbox:success")
    assert balance_of(sender, "UAH") == (Decimal("45.5"), Decimal(55))
    key = "cancel-1"
    for _ in range(2):
        assert (
            kauri.withdrawal_cancel(first["order_id"], idempotency_key=key)["order_id"] == first["order_id"]
        )
    assert balance_of(sender, "UAH") == (Decimal("100.5"), Decimal(0))
    again = kauri.withdrawal_repeat(first["order_id"], Decimal("60.5"))
    assert Order.objects.get(public_id=again["order_id"]).amount_out == Decimal("60.5")
    assert Order.objects.count() == 2
    [row] = kauri.statistics("month", order_type="WITHDRAWAL")
    assert (row["orders"], row["closed"], row["currency"]) == (2, 0, "UAH")


def test_the_account_and_its_settings(client: Callable[..., Client], sender: User) -> None:
    kauri = client()
    told = kauri.account_info()
    assert (told["email"], told["account_number"]) == (sender.email, sender.number)
    assert told["withdrawal_order_limits"]["UAH"]["GATEWAY"]["min_amount"] == 50
    rest = {"callback_url": "", "auto_conversion": ""}
    assert kauri.settings() == {"language": "en", **rest}
    assert kauri.set_setting("language", "ua") == {"language": "uk", **rest}
    assert kauri.settings()["language"] == "uk"
    with pytest.raises(Refused) as refused:
        kauri.set_setting("callback_url", "http://169.254.169.254/")
    assert (refused.value.code, list(refused.value.field_errors)) == ("validation_error", ["value"])


def test_paying_in(client: Callable[..., Client], sender: User) -> None:
    sandbox_on(settings={"page_url": "https://pay.example/page"})
    paid = client().deposit_address("UAH", amount_to_spend=Decimal("150.5"), external_id="a-1")
    assert paid["url"].startswith("https://pay.example/page?")
    assert "amount=150.50" in paid["url"]


def test_a_refusal_says_why_and_is_not_repeated(
    client: Callable[..., Client], customer: Callable[..., User], waits: list[float]
) -> None:
    kauri = client(scopes=("read", "trade"))
    with pytest.raises(Refused) as refused:
        kauri.internal_movement("UAH", "5000", email=customer().email)
    assert (refused.value.status, refused.value.code) == (402, "insufficient_funds")
    assert refused.value.request_id
    with pytest.raises(Refused) as refused:
        kauri.withdrawal("UAH", 50, "sandbox:success")
    assert refused.value.code == "forbidden"
    assert (waits, Order.objects.count()) == ([], 0)


def test_money_moves_once_when_answers_are_lost(
    client: Callable[..., Client],
    lossy: Callable[[int], Lossy],
    customer: Callable[..., User],
    waits: list[float],
) -> None:
    friend, proxy = customer(), lossy(2)
    done = client(proxy.url).internal_movement("UAH", "17", email=friend.email)
    assert balance_of(friend, "UAH")[0] == 17
    assert [str(order.public_id) for order in Order.objects.all()] == [done["order_id"]]
    assert len(proxy.seen) == 3
    assert len({request.split(b"Nonce: ")[1][:32] for request in proxy.seen}) == 3
    assert len({request.split(b"Idempotency-Key: ")[1][:38] for request in proxy.seen}) == 1
    assert 0.2 < waits[0] < waits[1] < 1


def test_when_every_answer_is_lost_the_key_tells(
    client: Callable[..., Client],
    lossy: Callable[[int], Lossy],
    customer: Callable[..., User],
    live_server: Any,
) -> None:
    friend, proxy = customer(), lossy(2)
    kauri = client(proxy.url, tries=2)
    with pytest.raises(OutcomeUnknown) as lost:
        kauri.internal_movement("UAH", "17", email=friend.email, idempotency_key="rent-2026-11")
    assert lost.value.idempotency_key == "rent-2026-11"
    done = kauri.internal_movement("UAH", "17", email=friend.email, idempotency_key="rent-2026-11")
    assert [str(order.public_id) for order in Order.objects.all()] == [done["order_id"]]
    assert balance_of(friend, "UAH")[0] == 17


def test_nobody_there(client: Callable[..., Client], waits: list[float]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    kauri = client(f"http://127.0.0.1:{port}")
    with pytest.raises(Unavailable):
        kauri.balance()
    assert len(waits) == 3
    with pytest.raises(Unavailable):
        kauri.deposit_address("USDT")  # has no key: asked once
    assert len(waits) == 3
    with pytest.raises(OutcomeUnknown):
        kauri.withdrawal("UAH", 50, "sandbox:success")


def test_floats_and_wrong_addresses_are_refused_here(client: Callable[..., Client]) -> None:
    with pytest.raises(TypeError):
        client().withdrawal("UAH", 0.1, "sandbox:success")  # type: ignore[arg-type]
    assert Order.objects.count() == 0
    for url in ("api.example.com", "ftp://api.example.com", "https://api.example.com/api/v1"):
        with pytest.raises(ValueError, match="without a path"):
            Client(url)
    assert SECRET not in repr(Client("https://api.example.com", key="k", secret=SECRET).http)


def test_webhooks() -> None:
    body, now = b'{"amount": 0.02206137, "status": "CLOSED"}', clock.now()
    headers = {
        "Webhook-Id": "msg_1",
        "Webhook-Timestamp": str(int(now.timestamp())),
        "Webhook-Signature": Webhook(WEBHOOK_SECRET).sign("msg_1", now, body.decode()),
    }
    assert read_webhook(body, headers, WEBHOOK_SECRET)["amount"] == Decimal("0.02206137")
    for wrong_body, wrong_headers in (
        (body.replace(b"0.02", b"9.02"), headers),
        (body, {**headers, "Webhook-Id": "msg_2"}),
        (body, {**headers, "Webhook-Timestamp": "1600000000"}),
        (body, {}),
    ):
        with pytest.raises(InvalidWebhook):
            read_webhook(wrong_body, wrong_headers, WEBHOOK_SECRET)
