"""``make run``: database, test chain, migrations, demo data, then Kauri's own processes, watched over until Ctrl-C."""

from __future__ import annotations

import fcntl
import http.client
import json
import os
import signal
import subprocess
import sys
from typing import IO, TYPE_CHECKING, Any

from compose.local import (
    anvil,
    bitcoin_chain,
    environment,
    leftovers,
    litecoind,
    nodes,
    places,
    postgres,
    secret_file,
    shell,
    signer,
    system,
)
from compose.local.console import SetupError, say, step
from compose.local.demo_text import print_welcome
from compose.local.supervisor import Member, Supervisor

if TYPE_CHECKING:
    from pathlib import Path
    from types import FrameType

STOP_ORDER = (
    "web",
    "callbacks",
    "telegram-bot",
    "scheduler",
    "worker-money",
    "worker-general",
    "signer",
    "bitcoin-miner",
    "bitcoin",
    "anvil",
    "postgres",
)
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SETTLE_SECONDS = 4.0  # what cannot start at all ends sooner
READY_SECONDS = 180.0
WORKER_GRACE = 75.0  # a worker gives its cluster 60 s to finish what it holds
LONGEST_LOG = 5_000_000
GRANIAN = (
    "--interface",
    "wsgi",
    "--host",
    "127.0.0.1",
    "--blocking-threads",
    "1",
    "--no-ws",
    "--workers-kill-timeout",
    "5",
)


class Stopped(BaseException):
    """Someone asked us to stop (Ctrl-C, SIGTERM, the terminal's end)."""


def run() -> int:
    """Run the demo until told to stop. 0 after an orderly stop."""
    for sign in SIGNALS:
        signal.signal(sign, _stop_asked)
    try:
        return _run()
    except Stopped:
        say("\nStopped before it was up.")
        return 1


def _run() -> int:
    places.ensure_state()
    lock = take_lock()
    leftovers.end_all()
    ports = environment.Ports.chosen()
    ports.must_be_free()
    system.ensure_pdf()
    nodes.ensure()
    if ports.btc:
        nodes.ensure_bitcoin()
    supervisor = Supervisor(places.RUN_FILE, STOP_ORDER)
    try:
        bring_up(supervisor, ports)
        print_welcome(ports)
        supervisor.keep()
    except Stopped:
        say("\nStopping ...")
    finally:
        for sign in SIGNALS:
            signal.signal(sign, signal.SIG_IGN)
        supervisor.stop()
        lock.close()
    say("Stopped. The data is kept in .kauri; 'make run' goes on from here.")
    return 0


def bring_up(supervisor: Supervisor, ports: environment.Ports) -> None:
    """Start everything in the order in which one needs the other, and wait until all of it serves."""
    secrets = secret_file.load_or_make(places.SECRETS)
    (places.STATE / "static").mkdir(exist_ok=True)
    for log in places.LOGS.glob("*.log"):
        _turn_over(log)
    url = app_url = os.environ.get("DATABASE_URL", "")
    if not url:
        with step("PostgreSQL"):
            server = postgres.Server(places.DEMO_DATABASE)
            member = Member("postgres", server.start, server.log, stop_signal=signal.SIGINT, grace=30)
            supervisor.start(member)
            url, app_url = server.url(), server.url(user=postgres.APP_USER)
    owner = environment.demo(url, ports, secrets)
    env = {**owner, "DATABASE_URL": app_url}
    with step("Ethereum test chain"):
        supervisor.start(_chain_node(ports.evm))
        supervisor.wait_ready(60)
        public = signer.ensure()["ethereum"]
        chain = [
            sys.executable,
            "-m",
            "compose.local.chain",
            "--rpc",
            env["KAURI_EVM_RPC_URL"],
            "--out",
            str(places.CHAIN_FILE),
            "--wallet",
            *(public[name] for name in ("hot_address", "gas_address", "xpub")),
        ]
        shell.must(chain, "Preparing the test chain", env=environment.base())
        signer.allow(signer.DEMO, [json.loads(places.CHAIN_FILE.read_text())["token"]])
        supervisor.start(signer.member())
        supervisor.wait_ready(60)
    if ports.btc:
        with step("Bitcoin test chain"):
            _bring_up_bitcoin(supervisor, ports.btc)
    first = "" if places.DEMO_FILE.exists() else " (half a minute, this first time)"
    with step(f"migrations, defaults, demo data{first}"):
        commands = ["migrate", "defaults_load", "demo_load"]
        prepare = [sys.executable, "-m", "compose.local.prepare", *commands]
        shell.must(prepare, "Preparing the database", env=owner, log=places.LOGS / "prepare.log")
    with step("web, callbacks, scheduler, workers"):
        signing = {**env, "KAURI_SIGNER_SOCKET": str(signer.DEMO.socket)}
        for member in _kauri(env, signing, ports):
            supervisor.start(member)
        supervisor.wait_ready(READY_SECONDS)


def take_lock() -> IO[str]:
    """The right to be the one demo of this checkout."""
    lock = (places.STATE / "run.lock").open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        message = (
            "Kauri already runs from this checkout: sign-ins are in .kauri/demo.json; 'make stop' ends it."
        )
        raise SetupError(message) from None
    return lock


def _kauri(env: dict[str, str], signing: dict[str, str], ports: environment.Ports) -> list[Member]:
    """Kauri's own processes."""
    manage = [sys.executable, "manage.py"]
    granian = [str(places.VENV_BIN / "granian"), *GRANIAN]
    web = [*granian, "--port", str(ports.web), "--workers", "2", "backoffice.wsgi:application"]
    callbacks = [
        *granian,
        "--port",
        str(ports.callbacks),
        "--workers",
        "1",
        "backoffice.callbacks_wsgi:application",
    ]
    # The bot answers people only where it has a name that links can carry.
    bot = [_program("telegram-bot", [*manage, "telegram_bot"], env)] if env.get("KAURI_TELEGRAM_BOT") else []
    return [
        _program("web", web, env, ready=lambda: answers(ports.web, "/readyz")),
        _program("callbacks", callbacks, env, ready=lambda: answers(ports.callbacks, "/healthz")),
        _program("scheduler", [*manage, "scheduler"], env, settle=SETTLE_SECONDS),
        _program(
            "worker-money", [*manage, "worker", "money"], signing, grace=WORKER_GRACE, settle=SETTLE_SECONDS
        ),
        _program(
            "worker-general", [*manage, "worker", "general"], env, grace=WORKER_GRACE, settle=SETTLE_SECONDS
        ),
        *bot,
    ]


def _bring_up_bitcoin(supervisor: Supervisor, port: int) -> None:
    """The node, a miner with coins to give, and the signer's account beside it."""
    log, url = places.LOGS / "bitcoin.log", environment.bitcoin_url(port)

    def start() -> subprocess.Popen[bytes]:
        return litecoind.start(port, data=places.BITCOIN_DATA, log=log)

    # It writes its chain before it ends.
    supervisor.start(Member("bitcoin", start, log, ready=lambda: bitcoin_chain.answers(url), grace=60))
    supervisor.wait_ready(60)
    public, family = signer.ensure()["bitcoin"], litecoind.ensure_installed().family
    program = [sys.executable, "-m", "compose.local.bitcoin_chain", "--rpc", url]
    account = ["--out", str(places.BITCOIN_FILE), "--account", public["xpub"], public["key_origin"]]
    shell.must(
        [*program, "--family", family, *account], "Preparing the Bitcoin chain", env=environment.base()
    )
    supervisor.start(_program("bitcoin-miner", [*program, "--mine"], environment.base()))


def _chain_node(port: int) -> Member:
    log = places.LOGS / "anvil.log"

    def start() -> subprocess.Popen[bytes]:
        return anvil.start(port, state=places.CHAIN_STATE, block_time=4, log=log)

    return Member("anvil", start, log, ready=lambda: not environment.is_free(port))


def _program(name: str, command: list[str], env: dict[str, str], **options: Any) -> Member:
    """A member that is a program with its own log; ``options`` are those of ``Member``."""

    def start() -> subprocess.Popen[bytes]:
        with _log(name).open("ab") as sink:
            return subprocess.Popen(
                command,
                cwd=places.ROOT,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    return Member(name=name, start=start, log=_log(name), **{"grace": 15.0, **options})


def _log(name: str) -> Path:
    return places.LOGS / f"{name}.log"


def _turn_over(log: Path) -> None:
    """Keep one older log of each process, so that a demo left running for weeks fills no disk at its next start."""
    if log.stat().st_size > LONGEST_LOG:
        log.replace(log.with_suffix(".log.1"))


def answers(port: int, path: str) -> bool:
    """Whether the server on this port of 127.0.0.1 answers 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _stop_asked(_sign: int, _frame: FrameType | None) -> None:
    raise Stopped
