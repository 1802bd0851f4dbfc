"""Figures for monitoring."""

from __future__ import annotations

from collections.abc import Iterator

from django.db.models import Count

from kauri.balance.models import SelfCheck
from kauri.callbacks.models import InboundCallback
from kauri.common import clock
from kauri.core.models import Heartbeat, OutboxEvent, Provider
from kauri.notification.models import Delivery
from kauri.order_core.models import Approval
from kauri.payment_provider.models import Payin, Payout


def metrics_lines() -> Iterator[str]:
    """Prometheus text: queues, states and health. Eight queries."""
    yield "# TYPE kauri_payouts gauge"
    for row in Payout.objects.filter(state__in=Payout.OPEN_STATES).values("state").annotate(n=Count("id")):
        yield f'kauri_payouts{{state="{row["state"]}"}} {row["n"]}'
    yield "# TYPE kauri_payins_waiting gauge"
    waiting = Payin.objects.filter(state__in=[Payin.State.SEEN, Payin.State.UNMATCHED, Payin.State.ALARM])
    for row in waiting.values("state").annotate(n=Count("id")):
        yield f'kauri_payins_waiting{{state="{row["state"]}"}} {row["n"]}'
    yield "# TYPE kauri_approvals_waiting gauge"
    yield f"kauri_approvals_waiting {Approval.objects.filter(state=Approval.State.PENDING).count()}"
    yield "# TYPE kauri_outbox_waiting gauge"
    yield f"kauri_outbox_waiting {OutboxEvent.objects.filter(dispatched_at__isnull=True).count()}"
    yield "# TYPE kauri_deliveries_waiting gauge"
    yield f"kauri_deliveries_waiting {Delivery.objects.filter(state=Delivery.State.WAITING).count()}"
    yield "# TYPE kauri_callbacks_stored gauge"
    yield (
        f"kauri_callbacks_stored {InboundCallback.objects.filter(state=InboundCallback.State.STORED).count()}"
    )
    yield "# TYPE kauri_provider_healthy gauge"
    for code, health in Provider.objects.filter(is_enabled=True).values_list("code", "health"):
        yield f'kauri_provider_healthy{{provider="{code}"}} {int(health == Provider.HealthState.OK)}'
    yield "# TYPE kauri_heartbeat_age_seconds gauge"
    for beat in Heartbeat.objects.all():
        yield f'kauri_heartbeat_age_seconds{{cluster="{beat.cluster}"}} {(clock.now() - beat.at).total_seconds():.0f}'
    yield "# TYPE kauri_ledger_clean gauge"
    check = SelfCheck.objects.first()
    if check is not None:
        yield f"kauri_ledger_clean {int(check.is_clean)}"
