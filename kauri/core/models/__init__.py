"""Reference data, switches, audit, idempotency and the outbox."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from kauri.common import clock, ids
from kauri.common.crypto import EncryptedTextField
from kauri.common.models import ActorStamp
from kauri.core.models.chain import AuditBlock, AuditCheck, AuditKey, AuditPending
from kauri.core.models.signs import Heartbeat, ScheduleRun
from kauri.core.models.views import ListChoice, SavedView

__all__ = [
    "AuditBlock",
    "AuditCheck",
    "AuditEntry",
    "AuditKey",
    "AuditPending",
    "Currency",
    "Heartbeat",
    "IdempotencyRecord",
    "ListChoice",
    "Network",
    "OutboxEvent",
    "Pair",
    "Proposal",
    "Provider",
    "SavedView",
    "ScheduleRun",
    "Switch",
    "Versioned",
]


def _history_user_get(historical_instance: Any, **_: Any) -> Any:
    return historical_instance.history_user_id


def _history_user_set(historical_instance: Any, user: Any) -> None:
    historical_instance.history_user_id = None if user is None else user.pk


class Versioned(models.Model):
    """Settings that an operator changes: every version is kept with its author and reason.

    The author is an id without a foreign key, since ``account`` lives a floor above.
    """

    history = HistoricalRecords(
        inherit=True,
        history_user_id_field=models.BigIntegerField(null=True),
        history_user_getter=_history_user_get,
        history_user_setter=_history_user_set,
        history_change_reason_field=models.TextField(null=True),
    )

    class Meta:
        abstract = True


class Currency(Versioned):
    """One of the house's currencies. ``scale`` is the number of digits behind the point."""

    class Kind(models.TextChoices):
        CRYPTO = "crypto", _("Crypto")
        FIAT = "fiat", _("Fiat")

    id = models.SmallAutoField(primary_key=True)
    code = models.CharField(_("code"), max_length=12, unique=True)
    name = models.CharField(_("name"), max_length=64)
    kind = models.CharField(_("kind"), max_length=8, choices=Kind.choices)
    scale = models.PositiveSmallIntegerField(_("digits behind the point"))
    symbol = models.CharField(_("symbol"), max_length=8, blank=True, default="")
    sort = models.PositiveSmallIntegerField(_("order"), default=100)
    is_enabled = models.BooleanField(_("switched on"), default=True)

    class Meta:
        ordering = ("sort", "code")
        verbose_name = _("currency")
        verbose_name_plural = _("currencies")
        constraints = (
            models.CheckConstraint(condition=models.Q(scale__lte=18), name="currency_scale_at_most_18"),
            models.CheckConstraint(condition=models.Q(kind__in=["crypto", "fiat"]), name="currency_kind"),
        )

    def __str__(self) -> str:
        return self.code


class Network(Versioned):
    """Where a crypto currency lives: a chain, or a token contract on one."""

    class Environment(models.TextChoices):
        MAINNET = "mainnet", _("Main network")
        TESTNET = "testnet", _("Test network")
        REGTEST = "regtest", _("Local development network")

    code = models.CharField(_("code"), max_length=24, unique=True)
    title = models.CharField(_("title"), max_length=64)
    currency = models.ForeignKey(
        Currency, models.PROTECT, related_name="networks", verbose_name=_("currency")
    )
    environment = models.CharField(_("environment"), max_length=8, choices=Environment.choices)
    confirmations = models.PositiveIntegerField(_("confirmations before credit"), default=12)
    explorer_url = models.CharField(
        _("explorer link"), max_length=200, blank=True, default="", help_text=_("with {tx} for the hash")
    )
    is_enabled = models.BooleanField(_("switched on"), default=True)

    class Meta:
        ordering = ("code",)
        verbose_name = _("network")
        verbose_name_plural = _("networks")

    def __str__(self) -> str:
        return self.title


class Pair(Versioned):
    """Two currencies that are exchanged for each other, and how exact their price is."""

    base = models.ForeignKey(Currency, models.PROTECT, related_name="+", verbose_name=_("base currency"))
    quote = models.ForeignKey(Currency, models.PROTECT, related_name="+", verbose_name=_("quote currency"))
    price_scale = models.PositiveSmallIntegerField(_("digits of the price"), default=8)
    is_enabled = models.BooleanField(_("switched on"), default=True)

    class Meta:
        ordering = ("base__sort", "quote__sort")
        verbose_name = _("pair")
        verbose_name_plural = _("pairs")
        constraints = (
            models.UniqueConstraint(fields=("base", "quote"), name="pair_once"),
            models.CheckConstraint(condition=~models.Q(base=models.F("quote")), name="pair_of_two"),
        )

    def __str__(self) -> str:
        return f"{self.base}/{self.quote}"


class Provider(Versioned):
    """An outside system: its adapter, settings, encrypted credentials, switch and health."""

    class Kind(models.TextChoices):
        PAYMENT = "payment", _("Payment provider")
        EXCHANGE = "exchange", _("Exchange provider")
        VERIFICATION = "verification", _("Verification provider")
        SCREENING = "screening", _("Transaction analysis")

    class HealthState(models.TextChoices):
        UNKNOWN = "unknown", _("Not checked")
        OK = "ok", _("Healthy")
        BAD = "bad", _("Unhealthy")

    code = models.CharField(_("code"), max_length=32, unique=True)
    title = models.CharField(_("title"), max_length=64)
    kind = models.CharField(_("kind"), max_length=16, choices=Kind.choices)
    adapter = models.CharField(_("adapter"), max_length=32)
    environment = models.CharField(_("environment"), max_length=16, default="test")
    settings = models.JSONField(_("settings"), default=dict, blank=True, encoder=DjangoJSONEncoder)
    credentials_secret = EncryptedTextField(_("credentials"), blank=True, default="")
    is_enabled = models.BooleanField(_("switched on"), default=False)
    priority = models.PositiveSmallIntegerField(_("priority"), default=100, help_text=_("lowest first"))
    health = models.CharField(
        _("health"), max_length=8, choices=HealthState.choices, default=HealthState.UNKNOWN
    )
    health_detail = models.CharField(_("health detail"), max_length=300, blank=True, default="")
    health_at = models.DateTimeField(_("health checked"), null=True, blank=True)

    class Meta:
        ordering = ("priority", "code")
        verbose_name = _("provider")
        verbose_name_plural = _("providers")

    def __str__(self) -> str:
        return self.title

    @property
    def credentials(self) -> dict[str, str]:
        """The decrypted credentials. Never shown, never logged."""
        return json.loads(self.credentials_secret) if self.credentials_secret else {}


class Switch(Versioned):
    """A kill switch: of an operation (``deposit``, ``withdrawal`` …), ``currency:CODE`` or ``provider:code``.

    One person switches off, with a reason and perhaps a moment when it ends by itself; to switch on
    before that takes two (a proposal).
    """

    code = models.CharField(_("operation"), max_length=32, unique=True)
    title = models.CharField(_("title"), max_length=64)
    is_on = models.BooleanField(_("switched on"), default=True)
    reason = models.CharField(_("reason"), max_length=300, blank=True, default="")
    off_by = models.CharField(_("switched off by"), max_length=254, blank=True, default="", editable=False)
    off_at = models.DateTimeField(_("switched off"), null=True, blank=True, editable=False)
    expires_at = models.DateTimeField(_("switches itself on"), null=True, blank=True)

    class Meta:
        ordering = ("code",)
        verbose_name = _("switch")
        verbose_name_plural = _("switches")
        permissions = (("stop_switch", "Can switch operations off"),)
        constraints = (
            models.CheckConstraint(
                condition=models.Q(is_on=True) | (~models.Q(reason="") & models.Q(off_at__isnull=False)),
                name="switch_off_says_why",
            ),
        )

    def __str__(self) -> str:
        return self.title


class Proposal(models.Model):
    """A change of a setting that one person proposes and another decides on.

    ``before`` holds the fields as they stood (empty for a new row), ``after`` as they shall be; the
    change is made only onto a row that still stands as ``before`` says.
    """

    class State(models.TextChoices):
        PENDING = "pending", _("Waits for a second person")
        APPROVED = "approved", _("Approved, takes effect later")
        APPLIED = "applied", _("In effect")
        REJECTED = "rejected", _("Rejected")
        WITHDRAWN = "withdrawn", _("Withdrawn")
        EXPIRED = "expired", _("Expired")
        FAILED = "failed", _("Could not be applied")

    public_id = models.UUIDField(default=ids.uuid7, unique=True, editable=False)
    target = models.CharField(_("setting"), max_length=64)
    target_id = models.CharField(_("row"), max_length=64, blank=True, default="")
    label = models.CharField(_("what"), max_length=254)
    #: The label in each language of the back office: whoever decides reads another than whoever proposed.
    labels = models.JSONField(default=dict, editable=False)
    before = models.JSONField(_("before"), default=dict)
    after = models.JSONField(_("after"), default=dict)
    #: The secrets of both sides, as JSON; forgotten when they do not come into use.
    secrets = EncryptedTextField(blank=True, default="", editable=False)
    reason = models.TextField(_("reason"))
    state = models.CharField(_("state"), max_length=9, choices=State.choices, default=State.PENDING)
    proposed_by_id = models.BigIntegerField(editable=False)
    proposed_by = models.CharField(_("proposed by"), max_length=254)
    proposed_at = models.DateTimeField(_("proposed"), default=clock.now)
    effective_from = models.DateTimeField(_("takes effect"), null=True, blank=True)
    expires_at = models.DateTimeField(_("expires"))
    decided_by_id = models.BigIntegerField(null=True, editable=False)
    decided_by = models.CharField(_("decided by"), max_length=254, blank=True, default="")
    decided_at = models.DateTimeField(_("decided"), null=True)
    decision_reason = models.TextField(_("words of the decision"), blank=True, default="")
    applied_at = models.DateTimeField(_("applied"), null=True)
    error = models.TextField(_("why it could not be applied"), blank=True, default="")
    reverts = models.OneToOneField(
        "self", models.PROTECT, null=True, related_name="reverted_by", verbose_name=_("takes back")
    )
    #: Changes that one person proposed together, by one file.
    batch = models.UUIDField(_("import"), null=True, editable=False)

    class Meta:
        ordering = ("-id",)
        verbose_name = _("proposed change")
        verbose_name_plural = _("proposed changes")
        permissions = (("decide_proposal", "Can decide on proposed changes"),)
        constraints = (
            # Maker is not checker: held here whatever the code does.
            models.CheckConstraint(
                condition=models.Q(decided_by_id__isnull=True)
                | ~models.Q(decided_by_id=models.F("proposed_by_id")),
                name="proposal_two_people",
            ),
            models.CheckConstraint(
                condition=~models.Q(state__in=["approved", "applied", "rejected", "failed"])
                | models.Q(decided_by_id__isnull=False, decided_at__isnull=False),
                name="proposal_decided_by_somebody",
            ),
            models.CheckConstraint(condition=~models.Q(reason=""), name="proposal_says_why"),
        )
        indexes = (
            models.Index(
                fields=("id",), name="proposal_open", condition=models.Q(state__in=["pending", "approved"])
            ),
            models.Index(fields=("target", "target_id", "-id"), name="proposal_by_row"),
            models.Index(
                fields=("batch", "-id"), name="proposal_by_batch", condition=models.Q(batch__isnull=False)
            ),
        )

    def __str__(self) -> str:
        return str(self.labels.get(get_language() or "", self.label))


class AuditEntry(ActorStamp):
    """One act: who, from where, what, before and after. Append-only in the database."""

    at = models.DateTimeField(_("when"), db_index=True)
    verb = models.CharField(_("act"), max_length=64)
    object_type = models.CharField(_("object"), max_length=64)
    object_id = models.CharField(_("object id"), max_length=64)
    object_label = models.CharField(_("object label"), max_length=254, blank=True, default="")
    before = models.JSONField(_("before"), null=True, encoder=DjangoJSONEncoder)
    after = models.JSONField(_("after"), null=True, encoder=DjangoJSONEncoder)
    reason = models.TextField(_("reason"), blank=True, default="")
    ip = models.GenericIPAddressField(_("address"), null=True)

    class Meta:
        ordering = ("-id",)
        verbose_name = _("audit entry")
        verbose_name_plural = _("audit")
        indexes = (
            models.Index(fields=("object_type", "object_id", "-id"), name="audit_by_object"),
            models.Index(fields=("actor_kind", "actor_id", "-id"), name="audit_by_actor"),
            # What the list searches and filters by.
            models.Index(fields=("object_id",), name="audit_by_object_id"),
            models.Index(fields=("actor_label", "-id"), name="audit_by_label"),
            models.Index(fields=("verb", "-id"), name="audit_by_verb"),
            models.Index(fields=("request_id",), name="audit_by_request", condition=~models.Q(request_id="")),
        )

    def __str__(self) -> str:
        return f"{self.verb} {self.object_label or self.object_id}"


class IdempotencyRecord(models.Model):
    """The stored answer of one money-moving request: same key and body, same answer."""

    owner_id = models.BigIntegerField()
    endpoint = models.CharField(max_length=64)
    key = models.CharField(max_length=255)
    body_hash = models.BinaryField(max_length=32)
    status = models.PositiveSmallIntegerField()
    content_type = models.CharField(max_length=64)
    body = models.BinaryField()
    created_at = models.DateTimeField(db_index=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("owner_id", "endpoint", "key"), name="idempotency_once"),
        )

    def __str__(self) -> str:
        return f"{self.endpoint} {self.key}"


class OutboxEvent(models.Model):
    """Something that happened, written in the transaction that made it happen.

    ``notification`` reads it and tells the outside. ``body`` is exact JSON, as clients see it.
    """

    kind = models.CharField(max_length=64)
    owner_id = models.BigIntegerField(null=True)
    subject_type = models.CharField(max_length=32)
    subject_id = models.UUIDField()
    callback_url = models.TextField(blank=True, default="")
    body = models.TextField()
    created_at = models.DateTimeField()
    dispatched_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("id",)
        indexes = (
            models.Index(
                fields=("id",), name="outbox_waiting", condition=models.Q(dispatched_at__isnull=True)
            ),
            models.Index(fields=("subject_type", "subject_id", "id"), name="outbox_by_subject"),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.subject_id}"

    @property
    def payload(self) -> dict[str, Any]:
        """The body read back; amounts are Decimal."""
        data: dict[str, Any] = json.loads(self.body, parse_float=Decimal)
        return data
