"""Operators, one per role, and customers with keys."""

from __future__ import annotations

import random
import secrets
from dataclasses import dataclass
from typing import Any, Final

from django.contrib.auth.models import Group

from kauri.account.models import ApiKey, TOTPDevice, User
from kauri.account.services import demo_customer_create
from kauri.common import clock

ROLES: Final = ("Treasury", "Compliance", "Support", "Finance", "Senior", "Administrator", "Auditor")
DOMAIN: Final = "demo.kauri.example"


@dataclass(frozen=True, slots=True)
class Operator:
    """What ``demo.json`` tells of an operator; the password is known only here and there."""

    user: User
    role: str
    password: str
    totp_secret: str

    def as_json(self) -> dict[str, str]:
        return {
            "role": self.role,
            "email": self.user.email,
            "password": self.password,
            "totp_secret": self.totp_secret,
        }


def operators() -> list[Operator]:
    """One operator per role, with a second factor ready to be put into an authenticator."""
    made = []
    for role in ROLES:
        password = secrets.token_urlsafe(12)
        user = User.objects.create_user(
            email=f"{role.lower()}@{DOMAIN}",
            password=password,
            username=role,
            is_staff=True,
            email_verified_at=clock.now(),
        )
        user.groups.add(Group.objects.get(name=role))
        device = TOTPDevice.objects.create(user=user, name="demo", confirmed=True)
        made.append(Operator(user=user, role=role, password=password, totp_secret=device.secret))
    return made


def customer(number: int, chance: random.Random) -> User:
    """A customer without a usable password; levels as a real house has them."""
    level = chance.choices((0, 1, 2, 3), weights=(15, 55, 25, 5))[0]
    return demo_customer_create(
        email=f"customer{number:03d}@{DOMAIN}",
        password=None,
        username=f"Customer {number:03d}",
        language=chance.choice(("uk", "uk", "ru", "en")),
        level=level,
    )


def show_customer() -> dict[str, Any]:
    """The customer whom a newcomer plays: password, active key, all scopes."""
    password = secrets.token_urlsafe(12)
    user = demo_customer_create(
        email=f"you@{DOMAIN}", password=password, username="You", language="en", level=1
    )
    key = ApiKey.objects.create(
        user=user,
        name="demo",
        key=secrets.token_hex(20),
        secret=secrets.token_urlsafe(36),
        scopes=["read", "withdraw"],
        state=ApiKey.State.ACTIVE,
        activated_at=clock.now(),
    )
    return {
        "email": user.email,
        "password": password,
        "api_key": key.key,
        "api_secret": key.secret,
        "webhook_secret": user.webhook_secret,
    }
