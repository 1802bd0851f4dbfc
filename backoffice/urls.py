"""The web process: API, health, back office."""

from __future__ import annotations

from django.contrib import admin
from django.urls import path, re_path

from backoffice import health
from backoffice.api import api
from kauri.account.api.freeze import freeze

urlpatterns = [
    path("healthz", health.live),
    path("readyz", health.ready),
    path("metrics", health.metrics),
    path("api/v1/", api.urls),
    re_path(r"^api(?:/|$)", health.api_not_found),
    path("freeze/<str:token>", freeze, name="freeze"),
    path("", admin.site.urls),
]
handler404 = "backoffice.health.not_found"
