"""The first money through a new house, from outside: plain HTTP, a browser, and a real test chain.

Start the demo so that it tells alerts to a Bot API of this script's own, then run it::

    KAURI_TELEGRAM_API_URL=http://127.0.0.1:8081 KAURI_TELEGRAM_TOKEN=42:TEST KAURI_TELEGRAM_ALERT_CHAT=1 make run
    .venv/bin/python -m examples.first_money

``--coin BTC`` needs a demo with the Bitcoin chain: ``KAURI_DEMO_BTC_PORT=18443`` before its ``make run``.

It registers a customer, gives them an address, sends tokens there, asks for a withdrawal with a
signed request, has operators verify and approve by clicking, and checks the chain, the webhook, the
alert, the report and the books. It ends with 0 when everything was as it should be.
"""

from __future__ import annotations

import argparse
import io
import json
import secrets
import subprocess
import sys
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
from standardwebhooks import Webhook

from examples.desk import desk
from examples.house import Failed, House, until
from examples.loopback import Inbox, bot_api, serve, shop

ROOT = Path(__file__).resolve().parents[1]
PASSWORD = secrets.token_urlsafe(16)
PATIENCE = 90.0
#: The local node's own first account: it has ether to give, and signs for it.
FAUCET = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"


@dataclass(frozen=True)
class Coin:
    """What the story is told with: a currency, its network, and how much comes and goes."""

    code: str
    network: str
    deposit: Decimal
    withdrawal: Decimal


USDT = Coin("USDT", "ERC20", Decimal("120.5"), Decimal("50.25"))
ETH = Coin("ETH", "ETHEREUM", Decimal("2.5"), Decimal("0.75"))
BTC = Coin("BTC", "BITCOIN", Decimal("0.5"), Decimal("0.04"))
COINS = {coin.code: coin for coin in (USDT, ETH, BTC)}


def check(truth: bool, text: str) -> None:
    """Say that a thing is so, or fail."""
    if not truth:
        raise Failed(text)
    print(f"  ✓ {text}", flush=True)


def say(text: str) -> None:
    print(f"\n{text}", flush=True)


def new_customer(house: House) -> tuple[str, dict[str, str]]:
    """Register, confirm the e-mail, sign in, and get a confirmed API key."""
    address = f"first.money.{secrets.token_hex(4)}@example.com"
    say(f"1. A customer registers: {address}")
    house.call("POST", "/api/v1/user/create", {"email": address, "password": PASSWORD, "username": "first"})
    house.call("POST", "/api/v1/user/email/verify", {"token": house.letter(address, r"^(\S{60,})$")})
    token = house.call("POST", "/api/v1/user/obtain_token", {"email": address, "password": PASSWORD})["token"]
    bearer = {"Authorization": f"Bearer {token}"}
    pending = house.call(
        "POST",
        "/api/v1/user/api_keys/create",
        {"name": "first money", "scopes": ["read", "withdraw"]},
        **bearer,
    )
    code = house.letter(address, r"^(\d{8})$")
    key = house.call(
        "POST", "/api/v1/user/api_keys/verify", {"api_key_id": pending["api_key_id"], "code": code}, **bearer
    )
    check(key["state"] == "active", "the e-mail is confirmed and the API key is active")
    return address, key


def deposit(house: House, key: dict[str, str], hook: Inbox, coin: Coin) -> None:
    """Get an address, send money to it on the chain, see it on the balance."""
    say("2. Money comes in")
    place = house.signed(
        key,
        "POST",
        "/api/v1/deposit/address",
        {"currency": coin.code, "payment_method": coin.network, "callback_url": f"{hook.url}/deposit"},
    )
    if coin in {USDT, BTC}:
        target = "send-tokens" if coin == USDT else "send-coins"
        command = ["make", target, f"TO={place['addr']}", f"AMOUNT={coin.deposit}"]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    else:
        wei = hex(int(coin.deposit.scaleb(18)))
        house.node("eth_sendTransaction", {"from": FAUCET, "to": place["addr"], "value": wei})

    def credited() -> Decimal | None:
        balance = house.signed(key, "GET", "/api/v1/user/balance")["balance"][coin.code]
        return Decimal(balance["available"]) or None

    check(
        until("the deposit", credited) == coin.deposit,
        f"{coin.deposit} {coin.code} sent to {place['addr']} are on the balance",
    )


def verify(house: House, address: str, pictures: Path | None) -> None:
    """A compliance operator verifies the customer by hand, by clicking."""
    say("3. An operator verifies the customer")
    with desk(house.web, pictures) as window:
        window.sign_in(house.operators["Compliance"])
        window.verify_customer(address, level=1, reason="Passport checked in person")
        check(not window.errors, "the pages have no console errors")


def withdraw(house: House, key: dict[str, str], hook: Inbox, coin: Coin) -> tuple[str, str]:
    """Ask for a withdrawal with a signed request; ask the same again."""
    say("4. The customer asks for a withdrawal")
    destination = (
        house.wallet("getnewaddress", "", "bech32") if coin == BTC else house.node("eth_accounts")[5]
    )
    body = {
        "currency": coin.code,
        "amount": str(coin.withdrawal),
        "wallet_to": destination,
        "payment_method": coin.network,
        "external_id": f"first-{uuid.uuid4().hex[:12]}",
        "callback_url": f"{hook.url}/withdrawal",
    }
    first = house.signed(key, "POST", "/api/v1/withdrawal", body)
    again = house.signed(key, "POST", "/api/v1/withdrawal", body)
    check(first == again, "the same request again has the first one's answer")
    check(first["order_status"] == "WAITING_FOR_OPERATOR_CONFIRMATION", "it waits for an operator")
    balance = house.signed(key, "GET", "/api/v1/user/balance")["balance"][coin.code]
    held = balance["held"]
    check(held == coin.withdrawal + first["fee"], f"{held} {coin.code} are held")
    return first["order_id"], destination


def money_of(house: House, address: str, coin: Coin) -> Decimal:
    """What the chain says that an address holds."""
    if coin == BTC:
        return Decimal(house.wallet("getreceivedbyaddress", address, 1))
    if coin == ETH:
        return Decimal(int(house.node("eth_getBalance", address, "latest"), 16)).scaleb(-18)
    known = json.loads((ROOT / ".kauri" / "chain.json").read_text())
    data = "0x70a08231" + address.removeprefix("0x").lower().rjust(64, "0")
    units = house.node("eth_call", {"to": known["token"], "data": data}, "latest")
    return Decimal(int(units, 16)).scaleb(-6)


def approve(
    house: House, order_id: str, destination: str, key: dict[str, str], pictures: Path | None, coin: Coin
) -> None:
    """A treasury operator approves by clicking; the money arrives; the order closes."""
    say("5. An operator approves")
    before = money_of(house, destination, coin)
    with desk(house.web, pictures) as window:
        window.sign_in(house.operators["Treasury"])
        window.approve(order_id)
        check(not window.errors, "the pages have no console errors")
    until("the money", lambda: money_of(house, destination, coin) - before == coin.withdrawal or None)
    check(True, f"{coin.withdrawal} {coin.code} arrived at {destination}")

    def closed() -> dict[str, Any] | None:
        order = house.signed(key, "GET", f"/api/v1/orders/details?order_id={order_id}")["order_details"]
        return order if order["status"] == "CLOSED" else None

    order = until("the order to close", closed)
    [sent] = order["details"]["withdrawal_transactions"]
    check(len(order["transfers"]) == 2, "two ledger transfers: hold and capture")
    name = sent["tr_hash"]
    if coin == BTC:
        mined = house.wallet("gettransaction", name)["confirmations"] > 0
    else:
        mined = bool(house.node("eth_getTransactionReceipt", name))
    check(mined, f"by transaction {name}")


def webhook(key: dict[str, str], hook: Inbox, order_id: str) -> None:
    """The last webhook of the order is signed and says CLOSED."""
    say("6. The client is told")

    def is_final(item: Any) -> bool:
        body = json.loads(item.body)
        return item.path == "/withdrawal" and body["external_id"] == order_id and body["status"] == "CLOSED"

    received = hook.wait_for(is_final, PATIENCE)
    if received is None:
        raise Failed("no webhook said CLOSED")
    body = Webhook(key["webhook_secret"]).verify(received.body, received.headers)
    check(body["status"] == "CLOSED", "a signed webhook says CLOSED, and its signature verifies")
    # A message whose sender died comes again under its id: clients tell by that.
    told = {
        item.headers["webhook-id"]: json.loads(item.body)["status"]
        for item in hook.items
        if item.path == "/withdrawal"
    }
    story = list(told.values())
    wanted = [
        "NEW",
        "WAITING_FOR_OPERATOR_CONFIRMATION",
        "CONFIRMED_BY_OPERATOR",
        "PAYMENT_IN_PROGRESS",
        "CLOSED",
    ]
    if story != wanted:
        raise Failed(f"the steps came as {story}")
    check(True, "every step came once and in order")


def alert(bot: Inbox, order_id: str) -> None:
    """The operators' chat was told that the withdrawal waited."""
    say("7. The operators were told by Telegram")
    found = bot.wait_for(lambda item: order_id in item.fields().get("text", ""), PATIENCE)
    check(found is not None, "the Bot API got one message about the waiting withdrawal")


def report(house: House, pictures: Path | None) -> None:
    """A finance operator downloads the report; its totals are the ledger's; the books are true."""
    say("8. The books")
    with desk(house.web, pictures) as window:
        window.sign_in(house.operators["Finance"])
        as_of = datetime.now(UTC).replace(microsecond=0)
        workbook = window.download_report("balances_and_obligations", "xlsx", as_of)
        pdf = window.download_report("balances_and_obligations", "pdf", as_of)
        check(not window.errors, "the pages have no console errors")
    check(pdf.startswith(b"%PDF-"), "the PDF opens")
    sheet = openpyxl.load_workbook(io.BytesIO(workbook)).worksheets[0]
    rows = {str(row[0]): row for row in sheet.iter_rows(min_row=5, values_only=True) if row[0]}
    ledger = books(as_of.isoformat())
    owed = {code: Decimal(str(row[3])) for code, row in rows.items()}
    have = {code: Decimal(str(row[4])) for code, row in rows.items()}
    check(
        owed == {c: Decimal(v) for c, v in ledger["obligations"].items()}, "its obligations are the ledger's"
    )
    check(have == {c: Decimal(v) for c, v in ledger["funds"].items()}, "its funds are the ledger's")
    check(ledger["clean"] is True, f"the self-check is clean over {ledger['looked_at']['entries']} entries")


def books(as_of: str) -> dict[str, Any]:
    """What the ledger itself says, from its own command."""
    command = ["make", "--no-print-directory", "ledger-check", f"AS_OF={as_of}"]
    out = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    result: dict[str, Any] = json.loads(out[out.index("{") :])
    return result


def story(house: House, pictures: Path | None, between: Callable[[str], None], coin: Coin = USDT) -> None:
    """The whole, with ``between(step)`` called between any two steps (the tests kill workers there)."""
    with serve(shop) as hook, serve(bot_api, house.bot_port) as bot:
        address, key = new_customer(house)
        between("registered")
        deposit(house, key, hook, coin)
        between("deposited")
        verify(house, address, pictures)
        between("verified")
        order_id, destination = withdraw(house, key, hook, coin)
        between("asked")
        approve(house, order_id, destination, key, pictures, coin)
        between("paid")
        webhook(key, hook, order_id)
        alert(bot, order_id)
        between("told")
        report(house, pictures)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--demo", type=Path, default=ROOT / ".kauri" / "demo.json")
    parser.add_argument("--pictures", type=Path, default=None, help="a folder for screenshots")
    parser.add_argument("--coin", choices=sorted(COINS), default="USDT")
    options = parser.parse_args()
    house = House.read(options.demo)
    if not house.bot_port:
        print("The demo tells Telegram alerts to nobody here: start it as this script's first lines say.")
        return 2
    if options.coin == BTC.code and not house.miner:
        print("The demo has no Bitcoin chain: start it as this script's first lines say.")
        return 2
    try:
        story(house, options.pictures, lambda step: None, COINS[options.coin])
    except Failed as exc:
        print(f"\n  ✗ {exc}")
        return 1
    print("\nEverything was as it should be.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
