"""Every setting, typed, with meaning and default: the one place. ``.env.example`` is made from it.

A wrong value or an unknown ``KAURI_`` variable stops the start and is named.
"""

from __future__ import annotations

import base64
import os
import sys
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal

from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

ROOT = Path(__file__).resolve().parents[2]

QUEUES = (
    "account",
    "balance",
    "callbacks",
    "core",
    "deposit_order",
    "exchange_order",
    "exchange_provider",
    "fast_exchange_order",
    "internal_movement_order",
    "invoice_order",
    "notification",
    "order_core",
    "payment_provider",
    "report",
    "wallet",
    "withdrawal_order",
)

CommaList = Annotated[list[str], NoDecode]


class Settings(BaseSettings):
    """The settings of one process, read from the environment."""

    model_config = SettingsConfigDict(env_prefix="KAURI_", extra="ignore", hide_input_in_errors=True)

    env: Literal["demo", "test", "dev", "prod"] = Field(
        "dev", description="What this installation is. prod refuses unsafe settings."
    )
    debug: bool = Field(False, description="Django's debug pages. Refused in prod.")
    secret_key: str = Field(..., min_length=32, description="Signs sessions, tasks and tokens.")
    encryption_keys: CommaList = Field(
        ..., min_length=1, description="Fernet keys, newest first: the first encrypts, all decrypt."
    )
    database_url: str = Field(
        ..., validation_alias="DATABASE_URL", description="postgresql://user:password@host:port/name"
    )
    database_role: str = Field(
        "kauri_app",
        pattern=r"^[a-z_][a-z0-9_]{0,62}$",
        description="Role that DATABASE_URL of web and workers names; migrate, run as the owner, grants to it.",
    )
    database_role_password: str = Field(
        "", description="Password that migrate gives the role when it has to make it. Only for migrate."
    )
    redis_url: str = Field(
        "",
        validation_alias="REDIS_URL",
        description="Cache, rate limits and nonces; the database is used when empty.",
    )
    state_dir: Path = Field(ROOT / ".kauri", description="Reports, demo letters and other files.")
    port: int = Field(8000, ge=1, le=65535, description="Port of the web process.")
    callbacks_port: int = Field(8001, ge=1, le=65535, description="Port of the callbacks process.")
    public_url: str = Field("http://127.0.0.1:8000", description="How people reach the web process.")
    callbacks_url: str = Field(
        "http://127.0.0.1:8001", description="How payment systems reach the callbacks process."
    )
    allowed_hosts: CommaList = Field(["127.0.0.1", "localhost"], description="Host names answered to.")
    trusted_proxies: CommaList = Field(
        [], description="Networks whose X-Forwarded-For and X-Forwarded-Proto are believed."
    )
    country_header: str = Field(
        "",
        pattern=r"^[A-Za-z0-9-]{0,64}$",
        description="Header in which a trusted proxy says the caller's country (CF-IPCountry); empty: unknown.",
    )
    clusters: CommaList = Field(
        ["money:deposit_order+withdrawal_order+payment_provider+callbacks+balance+wallet", "general:*"],
        description="Worker clusters as name:queue+queue; * takes the queues not named elsewhere.",
    )
    webhook_allowed_networks: CommaList = Field(
        [], description="Private networks that webhooks may reach all the same. Refused in prod."
    )
    telegram_api_url: str = Field("https://api.telegram.org", description="Base of the Bot API.")
    telegram_token: str = Field("", description="The bot's token; empty: no Telegram alerts.")
    telegram_bot: str = Field(
        "",
        pattern=r"^[A-Za-z0-9_]{0,32}$",
        description="The bot's name, for links that tie an account to it.",
    )
    telegram_service_key: str = Field(
        "",
        description="Key by which a bot process of your own calls the API for its linked users; 32 or more.",
    )
    telegram_alert_chat: str = Field("", description="Chat id that operator alerts go to.")
    email_url: str = Field(
        "", description="smtp://user:password@host:port; empty: letters go to files under state_dir/mail."
    )
    email_from: str = Field("Kauri <no-reply@localhost>", description="Sender of letters.")
    evm_rpc_url: str = Field("", description="Ethereum node that the demo's USDT provider is set to.")
    btc_rpc_url: str = Field("", description="Bitcoin family node that the demo's BTC provider is set to.")
    signer_socket: str = Field(
        "",
        description="Unix socket of the signer (docs/signer.md). Only for the worker of withdrawal_order.",
    )
    books_key: str = Field(
        "", description="Ed25519 key (32 bytes, base64) that signs the trial balance of a closed month."
    )
    access_token_minutes: int = Field(15, ge=1, le=60, description="Life of an access token.")
    refresh_idle_hours: int = Field(
        168, ge=1, description="API: a session that is not refreshed for so long ends."
    )
    refresh_life_days: int = Field(30, ge=1, description="API: a session ends at the latest after.")
    cooling_off_hours: int = Field(
        24,
        ge=0,
        description="Hours after a reset password or a removed second factor in which money leaves only by an operator.",
    )
    address_cooling_hours: int = Field(
        24,
        ge=0,
        description="Hours until a saved address can be paid at, and until 'only saved addresses' is off.",
    )
    hold_alarm_hours: int = Field(
        24,
        ge=1,
        le=8760,
        description="Hours after which operators are told of an order on hold, and told again after as many more.",
    )
    session_idle_minutes: int = Field(30, ge=1, description="Back office: sign out after idleness.")
    session_hours: int = Field(10, ge=1, description="Back office: sign out at the latest after.")
    api_rate_per_minute: int = Field(600, ge=1, description="API requests a minute per account.")
    api_rate_per_minute_key: int = Field(600, ge=1, description="API requests a minute per API key.")
    api_rate_per_minute_address: int = Field(
        1200, ge=1, description="API requests a minute per network address, of all accounts together."
    )
    signature_v1_replay_seconds: int = Field(
        300,
        ge=1,
        le=86_400,
        description="How long a request signed by version 1 answers with its first answer.",
    )
    sign_in_tries: int = Field(10, ge=1, description="Failed sign-ins per account in 15 minutes.")
    sign_in_tries_per_address: int = Field(
        50, ge=1, description="Failed sign-ins per network address in 15 minutes."
    )
    demo_days: int = Field(90, ge=1, le=365, description="Days of history that the demo is given.")
    metrics_token: str = Field("", description="Bearer token for /metrics; empty: /metrics answers 404.")
    body_limit: int = Field(262_144, ge=1024, description="Largest API request body, bytes.")
    callback_body_limit: int = Field(1_048_576, ge=1024, description="Largest callback body, bytes.")

    @field_validator(
        "encryption_keys",
        "allowed_hosts",
        "trusted_proxies",
        "clusters",
        "webhook_allowed_networks",
        mode="before",
    )
    @classmethod
    def _split(cls, value: Any) -> Any:
        return (
            [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value
        )

    @field_validator("encryption_keys")
    @classmethod
    def _fernet_keys(cls, value: list[str]) -> list[str]:
        for key in value:
            Fernet(key.encode())
        return value

    @field_validator("books_key")
    @classmethod
    def _ed25519_key(cls, value: str) -> str:
        if value:
            Ed25519PrivateKey.from_private_bytes(base64.b64decode(value, validate=True))
        return value

    @field_validator("telegram_service_key")
    @classmethod
    def _long(cls, value: str) -> str:
        if value and len(value) < 32:  # noqa: PLR2004 - what nobody guesses
            raise ValueError("at least 32 characters")
        return value

    @field_validator("webhook_allowed_networks", "trusted_proxies")
    @classmethod
    def _networks(cls, value: list[str]) -> list[str]:
        for network in value:
            ip_network(network)
        return value

    @field_validator("clusters")
    @classmethod
    def _clusters(cls, value: list[str]) -> list[str]:
        seen: list[str] = []
        for item in value:
            name, colon, queues = item.partition(":")
            if not (name.isidentifier() and colon and queues):
                raise ValueError(f"{item!r} is not name:queue+queue")
            seen += queues.split("+")
        unknown = set(seen) - {*QUEUES, "*"}
        if unknown or len(seen) != len(set(seen)):
            raise ValueError(f"unknown or repeated queue: {sorted(unknown) or seen}")
        if "*" not in seen and set(QUEUES) - set(seen):
            raise ValueError(f"no cluster takes {sorted(set(QUEUES) - set(seen))}")
        return value

    @model_validator(mode="after")
    def _safe_in_prod(self) -> Settings:
        if self.env != "prod":
            return self
        faults = {
            "KAURI_DEBUG must be off": self.debug,
            "KAURI_PUBLIC_URL must be https": not self.public_url.startswith("https://"),
            "KAURI_CALLBACKS_URL must be https": not self.callbacks_url.startswith("https://"),
            "KAURI_TRUSTED_PROXIES must name the TLS proxy": not self.trusted_proxies,
            "KAURI_WEBHOOK_ALLOWED_NETWORKS must be empty": bool(self.webhook_allowed_networks),
            "KAURI_EMAIL_URL must be set": not self.email_url,
        }
        found = [text for text, wrong in faults.items() if wrong]
        if found:
            raise ValueError("; ".join(found))
        return self

    def cluster_of(self, queue: str) -> str:
        """The name of the worker cluster that serves ``queue``."""
        rest = ""
        for item in self.clusters:
            name, _, queues = item.partition(":")
            listed = queues.split("+")
            if queue in listed:
                return name
            rest = name if "*" in listed else rest
        if not rest:
            raise ValueError(f"no cluster takes the queue {queue!r}")
        return rest

    def cluster_names(self) -> list[str]:
        return [item.partition(":")[0] for item in self.clusters]

    def networks(
        self, name: Literal["trusted_proxies", "webhook_allowed_networks"]
    ) -> list[IPv4Network | IPv6Network]:
        return [ip_network(text) for text in getattr(self, name)]


def variable_name(field: str) -> str:
    """The environment variable behind a field: ``secret_key`` -> ``KAURI_SECRET_KEY``."""
    alias = Settings.model_fields[field].validation_alias
    return alias if isinstance(alias, str) else f"KAURI_{field.upper()}"


def load() -> Settings:
    """Read and check the environment; on a fault say which variable, and stop."""
    known = {variable_name(field) for field in Settings.model_fields} | {"KAURI_PROCESS"}
    unknown = sorted(name for name in os.environ if name.startswith("KAURI_") and name not in known)
    if unknown:
        sys.exit(f"Unknown setting: {', '.join(unknown)}. The known ones are listed in .env.example.")
    try:
        return Settings()
    except ValidationError as exc:
        lines = []
        for fault in exc.errors():
            where = str(fault["loc"][0]) if fault["loc"] else ""
            name = variable_name(where) if where in Settings.model_fields else where
            lines.append(f"{name}: {fault['msg']}".removeprefix(": "))
        sys.exit("Wrong settings:\n  " + "\n  ".join(lines))


def example() -> str:
    """The text of ``.env.example``: every variable with its meaning and default."""
    lines = ["# Every setting of Kauri. Made by `manage.py env_example`; values shown are the defaults.", ""]
    for field, info in Settings.model_fields.items():
        default = info.get_default(call_default_factory=True)
        if info.is_required():
            shown = ""
        elif isinstance(default, list):
            shown = ",".join(default)
        elif isinstance(default, Path):
            shown = str(default.relative_to(ROOT))
        else:
            shown = str(default).lower() if isinstance(default, bool) else str(default)
        need = " Required." if info.is_required() else ""
        lines += [f"# {info.description}{need}", f"{variable_name(field)}={shown}", ""]
    return "\n".join(lines)
