"""What an account is guarded by: authenticator, recovery codes, allowed addresses, links of letters."""

from __future__ import annotations

import hmac
from base64 import b32encode
from typing import Any, Final
from urllib.parse import quote

from django.db import models
from django.utils.translation import gettext_lazy as _
from django_otp.models import Device, ThrottlingMixin
from django_otp.oath import hotp
from django_otp.util import random_hex

from kauri.account.models.people import User
from kauri.common import clock, ids
from kauri.common.crypto import EncryptedTextField

ISSUER: Final = "Kauri"


def new_key() -> str:
    """20 random bytes in hex: what RFC 4226 asks for."""
    return str(random_hex(20))


class TOTPDevice(ThrottlingMixin, Device):
    """An authenticator (RFC 6238: SHA-1, 6 digits, 30 s), of customers and operators alike.

    The library's own device keeps its secret in clear; ours is sealed. A code is good once, one step
    early or late; each wrong code doubles the wait before the next is looked at.
    """

    step: Final = 30
    t0: Final = 0
    digits: Final = 6
    drift: Final = 0

    user = models.ForeignKey(User, models.PROTECT, related_name="+")
    public_id = models.UUIDField(default=ids.uuid7, unique=True, editable=False)
    key = EncryptedTextField(default=new_key)
    last_t = models.BigIntegerField(default=-1)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    objects: models.Manager[TOTPDevice] = models.Manager()

    class Meta(Device.Meta):
        constraints = (
            models.UniqueConstraint(
                fields=("user",), condition=models.Q(confirmed=True), name="totp_one_per_account"
            ),
        )

    def get_throttle_factor(self) -> int:
        return 1

    @property
    def bin_key(self) -> bytes:
        return bytes.fromhex(self.key)

    @property
    def secret(self) -> str:
        """The key as authenticators take it."""
        return b32encode(self.bin_key).decode().rstrip("=")

    @property
    def config_url(self) -> str:
        """What the QR code says (the Key URI format)."""
        label = quote(f"{ISSUER}:{self.user.email}", safe=":")
        return (
            f"otpauth://totp/{label}?secret={self.secret}&issuer={ISSUER}&algorithm=SHA1&digits=6&period=30"
        )

    def verify_token(self, token: Any) -> bool:
        """Whether ``token`` is of now and was not used; the caller holds the row's lock."""
        if not self.verify_is_allowed()[0]:
            return False
        now = int(clock.now().timestamp()) // self.step
        found = [
            at for at in (now - 1, now, now + 1) if self._is_code_of(at, str(token)) and at > self.last_t
        ]
        if not found:
            self.throttle_increment(commit=True)
            return False
        self.last_t = found[0]
        self.throttle_reset(commit=False)
        self.save(update_fields=["last_t", "throttling_failure_timestamp", "throttling_failure_count"])
        return True

    def _is_code_of(self, step: int, token: str) -> bool:
        right = f"{hotp(self.bin_key, step, self.digits):0{self.digits}d}"
        return hmac.compare_digest(right.encode(), token.encode())


class RecoveryCode(models.Model):
    """Stands in for a lost authenticator, once. Only a keyed hash is kept."""

    user = models.ForeignKey(User, models.PROTECT, related_name="+")
    code_hash = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(default=clock.now)
    used_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.user} {self.created_at:%Y-%m-%d}"


class WhiteIp(models.Model):
    """An address that an account is used from; once one is confirmed, nothing is answered elsewhere."""

    public_id = models.UUIDField(default=ids.uuid7, unique=True, editable=False)
    user = models.ForeignKey(User, models.PROTECT, related_name="white_ips", verbose_name=_("customer"))
    ip = models.GenericIPAddressField(_("address"))
    created_at = models.DateTimeField(_("asked for"), default=clock.now)
    confirmed_at = models.DateTimeField(_("confirmed"), null=True)

    class Meta:
        ordering = ("id",)
        verbose_name = _("allowed address")
        verbose_name_plural = _("allowed addresses")
        constraints = (models.UniqueConstraint(fields=("user", "ip"), name="white_ip_once"),)

    def __str__(self) -> str:
        return str(self.ip)


class OneTimeLink(models.Model):
    """A link of a letter. It is signed, so this row alone opens nothing; it is good once, for a time."""

    class Purpose(models.TextChoices):
        RESET = "reset", "reset"
        FREEZE = "freeze", "freeze"

    public_id = models.UUIDField(default=ids.uuid7, unique=True, editable=False)
    user = models.ForeignKey(User, models.PROTECT, related_name="+")
    purpose = models.CharField(max_length=8, choices=Purpose.choices)
    created_at = models.DateTimeField(default=clock.now)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)

    class Meta:
        indexes = (models.Index(fields=("user", "purpose"), name="one_time_link_of"),)

    def __str__(self) -> str:
        return f"{self.purpose} {self.public_id}"
