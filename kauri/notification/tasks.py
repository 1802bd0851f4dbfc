"""What the ``notification`` queue does."""

from __future__ import annotations

from kauri.notification import services


def outbox_dispatch(*event_ids: int) -> None:
    """Turn events into messages, in their order; those after one that fails are swept up later."""
    for event_id in event_ids:
        services.outbox_dispatch(event_id)


def outbox_sweep() -> None:
    """Enqueue events whose task was lost."""
    services.outbox_sweep()


def delivery_send(delivery_id: int) -> None:
    """Try one message."""
    services.delivery_send(delivery_id)


def deliveries_sweep() -> None:
    """Enqueue messages that are due."""
    services.deliveries_sweep()
