"""The Telegram bot: ties a chat to its account, tells an account's owner what is on it, and carries an
operator's decisions to :mod:`kauri.order_core.dialog`.

It asks Telegram for messages (long polling), so it needs no address of its own. It answers in private
chats only: what it says is nobody else's. Database work runs on the thread that started it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import close_old_connections
from django.utils import translation
from django.utils.translation import gettext as _

from kauri.account import telegram
from kauri.account.models import User
from kauri.balance.selectors import customer_balances
from kauri.common.errors import LANGUAGES, KauriError, text_for
from kauri.common.money import plain
from kauri.notification.channels.telegram import keyboard
from kauri.order_core import asking, dialog
from kauri.order_core.dialog import Said

if TYPE_CHECKING:
    from aiogram.types import CallbackQuery, Message
    from aiogram.types import User as Sender

#: Seconds that Telegram holds a request for messages open.
POLL: Final = 25
#: The longest answer to a press.
_NOTE: Final = 200


async def run(stop: asyncio.Event) -> None:
    """Answer messages until ``stop`` is set. Telegram's own outages are waited out by the library."""
    # Seconds and 100 MB: only this process pays for it.
    from aiogram import Bot, Dispatcher, F  # noqa: PLC0415
    from aiogram.client.session.aiohttp import AiohttpSession  # noqa: PLC0415
    from aiogram.client.telegram import TelegramAPIServer  # noqa: PLC0415
    from aiogram.exceptions import TelegramAPIError  # noqa: PLC0415

    session = AiohttpSession(api=TelegramAPIServer.from_base(settings.KAURI.telegram_api_url))
    dispatcher = Dispatcher()

    async def on_message(message: Message) -> None:
        if message.from_user is None or not message.text:
            return
        said = await sync_to_async(answer)(message.from_user, message.text)
        if said.forget:
            with suppress(TelegramAPIError):  # too late, or not allowed: the code is worth nothing any more
                await message.delete()
        await message.answer(said.text, reply_markup=keyboard(said.buttons))

    async def on_press(query: CallbackQuery, bot: Bot) -> None:
        said = await sync_to_async(pressed)(query.from_user, query.data or "")
        with suppress(TelegramAPIError):  # Telegram waits for a quarter of a minute only
            await query.answer(said.note[:_NOTE], show_alert=bool(said.note))
        chat = query.from_user.id
        if said.anew and query.message is not None:
            with suppress(TelegramAPIError):  # it reads so already, or is too old to be changed
                await bot.edit_message_text(said.anew, chat_id=chat, message_id=query.message.message_id)
        if said.text:
            await bot.send_message(chat, said.text, reply_markup=keyboard(said.buttons))

    dispatcher.message.register(on_message, F.chat.type == "private")
    dispatcher.callback_query.register(on_press, F.message.chat.type == "private")
    async with Bot(token=settings.KAURI.telegram_token, session=session) as bot:
        polling = asyncio.create_task(
            dispatcher.start_polling(
                bot,
                polling_timeout=POLL,
                handle_signals=False,
                # One after the other: who asks twice is answered in the order of the questions.
                handle_as_tasks=False,
                close_bot_session=False,
                allowed_updates=["message", "callback_query"],
            )
        )
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({polling, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not polling.done():
            with suppress(RuntimeError):  # not polling yet
                await dispatcher.stop_polling()
            polling.cancel()
        with suppress(asyncio.CancelledError):
            await polling


def answer(sender: Sender, text: str) -> Said:
    """What is said to ``text``, in the sender's language."""
    close_old_connections()
    owner = User.objects.filter(telegram_id=sender.id, is_active=True).first()
    spoken = owner.language if owner is not None else (sender.language_code or "")[:2]
    with translation.override(spoken if spoken in LANGUAGES else "en"):
        command, _space, rest = text.strip().partition(" ")
        if command == "/start" and rest:
            return Said(_start(sender, rest))
        if owner is None:
            return Said(
                _("This chat is not tied to an account yet. Ask for a link in your account and open it here.")
            )
        if owner.is_staff:
            return dialog.word(owner, text) or Said(
                _("%(who)s: what waits for you comes here.") % {"who": owner}
            )
        if command == "/balance":
            return Said(_balance(owner))
        return Said(
            _("This chat is tied to the account %(number)s. /balance tells what is on it.")
            % {"number": owner.number}
        )


def pressed(sender: Sender, data: str) -> Said:
    """What is said to a press of a button: to a working operator of this very Telegram user, to nobody else."""
    close_old_connections()
    operator = User.objects.filter(telegram_id=sender.id, is_active=True, is_staff=True).first()
    if operator is None:
        return Said(note=text_for("not_found", "en"))
    with asking.speaking(operator):
        return dialog.press(operator, data)


def _start(sender: Sender, code: str) -> str:
    try:
        user = telegram.telegram_verify(
            code=code, telegram_id=sender.id, username=sender.username or "", ip="", is_own_bot=True
        )
    except KauriError as exc:
        return text_for(exc.code, translation.get_language() or "en")
    if user.is_staff:
        return _("Done: this chat is tied to the operator %(who)s.") % {"who": user}
    return _("Done: this chat is tied to the account %(number)s.") % {"number": user.number}


def _balance(owner: User) -> str:
    lines = []
    for row in customer_balances(owner.pk):
        if row.available or row.held:
            held = _(" (%(amount)s held)") % {"amount": plain(row.held)} if row.held else ""
            lines.append(f"{row.currency.code} {plain(row.available)}{held}")
    return "\n".join(lines) or _("There is nothing on the account.")
