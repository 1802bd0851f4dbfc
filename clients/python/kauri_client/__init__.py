"""Client of the Kauri REST API."""

from kauri_client.client import Client
from kauri_client.errors import InvalidWebhook, KauriClientError, OutcomeUnknown, Refused, Unavailable
from kauri_client.webhooks import read_webhook

__all__ = [
    "Client",
    "InvalidWebhook",
    "KauriClientError",
    "OutcomeUnknown",
    "Refused",
    "Unavailable",
    "read_webhook",
]
