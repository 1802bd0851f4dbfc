"""The closed list of error codes, with their HTTP status and words in three languages.

A service raises :class:`KauriError`; the API turns it into an answer, the back office into a
message. Nothing else in the house invents a code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class ErrorSpec:
    """What one error code means to a client: HTTP status and the text per language."""

    status: int
    en: str
    uk: str
    ru: str


CODES: Final[dict[str, ErrorSpec]] = {
    "validation_error": ErrorSpec(
        400, "The request is not valid.", "Запит містить помилки.", "Запрос содержит ошибки."
    ),
    "recipient_not_found": ErrorSpec(
        422,
        "No account can be paid by this name.",
        "За цією назвою платити нікому.",
        "По этому имени платить некому.",
    ),
    "moment_unknown": ErrorSpec(
        422,
        "The books can't say what stood at this moment.",
        "Облік не знає, що було на цей момент.",
        "Учёт не знает, что было на этот момент.",
    ),
    "period_closed": ErrorSpec(409, "This period is closed.", "Цей період закрито.", "Этот период закрыт."),
    "unauthenticated": ErrorSpec(
        401, "Authentication is required.", "Потрібна автентифікація.", "Требуется аутентификация."
    ),
    "invalid_credentials": ErrorSpec(
        401,
        "The e-mail or the password is wrong.",
        "Неправильна пошта або пароль.",
        "Неверная почта или пароль.",
    ),
    "email_not_verified": ErrorSpec(
        403,
        "Confirm your e-mail first.",
        "Спершу підтвердьте пошту.",
        "Сначала подтвердите почту.",
    ),
    "invalid_signature": ErrorSpec(
        401, "The signature does not match.", "Підпис не збігається.", "Подпись не совпадает."
    ),
    "replayed_request": ErrorSpec(
        401,
        "This signed request is too old, too new, or was already used.",
        "Цей підписаний запит прострочений або вже використаний.",
        "Этот подписанный запрос просрочен или уже использован.",
    ),
    "two_factor_required": ErrorSpec(
        403, "A one-time code is required.", "Потрібен одноразовий код.", "Требуется одноразовый код."
    ),
    "wrong_code": ErrorSpec(
        400,
        "The confirmation code is wrong or has expired.",
        "Код підтвердження неправильний або прострочений.",
        "Код подтверждения неверен или просрочен.",
    ),
    "forbidden": ErrorSpec(403, "This is not allowed.", "Це не дозволено.", "Это не разрешено."),
    "account_disabled": ErrorSpec(
        403, "The account is disabled.", "Обліковий запис вимкнено.", "Учётная запись отключена."
    ),
    "verification_required": ErrorSpec(
        403,
        "A higher verification level is required.",
        "Потрібен вищий рівень верифікації.",
        "Требуется более высокий уровень верификации.",
    ),
    "ip_not_allowed": ErrorSpec(
        403,
        "This address is not on the allowed list.",
        "Ця адреса не входить до дозволених.",
        "Этот адрес не входит в разрешённые.",
    ),
    "not_found": ErrorSpec(404, "Not found.", "Не знайдено.", "Не найдено."),
    "method_not_allowed": ErrorSpec(
        405, "This method is not allowed.", "Цей метод не дозволено.", "Этот метод не разрешён."
    ),
    "conflict": ErrorSpec(
        409,
        "The request conflicts with another one.",
        "Запит суперечить іншому запиту.",
        "Запрос противоречит другому запросу.",
    ),
    "idempotency_mismatch": ErrorSpec(
        422,
        "This idempotency key was used with another request.",
        "Цей ключ ідемпотентності вже використано з іншим запитом.",
        "Этот ключ идемпотентности уже использован с другим запросом.",
    ),
    "insufficient_funds": ErrorSpec(
        402, "There is not enough money.", "Недостатньо коштів.", "Недостаточно средств."
    ),
    "totp_required": ErrorSpec(
        403,
        "A one-time code of your authenticator is needed.",
        "Потрібен одноразовий код вашого автентифікатора.",
        "Нужен одноразовый код вашего аутентификатора.",
    ),
    "totp_invalid": ErrorSpec(
        403,
        "The one-time code is wrong or was used already.",
        "Одноразовий код неправильний або вже використаний.",
        "Одноразовый код неверен или уже использован.",
    ),
    "limit_exceeded": ErrorSpec(403, "The limit is exceeded.", "Ліміт перевищено.", "Лимит превышен."),
    "approval_limit_exceeded": ErrorSpec(
        403,
        "This is above what you may approve.",
        "Це більше, ніж ви можете схвалити.",
        "Это больше, чем вы можете одобрить.",
    ),
    "edited_today": ErrorSpec(
        403,
        "You changed this customer's account in the last 24 hours: somebody else approves.",
        "Ви змінювали обліковий запис цього клієнта за останні 24 години: схвалює хтось інший.",
        "Вы меняли учётную запись этого клиента за последние 24 часа: одобряет кто-то другой.",
    ),
    "changed_meanwhile": ErrorSpec(
        409,
        "It has changed since it was shown to you. Nothing was done.",
        "Відтоді, як вам це показали, дещо змінилося. Нічого не зроблено.",
        "С тех пор, как вам это показали, кое-что изменилось. Ничего не сделано.",
    ),
    "below_minimum": ErrorSpec(
        400, "The amount is below the minimum.", "Сума менша за мінімум.", "Сумма меньше минимума."
    ),
    "above_maximum": ErrorSpec(
        400, "The amount is above the maximum.", "Сума більша за максимум.", "Сумма больше максимума."
    ),
    "invalid_amount": ErrorSpec(
        400,
        "The amount is not a valid amount of this currency.",
        "Це не є правильна сума цієї валюти.",
        "Это не является верной суммой этой валюты.",
    ),
    "invalid_destination": ErrorSpec(
        400,
        "The destination is not valid.",
        "Адреса призначення неправильна.",
        "Адрес назначения неверен.",
    ),
    "card_disabled": ErrorSpec(
        403, "This card is switched off.", "Цю картку вимкнено.", "Эта карта отключена."
    ),
    "card_expired": ErrorSpec(
        403, "This card has expired.", "Строк дії цієї картки минув.", "Срок действия этой карты истёк."
    ),
    "card_banned": ErrorSpec(
        403,
        "This card can't be used here.",
        "Цією карткою тут користуватися не можна.",
        "Этой картой здесь пользоваться нельзя.",
    ),
    "destination_not_allowed": ErrorSpec(
        403,
        "The account pays out to saved addresses only, and this is none of them yet.",
        "Обліковий запис виплачує лише на збережені адреси, і ця ще не є такою.",
        "Учётная запись выплачивает только на сохранённые адреса, и этот ещё не такой.",
    ),
    "confirmation_unavailable": ErrorSpec(
        403,
        "This needs a confirmation code, and there is no way to send you one.",
        "Потрібен код підтвердження, а надіслати його вам нікуди.",
        "Нужен код подтверждения, а отправить его вам некуда.",
    ),
    "operation_disabled": ErrorSpec(
        403,
        "This operation is switched off.",
        "Цю операцію вимкнено.",
        "Эта операция отключена.",
    ),
    "currency_disabled": ErrorSpec(
        403, "This currency is switched off.", "Цю валюту вимкнено.", "Эта валюта отключена."
    ),
    "pair_disabled": ErrorSpec(403, "This pair is switched off.", "Цю пару вимкнено.", "Эта пара отключена."),
    "rate_unavailable": ErrorSpec(
        503, "There is no good price now.", "Зараз немає надійної ціни.", "Сейчас нет надёжной цены."
    ),
    "quote_expired": ErrorSpec(
        409, "The quote has expired.", "Котирування прострочене.", "Котировка просрочена."
    ),
    "too_many_exports": ErrorSpec(
        409,
        "Too many exports of yours wait: wait until one is ready, or cancel one.",
        "Забагато ваших вивантажень у черзі: дочекайтеся одного з них або скасуйте.",
        "Слишком много ваших выгрузок в очереди: дождитесь одной из них или отмените.",
    ),
    "too_many_rows": ErrorSpec(
        422,
        "There are more rows than one file takes: narrow the filter.",
        "Рядків більше, ніж уміщує один файл: звузьте фільтр.",
        "Строк больше, чем вмещает один файл: сузьте фильтр.",
    ),
    "scope_changed": ErrorSpec(
        409,
        "What you may see has changed meanwhile: ask again.",
        "За цей час змінилося те, що вам видно: замовте ще раз.",
        "За это время изменилось то, что вам видно: запросите ещё раз.",
    ),
    "wrong_state": ErrorSpec(
        409,
        "The state does not allow this.",
        "Поточний стан цього не дозволяє.",
        "Текущее состояние этого не позволяет.",
    ),
    "rate_limited": ErrorSpec(429, "Too many requests.", "Забагато запитів.", "Слишком много запросов."),
    "payload_too_large": ErrorSpec(
        413, "The request is too large.", "Запит завеликий.", "Запрос слишком велик."
    ),
    "provider_unavailable": ErrorSpec(
        503,
        "The provider is not available now.",
        "Провайдер зараз недоступний.",
        "Провайдер сейчас недоступен.",
    ),
    "internal_error": ErrorSpec(
        500,
        "Something went wrong on our side.",
        "На нашому боці сталася помилка.",
        "На нашей стороне произошла ошибка.",
    ),
}

LANGUAGES: Final = ("en", "uk", "ru")


def text_for(code: str, language: str) -> str:
    """Return the client's words for ``code``; an unknown language reads English."""
    spec = CODES[code]
    return {"uk": spec.uk, "ua": spec.uk, "ru": spec.ru}.get(language, spec.en)


class KauriError(Exception):
    """A refusal with a stable ``code`` from :data:`CODES`.

    ``detail`` is for people and logs (never secrets); ``fields`` maps a request field to its fault.
    """

    def __init__(self, code: str, detail: str = "", *, fields: dict[str, str] | None = None) -> None:
        if code not in CODES:
            raise ValueError(f"unknown error code {code!r}")
        super().__init__(detail or CODES[code].en)
        self.code = code
        self.detail = detail
        self.fields = fields or {}

    @property
    def status(self) -> int:
        return CODES[self.code].status
