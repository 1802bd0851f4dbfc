"""Addresses that clients give us: only public web ones, checked when taken and again when used."""

from __future__ import annotations

import ipaddress
import socket
from typing import Final
from urllib.parse import urlsplit

from django.conf import settings

from kauri.common.errors import KauriError

MAX_LENGTH: Final = 500


class ForbiddenTarget(Exception):
    """The address is not one that we call."""


def check_callback_url(url: str, field: str = "callback_url") -> None:
    """Refuse at once what could never be delivered; '' means "none given"."""
    if not url:
        return
    try:
        split_target(url)
    except ForbiddenTarget as exc:
        raise KauriError("validation_error", fields={field: str(exc)}) from None


def split_target(url: str) -> tuple[str, str, int]:
    """(scheme, host, port) of a web address without user info; no look-up is made.

    A host that is an address literal (in any notation the system reads) is judged here.
    """
    # Names in other scripts come as punycode: one spelling, the same for the look-up and the header.
    if len(url) > MAX_LENGTH or any(not 0x20 < ord(char) < 0x7F for char in url):  # noqa: PLR2004 - ASCII
        raise ForbiddenTarget("not a web address in ASCII")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ForbiddenTarget("not a web address") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc:
        raise ForbiddenTarget("an http or https address without user name is needed")
    try:
        literal = socket.inet_ntoa(socket.inet_aton(parts.hostname))
    except OSError:
        literal = parts.hostname
    try:
        address = ipaddress.ip_address(literal)
    except ValueError:
        if parts.scheme == "http" and not settings.KAURI.webhook_allowed_networks:
            raise ForbiddenTarget("an https address is needed") from None
    else:
        judge_address(address)
        if parts.scheme == "http" and not is_allowed(address):
            raise ForbiddenTarget("an https address is needed")
    return parts.scheme, parts.hostname, port or (443 if parts.scheme == "https" else 80)


def resolve_target(host: str, port: int) -> str:
    """One address of ``host`` that may be called; every address it has must be one.

    A name with one public and one private address is refused whole. The caller connects to the
    returned address and no other, so a second look-up can't change the target.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise ForbiddenTarget("the host name has no address") from None
    addresses = [ipaddress.ip_address(entry[4][0]) for entry in found]
    for address in addresses:
        judge_address(address)
    return str(addresses[0])


def judge_address(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    """Raise :class:`ForbiddenTarget` unless the address is public or allowed by setting."""
    mapped = getattr(address, "ipv4_mapped", None) or getattr(address, "sixtofour", None)
    plain = mapped or address
    if is_allowed(plain):
        return
    site_local = getattr(plain, "is_site_local", False)  # IPv6's first private range, fec0::/10
    if not plain.is_global or plain.is_multicast or plain.is_reserved or site_local:
        raise ForbiddenTarget("private and local addresses are not called")


def is_allowed(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Named by ``KAURI_WEBHOOK_ALLOWED_NETWORKS``."""
    return any(
        address.version == network.version and address in network
        for network in settings.KAURI.networks("webhook_allowed_networks")
    )
