"""The account's own settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from django.db import transaction

from kauri.account.models import User
from kauri.common.actor import Actor
from kauri.common.errors import KauriError
from kauri.common.locks import lock
from kauri.common.urls import check_callback_url
from kauri.core.audit import audit
from kauri.core.models import Currency


def _language(value: str) -> str:
    code = value.strip().lower()
    code = "uk" if code == "ua" else code  # the old clients' word
    known = {choice for choice, _ in User._meta.get_field("language").choices or ()}
    if code not in known:
        raise KauriError("validation_error", fields={"value": f"choose from {', '.join(sorted(known))}"})
    return code


def _callback(value: str) -> str:
    check_callback_url(value, "value")
    return value


def _currency(value: str) -> str:
    code = value.strip().upper()
    if code and not Currency.objects.filter(code=code, is_enabled=True).exists():
        raise KauriError("validation_error", fields={"value": "no such currency"})
    return code


#: Name of a setting -> (the account's field, what makes a given value one of its own).
SETTINGS: Final[dict[str, tuple[str, Callable[[str], str]]]] = {
    "language": ("language", _language),
    "callback_url": ("callback_url", _callback),
    "auto_conversion": ("auto_conversion", _currency),
}


def settings_of(user: User) -> dict[str, Any]:
    """Every setting as it stands."""
    return {name: getattr(user, column) for name, (column, _) in SETTINGS.items()}


@transaction.atomic
def account_setting_set(*, user: User, name: str, value: str, actor: Actor) -> User:
    """Change one setting of the account. Raises ``validation_error`` for an unknown name or value."""
    if name not in SETTINGS:
        raise KauriError("validation_error", fields={"name": f"choose from {', '.join(SETTINGS)}"})
    column, read = SETTINGS[name]
    good = read(value)
    row = lock(User.objects.filter(pk=user.pk)).get()
    before = getattr(row, column)
    if before != good:
        setattr(row, column, good)
        row.save(update_fields=[column])
        audit(
            actor,
            "account_setting_set",
            object_type="user",
            object_id=row.pk,
            label=row.email,
            before={name: before},
            after={name: good},
        )
    return row
