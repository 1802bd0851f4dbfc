"""Django's settings, derived from the typed environment (``env.py``)."""

from __future__ import annotations

from backoffice.settings.base import *  # noqa: F403 - Django reads its settings from this module
