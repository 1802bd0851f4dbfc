"""Alerts to the operators' chat, questions to single operators, and codes to customers without an e-mail.

aiogram costs seconds and 100 MB to import, so it is imported where a message is sent: only the
worker of this queue ever pays for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from django.conf import settings

from kauri.notification.channel import Result, Verdict
from kauri.notification.channels import letters
from kauri.notification.models import Delivery

if TYPE_CHECKING:
    from aiogram import Bot
    from aiogram.types import InlineKeyboardMarkup

TIMEOUT = 15
#: What Telegram says of a message that reads so already: the answer to the first try was lost.
_SAME: Final = "message is not modified"


def send(delivery: Delivery) -> Result:
    """Send the stored text, or the sealed letter, once; or put it in the place of an earlier message."""
    if not settings.KAURI.telegram_token:
        return Result(Verdict.REFUSED, error="KAURI_TELEGRAM_TOKEN is not set")
    first = delivery.replaces
    if first is not None and not first.receipt:
        return Result(Verdict.REFUSED, error="the message that it replaces was never delivered")
    text = delivery.body
    if text.startswith(letters.MARK):
        text = "\n\n".join(letters.render(text.removeprefix(letters.MARK)))
    return asyncio.run(_send(delivery, text, first.receipt if first is not None else ""))


def keyboard(rows: Sequence[Sequence[Sequence[str]]]) -> InlineKeyboardMarkup | None:
    """Buttons as Telegram takes them; None for none."""
    from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup  # noqa: PLC0415

    if not rows:
        return None
    return InlineKeyboardMarkup(
        inline_keyboard=[
            [InlineKeyboardButton(text=words, callback_data=data) for words, data in row] for row in rows
        ]
    )


async def _send(delivery: Delivery, text: str, receipt: str) -> Result:
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
            number = await _tell(bot, delivery, text, receipt)
        except TelegramRetryAfter as exc:
            return Result(
                Verdict.RETRY, 429, error="slow down", retry_after=timedelta(seconds=exc.retry_after)
            )
        except TelegramBadRequest as exc:
            if receipt and _SAME in exc.message:
                return Result(Verdict.DELIVERED, 400, f"message {receipt} reads so already")
            return Result(Verdict.REFUSED, error=type(exc).__name__)
        except (TelegramForbiddenError, TelegramUnauthorizedError) as exc:
            return Result(Verdict.REFUSED, error=type(exc).__name__)
        except AiogramError as exc:
            return Result(Verdict.RETRY, error=type(exc).__name__)
    return Result(Verdict.DELIVERED, 200, f"message {number}", receipt=number)


async def _tell(bot: Bot, delivery: Delivery, text: str, receipt: str) -> str:
    buttons = keyboard(delivery.buttons)
    if receipt:
        await bot.edit_message_text(
            text=text, chat_id=delivery.target, message_id=int(receipt), reply_markup=buttons
        )
        return receipt
    message = await bot.send_message(chat_id=delivery.target, text=text, reply_markup=buttons)
    return str(message.message_id)
