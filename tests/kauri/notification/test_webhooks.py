"""Webhooks: signed, in order, patient, never inside our network, and not held up by anybody."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import timedelta

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from kauri.account.models import User
from kauri.common import clock
from kauri.common.actor import Actor
from kauri.core.models import AuditEntry, OutboxEvent
from kauri.core.outbox import emit
from kauri.notification import services
from kauri.notification.channel import Result
from kauri.notification.channels import webhook
from kauri.notification.models import Delivery, DeliveryAttempt
from tests.house import WEBHOOK_SECRET
from tests.kauri.notification.receiver import Receiver, status, try_at
from tests.moves import Crash, Killed, code_of, forget_queue, queued

Drain = Callable[..., int]


def test_signed_so_that_the_standards_library_verifies(
    tell: Callable[..., Delivery], receiver: Receiver
) -> None:
    delivery = tell()
    services.delivery_send(delivery.pk)
    delivery.refresh_from_db()
    headers, body = receiver.headers(), receiver.body()
    assert Webhook(WEBHOOK_SECRET).verify(body, headers) == {"number": 1, "text": "ї"}
    assert body.decode() == delivery.body == '{"number":1,"text":"ї"}'
    assert headers["webhook-id"] == str(delivery.public_id)
    assert headers["content-type"] == "application/json"
    assert headers["host"] == receiver.url.split("/")[2]
    assert receiver.requests[0].startswith(b"POST /hook?shop=7 HTTP/1.1\r\n")
    with pytest.raises(WebhookVerificationError):
        Webhook(WEBHOOK_SECRET).verify(body + b" ", headers)
    assert (delivery.state, delivery.attempts) == ("delivered", 1)
    [tried] = delivery.tries.all()
    assert (tried.status, tried.answer, tried.error) == (200, "ok", "")


def test_one_id_and_a_new_stamp_at_every_try(tell: Callable[..., Delivery], receiver: Receiver) -> None:
    receiver.answers = [status(500), status(503)]
    delivery = tell()
    start = clock.now()
    try_at(delivery, start)
    try_at(delivery, delivery.next_attempt_at)
    try_at(delivery, delivery.next_attempt_at)
    assert delivery.state == "delivered"
    seen = [receiver.headers(number) for number in range(3)]
    assert {headers["webhook-id"] for headers in seen} == {str(delivery.public_id)}
    stamps = [int(headers["webhook-timestamp"]) for headers in seen]
    assert [stamp - stamps[0] for stamp in stamps] == [0, 300, 600]
    assert len({headers["webhook-signature"] for headers in seen}) == 3
    assert len({receiver.body(number) for number in range(3)}) == 1
    assert [row.status for row in delivery.tries.all()] == [500, 503, 200]


def test_the_schedule_of_tries_to_the_end(tell: Callable[..., Delivery], receiver: Receiver) -> None:
    receiver.answers = [status(500)] * 20
    delivery = tell()
    start = moment = clock.now()
    waits = []
    while delivery.state == "waiting":
        # A second too early nothing happens.
        tries = delivery.attempts
        if tries:
            try_at(delivery, moment - timedelta(seconds=1))
            assert delivery.attempts == tries
        try_at(delivery, moment)
        waits.append(int((delivery.next_attempt_at - moment).total_seconds()) // 60)
        moment = delivery.next_attempt_at
    assert waits[:12] == [5, 5, 15, 30, 60, 120, 240, 480, 720, 720, 720, 720]
    assert (delivery.state, delivery.attempts, len(receiver.requests)) == ("dead", 13, 13)
    assert delivery.finished_at is not None
    assert timedelta(days=2.5) < delivery.finished_at - start < timedelta(days=3)
    with clock.standing_at(moment + timedelta(days=30)):
        assert services.deliveries_sweep() == 0


@pytest.mark.parametrize(
    ("answer", "state", "minutes"),
    [
        (status(200), "delivered", None),
        (status(204), "delivered", None),
        (status(299), "delivered", None),
        (status(410), "gone", None),
        (status(301, Location="http://127.0.0.1:1/"), "waiting", 5),
        (status(302, Location="http://169.254.169.254/"), "waiting", 5),
        (status(307, Location="http://127.0.0.1:1/"), "waiting", 5),
        (status(400), "waiting", 5),
        (status(404), "waiting", 5),
        (status(429, Retry_After="3600"), "waiting", 60),
        (status(503, Retry_After="7200"), "waiting", 120),
        (status(503, Retry_After="1"), "waiting", 5),
        (status(503, Retry_After="99999999"), "waiting", 1440),
        (status(503, Retry_After="86400"), "waiting", 1440),
        (status(503, Retry_After="99999"), "waiting", 1440),
        (status(503, Retry_After="-5"), "waiting", 5),
        (status(503, Retry_After="\xb2"), "waiting", 5),
        (status(503, Retry_After="9" * 5000), "waiting", 1440),
        (status(503, Retry_After="Wed, 21 Oct 2026 07:28:00 GMT"), "waiting", 5),
        (b"not http at all\r\n\r\n", "waiting", 5),
        (b"", "waiting", 5),
        (b"HTTP/1.1 500 X\r\nContent-Length: 50\r\n\r\nshort", "waiting", 5),
    ],
)
def test_what_an_answer_means(
    tell: Callable[..., Delivery], receiver: Receiver, answer: bytes, state: str, minutes: int | None
) -> None:
    receiver.answers = [answer]
    moment = clock.now()
    delivery = try_at(tell(), moment + timedelta(seconds=1))
    assert delivery.state == state
    assert len(receiver.requests) == 1, "no redirect is followed"
    if minutes is not None:
        assert delivery.next_attempt_at == moment + timedelta(seconds=1, minutes=minutes)


def test_a_huge_answer_is_cut(tell: Callable[..., Delivery], receiver: Receiver) -> None:
    receiver.answers = [b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n" + b"\x00a" * 400_000]
    delivery = try_at(tell(), clock.now())
    [tried] = delivery.tries.all()
    assert (delivery.state, tried.answer) == ("delivered", "a" * 250)


def test_a_compressed_answer_is_not_unpacked(tell: Callable[..., Delivery], receiver: Receiver) -> None:
    receiver.answers = [
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08x"
    ]
    assert try_at(tell(), clock.now()).state == "delivered"


@pytest.mark.parametrize(
    ("pieces", "pause"),
    [
        ([b"HTTP/1.1 200 OK\r\n", *[b"X: y\r\n"] * 1000], 0.05),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n", *[b"a"] * 400], 0.05),
    ],
)
def test_an_answer_that_drips_is_cut_off(
    tell: Callable[..., Delivery],
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
    pieces: list[bytes],
    pause: float,
) -> None:
    monkeypatch.setattr(webhook, "TOTAL_TIMEOUT", 0.3)
    receiver.pieces, receiver.pause_seconds = pieces, pause
    started = clock.now()
    delivery = tell()
    services.delivery_send(delivery.pk)
    assert clock.now() - started < timedelta(seconds=5)
    [tried] = delivery.tries.all()
    assert tried.latency_ms < 5000
    assert len(tried.answer) < 100


def test_silence_times_out(
    tell: Callable[..., Delivery], receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "READ_TIMEOUT", 0.2)
    receiver.pieces, receiver.pause_seconds = [b"HTTP/1.1 200"], 30
    delivery = tell()
    services.delivery_send(delivery.pk)
    [tried] = delivery.tries.all()
    assert (tried.status, tried.error) == (None, "ReadTimeoutError")


def test_the_second_about_an_order_waits_for_the_first(
    tell: Callable[..., Delivery], receiver: Receiver, drain: Drain
) -> None:
    receiver.answers = [status(500)]
    order = uuid.uuid4()
    first, second, other = tell(order, 1), tell(order, 2), tell(uuid.uuid4(), 3)
    elsewhere = tell(order, 4, url=receiver.url.replace("hook", "another"))
    drain()
    assert [json.loads(receiver.body(n))["number"] for n in range(len(receiver.requests))] == [1, 3, 4]
    services.delivery_send(second.pk)
    assert DeliveryAttempt.objects.filter(delivery=second).count() == 0
    with clock.standing_at(clock.now() + timedelta(minutes=6)):
        services.deliveries_sweep()
        drain()
    assert [json.loads(receiver.body(n))["number"] for n in range(len(receiver.requests))] == [1, 3, 4, 1, 2]
    rows = Delivery.objects.in_bulk()
    assert {rows[d.pk].state for d in (first, second, other, elsewhere)} == {"delivered"}


def test_a_dead_first_lets_the_second_go(
    tell: Callable[..., Delivery], receiver: Receiver, drain: Drain
) -> None:
    receiver.answers = [status(410)]
    order = uuid.uuid4()
    tell(order, 1)
    second = tell(order, 2)
    drain()
    second.refresh_from_db()
    assert second.state == "delivered"


def test_an_event_dispatched_twice_is_one_delivery(
    tell: Callable[..., Delivery], receiver: Receiver, drain: Drain
) -> None:
    delivery = tell()
    assert services.outbox_dispatch(delivery.event_id) == 0
    OutboxEvent.objects.update(dispatched_at=None)
    assert services.outbox_dispatch(delivery.event_id) == 0
    drain()
    services.delivery_send(delivery.pk)
    assert (Delivery.objects.count(), len(receiver.requests)) == (1, 1)


def test_a_lost_dispatch_is_swept(customer: Callable[..., User], receiver: Receiver, drain: Drain) -> None:
    emit(
        "withdrawal.closed",
        subject_type="order",
        subject_id=uuid.uuid4(),
        payload={},
        owner_id=customer().pk,
        callback_url=receiver.url,
    )
    forget_queue()
    assert services.outbox_sweep() == 0, "too young to be lost"
    with clock.standing_at(clock.now() + timedelta(seconds=6)):
        assert services.outbox_sweep() == 1
    drain()
    assert len(receiver.requests) == 1


def sent_and_killed(delivery: Delivery) -> Result:
    webhook.send(delivery)
    raise Killed


def test_killed_between_claim_and_record(
    tell: Callable[..., Delivery], receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    delivery = tell()
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setitem(services.SENDERS, "webhook", sent_and_killed)
        services.delivery_send(delivery.pk)
    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts, delivery.tries.count()) == ("waiting", 1, 0)
    assert services.deliveries_sweep() == 0
    services.delivery_send(delivery.pk)
    assert len(receiver.requests) == 1
    with clock.standing_at(clock.now() + services.LEASE + timedelta(seconds=1)):
        forget_queue()
        assert services.deliveries_sweep() == 1
        assert queued("delivery_send") == [(delivery.pk,)]
        services.delivery_send(delivery.pk)
        services.delivery_send(delivery.pk)
    assert len(receiver.requests) == 2
    assert receiver.headers(0)["webhook-id"] == receiver.headers(1)["webhook-id"]
    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts) == ("delivered", 2)


def test_a_message_that_breaks_its_channel_ends_too(
    tell: Callable[..., Delivery], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(services.SENDERS, "webhook", lambda _: (_ for _ in ()).throw(Crash))
    delivery = tell()
    moment = clock.now()
    for _ in range(13):
        try_at(delivery, moment)
        moment = delivery.next_attempt_at
    assert (delivery.state, delivery.attempts) == ("dead", 13)
    assert set(delivery.tries.values_list("error", flat=True)) == {"Crash"}


def test_a_message_that_kills_every_worker_is_given_up(
    tell: Callable[..., Delivery], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(services.SENDERS, "webhook", lambda _: (_ for _ in ()).throw(Killed))
    delivery = tell()
    moment = clock.now()
    for _ in range(13):
        with pytest.raises(Killed):
            try_at(delivery, moment)
        moment += services.LEASE + timedelta(seconds=1)
    try_at(delivery, moment)
    assert (delivery.state, delivery.attempts) == ("dead", 13)


def test_sent_again_by_hand(
    tell: Callable[..., Delivery], receiver: Receiver, operator: Callable[..., Actor], drain: Drain
) -> None:
    receiver.answers = [status(410)]
    delivery = tell()
    drain()
    owner = delivery.owner
    assert owner is not None
    for who in (operator("Auditor"), owner.as_actor()):
        refused = code_of(lambda who=who: services.delivery_redeliver(delivery_id=delivery.pk, actor=who))
        assert refused == "forbidden"
    delivery.refresh_from_db()
    assert delivery.state == "gone"
    support = operator("Support")
    services.delivery_redeliver(delivery_id=delivery.pk, actor=support)
    drain()
    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts) == ("delivered", 1)
    assert receiver.headers(0)["webhook-id"] == receiver.headers(1)["webhook-id"]
    [entry] = AuditEntry.objects.filter(verb="delivery_redeliver")
    assert (entry.actor_id, entry.before) == (support.id, {"state": "gone", "attempts": 1})
    missing = code_of(lambda: services.delivery_redeliver(delivery_id=10**9, actor=support))
    assert missing == "not_found"


def test_no_secret_no_webhook(
    tell: Callable[..., Delivery], receiver: Receiver, customer: Callable[..., User]
) -> None:
    delivery = try_at(tell(owner=customer(webhook_secret="")), clock.now())
    assert (delivery.state, receiver.requests) == ("dead", [])


def test_events_without_an_address_or_not_of_an_order_make_nothing(customer: Callable[..., User]) -> None:
    for subject, url in (("order", ""), ("user", "https://shop.example/")):
        event = emit("x.y", subject_type=subject, subject_id=uuid.uuid4(), payload={}, callback_url=url)
        assert services.outbox_dispatch(event.pk) == 0
    assert Delivery.objects.count() == 0
