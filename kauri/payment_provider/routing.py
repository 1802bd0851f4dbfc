"""Which gateway serves a currency and direction, and the gateway object behind a provider row."""

from __future__ import annotations

from django.conf import settings

from kauri.common.actor import Actor, ActorKind
from kauri.common.errors import KauriError
from kauri.core.models import Currency, Network, Provider
from kauri.core.selectors import switch_is_on
from kauri.payment_provider.gateway import Direction, Gateway, GatewayConfig, build, registry
from kauri.payment_provider.signing import SocketSigner


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
    if not able:
        raise KauriError("operation_disabled", f"no provider for {currency} {direction.value}")
    for provider, gateway, home in able:
        if provider.health != Provider.HealthState.BAD:
            return provider, gateway, home
    raise KauriError("provider_unavailable", f"every provider of {currency} is unhealthy")


def network_of(provider: Provider) -> Network | None:
    """The network that the provider's settings name, if it has one; switched on or not."""
    return Network.objects.filter(code=str(provider.settings.get("network", ""))).first()


def _enabled() -> list[Provider]:
    rows = Provider.objects.filter(kind=Provider.Kind.PAYMENT, is_enabled=True).order_by("priority", "code")
    return [provider for provider in rows if provider.adapter in registry()]
