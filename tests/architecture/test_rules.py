"""What the house promises about its own code, checked on the code."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from django.core.management import call_command
from django.utils.module_loading import import_string

from backoffice.schedules import SCHEDULES
from backoffice.settings import env
from kauri.common.tasks import queue_of

ROOT = env.ROOT
SOURCES = sorted(
    path
    for folder in ("kauri", "backoffice")
    for path in (ROOT / folder).rglob("*.py")
    if "migrations" not in path.parts
)
DOMAIN = [path for path in SOURCES if path.is_relative_to(ROOT / "kauri")]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def trees(paths: list[Path]) -> Iterator[tuple[str, ast.Module]]:
    for path in paths:
        yield name(path), ast.parse(path.read_text(encoding="utf-8"))


def test_there_is_something_to_look_at() -> None:
    assert len(SOURCES) > 100
    assert len(DOMAIN) > 80


def test_only_the_machine_writes_an_orders_status() -> None:
    """Neither by assignment nor by update(status=...) on orders."""
    writers = set()
    for file, tree in trees(SOURCES):
        for node in ast.walk(tree):
            targets = node.targets if isinstance(node, ast.Assign) else []
            for target in targets:
                parts = target.elts if isinstance(target, ast.Tuple) else [target]
                if any(isinstance(part, ast.Attribute) and part.attr == "status" for part in parts):
                    writers.add(file)
            is_update = (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in {"update", "bulk_update"}
            )
            if is_update and any(keyword.arg == "status" for keyword in node.keywords):  # type: ignore[attr-defined]
                writers.add(file)
    assert writers == {"kauri/order_core/machine.py"}


def test_only_the_ledger_calls_the_ledgers_functions() -> None:
    functions = re.compile(r"ledger_(post|hold|settle_hold|roll)\s*\(")
    callers = {name(path) for path in SOURCES if functions.search(path.read_text(encoding="utf-8"))}
    assert callers == {"kauri/balance/ledger.py"}


def test_nobody_writes_the_ledgers_tables() -> None:
    writing = re.compile(r"(insert into|update|delete from)\s+ledger_", re.IGNORECASE)
    models = re.compile(
        r"\b(LedgerAccount|Entry|Transfer|Hold|HotDelta)\.objects\.[a-z_.()]*(create|update|delete|bulk)"
    )
    found = {
        name(path)
        for path in DOMAIN
        if writing.search(path.read_text(encoding="utf-8")) or models.search(path.read_text(encoding="utf-8"))
    }
    assert found == set()


def test_money_is_never_a_float() -> None:
    calls = {
        f"{file}:{node.lineno}"
        for file, tree in trees(DOMAIN)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "float"
    }
    fields = {name(path) for path in DOMAIN if "FloatField" in path.read_text(encoding="utf-8")}
    assert (calls, fields) == (set(), set())


def test_time_is_read_in_one_place() -> None:
    wanted = re.compile(r"datetime\.now\(|timezone\.now|datetime\.utcnow|date\.today")
    assert {name(path) for path in DOMAIN if wanted.search(path.read_text(encoding="utf-8"))} <= {
        "kauri/common/clock.py"
    }


def test_sizes() -> None:
    long_files = [name(path) for path in SOURCES if len(path.read_text(encoding="utf-8").splitlines()) > 400]
    long_functions = [
        f"{file}: {node.name}"
        for file, tree in trees(SOURCES)
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and (node.end_lineno or 0) - node.lineno + 1 > 70
    ]
    assert (long_files, long_functions) == ([], [])


def test_every_task_path_leads_somewhere() -> None:
    path = re.compile(r"[\"'](kauri\.[a-z_]+\.tasks\.[a-z_]+)[\"']")
    found = {match for file in SOURCES for match in path.findall(file.read_text(encoding="utf-8"))}
    wanted = found | {schedule.task for schedule in SCHEDULES}
    assert len(wanted) > len(SCHEDULES)
    for task in wanted:
        assert callable(import_string(task)), task
        assert queue_of(task) in env.QUEUES, task


def test_schedules_have_names_of_their_own() -> None:
    assert len({schedule.name for schedule in SCHEDULES}) == len(SCHEDULES)


def test_every_tasks_module_does_only_what_a_queue_can_carry() -> None:
    """Arguments are ids: whole rows would be stale, and pickled."""
    for file, tree in trees([path for path in DOMAIN if path.name == "tasks.py"]):
        for node in tree.body:
            if isinstance(node, ast.FunctionDef):
                kinds = {
                    ast.unparse(argument.annotation) for argument in node.args.args if argument.annotation
                }
                assert kinds <= {"int", "str"}, f"{file}: {node.name}"


@pytest.mark.django_db
def test_migrations_are_complete() -> None:
    call_command("makemigrations", "--check", "--dry-run", verbosity=0)


def test_the_example_of_settings_is_the_settings() -> None:
    assert (ROOT / ".env.example").read_text(encoding="utf-8").strip() == env.example().strip()


def test_every_setting_is_read_somewhere() -> None:
    code = "\n".join(
        path.read_text(encoding="utf-8")
        for folder in ("kauri", "backoffice", "compose")
        for path in (ROOT / folder).rglob("*.py")
        if path != ROOT / "backoffice" / "settings" / "env.py"
    )
    unread = [
        field
        for field in env.Settings.model_fields
        if not re.search(rf"(\.{field}\b|[\"']{field}[\"']|{env.variable_name(field)}\b)", code)
    ]
    assert unread == []


# -- the start --------------------------------------------------------------------------------------

GOOD = {
    "KAURI_SECRET_KEY": "x" * 40,
    "KAURI_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
    "DATABASE_URL": "postgresql:///nothing",
}
PROD = {
    **GOOD,
    "KAURI_ENV": "prod",
    "KAURI_PUBLIC_URL": "https://office.example",
    "KAURI_CALLBACKS_URL": "https://pay.example",
    "KAURI_TRUSTED_PROXIES": "10.0.0.0/8",
    "KAURI_EMAIL_URL": "smtp://mail.example",
}


def start(
    variables: dict[str, str], code: str = "import backoffice.settings"
) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("KAURI_")}
    clean.pop("DATABASE_URL", None)
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**clean, "PYTHONPATH": str(ROOT), **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def read(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> str:
    """What reading these settings says before it stops; '' when it does not stop."""
    for key in list(os.environ):
        if key.startswith("KAURI_") or key in {"DATABASE_URL", "REDIS_URL"}:
            monkeypatch.delenv(key)
    for key, value in variables.items():
        monkeypatch.setenv(key, value)
    try:
        env.load()
    except SystemExit as stop:
        return str(stop.code)
    return ""


def test_a_wrong_setting_stops_the_process_and_is_named() -> None:
    stopped = start({**GOOD, "KAURI_PORT": "eighty"})
    assert stopped.returncode == 1
    assert "KAURI_PORT" in stopped.stderr
    assert "Traceback" not in stopped.stderr


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"KAURI_COLOUR": "red"}, "KAURI_COLOUR"),
        ({"KAURI_SECRET_KEY": "short"}, "KAURI_SECRET_KEY"),
        ({"KAURI_SECRET_KEY": ""}, "KAURI_SECRET_KEY"),
        ({"KAURI_ENCRYPTION_KEYS": ""}, "KAURI_ENCRYPTION_KEYS"),
        ({"KAURI_ENCRYPTION_KEYS": "nonsense"}, "KAURI_ENCRYPTION_KEYS"),
        ({"KAURI_ENV": "production"}, "KAURI_ENV"),
        ({"KAURI_PORT": "0"}, "KAURI_PORT"),
        ({"KAURI_TRUSTED_PROXIES": "everybody"}, "KAURI_TRUSTED_PROXIES"),
        ({"KAURI_WEBHOOK_ALLOWED_NETWORKS": "10.0.0.1/8"}, "KAURI_WEBHOOK_ALLOWED_NETWORKS"),
        ({"KAURI_CLUSTERS": "money:nothing"}, "KAURI_CLUSTERS"),
        ({"KAURI_CLUSTERS": "money:account"}, "KAURI_CLUSTERS"),
        ({"KAURI_CLUSTERS": "a:account,b:account,c:*"}, "KAURI_CLUSTERS"),
        ({"KAURI_ACCESS_TOKEN_MINUTES": "61"}, "KAURI_ACCESS_TOKEN_MINUTES"),
        ({"KAURI_DEBUG": "perhaps"}, "KAURI_DEBUG"),
    ],
)
def test_each_wrong_setting_is_named(
    monkeypatch: pytest.MonkeyPatch, change: dict[str, str], named: str
) -> None:
    said = read({**GOOD, **change}, monkeypatch)
    assert named in said
    assert GOOD["KAURI_ENCRYPTION_KEYS"] not in said


def test_missing_settings_are_all_named(monkeypatch: pytest.MonkeyPatch) -> None:
    said = read({}, monkeypatch)
    for variable in GOOD:
        assert variable in said


def test_good_settings_start(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(GOOD, monkeypatch) == ""
    assert read(PROD, monkeypatch) == ""


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"KAURI_DEBUG": "true"}, "KAURI_DEBUG"),
        ({"KAURI_PUBLIC_URL": "http://office.example"}, "KAURI_PUBLIC_URL"),
        ({"KAURI_CALLBACKS_URL": "http://pay.example"}, "KAURI_CALLBACKS_URL"),
        ({"KAURI_TRUSTED_PROXIES": ""}, "KAURI_TRUSTED_PROXIES"),
        ({"KAURI_WEBHOOK_ALLOWED_NETWORKS": "10.0.0.0/8"}, "KAURI_WEBHOOK_ALLOWED_NETWORKS"),
        ({"KAURI_EMAIL_URL": ""}, "KAURI_EMAIL_URL"),
    ],
)
def test_production_refuses_what_is_unsafe_one_by_one(
    monkeypatch: pytest.MonkeyPatch, change: dict[str, str], named: str
) -> None:
    said = read({**PROD, **change}, monkeypatch)
    assert named in said
    assert [other for other in PROD if other != named and other in said] == []


@pytest.mark.parametrize("process", ["wsgi", "callbacks_wsgi"])
def test_web_processes_carry_no_heavy_library_and_no_key_signer(process: str) -> None:
    heavy = ("aiogram", "weasyprint", "xlsxwriter", "eth_account", "playwright", "openpyxl")
    code = (
        f"import backoffice.{process}, sys\n"
        "from django.urls import get_resolver\n"
        "get_resolver().url_patterns\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    done = start({**GOOD, "KAURI_ENV": "test"}, code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
