"""Customers and operators, and the groups that policies hang on."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.db import models
from django.db.models.functions import Lower
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _

from kauri.common import clock, ids
from kauri.common.actor import Actor, ActorKind
from kauri.common.crypto import EncryptedTextField
from kauri.common.scopes import EVERYTHING, KINDS, Scope
from kauri.core.models import Versioned

#: The grants that limit an operator: the permission that each is kept under, by kind.
GRANTS = dict(zip(KINDS, ("view_customergroup", "view_currency", "view_provider"), strict=True))


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
        CustomerGroup,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="users",
        verbose_name=_("group"),
        db_index=False,  # see user_by_group
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
    auto_conversion = models.CharField(
        _("convert deposits to"),
        max_length=12,
        blank=True,
        default="",
        help_text=_("the customer's wish: a currency's code, or nothing"),
    )
    webhook_secret = EncryptedTextField(_("webhook secret"), blank=True, default="")
    telegram_id = models.BigIntegerField(_("Telegram id"), null=True, blank=True, unique=True)
    telegram_username = models.CharField(_("Telegram name"), max_length=32, blank=True, default="")
    token_epoch = models.PositiveIntegerField(
        default=0, help_text=_("raised to end every session of the account")
    )
    security_changed_at = models.DateTimeField(
        _("security changed"),
        null=True,
        editable=False,
        help_text=_("money that leaves soon after this is looked at by an operator"),
    )
    frozen_at = models.DateTimeField(_("frozen by its owner"), null=True, editable=False)
    anti_phishing_code = EncryptedTextField(
        _("anti-phishing code"), blank=True, default="", help_text=_("shown in every letter to the customer")
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
            models.CheckConstraint(
                condition=models.Q(frozen_at__isnull=True) | models.Q(is_active=False),
                name="user_frozen_is_not_active",
            ),
        )
        indexes = (
            models.Index(fields=("-created_at",), name="user_newest"),
            # Whether a row's customer is one that a limited operator sees, without a look at the table.
            models.Index(fields=("id",), name="user_group_of", include=("group",)),
            # Who they are, likewise.
            models.Index(fields=("group", "id"), name="user_by_group"),
            models.Index(fields=("username",), name="user_by_name", condition=~models.Q(username="")),
            # A handful of operators among all customers.
            models.Index(fields=("email",), name="user_operators", condition=models.Q(is_staff=True)),
        )
        permissions = (
            ("verify_user", "Can verify customers"),
            ("disable_user", "Can disable accounts"),
            ("secure_user", "Can end sessions and lift address lists"),
        )

    def __str__(self) -> str:
        return self.email

    @cached_property
    def scope(self) -> Scope:
        """What of the house this operator sees; read once, so once a request."""
        if not self.is_staff:
            return EVERYTHING
        granted: dict[str, set[int]] = {}
        rows = self.userobjectpermission_set.filter(permission__codename__in=GRANTS.values())
        for code, pk in rows.values_list("permission__codename", "object_pk"):
            granted.setdefault(code, set()).add(int(pk))
        limits = {kind: frozenset(granted[code]) for kind, code in GRANTS.items() if code in granted}
        return Scope(self.pk, **limits)

    def get_short_name(self) -> str:
        return self.username or self.email

    def as_actor(self, ip: str = "") -> Actor:
        """This person as the author of an act."""
        kind = ActorKind.OPERATOR if self.is_staff else ActorKind.CUSTOMER
        return Actor(kind=kind, id=str(self.pk), label=self.email, ip=ip)
