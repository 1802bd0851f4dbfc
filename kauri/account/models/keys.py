"""API keys, the nonces that they have used, and the codes that confirm things."""

from __future__ import annotations

import uuid

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils.translation import gettext_lazy as _

from kauri.account.models.people import User
from kauri.common import clock, ids
from kauri.common.crypto import EncryptedTextField


class ApiKey(models.Model):
    """A customer's key: pending until its code is confirmed, then shown once with its secret."""

    class Scope(models.TextChoices):
        READ = "read", _("Read")
        TRADE = "trade", _("Trade")
        WITHDRAW = "withdraw", _("Withdraw money")
        INVOICE = "invoice", _("Invoice")

    class State(models.TextChoices):
        PENDING = "pending", _("Waits for its code")
        ACTIVE = "active", _("Active")
        REVOKED = "revoked", _("Revoked")

    class Signature(models.IntegerChoices):
        V1 = 1, _("version 1 and 2")
        V2 = 2, _("version 2")

    public_id = models.UUIDField(default=ids.uuid7, unique=True, editable=False)
    user = models.ForeignKey(User, models.PROTECT, related_name="api_keys", verbose_name=_("customer"))
    name = models.CharField(_("name"), max_length=64)
    key = models.CharField(_("key"), max_length=64, unique=True)
    secret = EncryptedTextField(_("secret"))
    scopes = ArrayField(models.CharField(max_length=16, choices=Scope.choices), verbose_name=_("scopes"))
    ips = ArrayField(
        models.GenericIPAddressField(), default=list, blank=True, verbose_name=_("allowed addresses")
    )
    signature_version = models.PositiveSmallIntegerField(
        _("signature"),
        choices=Signature.choices,
        default=Signature.V2,
        help_text=_("version 1 has neither time nor nonce: for clients of the old platform only"),
    )
    window_ms = models.PositiveIntegerField(_("time window, ms"), default=5000)
    decimals_as_strings = models.BooleanField(_("amounts as strings"), default=False)
    state = models.CharField(_("state"), max_length=8, choices=State.choices, default=State.PENDING)
    created_at = models.DateTimeField(_("created"), default=clock.now, editable=False)
    activated_at = models.DateTimeField(_("activated"), null=True)
    last_used_at = models.DateTimeField(_("last used"), null=True)
    revoked_at = models.DateTimeField(_("revoked"), null=True)

    class Meta:
        ordering = ("-id",)
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")
        constraints = (
            models.CheckConstraint(
                condition=models.Q(window_ms__gte=1000, window_ms__lte=60_000), name="api_key_window"
            ),
            models.CheckConstraint(
                condition=models.Q(signature_version__in=[1, 2]), name="api_key_signature_version"
            ),
        )

    def __str__(self) -> str:
        return self.name


class UsedNonce(models.Model):
    """A nonce of a signed request, kept while its time window could still accept it."""

    key = models.ForeignKey(ApiKey, models.PROTECT, related_name="+")
    nonce = models.CharField(max_length=64)
    at = models.DateTimeField(db_index=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=("key", "nonce"), name="nonce_used_once"),)

    def __str__(self) -> str:
        return self.nonce


class ConfirmationCode(models.Model):
    """A short code sent by e-mail: one use, few tries, soon expired. Only its hash is kept."""

    user = models.ForeignKey(User, models.PROTECT, related_name="+")
    purpose = models.CharField(max_length=32)
    subject_id = models.UUIDField(default=uuid.uuid4)
    code_hash = models.CharField(max_length=128)
    expires_at = models.DateTimeField()
    tries_left = models.PositiveSmallIntegerField(default=5)
    used_at = models.DateTimeField(null=True)

    class Meta:
        indexes = (models.Index(fields=("user", "purpose", "subject_id"), name="code_by_subject"),)

    def __str__(self) -> str:
        return f"{self.purpose} {self.subject_id}"
