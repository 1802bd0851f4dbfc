"""Addresses that clients give us lead to the public internet, or nowhere."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from kauri.common.errors import KauriError
from kauri.common.urls import ForbiddenTarget, check_callback_url, resolve_target, split_target

FORBIDDEN = [
    "https://127.0.0.1/x",
    "https://127.1/",
    "https://2130706433/",  # decimal
    "https://0x7f000001/",
    "https://0x7f.0.0.1/",
    "https://0177.0.0.1/",  # octal
    "https://017700000001/",
    "https://0.0.0.0/",
    "https://0/",
    "https://10.1.2.3/",
    "https://172.16.0.1/",
    "https://172.31.255.255/",
    "https://192.168.0.1/",
    "https://169.254.169.254/latest/meta-data/",
    "https://100.64.0.1/",
    "https://198.18.0.1/",
    "https://192.0.2.1/",
    "https://224.0.0.1/",
    "https://240.0.0.1/",
    "https://255.255.255.255/",
    "https://[::]/",
    "https://[::1]/",
    "https://[fc00::1]/",
    "https://[fd12:3456::1]/",
    "https://[fe80::1]/",
    "https://[fe80::1%25eth0]/",
    "https://[fec0::1]/",
    "https://[ff02::1]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:10.0.0.1]/",
    "https://[::ffff:a9fe:a9fe]/",
    "https://[::127.0.0.1]/",
    "https://[2002:7f00:1::]/",  # 6to4 of 127.0.0.1
    "https://[2002:a9fe:a9fe::1]/",
    "https://[64:ff9b::7f00:1]/",  # NAT64
    "https://[64:ff9b:1::a00:1]/",
    "https://[2001:0:7f00:1::]/",  # Teredo
    "https://[2001:db8::1]/",
    "http://shop.example/",
    "http://8.8.8.8/",
    "https://user@shop.example/",
    "https://user:password@shop.example/",
    "https://@shop.example/",
    "https://shop.example\\@127.0.0.1/",
    "ftp://shop.example/",
    "file:///etc/passwd",
    "gopher://shop.example/",
    "javascript:alert(1)",
    "//shop.example/",
    "shop.example",
    "https://",
    "https:///x",
    "https://shop.example:99999/",
    "https://shop.example:port/",
    "https://[::1/",
    "https://shop.example/\r\nHost: other",
    "https://shop.example/a b",
    "https://shop.example/\x00",
    "https://１２７.0.0.1/",
    "https://крамниця.example/",
    "https://shop.example/" + "a" * 500,
]


@pytest.mark.parametrize("url", FORBIDDEN)
def test_refused_when_given(url: str) -> None:
    with pytest.raises(ForbiddenTarget):
        split_target(url)
    with pytest.raises(KauriError) as caught:
        check_callback_url(url)
    assert (caught.value.code, list(caught.value.fields)) == ("validation_error", ["callback_url"])


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("https://shop.example/hook?x=1", ("https", "shop.example", 443)),
        ("https://SHOP.example:8443", ("https", "shop.example", 8443)),
        ("https://8.8.8.8/", ("https", "8.8.8.8", 443)),
        ("https://[2606:4700::1111]/", ("https", "2606:4700::1111", 443)),
        ("https://xn--80ak6aa92e.example/", ("https", "xn--80ak6aa92e.example", 443)),
    ],
)
def test_accepted_when_given(url: str, parts: tuple[str, str, int]) -> None:
    assert split_target(url) == parts
    check_callback_url(url)


def test_none_given_is_none() -> None:
    check_callback_url("")


def answer(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """Let every name resolve to ``addresses``; returns the names asked for."""
    asked: list[str] = []

    def lookup(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    return asked


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["10.0.0.7"],
        ["169.254.169.254"],
        ["::1"],
        ["fd00::1"],
        ["fe80::1%eth0"],
        ["fec0::1"],
        ["::ffff:192.168.1.1"],
        ["8.8.8.8", "10.0.0.7"],
        ["10.0.0.7", "8.8.8.8"],
        ["8.8.8.8", "2002:7f00:1::"],
    ],
)
def test_a_name_of_a_private_address_is_refused(
    monkeypatch: pytest.MonkeyPatch, addresses: list[str]
) -> None:
    answer(monkeypatch, *addresses)
    with pytest.raises(ForbiddenTarget, match="private and local"):
        resolve_target("shop.example", 443)


def test_a_public_name_resolves_once_to_its_first_address(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answer(monkeypatch, "93.184.215.14", "2606:4700::1111")
    assert resolve_target("shop.example", 443) == "93.184.215.14"
    assert asked == ["shop.example"]


def test_a_name_without_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(*_: Any, **__: Any) -> Any:
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", nothing)
    with pytest.raises(ForbiddenTarget, match="no address"):
        resolve_target("shop.example", 443)


def test_localhost_by_name(settings: Any) -> None:
    for host in ("localhost", "ip6-localhost", "localhost.localdomain"):
        with pytest.raises(ForbiddenTarget):
            resolve_target(host, 443)


def test_networks_allowed_by_setting_and_no_other(settings: Any) -> None:
    settings.KAURI = settings.KAURI.model_copy(update={"webhook_allowed_networks": ["127.0.0.1/32"]})
    assert split_target("http://127.0.0.1:5/x") == ("http", "127.0.0.1", 5)
    for url in ("http://127.0.0.2/", "http://10.0.0.1/", "http://8.8.8.8/", "https://[::1]/"):
        with pytest.raises(ForbiddenTarget):
            split_target(url)
