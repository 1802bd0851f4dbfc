"""DEV and PROD: a container per queue, the hot key in one of them alone, and a deployment that leaves the old running on an error."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from backoffice.settings.env import QUEUES
from compose.local import places

if TYPE_CHECKING:
    from pathlib import Path

MISSION_QUEUES = {
    "internal_movement_order",
    "report",
    "notification",
    "balance",
    "account",
    "exchange_order",
    "withdrawal_order",
    "wallet",
    "deposit_order",
    "exchange_provider",
    "payment_provider",
    "invoice_order",
    "fast_exchange_order",
}
FILES = places.ROOT / "compose"
DOCKER = """#!/bin/sh
echo "$*" | sed -E 's/compose -f .*--project-directory compose/compose/' >> "$CALLS"
case "$*" in
  *"config --services"*) printf 'web\\ncallbacks\\nscheduler\\nworker-a\\nworker-b\\nnginx\\n' ;;
  *"ps -q"*|*"ps -aq"*) echo container ;;
  *"inspect -f {{.Config.Image}}"*) echo kauri:old ;;
  *inspect*kauri-trial*) echo "${TRIAL:-healthy}" ;;
  *inspect*) echo "${AFTER:-running/healthy}" ;;
  *logs*) echo "boom in the log" ;;
  *"up -d"*) case "$*" in *"$FAILING"*) [ -z "$FAILING" ] ;; esac ;;
esac
"""


def services(name: str = "docker-compose.yml") -> dict[str, str]:
    text = (FILES / name).read_text().partition("\nservices:\n")[2].partition("\nnetworks:\n")[0]
    parts = re.split(r"^  ([\w-]+):\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def clusters() -> dict[str, str]:
    text = (
        (FILES / "docker-compose.yml")
        .read_text()
        .partition("KAURI_CLUSTERS: >-\n")[2]
        .partition("  volumes")[0]
    )
    return dict(part.strip().split(":") for part in text.split(",") if part.strip())


def test_every_queue_has_a_cluster_and_every_cluster_a_worker() -> None:
    assert clusters() == {**{queue: queue for queue in MISSION_QUEUES}, "rest": "*"}
    workers = {
        name.removeprefix("worker-"): text for name, text in services().items() if name.startswith("worker-")
    }
    assert workers.keys() == clusters().keys()
    assert all(f"[python, manage.py, worker, {name}]" in text for name, text in workers.items())


def test_the_queues_are_those_the_settings_know() -> None:
    assert set(QUEUES) >= MISSION_QUEUES


def test_only_the_worker_that_pays_reaches_the_signer_which_reaches_nobody() -> None:
    signing = [name for name, text in services().items() if "signing.env" in text]
    assert signing == ["worker-withdrawal_order"]
    socket = [name for name, text in services().items() if "signer-socket:" in text]
    assert socket == ["signer", "worker-withdrawal_order"]
    signer = services()["signer"]
    assert "network_mode: none" in signer
    assert "env_file: []" in signer
    assert "environment: {}" in signer
    assert "env_file" not in services()["nginx"]


def test_only_the_migration_connects_as_the_owner() -> None:
    assert [name for name, text in services().items() if "owner.env" in text] == ["migrate"]
    for name in ("dev", "prod"):
        example = (FILES / "env" / f"{name}.env.example").read_text()
        url = next(line for line in example.splitlines() if line.startswith("DATABASE_URL="))
        assert url == "DATABASE_URL=" or url.startswith("DATABASE_URL=postgresql://kauri_app:")
        assert "KAURI_DATABASE_ROLE_PASSWORD" not in example


def test_dev_brings_database_and_redis_and_prod_does_not() -> None:
    assert set(services("docker-compose.dev.yml")) >= {"db", "redis"}
    assert not {"db", "redis"} & (set(services("docker-compose.prod.yml")) | set(services()))


class Deployment:
    """run_deployment.sh in a folder of its own, with a docker that only takes notes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copy(places.ROOT / "run_deployment.sh", folder)
        (folder / "compose" / "env").mkdir(parents=True)
        for name in ("dev", "prod"):
            shutil.copy(FILES / "env" / f"{name}.env.example", folder / "compose" / "env" / f"{name}.env")
            for part in ("owner", "signing"):
                shutil.copy(
                    FILES / "env" / f"{part}.env.example", folder / "compose" / "env" / f"{name}.{part}.env"
                )
        docker = folder / "bin" / "docker"
        docker.parent.mkdir()
        docker.write_text(DOCKER)
        docker.chmod(0o755)

    def run(self, *words: str, **environment: str) -> tuple[int, str, list[str]]:
        calls = self.folder / "calls"
        calls.write_text("")
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        env = {"PATH": path, "CALLS": str(calls), "FAILING": "", **environment}
        done = subprocess.run(
            [self.folder / "run_deployment.sh", *words],
            env=env,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        steps = [
            line
            for line in calls.read_text().splitlines()
            if re.search(r" up -d | build | run | logs ", line)
        ]
        return done.returncode, done.stdout + done.stderr, steps


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    return Deployment(tmp_path)


def test_prod_migrates_tries_out_and_only_then_recreates_workers_last(deployment: Deployment) -> None:
    code, output, steps = deployment.run("PROD")
    assert code == 0, output
    assert steps == [
        "compose build web",
        "compose run --rm --no-deps migrate",
        "compose run -d --no-deps --name kauri-trial-web web",
        "compose run -d --no-deps --name kauri-trial-callbacks callbacks",
        "compose up -d --no-deps --wait --wait-timeout 180 web callbacks",
        "compose up -d --no-deps --wait --wait-timeout 180 scheduler worker-a worker-b",
        "compose up -d --no-deps --wait --wait-timeout 180 nginx",
    ]


def test_dev_starts_only_the_services_its_settings_point_at(deployment: Deployment) -> None:
    _, _, steps = deployment.run("DEV")
    assert steps[1] == "compose up -d --no-deps --wait --wait-timeout 180 db redis"
    settings = deployment.folder / "compose/env/dev.env"
    settings.write_text(re.sub(r"@db:|//redis:", "@elsewhere:", settings.read_text()))
    code, _, steps = deployment.run("DEV")
    assert code == 0
    assert steps[1] == "compose run --rm --no-deps migrate"


@pytest.mark.parametrize("state", ["unhealthy", "ended"])
def test_an_image_that_does_not_come_up_shows_its_log_and_leaves_the_old_running(
    deployment: Deployment, state: str
) -> None:
    code, output, steps = deployment.run("PROD", TRIAL=state)
    assert code == 1
    assert "boom in the log" in output
    assert f"the new web is {state} (its log is above); the old one goes on running" in output
    assert not any(" up -d " in step for step in steps)


def test_a_recreation_that_fails_shows_the_log_and_puts_the_old_image_back(deployment: Deployment) -> None:
    code, output, steps = deployment.run("PROD", FAILING="180 web", AFTER="running/unhealthy")
    assert code == 1
    assert "web is running/unhealthy" in output
    assert "boom in the log" in output
    assert "putting kauri:old back" in output
    assert steps[-1] == "compose up -d --no-deps web callbacks"
    assert not any("worker" in step for step in steps)


@pytest.mark.parametrize(("words", "told"), [((), "Usage: "), (("STAGING",), "Usage: ")])
def test_an_unknown_environment_is_refused(deployment: Deployment, words: tuple[str, ...], told: str) -> None:
    code, output, steps = deployment.run(*words)
    assert (code, steps) == (2, [])
    assert output.startswith(told)


@pytest.mark.parametrize("name", ["prod.env", "prod.owner.env", "prod.signing.env"])
def test_a_missing_settings_file_is_named(deployment: Deployment, name: str) -> None:
    (deployment.folder / "compose/env" / name).unlink()
    code, output, steps = deployment.run("PROD")
    assert (code, steps) == (2, [])
    assert output == f"Missing compose/env/{name}: copy its .example in compose/env and fill it in.\n"
