"""Operators, one per role, and customers with keys."""

from __future__ import annotations

import io
import random
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.contrib.auth.models import Group
from PIL import Image, ImageDraw

from kauri.account import cases
from kauri.account.models import ApiKey, TOTPDevice, User, VerificationCase
from kauri.account.services import demo_customer_create
from kauri.common import clock
from kauri.payment_card.bans import card_ban, card_ban_known
from kauri.payment_card.services import CardRequest, card_create, card_stop

ROLES: Final = ("Treasury", "Compliance", "Support", "Finance", "Senior", "Administrator", "Auditor")
DOMAIN: Final = "demo.kauri.example"
#: How many customers have put their card down.
CARDS: Final = 12


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


def verification(user: User, *, papers: bool = True) -> VerificationCase:
    """The customer asks for the next level; with ``papers`` everything that is asked is handed in."""
    ip = f"203.0.113.{user.pk % 250 + 1}"
    case = cases.verification_start(user_id=user.pk, level=user.verification_level + 1, ip=ip)
    for kind in list(case.asked) if papers else []:
        cases.document_add(user_id=user.pk, case_id=case.public_id, kind=kind, data=_paper(kind, user), ip=ip)
    case.refresh_from_db()
    return case


def verifications(people: list[User], staff: dict[str, User]) -> None:
    """Cases in every state that needs no provider, as far as the people go; three wait for operators."""
    compliance = staff["Compliance"].as_actor()

    def ask_again(case: VerificationCase) -> None:
        cases.case_ask_again(
            case_id=case.public_id,
            documents=["identity"],
            words="The photo is too dark to read the number. Please take it by daylight.",
            actor=compliance,
        )

    def approve(case: VerificationCase) -> None:
        cases.case_approve(case_id=case.public_id, reason="Documents and face agree", actor=compliance)

    def reject(case: VerificationCase) -> None:
        cases.case_reject(
            case_id=case.public_id,
            reason_code="outdated",
            words="Your passport has run out. Please start again with a valid one.",
            actor=compliance,
        )

    ends = (None, None, None, ask_again, approve, reject)
    for user, end in zip(people, ends, strict=False):
        case = verification(user)
        if end is not None:
            end(case)
    for user in people[len(ends) :]:
        verification(user, papers=False)


def cards(numbers: Mapping[int, str], staff: dict[str, User]) -> None:
    """The cards of some who are paid to one (customer -> number): one stopped, one banned; and an issuer."""
    compliance = staff["Compliance"].as_actor()
    made = []
    for user in User.objects.filter(pk__in=numbers).order_by("pk")[:CARDS]:
        request = CardRequest(number=numbers[user.pk], owner_name="Specimen Holder")
        made.append(card_create(user_id=user.pk, request=request, actor=user.as_actor()))
    for card in made[:1]:
        card_stop(card_id=card.pk, reason="The customer says it was lost", actor=compliance)
    for card in made[1:2]:
        card_ban_known(card_id=card.pk, reason="Two charge-backs in a week", actor=compliance)
    card_ban(number="50999901", reason="A prepaid series that is sold without papers", actor=compliance)


def _paper(kind: str, user: User) -> bytes:
    """A sheet that says what it stands for."""
    sheet = Image.new("RGB", (640, 400), "#f4efe3")
    pen = ImageDraw.Draw(sheet)
    pen.rectangle((16, 16, 624, 384), outline="#7a6a45", width=3)
    for line, text in enumerate(("SPECIMEN", kind, user.username, user.email)):
        pen.text((48, 56 + 72 * line), text, fill="#3b3423", font_size=36)
    found = io.BytesIO()
    sheet.save(found, "PNG")
    return found.getvalue()
