"""The same for the twin: its own addresses, and of the middleware what every project has."""

from __future__ import annotations

from bench.web_settings import *  # noqa: F403 - Django reads its settings from this module

ROOT_URLCONF = "bench.drf"
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
]
