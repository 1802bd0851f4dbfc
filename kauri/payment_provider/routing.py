"""Which gateway serves a currency and direction, and the gateway object behind a provider row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from django.conf import settings
from django.db.models import QuerySet, Sum

from kauri.common import clock
from kauri.common.actor import Actor, ActorKind
from kauri.common.errors import KauriError
from kauri.common.money import ZERO
from kauri.core.models import Currency, Network, Provider
from kauri.core.selectors import switch_is_on
from kauri.payment_provider.gateway import Direction, Gateway, GatewayConfig, Rejected, build, registry
from kauri.payment_provider.models import Channel, Payout
from kauri.payment_provider.signing import SocketSigner


@dataclass(frozen=True, slots=True)
class Plan:
    """Who pays a withdrawal, where to (as the provider spells it), and in which payouts."""

    provider: Provider
    network: Network | None
    destination: str
    amounts: list[Decimal]


@dataclass(frozen=True, slots=True)
class _Candidate:
    provider: Provider
    gateway: Gateway
    network: Network | None
    channel: Channel | None

    @property
    def rank(self) -> tuple[int, str]:
        own = None if self.channel is None else self.channel.priority
        return self.provider.priority if own is None else own, self.provider.code

    def pieces(self, amount: Decimal, currency: Currency) -> list[Decimal] | None:
        return [amount] if self.channel is None else self.channel.pieces(amount, currency.scale)

    def waits(self, amount: Decimal) -> bool:
        """Whether it would have to wait for its hours or for another day's cap."""
        if self.channel is None:
            return False
        now = clock.now()
        if self.channel.next_opening(now) > now:
            return True
        if self.channel.daily_cap is None:
            return False
        return amount > self.channel.daily_cap - spent_today(self.channel, now)


def gateway_for(provider: Provider) -> Gateway:
    """The adapter of ``provider`` with its settings, decrypted credentials and the signer.

    No process that runs this code holds a private key: chains ask the signer (``KAURI_SIGNER_SOCKET``).
    """
    path = settings.KAURI.signer_socket
    config = GatewayConfig(
        code=provider.code,
        settings=dict(provider.settings),
        credentials=dict(provider.credentials),
        signer=SocketSigner(path) if path else None,
    )
    return build(provider.adapter, config)


def provider_actor(provider: Provider) -> Actor:
    """The provider as the author of what its node or callback tells."""
    return Actor(kind=ActorKind.PROVIDER, id=str(provider.pk), label=provider.code)


def scanning_providers() -> list[Provider]:
    """Enabled payment providers that find incoming money themselves."""
    return [provider for provider in _enabled() if registry()[provider.adapter].scans]


def route(
    currency: Currency, direction: Direction, network: str = ""
) -> tuple[Provider, Gateway, Network | None]:
    """The first healthy provider by priority that can do it, its gateway and its network.

    ``operation_disabled`` when nobody can at all (or the network is switched off),
    ``provider_unavailable`` when those who can are unhealthy.
    """
    able = _able(currency, direction, network)
    if not able:
        raise KauriError("operation_disabled", f"no provider for {currency} {direction.value}")
    for provider, gateway, home in able:
        if provider.health != Provider.HealthState.BAD:
            return provider, gateway, home
    raise KauriError("provider_unavailable", f"every provider of {currency} is unhealthy")


def plan(currency: Currency, amount: Decimal, network: str, destination: str) -> Plan:
    """The channel that pays ``amount`` out, by priority, and the payouts that it takes.

    One that could pay now comes before one that would have to wait for its hours or its next day.
    ``operation_disabled`` when nobody pays this currency, ``invalid_destination`` when nobody knows such a
    destination, ``below_minimum`` or ``above_maximum`` when no channel takes the amount,
    ``provider_unavailable`` when those who could are unhealthy.
    """
    able = _candidates(currency, network)
    if not able:
        raise KauriError("operation_disabled", f"no provider for {currency} {Direction.OUT.value}")
    accepted = _accepting(able, currency, destination)
    fitting = [(one, text, pieces) for one, text in accepted if (pieces := one.pieces(amount, currency))]
    if not fitting:
        bounds = [one.channel.min_amount for one, _ in accepted if one.channel is not None]
        below = all(least is not None and amount < least for least in bounds)
        raise KauriError("below_minimum" if below else "above_maximum", "no channel pays this amount")
    healthy = [row for row in fitting if row[0].provider.health != Provider.HealthState.BAD]
    if not healthy:
        raise KauriError("provider_unavailable", f"every provider of {currency} is unhealthy")
    chosen, text, pieces = next((row for row in healthy if not row[0].waits(amount)), healthy[0])
    return Plan(chosen.provider, chosen.network, text, pieces)


def plan_with(provider: Provider, currency: Currency, amount: Decimal, destination: str) -> Plan:
    """The payouts of ``amount`` by this very provider, whatever its state; whole where its bounds refuse."""
    channel = Channel.objects.filter(provider=provider, currency=currency).first()
    pieces = None if channel is None else channel.pieces(amount, currency.scale)
    return Plan(provider, network_of(provider), destination, pieces or [amount])


def alternative(
    currency: Currency, amount: Decimal, network: str, destination: str, without: Sequence[int]
) -> Provider | None:
    """Another healthy provider that takes ``amount`` in one payout to this very destination, by priority."""
    able = [one for one in _candidates(currency, network) if one.provider.pk not in without]
    for one in able:
        if one.provider.health == Provider.HealthState.BAD or one.pieces(amount, currency) != [amount]:
            continue
        try:
            if one.gateway.validate_destination(currency.code, destination) == destination:
                return one.provider
        except Rejected:
            continue
    return None


def fails_over(provider: Provider, currency: Currency) -> bool:
    """Whether what fails here is tried with the next channel: yes, unless its row says no."""
    channel = Channel.objects.filter(provider=provider, currency=currency).first()
    return channel is None or channel.fails_over


def gives_up_waiting(payout: Payout) -> bool:
    """Whether an unsent payout has waited for its channel longer than the channel's row allows."""
    channel = Channel.objects.filter(provider=payout.provider, currency=payout.currency).first()
    if channel is None or channel.hand_over_minutes is None:
        return False
    return clock.now() - payout.created_at > timedelta(minutes=channel.hand_over_minutes)


def counted_today(now: datetime) -> QuerySet[Payout]:
    """What counts for channels' caps of the day: everything let through since midnight UTC that has not failed."""
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return Payout.objects.filter(admitted_at__gte=today).exclude(state=Payout.State.FAILED)


def spent_today(channel: Channel, now: datetime, *, without: Payout | None = None) -> Decimal:
    """How much of the channel's daily cap is used."""
    counted = counted_today(now).filter(provider=channel.provider_id, currency=channel.currency_id)
    if without is not None:
        counted = counted.exclude(pk=without.pk)
    return counted.aggregate(spent=Sum("amount"))["spent"] or ZERO


def network_of(provider: Provider) -> Network | None:
    """The network that the provider's settings name, if it has one; switched on or not."""
    return Network.objects.filter(code=str(provider.settings.get("network", ""))).first()


def _candidates(currency: Currency, network: str) -> list[_Candidate]:
    """Who can pay out at all, by priority; a channel that is switched off can't."""
    channels = {row.provider_id: row for row in Channel.objects.filter(currency=currency)}
    found = [
        _Candidate(provider, gateway, home, channels.get(provider.pk))
        for provider, gateway, home in _able(currency, Direction.OUT, network)
    ]
    usable = [one for one in found if one.channel is None or one.channel.is_enabled]
    return sorted(usable, key=lambda one: one.rank)


def _accepting(
    able: Sequence[_Candidate], currency: Currency, destination: str
) -> list[tuple[_Candidate, str]]:
    """Those that know the destination, each with its spelling. ``invalid_destination`` when nobody does."""
    accepted, why = [], ""
    for one in able:
        try:
            accepted.append((one, one.gateway.validate_destination(currency.code, destination)))
        except Rejected as exc:
            why = why or str(exc)
    if not accepted:
        raise KauriError("invalid_destination", why, fields={"wallet_to": why})
    return accepted


def _able(
    currency: Currency, direction: Direction, network: str
) -> list[tuple[Provider, Gateway, Network | None]]:
    able = []
    for provider in _enabled():
        if not switch_is_on(f"provider:{provider.code}"):
            continue
        home = network_of(provider)
        gateway = gateway_for(provider)
        if (home is None or home.is_enabled) and any(
            capability.currency == currency.code
            and capability.direction == direction
            and (not network or capability.network.upper() == network.upper())
            for capability in gateway.capabilities()
        ):
            able.append((provider, gateway, home))
    return able


def _enabled() -> list[Provider]:
    rows = Provider.objects.filter(kind=Provider.Kind.PAYMENT, is_enabled=True).order_by("priority", "code")
    return [provider for provider in rows if provider.adapter in registry()]
