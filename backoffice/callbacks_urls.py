"""The callbacks process: one path for payment systems, and health."""

from __future__ import annotations

from django.urls import path

from backoffice import health
from kauri.callbacks.api import receive

urlpatterns = [
    path("healthz", health.live),
    path("readyz", health.ready),
    path("callbacks/<slug:provider_code>", receive),
    path("callbacks/<slug:provider_code>/", receive),
]
handler404 = "backoffice.health.not_found"
