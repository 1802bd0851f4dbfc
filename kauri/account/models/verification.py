"""Verification cases: one for a customer and a level, with its documents, answers and history."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.utils.translation import gettext_lazy as _

from kauri.account.models.people import User
from kauri.account.states import FINAL, OPEN, CaseState, DocumentKind, RejectReason
from kauri.common import clock, ids
from kauri.common.crypto import EncryptedTextField
from kauri.common.models import ActorStamp
from kauri.core.models import Provider


class VerificationCase(models.Model):
    """A customer's way to a level. Only ``cases.machine`` writes its state.

    ``call`` is the next thing to do at the provider, written before it is done: a worker takes it
    with a lease, calls, and records; a lost worker's call is made again by the next.
    """

    class Call(models.TextChoices):
        NONE = "", "–"
        START = "start", _("register the customer")
        STATUS = "status", _("read the status")
        AGAIN = "again", _("let the customer send again")
        PLAY_APPROVED = "play_approved", _("play: verified")
        PLAY_RETRY = "play_retry", _("play: to be sent again")
        PLAY_REJECTED = "play_rejected", _("play: not verified")

    class Entrance(models.TextChoices):
        NONE = "", "–"
        UPLOAD = "upload", _("upload here")
        LINK = "link", _("the provider's page")
        TOKEN = "token", _("the provider's SDK")

    public_id = models.UUIDField(default=ids.uuid7, unique=True, editable=False)
    user = models.ForeignKey(User, models.PROTECT, related_name="cases", verbose_name=_("customer"))
    level = models.PositiveSmallIntegerField(_("level"))
    provider = models.ForeignKey(Provider, models.PROTECT, related_name="+", verbose_name=_("provider"))
    state = models.CharField(_("state"), max_length=20, choices=CaseState.choices, default=CaseState.STARTED)
    asked = ArrayField(
        models.CharField(max_length=16, choices=DocumentKind.choices),
        default=list,
        blank=True,
        verbose_name=_("documents asked for"),
    )
    reason_code = models.CharField(
        _("reason"), max_length=16, choices=RejectReason.choices, blank=True, default=""
    )
    words = models.TextField(_("words to the customer"), blank=True, default="")
    provider_reference = models.CharField(_("provider's id"), max_length=64, blank=True, default="")
    entrance_kind = models.CharField(
        _("entrance"), max_length=8, choices=Entrance.choices, blank=True, default=""
    )
    entrance_secret = EncryptedTextField(_("entrance"), blank=True, default="")
    entrance_until = models.DateTimeField(_("entrance open until"), null=True)
    call = models.CharField(_("next call"), max_length=16, choices=Call.choices, blank=True, default="")
    next_attempt_at = models.DateTimeField(_("next attempt"), null=True)
    lease_until = models.DateTimeField(_("taken until"), null=True)
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    last_error = models.CharField(_("last error"), max_length=300, blank=True, default="")
    created_at = models.DateTimeField(_("started"), default=clock.now, editable=False)
    updated_at = models.DateTimeField(_("last move"), default=clock.now)
    expires_at = models.DateTimeField(_("expires"), null=True)
    finished_at = models.DateTimeField(_("finished"), null=True)

    class Meta:
        ordering = ("-id",)
        verbose_name = _("verification case")
        verbose_name_plural = _("verification cases")
        constraints = (
            models.UniqueConstraint(
                fields=("user", "level"),
                condition=models.Q(state__in=[state.value for state in OPEN]),
                name="case_one_open",
            ),
            models.CheckConstraint(condition=models.Q(level__gte=1, level__lte=3), name="case_level"),
            models.CheckConstraint(
                condition=models.Q(state__in=[state.value for state in CaseState]), name="case_state"
            ),
            models.CheckConstraint(
                condition=models.Q(
                    state__in=sorted(state.value for state in FINAL), finished_at__isnull=False
                )
                | models.Q(state__in=[state.value for state in OPEN], finished_at__isnull=True),
                name="case_finished_when_final",
            ),
            models.CheckConstraint(
                condition=~models.Q(state=CaseState.REJECTED) | ~models.Q(reason_code=""),
                name="case_rejection_says_why",
            ),
        )
        indexes = (
            models.Index(
                fields=("next_attempt_at",),
                name="case_due",
                condition=models.Q(next_attempt_at__isnull=False),
            ),
            models.Index(
                fields=("updated_at",), name="case_queue", condition=models.Q(state="waiting_for_operator")
            ),
            models.Index(
                fields=("expires_at",), name="case_expiry", condition=models.Q(expires_at__isnull=False)
            ),
        )

    def __str__(self) -> str:
        return f"{self.user}: {self.level}"

    @property
    def is_open(self) -> bool:
        return self.state not in FINAL


class VerificationMove(ActorStamp):
    """One move of a case: from, to, through whom, why. Append-only."""

    case = models.ForeignKey(
        VerificationCase, models.PROTECT, related_name="moves", verbose_name=_("verification case")
    )
    from_state = models.CharField(_("from"), max_length=20, blank=True, choices=CaseState.choices)
    to_state = models.CharField(_("to"), max_length=20, choices=CaseState.choices)
    reason = models.TextField(_("reason"), blank=True, default="")
    at = models.DateTimeField(_("when"), default=clock.now)

    class Meta:
        ordering = ("id",)
        verbose_name = _("move of a verification case")
        verbose_name_plural = _("moves of verification cases")
        indexes = (models.Index(fields=("case", "-id"), name="case_move_last"),)

    def __str__(self) -> str:
        return f"{self.from_state} → {self.to_state}"


class VerificationAnswer(ActorStamp):
    """What a provider or an operator said of a case: both are kept, whoever decided. Append-only."""

    class Verdict(models.TextChoices):
        APPROVED = "approved", _("Verified")
        REJECTED = "rejected", _("Not verified")
        RETRY = "retry", _("To be sent again")
        PENDING = "pending", _("Being checked")
        UNKNOWN = "unknown", _("Not understood")

    case = models.ForeignKey(
        VerificationCase, models.PROTECT, related_name="answers", verbose_name=_("verification case")
    )
    verdict = models.CharField(_("answer"), max_length=8, choices=Verdict.choices)
    reason_code = models.CharField(
        _("reason"), max_length=16, choices=RejectReason.choices, blank=True, default=""
    )
    words = models.TextField(_("words to the customer"), blank=True, default="")
    detail = models.JSONField(_("as the provider said it"), default=dict, encoder=DjangoJSONEncoder)
    at = models.DateTimeField(_("when"), default=clock.now)

    class Meta:
        ordering = ("id",)
        verbose_name = _("answer on a verification case")
        verbose_name_plural = _("answers on verification cases")
        indexes = (models.Index(fields=("case", "-id"), name="case_answer_last"),)

    def __str__(self) -> str:
        return f"{self.actor_label}: {self.verdict}"


class VerificationDocument(models.Model):
    """A document of a case. The file is apart, encrypted, under a random name. Append-only."""

    public_id = models.UUIDField(default=ids.uuid7, unique=True, editable=False)
    case = models.ForeignKey(
        VerificationCase, models.PROTECT, related_name="documents", verbose_name=_("verification case")
    )
    kind = models.CharField(_("kind"), max_length=16, choices=DocumentKind.choices)
    content_type = models.CharField(_("file type"), max_length=32)
    size = models.PositiveIntegerField(_("size"))
    sha256 = models.CharField("SHA-256", max_length=64, db_index=True)
    file_name = models.CharField(_("file"), max_length=64, unique=True)
    ip = models.GenericIPAddressField(_("address"), null=True)
    created_at = models.DateTimeField(_("sent"), default=clock.now)

    class Meta:
        ordering = ("id",)
        verbose_name = _("verification document")
        verbose_name_plural = _("verification documents")
        permissions = (("open_verificationdocument", "Can open customers' documents"),)
        constraints = (models.UniqueConstraint(fields=("case", "kind", "sha256"), name="case_document_once"),)

    def __str__(self) -> str:
        return f"{self.kind} {self.public_id}"
