"""Every page of the back office by its address, with something on each."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import Model
from django.test import RequestFactory
from django.urls import reverse

from kauri.account.models import User
from kauri.common.admin import page_url

MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label)
APPS = sorted({model._meta.app_label for model in MODELS})


def models_of(app: str) -> list[type[Model]]:
    return [model for model in MODELS if model._meta.app_label == app]


def list_of(model: type[Model]) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")


def add_of(model: type[Model]) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_add")


def row_of(model: type[Model]) -> str:
    """The newest row's page; empty where there is no row or no page."""
    row = model._default_manager.order_by("-pk").first()
    return page_url(row) if row is not None else ""


def may_add(model: type[Model], user: User) -> bool:
    """Whether the list has a form for a new row."""
    request = RequestFactory().get("/")
    request.user = user
    return bool(admin.site._registry[model].has_add_permission(request))
