"""What the person at the terminal sees: one short line a step, and one clear line when something is missing."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

LONG_STEP_SECONDS = 1.0


class SetupError(Exception):
    """Something a person must solve. Its text is the one line they are shown; there is no traceback."""


def say(text: str = "") -> None:
    """Print one line at once (the output is often a pipe)."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def warn(text: str) -> None:
    """Print one line that matters but stops nothing."""
    say(f"  !  {text}")


@contextmanager
def step(title: str) -> Iterator[None]:
    """Name a piece of work, and tell how long it took where that was noticeable."""
    say(f"  -  {title}")
    started = time.monotonic()
    yield
    seconds = time.monotonic() - started
    if seconds >= LONG_STEP_SECONDS:
        say(f"     done in {seconds:.0f} s")
