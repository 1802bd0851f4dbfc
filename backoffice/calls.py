"""The 56 calls of the source document, and where each is: written to ``docs/calls.md`` from the API itself."""

from __future__ import annotations

from typing import Any, Final

PREFIX: Final = "/api/v1/"
#: Number in the source document -> methods and path. Calls 31 to 33 are said twice there.
CALLS: Final[dict[int, str]] = {
    1: "GET currency",
    2: "GET pair",
    3: "GET exchange_rate/history",
    4: "GET,POST exchange_rate",
    5: "GET,POST user/account/setting",
    6: "GET user/account_info",
    7: "POST user/api_keys/create",
    8: "POST user/api_keys/delete",
    9: "POST user/api_keys/verify",
    10: "GET user/balance",
    11: "POST user/change_password",
    12: "POST user/create",
    13: "POST user/create_from_telegram",
    14: "POST user/disable_2fa",
    15: "POST user/email/verify",
    16: "POST user/enable_2fa",
    17: "POST user/obtain_token",
    18: "POST user/refresh_token",
    19: "POST user/reset_password/send_link",
    20: "POST user/reset_password/set_new_password",
    21: "POST user/telegram/assign",
    22: "POST user/telegram/unassign",
    23: "POST user/telegram/verify",
    24: "GET user/totp/qr_code",
    25: "POST user/totp/verify",
    26: "POST user/verification/start",
    27: "POST user/white_ip/create",
    28: "POST user/white_ip/delete",
    29: "GET orders/history",
    30: "GET orders/details",
    31: "GET user/account_info",
    32: "POST user/reset_password/send_link",
    33: "POST user/reset_password/set_new_password",
    34: "POST withdrawal/repeat",
    35: "POST withdrawal/cancel",
    36: "POST withdrawal",
    37: "POST exchange/calculate",
    38: "POST exchange/cancel",
    39: "POST exchange/repeat",
    40: "POST exchange",
    41: "POST internal_movement/repeat",
    42: "POST internal_movement",
    43: "GET statistics",
    44: "POST invoice",
    45: "GET invoice/details",
    46: "POST invoice/pay",
    47: "POST invoice/pay/public",
    48: "POST fast_exchange",
    49: "POST fast_exchange/calculate",
    50: "GET fast_exchange/exchange_rate",
    51: "GET fast_exchange/limits",
    52: "GET deposit",
    53: "POST deposit/address",
    54: "GET deposit/address/details",
    55: "POST deposit/cancel",
    56: "POST deposit/repeat",
}
BUILT: Final = "built"
NOT_YET: Final = "not yet"


def operations(document: dict[str, Any]) -> dict[tuple[str, str], str]:
    """(method, path without the prefix) -> operation id, of every operation in the API's document."""
    return {
        (method.upper(), path.removeprefix(PREFIX)): str(operation["operationId"])
        for path, found in document["paths"].items()
        for method, operation in found.items()
    }


def state(number: int, known: dict[tuple[str, str], str]) -> tuple[str, list[str]]:
    """Whether a call is built, with all its methods, and the operations that answer it."""
    methods, _, path = CALLS[number].partition(" ")
    found = [known.get((method, path)) for method in methods.split(",")]
    return (BUILT if all(found) else NOT_YET), [name for name in found if name]


def page(document: dict[str, Any]) -> str:
    """The text of ``docs/calls.md``."""
    known = operations(document)
    rows = []
    for number, call in CALLS.items():
        said, names = state(number, known)
        methods, _, path = call.partition(" ")
        where = ", ".join(f"`{name}`" for name in names)
        rows.append(f"| {number} | {methods.replace(',', ', ')} `{PREFIX}{path}` | {said} | {where} |")
    listed = {
        (method, call.partition(" ")[2])
        for call in CALLS.values()
        for method in call.partition(" ")[0].split(",")
    }
    beside = sorted(
        (path, method, name) for (method, path), name in known.items() if (method, path) not in listed
    )
    done = sum(BUILT in row for row in rows)
    return "\n".join(
        [
            "# The calls of the source document",
            "",
            f"Made by `make openapi`. {done} of {len(CALLS)} lines are built; three lines say a call for the second time.",
            "",
            "| no. | call | state | operation |",
            "|---|---|---|---|",
            *rows,
            "",
            "Beside them:",
            "",
            *(f"- {method} `{PREFIX}{path}`: `{name}`" for path, method, name in beside),
            "",
        ]
    )
