"""What a field's value is called, read fast, is what Django calls it."""

from __future__ import annotations

from typing import Any

import pytest
from django.apps import apps
from django.utils import translation

from kauri.common.models import choice

FIELDS: list[Any] = [
    (model, field)
    for model in apps.get_models()
    for field in model._meta.get_fields()
    if getattr(field, "choices", None)
]


@pytest.mark.parametrize("language", ["en", "uk", "ru"])
def test_a_value_is_called_as_django_calls_it(language: str) -> None:
    assert len(FIELDS) > 40
    with translation.override(language):
        for model, field in FIELDS:
            for value in [*dict(field.flatchoices), "unheard of"]:
                row = model(**{field.attname: value})
                assert choice(row, field.name) == getattr(row, f"get_{field.name}_display")(), (model, field)
