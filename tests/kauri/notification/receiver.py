"""A client's server that answers exactly the bytes it is told."""

from __future__ import annotations

import socket
import ssl
import threading
from typing import Any

from kauri.common import clock
from kauri.notification import services
from kauri.notification.models import Delivery

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def _some(line: socket.socket) -> bytes:
    data = line.recv(65536)
    if not data:
        raise OSError("the other side left")
    return data


class Receiver:
    """A loopback server that answers raw bytes, one connection after another."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        self.answers: list[bytes] = []
        #: Sends these pieces first, waiting so long before each; for servers that drip.
        self.pieces: list[bytes] = []
        self.pause = threading.Event()
        self.pause_seconds = 0.0
        self.context: ssl.SSLContext | None = None
        self.server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.server.getsockname()[1]}/hook?shop=7"
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self.server.accept()
            except OSError:
                return
            try:
                if self.context is not None:
                    line = self.context.wrap_socket(line, server_side=True)
                self._answer(line)
            except OSError:
                continue
            finally:
                line.close()

    def _answer(self, line: socket.socket) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            data += _some(line)
        head, _, rest = data.partition(b"\r\n\r\n")
        [length] = [
            int(row[15:]) for row in head.split(b"\r\n") if row.lower().startswith(b"content-length:")
        ]
        while len(rest) < length:
            rest += _some(line)
        self.requests.append(head + b"\r\n\r\n" + rest)
        for piece in self.pieces:
            self.pause.wait(self.pause_seconds)
            line.sendall(piece)
        if not self.pieces:
            line.sendall(self.answers.pop(0) if self.answers else OK)

    def headers(self, number: int = -1) -> dict[str, str]:
        head = self.requests[number].partition(b"\r\n\r\n")[0].decode()
        return {k.lower(): v for k, v in (row.split(": ", 1) for row in head.split("\r\n")[1:])}

    def body(self, number: int = -1) -> bytes:
        return self.requests[number].partition(b"\r\n\r\n")[2]

    def close(self) -> None:
        self.pause.set()
        self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()
        self.thread.join()


def status(code: int, **headers: str) -> bytes:
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {code} X\r\nContent-Length: 0\r\n{lines}\r\n".encode("latin-1")


def try_at(delivery: Delivery, moment: Any) -> Delivery:
    with clock.standing_at(moment):
        services.delivery_send(delivery.pk)
    delivery.refresh_from_db()
    return delivery
