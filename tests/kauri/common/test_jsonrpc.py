"""The JSON-RPC client against servers that behave, misbehave and fall silent."""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal

import pytest

from kauri.common.jsonrpc import Call, JsonRpc, NoAnswer, NotSent, RpcError
from tests.nodes import Chain, free_port, serve_posts

SECRET = "s3cr3t-api-key"


def reply(make: Callable[[object], object]) -> Callable[[bytes], bytes]:
    return lambda body: json.dumps(make(json.loads(body))).encode()


@contextmanager
def raw_server(*pieces: bytes, hold: bool = False) -> Iterator[str]:
    """Answers one request with exactly these bytes; ``hold`` keeps the line open afterwards."""
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            line, _ = server.accept()
            with line, line.makefile("rb") as request:
                # Read it all: closing a line with something unread on it would reset it.
                size = 0
                while header := request.readline().strip():
                    if header.lower().startswith(b"content-length:"):
                        size = int(header.partition(b":")[2])
                request.read(size)
                for piece in pieces:
                    line.sendall(piece)
                if hold:
                    ended.wait(20)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}"
        finally:
            ended.set()
            thread.join(20)


def http(status: str, body: bytes, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def test_calls_and_batches_on_a_real_node(eth: Chain) -> None:
    rpc = JsonRpc(eth.url, batch_size=2)
    assert rpc.call("eth_chainId") == "0x7a69"
    results = rpc.batch(
        [Call("eth_chainId"), Call("no_such_method"), Call("eth_blockNumber"), Call("eth_getCode", ["0x12"])]
    )
    assert results[0] == "0x7a69"
    assert isinstance(results[1], RpcError)
    assert results[1].code == -32601
    assert results[2] == hex(eth.height())
    assert isinstance(results[3], RpcError)
    assert results[3].code == -32602
    assert rpc.batch([]) == []
    with pytest.raises(RpcError, match=r"^-32601: Method not found") as caught:
        rpc.call("no_such_method")
    assert caught.value.code == -32601


def test_every_request_has_its_own_id_and_answers_may_come_in_any_order() -> None:
    ids: list[int] = []

    def answer(request: object) -> object:
        assert isinstance(request, list)
        ids.extend(call["id"] for call in request)
        return [{"jsonrpc": "2.0", "id": c["id"], "result": c["params"][0]} for c in reversed(request)]

    with serve_posts(reply(answer)) as url:
        rpc = JsonRpc(url)
        assert rpc.batch([Call("m", ["a"]), Call("m", ["b"]), Call("m", ["c"])]) == ["a", "b", "c"]
        assert rpc.batch([Call("m", ["d"]), Call("m", ["e"])]) == ["d", "e"]
        rpc.close()
    assert ids == [1, 2, 3, 4, 5]


def test_numbers_stay_exact() -> None:
    body = b'{"jsonrpc":"2.0","id":1,"result":0.10000000000000000001}'
    with serve_posts(lambda _: body) as url:
        assert JsonRpc(url).call("m") == Decimal("0.10000000000000000001")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ([], "the node's answer is not a JSON-RPC answer"),
        ("text", "the node's answer is not a JSON-RPC answer"),
        ({"id": 1}, "the node's answer belongs to another call"),
        ({"id": 2, "result": "0x1"}, "the node's answer belongs to another call"),
        ({"result": "0x1"}, "the node's answer belongs to another call"),
    ],
)
def test_an_answer_to_something_else_is_no_answer(answer: object, words: str) -> None:
    with serve_posts(reply(lambda _: answer)) as url, pytest.raises(NoAnswer, match=f"^{words}$"):
        JsonRpc(url).call("m")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ([{"id": 1, "result": 1}], "the node's answer to a batch has another length"),
        ({"result": 1}, "the node's answer to a batch has another length"),
        ([{"id": 1, "result": 1}, {"id": 1, "result": 1}], "the node's answer to a batch has other ids"),
        ([{"id": 1, "result": 1}, None], "the node's answer to a batch has other ids"),
    ],
)
def test_half_a_batch_is_no_answer(answer: object, words: str) -> None:
    with serve_posts(reply(lambda _: answer)) as url, pytest.raises(NoAnswer, match=f"^{words}$"):
        JsonRpc(url).batch([Call("m"), Call("m")])


def test_a_node_without_batches_refuses_as_a_whole() -> None:
    refusal = {"id": None, "error": {"code": -32600, "message": "batches are not served"}}
    words = r"^-32600: batches are not served$"
    with serve_posts(reply(lambda _: refusal)) as url, pytest.raises(RpcError, match=words):
        JsonRpc(url).batch([Call("m"), Call("m")])


@pytest.mark.parametrize("error", ["busy", {"message": "busy"}, {"code": "x", "message": "busy"}])
def test_an_odd_error_is_still_an_error(error: object) -> None:
    answer = reply(lambda _: {"id": 1, "error": error})
    with serve_posts(answer) as url, pytest.raises(RpcError, match=r"^0: .*busy") as caught:
        JsonRpc(url).call("m")
    assert caught.value.code == 0


def test_a_refusal_with_an_http_error_status_counts() -> None:
    body = b'{"jsonrpc":"2.0","id":1,"error":{"code":-32005,"message":"limit exceeded"}}'
    answer = http("429 Too Many Requests", body)
    with raw_server(answer) as url, pytest.raises(RpcError, match=r"^-32005: limit exceeded$"):
        JsonRpc(url).call("m")


@pytest.mark.parametrize(
    ("pieces", "words"),
    [
        ([http("502 Bad Gateway", b"<html>")], "HTTP 502 without JSON"),
        ([http("401 Unauthorized", b"")], "HTTP 401 without JSON"),
        ([http("302 Found", b"", "Location: http://127.0.0.1:9/")], "HTTP 302 without JSON"),
        ([http("200 OK", b"[" * 200_000)], "HTTP 200 without JSON"),
        ([], "ConnectionError"),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{"], "ChunkedEncodingError"),
        ([b"not http at all\r\n\r\n"], "ConnectionError"),
    ],
)
def test_nonsense_is_no_answer(pieces: list[bytes], words: str) -> None:
    with raw_server(*pieces) as url, pytest.raises(NoAnswer, match=f"^{words}$"):
        JsonRpc(url).call("m")


def test_a_large_answer_is_cut_off() -> None:
    body = b'{"jsonrpc":"2.0","id":1,"result":"' + b"x" * 300_000 + b'"}'
    with serve_posts(lambda _: body) as url:
        with pytest.raises(NoAnswer, match=r"^ChunkedEncodingError$"):
            JsonRpc(url, max_answer_bytes=200_000).call("m")
        assert len(JsonRpc(url, max_answer_bytes=400_000).call("m")) == 300_000


def test_silence_is_no_answer() -> None:
    with raw_server(hold=True) as url, pytest.raises(NoAnswer, match=r"^ReadTimeout$"):
        JsonRpc(url, read_timeout=0.2).call("m")


def test_an_answer_that_never_ends_is_no_answer() -> None:
    started = b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{"
    with raw_server(started, hold=True) as url, pytest.raises(NoAnswer, match=r"^ConnectionError$"):
        JsonRpc(url, read_timeout=0.2).call("m")


def test_nobody_there_is_not_sent() -> None:
    with pytest.raises(NotSent, match=r"^ConnectionError$"):
        JsonRpc(f"http://127.0.0.1:{free_port()}").call("m")
    with pytest.raises(NotSent, match=r"^ConnectionError$"):
        JsonRpc("http://node.invalid").call("m")


def test_the_environments_proxy_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with serve_posts(reply(lambda r: {"id": 1, "result": r})) as url:
        assert JsonRpc(url).call("m")["method"] == "m"


def test_the_providers_proxy_is_used() -> None:
    with serve_posts(reply(lambda _: {"id": 1, "result": "by proxy"})) as proxy:
        assert JsonRpc("http://node.invalid", proxy=proxy).call("m") == "by proxy"


@pytest.mark.parametrize("url", ["", "node:8545", "ftp://node", "http://"])
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"^the node's URL must begin with http"):
        JsonRpc(url)


def test_secrets_in_the_url_are_never_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    def echo(_request: object) -> object:
        return {"id": 1, "error": {"code": 1, "message": f"no project {SECRET}, login hunter2", "data": None}}

    shown = []
    with serve_posts(reply(echo)) as url:
        host = url.removeprefix("http://")
        for full in (f"http://user:hunter2@{host}/v3/{SECRET}", f"{url}/?apikey={SECRET}&x=hunter2"):
            rpc = JsonRpc(full)
            with pytest.raises(RpcError) as refused:
                rpc.call("m")
            assert refused.value.message == "no project ***, login ***"
            shown += [repr(rpc), str(rpc), repr(refused.value)]
    dead = JsonRpc(f"http://user:hunter2@127.0.0.1:{free_port()}/v3/{SECRET}")
    with pytest.raises(NotSent) as unsent:
        dead.call("m")
    shown += [repr(unsent.value), str(unsent.value), caplog.text]
    for text in shown:
        assert SECRET not in text
        assert "hunter2" not in text


def test_a_long_refusal_is_shortened() -> None:
    answer = reply(lambda _: {"id": 1, "error": {"code": 1, "message": "x" * 5000}})
    with serve_posts(answer) as url, pytest.raises(RpcError) as caught:
        JsonRpc(url).call("m")
    assert caught.value.message == "x" * 300
