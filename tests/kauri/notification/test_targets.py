"""Webhooks go to the judged address under the right name, and nowhere else."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from kauri.common import clock
from kauri.notification.channels import webhook
from kauri.notification.models import Delivery
from tests.kauri.notification.receiver import Receiver, try_at


def test_private_targets_are_not_called(
    tell: Callable[..., Delivery], settings: Any, receiver: Receiver
) -> None:
    settings.KAURI = settings.KAURI.model_copy(update={"webhook_allowed_networks": []})
    delivery = try_at(tell(), clock.now())
    [tried] = delivery.tries.all()
    assert (delivery.state, tried.status) == ("waiting", None)
    assert "private" in tried.error
    assert receiver.requests == []


def test_the_connection_goes_to_the_judged_address(
    tell: Callable[..., Delivery], receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: whoever looks the name up again would be led elsewhere."""
    port = int(receiver.url.split(":")[2].split("/")[0])
    real = socket.getaddrinfo
    asked: list[str] = []

    def lookup(host: str, *args: Any, **kwargs: Any) -> Any:
        if host == "shop.example":
            asked.append(host)
            return real("127.0.0.1" if len(asked) == 1 else "127.0.0.2", *args, **kwargs)
        return real(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    delivery = try_at(tell(url=f"http://shop.example:{port}/hook"), clock.now())
    assert delivery.state == "delivered"
    assert asked == ["shop.example"]
    assert receiver.headers()["host"] == f"shop.example:{port}"


@contextmanager
def certificate_for(name: str, folder: Path) -> Iterator[tuple[ssl.SSLContext, Path]]:
    """A server's TLS context for ``name`` and the file of the authority that signed it."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = clock.now()
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert, secret = folder / "cert.pem", folder / "key.pem"
    cert.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, secret)
    yield context, cert


@pytest.mark.parametrize(
    ("name", "trusted", "state"),
    [
        ("shop.example", True, "delivered"),
        ("other.example", True, "waiting"),
        ("shop.example", False, "waiting"),
    ],
)
def test_the_certificate_must_be_the_names(
    tell: Callable[..., Delivery],
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    name: str,
    trusted: bool,
    state: str,
) -> None:
    port = int(receiver.url.split(":")[2].split("/")[0])
    real = socket.getaddrinfo
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, *a, **k: real("127.0.0.1" if host == "shop.example" else host, *a, **k),
    )
    with certificate_for(name, tmp_path) as (context, authority):
        receiver.context = context
        if trusted:
            monkeypatch.setattr(webhook.certifi, "where", lambda: str(authority))
        delivery = try_at(tell(url=f"https://shop.example:{port}/hook"), clock.now())
    assert delivery.state == state
    assert len(receiver.requests) == (state == "delivered")
    if state == "waiting":
        assert delivery.tries.get().error == "SSLError"
