"""The one order table, its history, its approvals, and the policies that rule it."""

from __future__ import annotations

from decimal import Decimal

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models.functions import Cast, Floor, Random
from django.utils.translation import gettext_lazy as _

from kauri.account.models import CustomerGroup, User
from kauri.common import clock, ids
from kauri.common.models import FINITE, ActorStamp, MoneyField
from kauri.core.models import Currency, Versioned
from kauri.order_core.models.risk import DRAWS, draw
from kauri.order_core.states import OrderStatus, OrderType


class Order(models.Model):
    """A customer's request that moves money. ``status`` is written by ``machine.py`` only.

    ``amount_in`` is what the customer gives (fee inside), ``amount_out`` what they get; both are
    exact at their currency's scale. A deposit gives from outside and gets a balance; a withdrawal
    gives from the balance and gets outside.
    """

    class Source(models.TextChoices):
        API = "api", _("API")
        TELEGRAM = "telegram", _("Telegram")
        BACK_OFFICE = "backoffice", _("Back office")
        PROVIDER = "provider", _("Provider")

    public_id = models.UUIDField(_("order id"), default=ids.uuid7, unique=True, editable=False)
    type = models.CharField(_("type"), max_length=20, choices=OrderType.choices)
    sub_type = models.CharField(_("sub type"), max_length=20, blank=True, default="GATEWAY")
    owner = models.ForeignKey(User, models.PROTECT, related_name="orders", verbose_name=_("customer"))
    counterparty = models.ForeignKey(
        User,
        models.PROTECT,
        null=True,
        related_name="+",
        db_index=False,
        verbose_name=_("other side"),
        help_text=_("the customer who gets an internal movement"),
    )
    status = models.CharField(
        _("status"), max_length=40, choices=OrderStatus.choices, default=OrderStatus.NEW
    )
    split_from = models.OneToOneField(
        "self",
        models.PROTECT,
        null=True,
        related_name="unpaid_rest",
        verbose_name=_("unpaid rest of"),
        help_text=_("the order that was paid in part, and closed with that part"),
    )
    currency_in = models.ForeignKey(
        Currency, models.PROTECT, related_name="+", verbose_name=_("currency given")
    )
    amount_in = MoneyField(_("amount given"))
    currency_out = models.ForeignKey(
        Currency, models.PROTECT, related_name="+", verbose_name=_("currency got")
    )
    amount_out = MoneyField(_("amount got"))
    fee = MoneyField(_("fee"), default=Decimal(0))
    fee_currency = models.ForeignKey(
        Currency, models.PROTECT, related_name="+", verbose_name=_("fee currency")
    )
    external_id = models.CharField(_("client's id"), max_length=128, blank=True, default="")
    callback_url = models.TextField(_("callback"), blank=True, default="")
    comment = models.CharField(_("comment"), max_length=500, blank=True, default="")
    additional_info = models.JSONField(default=dict, blank=True, encoder=DjangoJSONEncoder)
    source = models.CharField(_("source"), max_length=12, choices=Source.choices)
    ip = models.GenericIPAddressField(_("address"), null=True)
    user_agent = models.CharField(_("device"), max_length=300, blank=True, default="")
    explanation = models.JSONField(_("rules looked at"), default=dict, blank=True, encoder=DjangoJSONEncoder)
    created_at = models.DateTimeField(_("created"), default=clock.now)
    updated_at = models.DateTimeField(_("changed"), default=clock.now)
    finished_at = models.DateTimeField(_("finished"), null=True)

    class Meta:
        ordering = ("-id",)
        verbose_name = _("order")
        verbose_name_plural = _("orders")
        permissions = (("note_order", "Can write notes on orders"),)
        constraints = (
            models.CheckConstraint(
                condition=models.Q(amount_in__gt=0, amount_out__gt=0, fee__gte=0)
                & models.Q(amount_in__lt=FINITE, amount_out__lt=FINITE, fee__lt=FINITE),
                name="order_amounts",
            ),
            models.CheckConstraint(
                condition=models.Q(status__in=OrderStatus.values), name="order_status_known"
            ),
            models.CheckConstraint(condition=models.Q(type__in=OrderType.values), name="order_type_known"),
            # The rest of a split withdrawal was never paid, and never will be.
            models.CheckConstraint(
                condition=models.Q(split_from__isnull=True)
                | models.Q(type=OrderType.WITHDRAWAL, status=OrderStatus.ERROR),
                name="order_rest_is_unpaid",
            ),
            models.UniqueConstraint(
                fields=("owner", "type", "external_id"),
                condition=~models.Q(external_id=""),
                name="order_external_id_once",
            ),
        )
        indexes = (
            models.Index(fields=("owner", "-created_at", "-id"), name="order_history"),
            models.Index(
                fields=("counterparty", "-created_at", "-id"),
                name="order_received",
                condition=models.Q(counterparty__isnull=False),
            ),
            models.Index(fields=("type", "status", "id"), name="order_queue"),
            # Newest first over everything, how many of a type a day brought, and what ended lately.
            models.Index(fields=("-created_at",), include=("type",), name="order_newest"),
            models.Index(
                fields=("finished_at",),
                name="order_finished",
                condition=models.Q(finished_at__isnull=False),
            ),
            models.Index(
                fields=("external_id",), name="order_external_id", condition=~models.Q(external_id="")
            ),
            # Nearly all are done, and asked for by clients or providers: the rest is found whatever its type.
            models.Index(
                fields=("source", "-id"),
                name="order_by_source",
                condition=~models.Q(source__in=["api", "provider"]),
            ),
            models.Index(
                fields=("status", "-id"),
                name="order_by_status",
                condition=~models.Q(status=OrderStatus.CLOSED),
            ),
        )

    def __str__(self) -> str:
        return str(self.public_id)


class Transition(ActorStamp):
    """One move of an order: from, to, who, when, why. Append-only; ``machine.py`` writes it."""

    order = models.ForeignKey(Order, models.PROTECT, related_name="transitions", verbose_name=_("order"))
    from_status = models.CharField(_("from"), max_length=40, blank=True, choices=OrderStatus.choices)
    to_status = models.CharField(_("to"), max_length=40, choices=OrderStatus.choices)
    reason = models.TextField(_("reason"), blank=True, default="")
    at = models.DateTimeField(_("when"), default=clock.now)

    class Meta:
        ordering = ("id",)
        verbose_name = _("order move")
        verbose_name_plural = _("order moves")

    def __str__(self) -> str:
        return f"{self.from_status} → {self.to_status}"


class Approval(models.Model):
    """An order's wait for people: which rules sent it here, who took it, how it ended."""

    class State(models.TextChoices):
        PENDING = "pending", _("Waits")
        APPROVED = "approved", _("Approved")
        REJECTED = "rejected", _("Rejected")
        WITHDRAWN = "withdrawn", _("Withdrawn by the customer")

    order = models.OneToOneField(Order, models.PROTECT, related_name="approval", verbose_name=_("order"))
    rules = models.JSONField(_("rules that sent it here"), default=list, encoder=DjangoJSONEncoder)
    needed = models.PositiveSmallIntegerField(_("approvals needed"), default=1)
    draw = models.PositiveSmallIntegerField(
        _("draw for a second look"),
        default=draw,
        # Rows that waited before there were draws.
        db_default=Cast(Floor(Random() * DRAWS), models.PositiveSmallIntegerField()),
        editable=False,
    )
    second_look = models.BooleanField(_("picked for a second look"), default=False, db_default=False)
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.PENDING)
    taken_by = models.ForeignKey(
        User, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("taken by")
    )
    taken_at = models.DateTimeField(_("taken"), null=True, blank=True)
    held_by = models.ForeignKey(
        User, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("put on hold by")
    )
    held_at = models.DateTimeField(_("on hold since"), null=True, blank=True)
    held_reason = models.CharField(
        _("why it is on hold"), max_length=300, blank=True, default="", db_default=""
    )
    #: Until which moment of the hold operators were told that it lasts; see :mod:`kauri.order_core.holding`.
    held_told_to = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(_("since"), default=clock.now)
    decided_at = models.DateTimeField(_("decided"), null=True)

    class Meta:
        ordering = ("id",)
        verbose_name = _("approval")
        verbose_name_plural = _("approvals")
        constraints = (
            models.CheckConstraint(condition=models.Q(draw__lt=DRAWS), name="approval_draw"),
            models.CheckConstraint(
                condition=models.Q(second_look=False) | models.Q(needed__gte=2), name="approval_second_look"
            ),
            # On hold is only what waits, for a reason, and nobody works on it.
            models.CheckConstraint(
                condition=models.Q(held_at__isnull=True, held_by__isnull=True, held_reason="")
                | models.Q(
                    held_at__isnull=False, held_by__isnull=False, state="pending", taken_by__isnull=True
                )
                & ~models.Q(held_reason=""),
                name="approval_on_hold",
            ),
            models.CheckConstraint(
                condition=models.Q(held_told_to__isnull=True)
                | models.Q(held_at__isnull=False, held_told_to__gt=models.F("held_at")),
                name="approval_told_of_hold",
            ),
        )
        indexes = (
            models.Index(fields=("created_at",), name="approval_queue", condition=models.Q(state="pending")),
            models.Index(fields=("held_at",), name="approval_held", condition=~models.Q(held_at=None)),
        )

    def __str__(self) -> str:
        return str(self.order)


class ApprovalVote(ActorStamp):
    """One operator's decision on one approval; an operator decides once."""

    class Decision(models.TextChoices):
        APPROVE = "approve", _("Approve")
        REJECT = "reject", _("Reject")

    approval = models.ForeignKey(Approval, models.PROTECT, related_name="votes")
    decision = models.CharField(_("decision"), max_length=8, choices=Decision.choices)
    reason = models.TextField(_("reason"), blank=True, default="")
    usd = MoneyField(_("worth in US dollars"), null=True, help_text=_("empty: nobody knew the rate"))
    picked = models.BooleanField(_("picked for a second look"), default=False, db_default=False)
    at = models.DateTimeField(_("when"), default=clock.now)

    class Meta:
        ordering = ("id",)
        constraints = (
            models.UniqueConstraint(fields=("approval", "actor_kind", "actor_id"), name="approval_vote_once"),
            models.CheckConstraint(
                condition=models.Q(usd__isnull=True) | models.Q(usd__gte=0, usd__lt=FINITE),
                name="approval_vote_usd",
            ),
        )
        indexes = (models.Index(fields=("actor_id", "at"), name="approval_vote_by_operator"),)

    def __str__(self) -> str:
        return f"{self.actor_label}: {self.decision}"


#: The policy's fields that are amounts.
POLICY_AMOUNTS: tuple[str, ...] = (
    "min_amount",
    "max_amount",
    "daily_amount",
    "monthly_amount",
    "fee_fixed",
    "fee_min",
    "fee_max",
    "totp_above",
    "email_above",
    "approval_above",
)


class Policy(Versioned):
    """The switch, limits and fees of one operation at one scope. An empty field says nothing.

    Each field is resolved on its own from the most specific row that sets it: user over group over
    account type over everyone; with a currency over without. Amounts are in the unit of their own
    row: the order's currency, or US dollars at the rate of the moment. A daily or monthly amount in
    dollars of a row without a currency counts the operation's orders in every currency.
    """

    class Unit(models.TextChoices):
        CURRENCY = "currency", _("the order's currency")
        USD = "usd", _("US dollars")

    class FeePayer(models.TextChoices):
        SENDER = "sender", _("Sender")
        RECIPIENT = "recipient", _("Recipient")

    operation = models.CharField(_("operation"), max_length=20, choices=OrderType.choices)
    currency = models.ForeignKey(
        Currency, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("currency")
    )
    user = models.ForeignKey(
        User, models.PROTECT, null=True, blank=True, related_name="policies", verbose_name=_("customer")
    )
    group = models.ForeignKey(
        CustomerGroup, models.PROTECT, null=True, blank=True, related_name="policies", verbose_name=_("group")
    )
    account_type = models.CharField(
        _("account type"), max_length=8, blank=True, default="", choices=User.AccountType.choices
    )
    enabled = models.BooleanField(_("switched on"), null=True, blank=True)
    unit = models.CharField(
        _("limits and thresholds are in"), max_length=8, choices=Unit.choices, default=Unit.CURRENCY
    )
    min_amount = MoneyField(_("minimum"), null=True, blank=True)
    max_amount = MoneyField(_("maximum"), null=True, blank=True)
    daily_amount = MoneyField(_("limit a day"), null=True, blank=True)
    monthly_amount = MoneyField(_("limit in 30 days"), null=True, blank=True)
    daily_count = models.PositiveIntegerField(_("orders a day"), null=True, blank=True)
    fee_percent = models.DecimalField(_("fee, %"), max_digits=7, decimal_places=4, null=True, blank=True)
    fee_fixed = MoneyField(_("fixed fee"), null=True, blank=True)
    fee_min = MoneyField(_("least fee"), null=True, blank=True)
    fee_max = MoneyField(_("greatest fee"), null=True, blank=True)
    fee_payer = models.CharField(  # noqa: DJ001 - like every field here: NULL says nothing
        _("fee paid by"), max_length=9, choices=FeePayer.choices, null=True, blank=True
    )
    totp_above = MoneyField(_("one-time code above"), null=True, blank=True)
    email_above = MoneyField(
        _("code of a letter above"), null=True, blank=True, help_text=_("withdrawals only")
    )
    approval_above = MoneyField(_("operator approval above"), null=True, blank=True)
    approvals_needed = models.PositiveSmallIntegerField(_("approvals needed"), null=True, blank=True)
    required_level = models.PositiveSmallIntegerField(_("verification level needed"), null=True, blank=True)

    class Meta:
        ordering = ("operation", "currency__sort", "id")
        verbose_name = _("policy")
        verbose_name_plural = _("policies")
        constraints = (
            models.UniqueConstraint(
                fields=("operation", "currency", "user", "group", "account_type"),
                name="policy_scope_once",
                nulls_distinct=False,
            ),
            models.CheckConstraint(
                condition=models.Q(user__isnull=True, group__isnull=True)
                | models.Q(user__isnull=True, account_type="")
                | models.Q(group__isnull=True, account_type=""),
                name="policy_one_scope",
            ),
            models.CheckConstraint(
                condition=models.Q(approvals_needed__isnull=True)
                | models.Q(approvals_needed__gte=1, approvals_needed__lte=3),
                name="policy_approvals_needed",
            ),
            models.CheckConstraint(
                condition=models.Q(fee_percent__isnull=True)
                | models.Q(fee_percent__gte=0, fee_percent__lte=100),
                name="policy_fee_percent",
            ),
            # Only a withdrawal has a state in which it waits for the code of a letter.
            models.CheckConstraint(
                condition=models.Q(email_above__isnull=True) | models.Q(operation=OrderType.WITHDRAWAL),
                name="policy_email_for_withdrawals",
                violation_error_message=_("Only withdrawals are confirmed by the code of a letter."),
            ),
            *(
                # NaN and negative amounts are no bounds; an absent one is.
                models.CheckConstraint(
                    condition=models.Q(**{f"{name}__isnull": True})
                    | models.Q(**{f"{name}__gte": 0, f"{name}__lt": FINITE}),
                    name=f"policy_{name}",
                )
                for name in POLICY_AMOUNTS
            ),
        )

    def __str__(self) -> str:
        scope = self.user or self.group or self.account_type or _("everyone")
        return f"{self.get_operation_display()}, {self.currency or _('every currency')}, {scope}"


POLICY_FIELDS: tuple[str, ...] = (
    "enabled",
    "min_amount",
    "max_amount",
    "daily_amount",
    "monthly_amount",
    "daily_count",
    "fee_percent",
    "fee_fixed",
    "fee_min",
    "fee_max",
    "fee_payer",
    "totp_above",
    "email_above",
    "approval_above",
    "approvals_needed",
    "required_level",
)
