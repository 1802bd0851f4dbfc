"""``manage.py telegram_bot``: answer the bot's messages until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

from asgiref.sync import async_to_sync
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from backoffice import bot


class Command(BaseCommand):
    """One process: Telegram gives each message to one asker."""

    help = "Answer the Telegram bot's messages"

    def handle(self, *args: Any, **options: Any) -> None:
        del args, options
        if not settings.KAURI.telegram_token:
            raise CommandError("KAURI_TELEGRAM_TOKEN is not set: there is no bot to be")
        async_to_sync(_until_stopped)()


async def _until_stopped() -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await bot.run(stop)
