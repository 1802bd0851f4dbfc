"""A whole request for every operation that takes a JSON object: where the attacks begin."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.core import mail

from kauri.account import tokens
from kauri.account.api_keys import KeyRequest, api_key_create
from kauri.account.models import OneTimeLink, Session, User
from kauri.account.services import link_issue
from kauri.account.telegram import telegram_assign
from kauri.order_core.models import Policy
from kauri.withdrawal_order.services import withdrawal_cancel
from tests.api.account_moves import phone, sign_in, with_factor
from tests.api.client import ApiClient
from tests.attacks.document import Operation
from tests.cards import OWNER, VISA, add
from tests.house import PASSWORD
from tests.moves import withdraw

NEW = "another long passphrase"
Body = dict[str, Any]
ADDRESS: Body = {"currency": "UAH", "address": "sandbox:success", "label": "till"}


@dataclass
class Scene:
    """The caller, a friend of theirs, and what the queue brings."""

    user: User
    friend: User
    drain: Callable[..., int]
    token: str = field(init=False)

    def __post_init__(self) -> None:
        self.token = tokens.issue(self.user)

    def send(self, operation: Operation, body: Body | bytes) -> Any:
        """Send an object, or the very bytes."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {} if operation.is_open else {"Authorization": f"Bearer {self.token}"}
        return ApiClient().http.generic(
            operation.method, operation.path, raw, content_type="application/json", headers=headers
        )

    def asked(self) -> str:
        order = withdraw(self.user, "100", currency="UAH", to="sandbox:success")
        return str(order.public_id)

    def ended(self) -> str:
        order = withdraw(self.user, "100", currency="UAH", to="sandbox:success")
        withdrawal_cancel(user_id=self.user.pk, order_id=order.public_id, actor=self.user.as_actor())
        return str(order.public_id)

    def moved(self) -> str:
        api = ApiClient(token=self.token)
        return str(api.post("/api/v1/internal_movement", self.movement()).json()["order_id"])

    def linked(self) -> str:
        api = ApiClient(token=self.token)
        return str(api.post("/api/v1/deposit/address", {"currency": "UAH"}).json()["external_id"])

    def unconfirmed(self) -> tuple[str, str]:
        """A withdrawal that waits for its code, and the code."""
        Policy.objects.filter(operation="WITHDRAWAL", currency__code="UAH").update(email_above=Decimal(50))
        name = self.asked()
        return name, self.letters_code()

    def saved(self) -> tuple[str, str]:
        """A saved address that waits for its code, and the code."""
        api = ApiClient(token=self.token)
        made = api.post("/api/v1/withdrawal/addresses/create", ADDRESS).json()["address"]
        return str(made["address_id"]), self.letters_code()

    def movement(self) -> Body:
        return {"currency": "UAH", "amount": "10", "destination_account_email": self.friend.email}

    def pending(self) -> tuple[str, str]:
        wanted = KeyRequest(
            name="p", scopes=["read"], ips=[], signature_version=2, window_ms=5000, decimals_as_strings=False
        )
        key = api_key_create(user=self.user, request=wanted, ip="")
        return str(key.public_id), self.letters_code()

    def letters_code(self) -> str:
        self.drain()
        return next(word for word in reversed(str(mail.outbox[-1].body).split()) if word.isdigit())

    def factor(self) -> str:
        """A code of a fresh authenticator that the session has not passed."""
        return phone(with_factor(self.user).secret)

    def passed(self) -> str:
        """The next code, in a session that has passed."""
        device = with_factor(self.user)
        session = Session.objects.create(user=self.user, epoch=self.user.token_epoch, second_factor=device)
        self.token = tokens.issue(self.user, session)
        return phone(device.secret)


def _verify_key(scene: Scene) -> Body:
    name, code = scene.pending()
    return {"api_key_id": name, "code": code}


def _enable(scene: Scene) -> Body:
    secret = ApiClient(token=scene.token).get("/api/v1/user/totp/qr_code").json()["secret"]
    return {"totp_code": phone(secret)}


def _confirm_email(scene: Scene) -> Body:
    ApiClient().post("/api/v1/user/create", {"email": "late@example.com", "password": PASSWORD})
    scene.drain()
    return {"token": re.findall(r"^(\S{60,})$", str(mail.outbox[-1].body), re.MULTILINE)[-1]}


def _confirm(scene: Scene) -> Body:
    name, code = scene.unconfirmed()
    return {"order_id": name, "code": code}


def _confirm_address(scene: Scene) -> Body:
    name, code = scene.saved()
    return {"address_id": name, "code": code}


def _untie(scene: Scene) -> Body:
    User.objects.filter(pk=scene.user.pk).update(telegram_id=42)
    return {"totp_code": ""}


#: For each operation: its whole body.
BODIES: dict[str, Callable[[Scene], Body]] = {
    "deposit_address": lambda scene: {"currency": "UAH", "amount_to_spend": "100"},
    "deposit_cancel": lambda scene: {"external_id": scene.linked()},
    "deposit_repeat": lambda scene: {"external_id": scene.linked()},
    "internal_movement_create": Scene.movement,
    "internal_movement_repeat": lambda scene: {"order_id": scene.moved(), "amount": "10"},
    "card_create": lambda scene: {
        "number": VISA,
        "owner_name": OWNER,
        "expiry_month": 7,
        "expiry_year": 2039,
    },
    "card_delete": lambda scene: {"card_id": add(scene.user).token},
    "card_switch": lambda scene: {"card_id": add(scene.user).token, "is_enabled": False},
    "account_setting_set": lambda scene: {"name": "language", "value": "uk"},
    "anti_phishing_code_set": lambda scene: {"phrase": "blue heron"},
    "api_key_create": lambda scene: {"name": "shop", "scopes": ["read"]},
    "api_key_delete": lambda scene: {"api_key_id": scene.pending()[0]},
    "api_key_verify": _verify_key,
    "change_password": lambda scene: {"old_password": PASSWORD, "new_password": NEW},
    "user_create": lambda scene: {"email": "new@example.com", "password": PASSWORD, "username": "new"},
    "create_from_telegram": lambda scene: {"init_data": "auth_date=1&hash=0"},
    "disable_2fa": lambda scene: {"totp_code": scene.passed()},
    "email_verify": _confirm_email,
    "enable_2fa": _enable,
    "obtain_token": lambda scene: {"email": scene.user.email, "password": PASSWORD},
    "refresh_token": lambda scene: {"refresh": sign_in(scene.user)["refresh"]},
    "reset_ask": lambda scene: {"email": scene.user.email},
    "set_new_password": lambda scene: {
        "token": link_issue(scene.user, OneTimeLink.Purpose.RESET),
        "password": NEW,
    },
    "session_end": lambda scene: {"session_id": str(Session.objects.get(user=scene.user).public_id)},
    "telegram_unassign": _untie,
    "telegram_verify": lambda scene: {
        "code": telegram_assign(user=scene.user, ip="").code,
        "init_data": "auth_date=1&hash=0",
    },
    "second_factor_verify": lambda scene: {"totp_code": scene.factor()},
    "verification_start": lambda scene: {"level": 2},
    "white_ip_create": lambda scene: {"ip": "127.0.0.1"},
    "white_ip_delete": lambda scene: {"ip": "127.0.0.1"},
    "withdrawal_create": lambda scene: {"currency": "UAH", "amount": "100", "wallet_to": "sandbox:success"},
    "withdrawal_address_create": lambda scene: dict(ADDRESS),
    "withdrawal_address_confirm": _confirm_address,
    "withdrawal_address_delete": lambda scene: {"address_id": scene.saved()[0]},
    "withdrawal_cancel": lambda scene: {"order_id": scene.asked()},
    "withdrawal_confirm": _confirm,
    "withdrawal_confirm_resend": lambda scene: {"order_id": scene.unconfirmed()[0]},
    "withdrawal_whitelist_set": lambda scene: {"enabled": True},
    "withdrawal_repeat": lambda scene: {"order_id": scene.ended(), "amount": "100"},
}
#: What of them the whole body does not end well: a proof that only Telegram makes, an address not on the list.
REFUSED = {"create_from_telegram", "telegram_verify", "white_ip_delete"}
