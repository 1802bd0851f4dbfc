"""Ports that are taken are named, and secrets reach only the process they are for."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from compose.local import environment, test
from compose.local.console import SetupError

PORTS = environment.Ports(8000, 8001, 8545)


def test_a_taken_port_is_one_line_that_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(socket.socket()) as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        monkeypatch.setenv("KAURI_CALLBACKS_PORT", str(taken))
        monkeypatch.setenv("KAURI_PORT", "1")
        monkeypatch.setattr(environment, "is_free", lambda port: port != taken)
        with pytest.raises(SetupError) as caught:
            environment.Ports.chosen().must_be_free()
        monkeypatch.undo()
        assert not environment.is_free(taken)
    line = str(caught.value)
    assert line.startswith(
        f"Port {taken} is taken by another program: set KAURI_CALLBACKS_PORT to another one"
    )
    assert "\n" not in line


def test_two_equal_ports_are_refused() -> None:
    with pytest.raises(SetupError, match="KAURI_CALLBACKS_PORT and KAURI_DEMO_EVM_PORT are both 65001"):
        environment.Ports(65000, 65001, 65001).must_be_free()


@pytest.mark.parametrize("text", ["0", "65536", "http", "-1", "80.0"])
def test_a_port_that_is_none_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAURI_PORT", text)
    with pytest.raises(SetupError, match=f"KAURI_PORT is '{text}'"):
        environment.Ports.chosen()


def test_the_demo_is_never_anything_but_a_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAURI_ENV", "prod")
    monkeypatch.setenv("KAURI_DEMO_EVM_PORT", "9545")
    monkeypatch.setenv("KAURI_TELEGRAM_TOKEN", "kept")
    env = environment.demo("postgresql://x", PORTS, {})
    assert env["KAURI_ENV"] == "demo"
    assert env["KAURI_TELEGRAM_TOKEN"] == "kept"
    assert "KAURI_DEMO_EVM_PORT" not in env


def test_the_tests_get_nothing_of_the_callers_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAURI_TELEGRAM_TOKEN", "real")
    monkeypatch.setenv("REDIS_URL", "redis://real")
    monkeypatch.setenv("DATABASE_URL", "postgresql://real")
    secrets = {"KAURI_SECRET_KEY": "s"}
    env = environment.test("postgresql://test", "/state", secrets)
    named = {name: value for name, value in env.items() if name.startswith(("KAURI_", "REDIS", "DATABASE"))}
    assert named == {
        "DATABASE_URL": "postgresql://test",
        "KAURI_ENV": "test",
        "KAURI_SECRET_KEY": "s",
        "KAURI_STATE_DIR": "/state",
    }


def test_what_the_pictures_are_given_is_no_unknown_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings stop at a name of theirs that they don't know: no command may make one up."""

    @contextmanager
    def nothing(**_options: object) -> Iterator[dict[str, str]]:
        yield {}

    given: dict[str, str] = {}
    monkeypatch.setattr(test.nodes, "ensure", lambda: None)
    monkeypatch.setattr(test.system, "ensure_browser", lambda: None)
    monkeypatch.setattr(test, "throw_away", nothing)
    monkeypatch.setattr(test, "run", lambda _command, env: given.update(env) or 0)
    assert test.screenshots() == 0
    assert [name for name in given if name.startswith("KAURI_")] == []
    assert given["SCREENS_DIR"] == str(test.places.STATE / "screens")


def test_the_bitcoin_chain_comes_when_its_port_is_named_and_stays(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    known = tmp_path / "chain-bitcoin.json"
    monkeypatch.setattr(environment.places, "BITCOIN_FILE", known)
    monkeypatch.delenv("KAURI_DEMO_BTC_PORT", raising=False)
    assert environment.Ports.chosen().btc == 0
    assert "KAURI_BTC_RPC_URL" not in environment.demo("postgresql://x", PORTS, {})
    monkeypatch.setenv("KAURI_DEMO_BTC_PORT", "19443")
    ports = environment.Ports.chosen()
    assert ports.btc == 19443
    env = environment.demo("postgresql://x", ports, {})
    assert env["KAURI_BTC_RPC_URL"] == "http://kauri:kauri@127.0.0.1:19443"
    assert "KAURI_DEMO_BTC_PORT" not in env
    monkeypatch.delenv("KAURI_DEMO_BTC_PORT")
    known.write_text("{}")
    assert environment.Ports.chosen().btc == 18443
