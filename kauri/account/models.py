"""Customers and operators, their keys, and who verified whom."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy as _

from kauri.common import clock, ids
from kauri.common.actor import Actor, ActorKind
from kauri.common.crypto import EncryptedTextField
from kauri.common.models import ActorStamp
from kauri.core.models import Versioned


class CustomerGroup(Versioned):
    """A kind of customer (default, VIP, partner): policies hang on it."""

    code = models.CharField(_("code"), max_length=24, unique=True)
    title = models.CharField(_("title"), max_length=64)

    class Meta:
        ordering = ("code",)
        verbose_name = _("customer group")
        verbose_name_plural = _("customer groups")

    def __str__(self) -> str:
        return self.title


class UserManager(BaseUserManager["User"]):
    """Creates people; e-mails are stored in lower case, so that one address is one account."""

    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(email=(username or "").strip().lower())

    def create_user(self, email: str, password: str | None = None, **extra: Any) -> User:
        user = self.model(email=email.strip().lower(), **extra)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **extra: Any) -> User:
        return self.create_user(email, password, is_staff=True, is_superuser=True, **extra)


class User(AbstractBaseUser, PermissionsMixin):
    """A customer, or (``is_staff``) an operator."""

    class AccountType(models.TextChoices):
        PERSONAL = "personal", _("Personal")
        BUSINESS = "business", _("Business")

    public_id = models.UUIDField(default=ids.uuid7, unique=True, editable=False)
    number = models.CharField(
        _("account number"), max_length=17, unique=True, default=ids.account_number, editable=False
    )
    email = models.EmailField(_("e-mail"), unique=True)
    username = models.CharField(_("name"), max_length=64, blank=True, default="")
    account_type = models.CharField(
        _("account type"), max_length=8, choices=AccountType.choices, default=AccountType.PERSONAL
    )
    group = models.ForeignKey(
        CustomerGroup, models.PROTECT, null=True, blank=True, related_name="users", verbose_name=_("group")
    )
    language = models.CharField(
        _("language"),
        max_length=2,
        default="en",
        choices=[("en", "English"), ("uk", "Українська"), ("ru", "Русский")],
    )
    verification_level = models.PositiveSmallIntegerField(_("verification level"), default=0)
    email_verified_at = models.DateTimeField(_("e-mail confirmed"), null=True, blank=True)
    is_active = models.BooleanField(_("may sign in"), default=True)
    is_staff = models.BooleanField(_("operator"), default=False)
    disabled_reason = models.CharField(_("reason of disabling"), max_length=300, blank=True, default="")
    callback_url = models.URLField(_("default callback"), max_length=500, blank=True, default="")
    webhook_secret = EncryptedTextField(_("webhook secret"), blank=True, default="")
    telegram_id = models.BigIntegerField(_("Telegram id"), null=True, blank=True, unique=True)
    telegram_username = models.CharField(_("Telegram name"), max_length=32, blank=True, default="")
    token_epoch = models.PositiveIntegerField(
        default=0, help_text=_("raised to end every session of the account")
    )
    created_at = models.DateTimeField(_("registered"), default=clock.now, editable=False)

    objects = UserManager()

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        ordering = ("-id",)
        verbose_name = _("customer")
        verbose_name_plural = _("customers")
        constraints = (
            models.CheckConstraint(condition=models.Q(email=Lower("email")), name="user_email_lower_case"),
            models.UniqueConstraint(
                Lower("telegram_username"),
                condition=~models.Q(telegram_username=""),
                name="user_telegram_username",
            ),
        )
        permissions = (("verify_user", "Can verify customers"), ("disable_user", "Can disable accounts"))

    def __str__(self) -> str:
        return self.email

    def get_short_name(self) -> str:
        return self.username or self.email

    def as_actor(self, ip: str = "") -> Actor:
        """This person as the author of an act."""
        kind = ActorKind.OPERATOR if self.is_staff else ActorKind.CUSTOMER
        return Actor(kind=kind, id=str(self.pk), label=self.email, ip=ip)


class ApiKey(models.Model):
    """A customer's key: pending until its code is confirmed, then shown once with its secret."""

    class Scope(models.TextChoices):
        READ = "read", _("Read")
        TRADE = "trade", _("Trade")
        WITHDRAW = "withdraw", _("Withdraw")
        INVOICE = "invoice", _("Invoice")

    class State(models.TextChoices):
        PENDING = "pending", _("Waits for its code")
        ACTIVE = "active", _("Active")
        REVOKED = "revoked", _("Revoked")

    public_id = models.UUIDField(default=ids.uuid7, unique=True, editable=False)
    user = models.ForeignKey(User, models.PROTECT, related_name="api_keys", verbose_name=_("customer"))
    name = models.CharField(_("name"), max_length=64)
    key = models.CharField(_("key"), max_length=64, unique=True)
    secret = EncryptedTextField(_("secret"))
    scopes = ArrayField(models.CharField(max_length=16, choices=Scope.choices), verbose_name=_("scopes"))
    ips = ArrayField(
        models.GenericIPAddressField(), default=list, blank=True, verbose_name=_("allowed addresses")
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


class SignIn(models.Model):
    """Every sign-in and refusal, for the record and for the throttle."""

    class Door(models.TextChoices):
        API = "api", _("API")
        BACK_OFFICE = "backoffice", _("Back office")

    user = models.ForeignKey(
        User, models.PROTECT, null=True, related_name="sign_ins", verbose_name=_("account")
    )
    email = models.CharField(_("e-mail given"), max_length=254)
    door = models.CharField(_("door"), max_length=12, choices=Door.choices)
    succeeded = models.BooleanField(_("succeeded"))
    ip = models.GenericIPAddressField(_("address"), null=True)
    user_agent = models.CharField(_("device"), max_length=300, blank=True, default="")
    at = models.DateTimeField(_("when"), default=clock.now)

    class Meta:
        ordering = ("-id",)
        verbose_name = _("sign-in")
        verbose_name_plural = _("sign-ins")
        indexes = (
            models.Index(fields=("email", "-at"), name="sign_in_by_email"),
            models.Index(fields=("ip", "-at"), name="sign_in_by_ip"),
        )

    def __str__(self) -> str:
        return f"{self.email} {self.at:%Y-%m-%d %H:%M}"


class VerificationDecision(ActorStamp):
    """One change of a customer's verification level: who, when, why, from what to what."""

    user = models.ForeignKey(
        User, models.PROTECT, related_name="verification_decisions", verbose_name=_("customer")
    )
    from_level = models.PositiveSmallIntegerField(_("from level"))
    to_level = models.PositiveSmallIntegerField(_("to level"))
    reason = models.TextField(_("reason"))
    at = models.DateTimeField(_("when"), default=clock.now)

    class Meta:
        ordering = ("-id",)
        verbose_name = _("verification decision")
        verbose_name_plural = _("verification decisions")

    def __str__(self) -> str:
        return f"{self.user}: {self.from_level} → {self.to_level}"
