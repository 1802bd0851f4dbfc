"""What a limited operator sees: how each kind of row hangs on a customer group, a currency, a provider.

An operator with grants of a kind sees only rows of what was granted; without any grant of a kind there
is no limit in it. The table below is the only place that says how rows hang on the three; whatever
reads rows for an operator passes them through :func:`narrow`. What can't be told to be inside is
outside.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import reduce
from operator import and_, or_
from typing import Any, Final

from django.apps import apps
from django.db.models import Exists, Model, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.lookups import IsNull

KINDS: Final = ("groups", "currencies", "providers")


@dataclass(frozen=True, slots=True)
class Scope:
    """What one operator is limited to: primary keys by kind, None where there is no limit."""

    operator_id: int = 0
    groups: frozenset[int] | None = None
    currencies: frozenset[int] | None = None
    providers: frozenset[int] | None = None

    def of(self, kind: str) -> frozenset[int] | None:
        found: frozenset[int] | None = getattr(self, kind)
        return found

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds in which there is a limit."""
        return tuple(kind for kind in KINDS if self.of(kind) is not None)

    @property
    def is_limited(self) -> bool:
        return bool(self.kinds)

    @property
    def key(self) -> str:
        """The limits as one text: equal for equal limits, empty for none."""
        return ";".join(f"{kind}={','.join(map(str, sorted(self.of(kind) or ())))}" for kind in self.kinds)

    @classmethod
    def parsed(cls, key: str, operator_id: int = 0) -> Scope:
        """The scope of a :attr:`key`."""
        limits = dict(part.split("=", 1) for part in key.split(";") if part)
        return cls(
            operator_id,
            **{kind: frozenset(int(pk) for pk in pks.split(",") if pk) for kind, pks in limits.items()},
        )

    def has_currency(self, currency_id: int) -> bool:
        return self.currencies is None or currency_id in self.currencies


EVERYTHING: Final = Scope()

#: From the model and what is granted to the condition on its rows.
Rule = Callable[[type[Model], frozenset[int]], Q]


def _there(model: type[Model], path: str, granted: frozenset[int]) -> Q:
    """What ``path`` names is granted, or there is nothing that it names."""
    inside = Q(**{f"{path}__in": granted})
    head, _dot, _last = path.rpartition("__")
    # Of what is always there the second half says nothing, and would keep an index of the first from being used.
    return (
        inside if head and _is_always_there(model, head) else inside | Q(**{f"{head or path}__isnull": True})
    )


def _is_always_there(model: type[Model], path: str) -> bool:
    options = model._meta
    for name in path.split("__"):
        field: Any = options.get_field(name)
        if not field.concrete or field.null:
            return False
        options = field.related_model._meta
    return True


def within(*paths: str) -> Rule:
    """At least one of the paths leads somewhere, and none leads outside."""

    def rule(model: type[Model], granted: frozenset[int]) -> Q:
        if len(paths) == 1:
            return Q(**{f"{paths[0]}__in": granted})
        nowhere_outside = reduce(and_, (_there(model, path, granted) for path in paths))
        # A path that always leads somewhere says both; an "or" over two joins would keep every index from being used.
        if any(_is_always_there(model, path.rpartition("__")[0] or path) for path in paths):
            return nowhere_outside
        return reduce(or_, (Q(**{f"{path}__in": granted}) for path in paths)) & nowhere_outside

    return rule


def unless_other(*paths: str) -> Rule:
    """None of the paths leads outside; a row that is about no one in particular is seen by all."""

    def rule(model: type[Model], granted: frozenset[int]) -> Q:
        return reduce(and_, (_there(model, path, granted) for path in paths))

    return rule


def among(path: str) -> Rule:
    """As :func:`within` through many rows, by the name they are known by here: one is inside, none is outside."""
    many, _dot, way = path.partition("__")

    def rule(model: type[Model], granted: frozenset[int]) -> Q:
        relation: Any = model._meta.get_field(many)
        rows = relation.related_model._default_manager.order_by().filter(
            **{relation.field.name: OuterRef("pk")}
        )
        there = Q(**{f"{way.rpartition('__')[0] or way}__isnull": False})
        inside = Q(**{f"{way}__in": granted})
        # The first condition finds the rows. The second is one row's value, not an "exists": it is looked at for each of
        # them and ends at the first that is outside, and can't be turned into a reading of the whole table.
        outside = rows.filter(there & ~inside).values(outside=Value(True))[:1]
        return Q(Exists(rows.filter(inside))) & Q(IsNull(Subquery(outside), True))

    return rule


def named(field: str, target: str, name: str) -> Rule:
    """The row holds the ``name`` of a granted ``target`` as text."""

    def rule(model: type[Model], granted: frozenset[int]) -> Q:
        del model
        rows = apps.get_model(target)._default_manager.filter(pk__in=granted).order_by()
        return Q(**{f"{field}__in": rows.values(name)})

    return rule


def hidden(model: type[Model], granted: frozenset[int]) -> Q:
    """Whoever is limited in this kind sees none of these rows."""
    del model, granted
    return Q(pk__in=[])


@dataclass(frozen=True, slots=True)
class Hangs:
    """How a model's rows hang on each kind; None where a limit in that kind says nothing about them."""

    groups: Rule | None = None
    currencies: Rule | None = None
    providers: Rule | None = None
    #: A condition of its own on the rows, for whoever is limited in anything.
    own: Callable[[Scope], Q] | None = None

    def condition(self, model: type[Model], scope: Scope) -> Q:
        """What of ``model`` is inside ``scope``."""
        found = Q() if self.own is None or not scope.is_limited else self.own(scope)
        for kind in scope.kinds:
            rule: Rule | None = getattr(self, kind)
            if rule is not None:
                found &= rule(model, scope.of(kind) or frozenset())
        return found


def _of_order(path: str = "") -> Hangs:
    """A row that belongs to an order; ``path`` leads to it."""
    way = f"{path}__" if path else ""
    return Hangs(
        groups=within(f"{way}owner__group", f"{way}counterparty__group"),
        currencies=within(f"{way}currency_in", f"{way}currency_out"),
        providers=within(f"{way}withdrawal__provider", f"{way}deposit__payin__provider"),
    )


def _acts_of_ones_own(scope: Scope) -> Q:
    return Q(actor_kind="operator", actor_id=str(scope.operator_id))


def _made_as_limited(scope: Scope) -> Q:
    return Q(requested_by_id=scope.operator_id, scope=scope.key)


_HOUSE: Final = Hangs(hidden, hidden, hidden)
_PAYIN: Final = Hangs(within("deposit__order__owner__group"), within("currency"), within("provider"))
_PLACE: Final = Hangs(within("user__group"), within("currency"), within("provider"))
#: Totals of the house hold every group's money.
_TOTAL: Final = Hangs(hidden, within("currency"), within("provider"))

#: Model label to how its rows hang on the three kinds. A proxy goes by the model that it stands for.
SCOPED: Final[Mapping[str, Hangs]] = {
    "account.apikey": Hangs(groups=within("user__group")),
    "account.customergroup": Hangs(groups=within("pk")),
    "account.factorreset": _HOUSE,
    "account.signin": Hangs(groups=within("user__group")),
    "account.user": Hangs(groups=within("group")),
    "account.verificationcase": Hangs(groups=within("user__group"), providers=within("provider")),
    "account.verificationdocument": Hangs(
        groups=within("case__user__group"), providers=within("case__provider")
    ),
    "balance.adjustment": Hangs(
        within("from_customer__group", "to_customer__group"),
        within("currency"),
        within("from_provider", "to_provider"),
    ),
    "balance.entry": Hangs(
        within("account__customer__group"), within("currency"), within("account__provider")
    ),
    "balance.hold": Hangs(within("customer__group"), within("currency"), hidden),
    "balance.ledgeraccount": Hangs(within("customer__group"), within("currency"), within("provider")),
    "balance.ledgerday": _HOUSE,
    "balance.period": _HOUSE,
    "balance.selfcheck": _HOUSE,
    "balance.transfer": Hangs(
        among("entries__account__customer__group"),
        among("entries__currency"),
        among("entries__account__provider"),
    ),
    "callbacks.inboundcallback": Hangs(hidden, hidden, named("provider_code", "core.provider", "code")),
    "core.auditcheck": _HOUSE,
    "core.auditentry": Hangs(own=_acts_of_ones_own),
    "core.currency": Hangs(currencies=within("pk")),
    "core.network": Hangs(currencies=within("currency")),
    "core.pair": Hangs(currencies=within("base", "quote")),
    "core.proposal": _HOUSE,
    "core.provider": Hangs(providers=within("pk")),
    "deposit_order.depositdetail": _of_order("order"),
    "exchange_rate.usdrate": Hangs(currencies=within("currency")),
    # The recipient is the order's counterparty, and always there.
    "internal_movement_order.movementdetail": replace(
        _of_order("order"), groups=within("order__owner__group", "recipient__group")
    ),
    "notification.delivery": Hangs(within("owner__group"), hidden, hidden),
    "order_core.approval": _of_order("order"),
    "order_core.order": _of_order(),
    "order_core.policy": Hangs(unless_other("user__group", "group"), unless_other("currency")),
    "order_core.screening": Hangs(
        # That of a payin has its deposit's order; a destination's answer is about no customer and no provider of payments.
        within("order__owner__group"),
        within("currency"),
        within("payin__provider"),
    ),
    "order_core.screeningpolicy": Hangs(currencies=within("currency"), providers=within("provider")),
    "payment_card.cardban": Hangs(groups=hidden),
    "payment_card.paymentcard": Hangs(groups=within("customer__group")),
    "payment_provider.channel": Hangs(currencies=within("currency"), providers=within("provider")),
    "payment_provider.payin": _PAYIN,
    "payment_provider.payout": Hangs(
        within("part__detail__order__owner__group"), within("currency"), within("provider")
    ),
    "payment_provider.providerbalancesnapshot": _TOTAL,
    "report.listexport": Hangs(own=_made_as_limited),
    "report.reportrun": Hangs(own=_made_as_limited),
    "wallet.depositaddress": _PLACE,
    "wallet.foreigntoken": Hangs(hidden, hidden, within("provider")),
    "wallet.paymentlink": _PLACE,
    "wallet.reconciliation": _TOTAL,
    "wallet.reconciliationbreak": _TOTAL,
    "wallet.sweep": Hangs(within("address__user__group"), within("currency"), within("provider")),
    "withdrawal_order.closing": _of_order("order"),
    "withdrawal_order.reviewrule": Hangs(unless_other("group"), unless_other("currency")),
    "withdrawal_order.saveddestination": Hangs(within("customer__group"), within("currency")),
    "withdrawal_order.withdrawaldetail": _of_order("order"),
}

#: Seen by every operator whose role may see them, however limited, and why.
UNSCOPED: Final[Mapping[str, str]] = {
    "auth.group": "a role is about acts, not about customers, currencies or providers",
    "core.heartbeat": "a sign of life of the house's own processes",
    "core.schedulerun": "when the house's own schedules ran",
    "core.switch": "an emergency stop is everybody's to see",
    "order_core.operatorlimit": "how much an operator may approve says nothing of any customer",
}


def hangs(model: type[Model]) -> Hangs | None:
    """How the rows of ``model`` hang on the kinds; None for those that all may see. Unknown is an error."""
    concrete = model._meta.concrete_model or model
    label = concrete._meta.label_lower
    return None if label in UNSCOPED else SCOPED[label]


def condition(model: type[Model], scope: Scope) -> Q:
    """What of ``model`` the operator of ``scope`` sees."""
    if not scope.is_limited:
        return Q()
    found = hangs(model)
    return Q() if found is None else found.condition(model, scope)


def narrow[Row: Model](rows: QuerySet[Row], scope: Scope) -> QuerySet[Row]:
    """Of ``rows`` what the operator of ``scope`` sees."""
    found = condition(rows.model, scope) if scope.is_limited else Q()
    return rows.filter(found) if found else rows


def one_by_one[Row: Model](rows: QuerySet[Row], scope: Scope) -> QuerySet[Row]:
    """As :func:`narrow`, of rows that are few: each is looked at, whatever the operator's customers ever did.

    One row's value and not a join, for the database would begin with the customers where they are few.
    """
    found = condition(rows.model, scope)
    if not found:
        return rows
    itself = rows.model._default_manager.order_by().filter(found, pk=OuterRef("pk"))
    return rows.filter(IsNull(Subquery(itself.values(inside=Value(True))[:1]), False))


def seen[Row: Model](rows: QuerySet[Row], page: Any) -> QuerySet[Row]:
    """Of ``rows`` what the reader of ``page`` (a row that the back office opened) sees."""
    return narrow(rows, getattr(page, "viewer_scope", EVERYTHING))
