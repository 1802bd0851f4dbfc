"""``python -m bench desk``: the back office beside ten million orders. Writes ``bench/desk.json``.

Each page is asked for by Django's test client in this process: the whole of the server's time but the web
server's own, as the connection's role and settings of production. ``BENCH_ORDERS`` (ten million) makes less,
``BENCH_PAGES`` (a regular expression) asks for fewer.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django_otp import DEVICE_ID_SESSION_KEY
from guardian.shortcuts import assign_perm

from backoffice import defaults
from backoffice.demo import crowd
from backoffice.memory import settle
from bench import desk_pages, machine
from kauri.account.models import CustomerGroup, TOTPDevice, User

ORDERS = int(os.environ.get("BENCH_ORDERS", str(crowd.ORDERS)))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
#: Only the pages whose group and name this finds.
PAGES = re.compile(os.environ.get("BENCH_PAGES", ""))
GOAL_MS, GOAL_QUERIES = 300, 25
RESULTS = Path(__file__).with_name("desk.json")


@dataclass
class Figure:
    """One page for one operator: milliseconds, when first asked for, in statements, of the processor here; statements."""

    group: str
    page: str
    operator: str
    ms: float
    first: float
    database_ms: float
    python_ms: float
    queries: int


def main() -> int:
    """Make the crowd where it is missing, ask for every page, tell which are slow."""
    before = machine.load()
    _prepare()
    settle()
    facts = machine.facts() | {"orders": ORDERS, "rounds": ROUNDS, "load_before": before}
    found: list[Figure] = []
    connection.settings_dict["OPTIONS"]["options"] += f" -c role={settings.KAURI.database_role}"
    connection.close()
    for name, operator in _operators().items():
        client = _at_desk(operator)
        for group, page, url in desk_pages.pages(operator):
            if not PAGES.search(f"{group} {page}"):
                continue
            figure = _measured(client, group, page, name, url)
            found.append(figure)
            if figure.ms > GOAL_MS or figure.queries > GOAL_QUERIES:
                _say(f"  SLOW {figure.ms:8.0f} ms {figure.queries:4} queries  {name}: {page}  {url[:150]}")
    facts["load_after"] = machine.load()
    RESULTS.write_text(
        json.dumps({"machine": facts, "pages": [asdict(row) for row in found]}, indent=1, ensure_ascii=False)
        + "\n"
    )
    _summary(found)
    return 0


def _measured(client: Client, group: str, page: str, name: str, url: str) -> Figure:
    times, spent, used, queries, cold = [], [], [], 0, 0.0
    for number in range(1 + ROUNDS):  # the first one's pages may come from the disk
        heard = _Heard()
        start, cpu = time.perf_counter(), time.process_time()
        with connection.execute_wrapper(heard):
            response = client.get(url, follow=False)
        took = (time.perf_counter() - start) * 1000
        if response.status_code not in (200, 302):
            raise RuntimeError(f"{url} answered {response.status_code}")
        if number:
            times.append(took)
            spent.append(heard.seconds * 1000)
            used.append((time.process_time() - cpu) * 1000)
        else:
            cold = took
        queries = heard.count
    figures = (median(times), cold, median(spent), median(used))
    return Figure(group, page, name, *(round(figure, 1) for figure in figures), queries)


class _Heard:
    """Counts statements, and their time."""

    def __init__(self) -> None:
        self.count = 0
        self.seconds = 0.0

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        start = time.perf_counter()
        self.count += 1
        try:
            return execute(sql, params, many, context)
        finally:
            self.seconds += time.perf_counter() - start


def _prepare() -> None:
    """A database with the crowd in it: the one that is there, if it is whole."""
    with connection.cursor() as cursor:
        cursor.execute("select current_database(), to_regclass('public.crowd_made') is not null")
        name, is_there = cursor.fetchone()
        cursor.execute("select count(*) from pg_tables where schemaname = 'public'")
        (tables,) = cursor.fetchone()
        if is_there:
            cursor.execute("select orders from crowd_made")
            is_there = cursor.fetchone() == (ORDERS,)
        if not is_there and tables:
            if not name.endswith("_bench"):
                sys.exit(f"The database {name!r} is not empty: its name must end in _bench to be emptied.")
            cursor.execute("drop schema public cascade")
            cursor.execute("create schema public")
    call_command("migrate", verbosity=0, interactive=False)
    defaults.load()
    if not is_there:
        _say(f"making {ORDERS:,} orders ...")
        crowd.make(ORDERS, _say)
        with connection.cursor() as cursor:
            cursor.execute("create table crowd_made as select %s::bigint as orders", [ORDERS])


def _operators() -> dict[str, User]:
    """One who sees everything, one who sees a tenth of the customers, one who sees forty of them."""
    found = {}
    groups = {"unlimited": "", "limited": "vip", "of few": "partner"}
    for name, group in groups.items():
        email = f"{name.replace(' ', '-')}@desk.example"
        user = User.objects.filter(email=email).first()
        if user is None:
            user = User.objects.create_user(email, is_staff=True)
            user.groups.set(Group.objects.all())
            TOTPDevice.objects.create(user=user, name="authenticator", confirmed=True)
            if group:
                assign_perm("view_customergroup", user, CustomerGroup.objects.get(code=group))
        found[name] = user
    return {name: User.objects.get(pk=user.pk) for name, user in found.items()}


def _at_desk(user: User) -> Client:
    client = Client(headers={"host": "localhost"})
    client.force_login(user)
    session = client.session
    session[DEVICE_ID_SESSION_KEY] = TOTPDevice.objects.get(user=user).persistent_id
    session.save()
    return client


def _summary(found: list[Figure]) -> None:
    for group in dict.fromkeys(row.group for row in found):
        rows = [row for row in found if row.group == group]
        slow = [row for row in rows if row.ms > GOAL_MS]
        worst = max(rows, key=lambda row: row.ms)
        _say(
            f"{group:<12} {len(rows):5} pages, median {median(row.ms for row in rows):6.0f} ms, "
            f"{len(slow)} above {GOAL_MS} ms, at most {max(row.queries for row in rows)} queries; "
            f"worst {worst.ms:.0f} ms: {worst.page} ({worst.operator})"
        )


def _say(text: str) -> None:
    print(text, flush=True)
