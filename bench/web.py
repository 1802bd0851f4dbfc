"""The two web servers that are measured: ours as the Procfile serves it, the twin on gunicorn, with as many processes."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings

from bench import peers
from compose.local import places
from compose.local.environment import is_free

WORKERS = "2"
PATIENCE = 60.0
FIRST_PORT = 18_400


@contextmanager
def served(name: str) -> Iterator[tuple[int, int]]:
    """Start ``ours`` or ``twin``; gives its port and its first process."""
    port = next(port for port in range(FIRST_PORT, FIRST_PORT + 200) if is_free(port))
    environ = {
        **os.environ,
        "BENCH_SETTINGS": "bench.web_settings" if name == "ours" else "bench.twin_settings",
        "BENCH_ROLE": str(settings.KAURI.database_role),
        "PYTHONPATH": os.pathsep.join([str(places.ROOT), str(peers.TARGET)]),
    }
    environ["DJANGO_SETTINGS_MODULE"] = environ["BENCH_SETTINGS"]
    process = subprocess.Popen(_command(name, port), env=environ, cwd=places.ROOT, stdout=subprocess.DEVNULL)
    try:
        _answers(port, process)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait(PATIENCE)


def _command(name: str, port: int) -> list[str]:
    if name == "ours":
        where = ["--host", "127.0.0.1", "--port", str(port), "--workers", WORKERS, "--no-ws"]
        log = ["--no-access-log", "--log-level", "warning"]
        return ["granian", "--interface", "wsgi", *where, *log, "backoffice.wsgi:application"]
    # Granian starts a thread for each request at once: as many as there are clients at most.
    size = ["--worker-class", "gthread", "--workers", WORKERS, "--threads", "16", "--keep-alive", "60"]
    bind = ["--bind", f"127.0.0.1:{port}", "--log-level", "warning"]
    return [sys.executable, "-m", "gunicorn", *size, *bind, "bench.twin_wsgi:application"]


def _answers(port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + PATIENCE
    while True:
        line = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            line.request("GET", "/healthz")
            line.getresponse().read()
        except OSError:
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError("a web server that is to be measured did not start") from None
            time.sleep(0.05)
        else:
            return
        finally:
            line.close()
