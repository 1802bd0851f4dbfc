"""Kauri's settings, and the apps that it is measured beside where they could be installed."""

from __future__ import annotations

from backoffice.settings import *  # noqa: F403 - Django reads its settings from this module
from backoffice.settings import base
from bench import peers

HAS_PEERS = peers.ensure()
INSTALLED_APPS = [*base.INSTALLED_APPS, *(peers.APPS if HAS_PEERS else [])]
