"""The audit's chain: each entry's keyed digest, in blocks that hold the block before (``core/sealing.py``)."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.utils.translation import gettext_lazy as _

from kauri.common import clock
from kauri.common.crypto import EncryptedTextField

_DIGEST = 64


class AuditKey(models.Model):
    """The one key of the digests (64 hex digits, sealed): who has only the database can make none."""

    secret = EncryptedTextField()

    class Meta:
        constraints = (models.CheckConstraint(condition=models.Q(pk=1), name="audit_key_one"),)

    def __str__(self) -> str:
        return "key of the audit"


class AuditPending(models.Model):
    """An entry that is in no block yet: a trigger writes it with the entry, the sealer takes it away."""

    entry_id = models.BigIntegerField(primary_key=True)

    def __str__(self) -> str:
        return str(self.entry_id)


class AuditBlock(models.Model):
    """A link of the chain. Append-only in the database.

    ``digest`` (hex) is over the digest before, the ids and the entries' own digests, in the order of
    the ids; ``marks`` are these (32 hex digits each), so that a changed entry is named.
    """

    seq = models.BigIntegerField(primary_key=True)
    entries = ArrayField(models.BigIntegerField())
    marks = ArrayField(models.CharField(max_length=32))
    digest = models.CharField(max_length=_DIGEST)
    sealed_at = models.DateTimeField(default=clock.now)

    class Meta:
        ordering = ("seq",)
        constraints = (
            models.CheckConstraint(condition=models.Q(seq__gte=1), name="audit_block_from_one"),
            models.CheckConstraint(
                condition=models.Q(entries__len=models.F("marks__len"), entries__len__gte=1),
                name="audit_block_marks",
            ),
        )

    def __str__(self) -> str:
        return str(self.seq)


class AuditCheck(models.Model):
    """One proof of the whole chain, with what it found. Append-only in the database."""

    started_at = models.DateTimeField(_("started"))
    finished_at = models.DateTimeField(_("finished"))
    is_clean = models.BooleanField(_("clean"))
    findings = models.JSONField(_("findings"), default=list, encoder=DjangoJSONEncoder)
    entries = models.BigIntegerField(_("audit entries"))
    blocks = models.BigIntegerField(_("blocks"))
    head = models.CharField(_("end of the chain"), max_length=_DIGEST, blank=True)

    class Meta:
        ordering = ("-id",)
        verbose_name = _("proof of the audit")
        verbose_name_plural = _("proofs of the audit")

    def __str__(self) -> str:
        return f"{self.finished_at:%Y-%m-%d %H:%M}"
