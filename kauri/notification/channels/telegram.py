"""Alerts to the operators' chat, and codes to customers without an e-mail, through the Bot API.

aiogram costs seconds and 100 MB to import, so it is imported where a message is sent: only the
worker of this queue ever pays for it.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

from django.conf import settings

from kauri.notification.channel import Result, Verdict
from kauri.notification.channels import letters
from kauri.notification.models import Delivery

TIMEOUT = 15


def send(delivery: Delivery) -> Result:
    """Send the stored text, or the sealed letter, once."""
    if not settings.KAURI.telegram_token:
        return Result(Verdict.REFUSED, error="KAURI_TELEGRAM_TOKEN is not set")
    text = delivery.body
    if text.startswith(letters.MARK):
        text = "\n\n".join(letters.render(text.removeprefix(letters.MARK)))
    return asyncio.run(_send(delivery.target, text))


async def _send(chat: str, text: str) -> Result:
    from aiogram import Bot  # noqa: PLC0415 - see the module's docstring
    from aiogram.client.session.aiohttp import AiohttpSession  # noqa: PLC0415
    from aiogram.client.telegram import TelegramAPIServer  # noqa: PLC0415
    from aiogram.exceptions import (  # noqa: PLC0415
        AiogramError,
        TelegramBadRequest,
        TelegramForbiddenError,
        TelegramRetryAfter,
        TelegramUnauthorizedError,
    )
    from aiogram.utils.token import TokenValidationError, validate_token  # noqa: PLC0415

    try:
        validate_token(settings.KAURI.telegram_token)
    except TokenValidationError:
        return Result(Verdict.REFUSED, error="KAURI_TELEGRAM_TOKEN is no token")
    session = AiohttpSession(
        api=TelegramAPIServer.from_base(settings.KAURI.telegram_api_url), timeout=TIMEOUT
    )
    async with Bot(token=settings.KAURI.telegram_token, session=session) as bot:
        try:
            message = await bot.send_message(chat_id=chat, text=text)
        except TelegramRetryAfter as exc:
            return Result(
                Verdict.RETRY, 429, error="slow down", retry_after=timedelta(seconds=exc.retry_after)
            )
        except (TelegramBadRequest, TelegramForbiddenError, TelegramUnauthorizedError) as exc:
            return Result(Verdict.REFUSED, error=type(exc).__name__)
        except AiogramError as exc:
            return Result(Verdict.RETRY, error=type(exc).__name__)
    return Result(Verdict.DELIVERED, 200, f"message {message.message_id}")
