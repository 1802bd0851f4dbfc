"""What the ``callbacks`` queue does."""

from __future__ import annotations

from kauri.callbacks import services


def callback_process(callback_id: int) -> None:
    """Give one stored call its effect."""
    services.callback_process(callback_id)


def callbacks_sweep() -> None:
    """Enqueue what is due."""
    services.callbacks_sweep()
