"""Letters: in the reader's language, once, and no code at rest in the clear."""

from __future__ import annotations

import email
import re
import smtplib
from collections.abc import Callable
from email.header import decode_header, make_header
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from django.core.mail import EmailMessage
from django.db import connection

from kauri.account import api_keys
from kauri.account.models import User
from kauri.notification.models import Delivery

Drain = Callable[..., int]


@pytest.fixture
def letters(settings: Any) -> Callable[[], list[Message]]:
    """The letters that went out, as the file backend wrote them."""
    settings.EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"

    def read() -> list[Message]:
        found = []
        for path in sorted(Path(settings.EMAIL_FILE_PATH).glob("*.log")):
            parts = path.read_bytes().split(b"-" * 79)
            found += [email.message_from_bytes(part.lstrip()) for part in parts if part.strip()]
        return found

    return read


def ask(user: User) -> None:
    api_keys.api_key_create(
        user=user, request=api_keys.KeyRequest(name="shop", scopes=["read"]), ip="127.0.0.1"
    )


def text_of(message: Message) -> str:
    payload = message.get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload.decode()


def everything_stored() -> str:
    """Every text of every row that a letter leaves behind."""
    with connection.cursor() as cursor:
        parts = []
        for table in (
            "core_outboxevent",
            "notification_delivery",
            "notification_deliveryattempt",
            "account_confirmationcode",
            "core_auditentry",
            "django_q_ormq",
        ):
            cursor.execute(f"select coalesce(string_agg(t::text, ' '), '') from {table} t")
            parts.append(cursor.fetchone()[0])
    return " ".join(parts)


def test_a_code_reaches_its_reader_and_no_table(
    customer: Callable[..., User], letters: Callable[[], list[Message]], drain: Drain
) -> None:
    user = customer()
    ask(user)
    before = everything_stored()
    drain()
    after = everything_stored()
    [message] = letters()
    [code] = re.findall(r"^\d{8}$", text_of(message), re.MULTILINE)
    assert (code in before, code in after) == (False, False)
    assert message["To"] == user.email
    assert Delivery.objects.get().state == "delivered"
    key = user.api_keys.get()
    assert api_keys.api_key_verify(user=user, api_key_id=key.public_id, code=code, ip="").state == "active"


@pytest.mark.parametrize(
    ("language", "subject"),
    [("en", "Your API key code"), ("uk", None), ("ru", None)],
)
def test_the_right_language(
    customer: Callable[..., User],
    letters: Callable[[], list[Message]],
    drain: Drain,
    language: str,
    subject: str | None,
) -> None:
    ask(customer(language=language))
    drain()
    [message] = letters()
    shown = str(make_header(decode_header(message["Subject"])))
    if subject:
        assert shown == subject
    else:
        assert re.search(r"[а-яіїєґ]", shown, re.IGNORECASE), shown
        assert re.search(r"[а-яіїєґ]{4}", text_of(message), re.IGNORECASE)
    assert ("ї" in text_of(message) or "і" in text_of(message)) == (language == "uk")


def test_sent_twice_it_is_one_letter(
    customer: Callable[..., User], letters: Callable[[], list[Message]], drain: Drain
) -> None:
    from kauri.notification import services

    ask(customer())
    drain()
    services.delivery_send(Delivery.objects.get().pk)
    assert len(letters()) == 1


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (smtplib.SMTPRecipientsRefused({}), "dead"),
        (smtplib.SMTPServerDisconnected(), "waiting"),
        (ConnectionRefusedError(), "waiting"),
        (smtplib.SMTPAuthenticationError(535, b"no"), "waiting"),
    ],
)
def test_what_a_failure_means(
    customer: Callable[..., User],
    drain: Drain,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    state: str,
) -> None:
    monkeypatch.setattr(EmailMessage, "send", lambda *_: (_ for _ in ()).throw(error))
    ask(customer())
    drain()
    assert Delivery.objects.get().state == state


def test_no_line_of_a_name_becomes_a_header(
    customer: Callable[..., User], letters: Callable[[], list[Message]], drain: Drain
) -> None:
    user = customer()
    api_keys.api_key_create(
        user=user,
        request=api_keys.KeyRequest(name="x\nBcc: thief@example.com", scopes=["read"]),
        ip="127.0.0.1",
    )
    drain()
    [message] = letters()
    assert message["Bcc"] is None
    assert message["Subject"] == "Your API key code"
