"""Customers' cards, the numbers that are banned, and the key of their fingerprints."""

from __future__ import annotations

import secrets
from typing import Final

from django.db import models
from django.utils.translation import gettext_lazy as _

from kauri.account.models import User
from kauri.common import clock
from kauri.common.crypto import EncryptedTextField
from kauri.payment_card.numbers import mask
from kauri.payment_card.states import Scheme

TOKEN_PREFIX: Final = "card_"  # noqa: S105 - what every token begins with
_HEX: Final = r"^[0-9a-f]{64}$"


def token_new() -> str:
    """A name that nobody guesses."""
    return TOKEN_PREFIX + secrets.token_hex(16)


class CardKey(models.Model):
    """The key of all fingerprints: one row, made on first use, written once.

    It is sealed under the encryption keys like any secret, so ``secrets_rotate`` renews its seal and not the key
    itself: fingerprints, of which bans have nothing but them, stay good.
    """

    secret = EncryptedTextField(editable=False)

    class Meta:
        constraints = (models.CheckConstraint(condition=models.Q(pk=1), name="card_key_is_one"),)

    def __str__(self) -> str:
        return "fingerprint key"


class CardManager(models.Manager["PaymentCard"]):
    """The number is read, and opened, only by who asks for it."""

    def get_queryset(self) -> models.QuerySet[PaymentCard]:
        return super().get_queryset().defer("number")


class PaymentCard(models.Model):
    """Where a customer is paid in fiat. ``number`` is gone for good once the card is removed."""

    token = models.CharField(_("token"), max_length=40, unique=True, default=token_new, editable=False)
    customer = models.ForeignKey(User, models.PROTECT, related_name="cards", verbose_name=_("customer"))
    number = EncryptedTextField(editable=False)
    #: Keyed digests of the number and of its first eight digits: equal ones are found unopened.
    fingerprint = models.CharField(max_length=64, editable=False)
    issuer_fingerprint = models.CharField(max_length=64, editable=False)
    first6 = models.CharField(_("first six digits"), max_length=6)
    last4 = models.CharField(_("last four digits"), max_length=4)
    length = models.PositiveSmallIntegerField(_("digits"))
    scheme = models.CharField(_("payment system"), max_length=10, choices=Scheme.choices)
    owner_name = models.CharField(_("owner's name"), max_length=64)
    expiry_month = models.PositiveSmallIntegerField(_("month of expiry"), null=True)
    expiry_year = models.PositiveSmallIntegerField(_("year of expiry"), null=True)
    is_enabled = models.BooleanField(_("switched on"), default=True, help_text=_("by the customer"))
    stopped_at = models.DateTimeField(_("stopped"), null=True)
    stopped_by = models.CharField(_("stopped by"), max_length=254, blank=True, default="")
    stop_reason = models.TextField(_("why it was stopped"), blank=True, default="")
    created_at = models.DateTimeField(_("added"), default=clock.now)
    removed_at = models.DateTimeField(_("removed"), null=True)

    objects = CardManager()

    #: Whether a ban in force meets it: where ``selectors.with_bans`` has asked.
    is_banned: bool

    class Meta:
        ordering = ("-id",)
        verbose_name = _("card")
        verbose_name_plural = _("cards")
        permissions = (("stop_paymentcard", "Can stop customers' cards and let them go again"),)
        indexes = (
            models.Index(fields=("last4",), name="card_by_last4"),
            models.Index(fields=("fingerprint",), name="card_by_fingerprint"),
        )
        constraints = (
            models.UniqueConstraint(
                fields=("customer", "fingerprint"),
                condition=models.Q(removed_at__isnull=True),
                name="card_once_per_customer",
            ),
            models.CheckConstraint(
                condition=models.Q(removed_at__isnull=True) ^ models.Q(number=""),
                name="card_number_goes_with_the_card",
            ),
            models.CheckConstraint(
                condition=models.Q(token__regex=r"^card_[0-9a-f]{32}$"),  # noqa: S106 - a form
                name="card_token_has_form",
            ),
            models.CheckConstraint(
                condition=models.Q(
                    first6__regex=r"^[0-9]{6}$", last4__regex=r"^[0-9]{4}$", length__gte=16, length__lte=19
                ),
                name="card_mask_is_no_number",
            ),
            models.CheckConstraint(
                condition=models.Q(fingerprint__regex=_HEX, issuer_fingerprint__regex=_HEX),
                name="card_fingerprint_is_a_digest",
            ),
            models.CheckConstraint(condition=models.Q(scheme__in=Scheme.values), name="card_scheme"),
            models.CheckConstraint(
                condition=models.Q(expiry_month__isnull=True, expiry_year__isnull=True)
                | models.Q(
                    expiry_month__isnull=False,
                    expiry_year__isnull=False,
                    expiry_month__gte=1,
                    expiry_month__lte=12,
                    expiry_year__gte=2000,
                    expiry_year__lte=2100,
                ),
                name="card_expiry_is_a_month",
            ),
            models.CheckConstraint(
                condition=models.Q(stopped_at__isnull=True, stop_reason="", stopped_by="")
                | (models.Q(stopped_at__isnull=False) & ~models.Q(stop_reason="") & ~models.Q(stopped_by="")),
                name="card_stop_says_why",
            ),
            # Whoever writes the number into the name's field has it stored in the clear.
            models.CheckConstraint(
                condition=models.Q(owner_name__regex=r"^[^0-9]+$"), name="card_owner_has_no_digits"
            ),
        )

    def __str__(self) -> str:
        return self.mask

    @property
    def mask(self) -> str:
        return mask(self.first6, self.last4, self.length)

    @property
    def expiry(self) -> str:
        """``07/2029``, or nothing."""
        return f"{self.expiry_month:02d}/{self.expiry_year}" if self.expiry_month else ""


class CardBan(models.Model):
    """A number, or all numbers of an issuer, that nobody adds and nothing is paid to. The number is not kept."""

    class Kind(models.TextChoices):
        NUMBER = "number", _("One card")
        ISSUER = "issuer", _("All cards of an issuer")

    kind = models.CharField(_("what is banned"), max_length=6, choices=Kind.choices)
    fingerprint = models.CharField(max_length=64, editable=False)
    prefix = models.CharField(_("first digits"), max_length=8, blank=True, default="")
    mask = models.CharField(_("card"), max_length=19, blank=True, default="")
    reason = models.TextField(_("reason"))
    banned_by_id = models.BigIntegerField(editable=False)
    banned_by = models.CharField(_("banned by"), max_length=254)
    banned_at = models.DateTimeField(_("banned"), default=clock.now)
    lifted_by_id = models.BigIntegerField(null=True, editable=False)
    lifted_by = models.CharField(_("lifted by"), max_length=254, blank=True, default="")
    lifted_at = models.DateTimeField(_("lifted"), null=True)
    lift_reason = models.TextField(_("why it was lifted"), blank=True, default="")

    class Meta:
        ordering = ("-id",)
        verbose_name = _("banned card")
        verbose_name_plural = _("banned cards")
        permissions = (("ban_card", "Can ban cards and lift bans"),)
        constraints = (
            models.UniqueConstraint(
                fields=("fingerprint",), condition=models.Q(lifted_at__isnull=True), name="card_ban_once"
            ),
            models.CheckConstraint(
                condition=models.Q(kind="number", prefix="", mask__regex=r"^[0-9]{6}\*{6,9}[0-9]{4}$")
                | models.Q(kind="issuer", mask="", prefix__regex=r"^([0-9]{6}|[0-9]{8})$"),
                name="card_ban_names_what",
            ),
            models.CheckConstraint(
                condition=models.Q(fingerprint__regex=_HEX), name="card_ban_fingerprint_is_a_digest"
            ),
            models.CheckConstraint(condition=~models.Q(reason=""), name="card_ban_says_why"),
            models.CheckConstraint(
                condition=models.Q(
                    lifted_at__isnull=True, lifted_by_id__isnull=True, lifted_by="", lift_reason=""
                )
                | (
                    models.Q(lifted_at__isnull=False, lifted_by_id__isnull=False)
                    & ~models.Q(lifted_by="")
                    & ~models.Q(lift_reason="")
                ),
                name="card_ban_lifted_with_a_reason",
            ),
            # Stopping takes one person; letting go again, two.
            models.CheckConstraint(
                condition=models.Q(lifted_by_id__isnull=True)
                | ~models.Q(lifted_by_id=models.F("banned_by_id")),
                name="card_ban_two_people",
            ),
        )

    def __str__(self) -> str:
        return self.mask or f"{self.prefix}…"
