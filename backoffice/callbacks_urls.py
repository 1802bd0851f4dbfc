"""The callbacks process: one path, and health."""

from __future__ import annotations

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
