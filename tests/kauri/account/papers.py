"""Documents as customers send them, cases that wait for somebody, and SumSub on the loopback."""

from __future__ import annotations

import hashlib
import hmac
import io
import json
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from PIL import Image

from kauri.account import cases
from kauri.account.models import User, VerificationCase, VerificationDocument
from kauri.core.models import Provider

PDF = b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\ntrailer\n<<>>\n%%EOF\n"
TOKEN, SECRET, WEBHOOK_SECRET = "sbx:token", "test-sumsub-secret", "test-webhook-secret"
LEVEL = "basic-kyc-level"


def picture(kind: str = "JPEG", size: tuple[int, int] = (320, 200), colour: str = "navy") -> bytes:
    found = io.BytesIO()
    Image.new("RGB", size, colour).save(found, kind)
    return found.getvalue()


def started(user: User, level: int = 1) -> VerificationCase:
    return cases.verification_start(user_id=user.pk, level=level, ip="198.51.100.7")


def hand_in(
    case: VerificationCase, kind: str = "identity", data: bytes | None = None
) -> VerificationDocument:
    return cases.document_add(
        user_id=case.user_id,
        case_id=case.public_id,
        kind=kind,
        data=picture() if data is None else data,
        ip="198.51.100.7",
    )


def waiting(user: User) -> VerificationCase:
    """A case of level 1 that waits for an operator."""
    case = started(user)
    hand_in(case)
    case.refresh_from_db()
    return case


class Sumsub:
    """What SumSub's documentation says of its wire, for one level; it checks every signature."""

    def __init__(self) -> None:
        self.applicants: dict[str, str] = {}
        self.status: dict[str, Any] = {"reviewStatus": "init", "levelName": LEVEL}
        #: "METHOD path-without-query": statuses to answer with, first come first served.
        self.answers: dict[str, list[int | str]] = {}
        self.calls: list[tuple[str, str, bytes]] = []
        self.bad_signatures = 0
        speaker = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                speaker.answer(self)

            do_POST = do_GET

            def log_message(self, *args: Any) -> None:
                del args

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def count(self) -> Counter[str]:
        return Counter(f"{method} {target.partition('?')[0]}" for method, target, _ in self.calls)

    def answer(self, call: BaseHTTPRequestHandler) -> None:
        body = call.rfile.read(int(call.headers.get("Content-Length") or 0))
        self.calls.append((call.command, call.path, body))
        message = f"{call.headers['X-App-Access-Ts']}{call.command}{call.path}".encode() + body
        good = hmac.new(SECRET.encode(), message, hashlib.sha256).hexdigest()
        if (call.headers["X-App-Token"], call.headers["X-App-Access-Sig"]) != (TOKEN, good):
            self.bad_signatures += 1
            self._say(call, 401, {"errorCode": 4003})
            return
        planned = self.answers.get(f"{call.command} {call.path.partition('?')[0]}", [])
        wanted = planned.pop(0) if planned else 200
        if isinstance(wanted, int) and wanted != 200:
            self._say(call, wanted, {"errorCode": 1, "description": f"quotes {SECRET}"})
            return
        status, said = self._do(call.command, call.path, body)
        if wanted == "lost":
            # Done, but nobody hears of it.
            call.close_connection = True
            return
        self._say(call, status, said)

    def _do(self, method: str, target: str, body: bytes) -> tuple[int, dict[str, Any]]:
        path, _, query = target.partition("?")
        given = json.loads(body) if body else {}
        if (method, path) == ("POST", "/resources/applicants"):
            assert query == f"levelName={LEVEL}"
            if given["externalUserId"] in self.applicants:
                return 409, {"errorCode": 1}
            number = f"5b594ade0a975a36c9349e{len(self.applicants):02d}"
            self.applicants[given["externalUserId"]] = number
            return 201, {"id": number, "inspectionId": "i", "review": {"reviewStatus": "init"}}
        if path.startswith("/resources/applicants/-;externalUserId="):
            reference = path.partition("=")[2].removesuffix("/one")
            known = self.applicants.get(reference)
            return (200, {"id": known}) if known else (404, {"errorCode": 1})
        if path == "/resources/applicants/-/levels":
            return 200, {"list": {"items": [{"name": LEVEL}]}}
        if path == "/resources/sdkIntegrations/levels/-/websdkLink":
            assert given["levelName"] == LEVEL
            return 200, {"url": f"https://in.sumsub.example/websdk/p/{len(self.calls)}"}
        if path == "/resources/accessTokens/sdk":
            return 200, {"token": f"_act-{len(self.calls)}", "userId": given["userId"]}
        if path.endswith("/status"):
            return 200, self.status
        if path.endswith("/status/testCompleted"):
            self.status = {"reviewStatus": "completed", "levelName": LEVEL, "reviewResult": given}
            return 200, {"ok": 1}
        if path.endswith("/reset"):
            self.status = {"reviewStatus": "init", "levelName": LEVEL}
            return 200, {"ok": 1}
        return 404, {}

    def _say(self, call: BaseHTTPRequestHandler, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        call.send_response(status)
        call.send_header("Content-Type", "application/json")
        call.send_header("Content-Length", str(len(data)))
        call.end_headers()
        call.wfile.write(data)

    def reviewed(self, answer: str, **result: Any) -> None:
        self.status = {
            "reviewId": "x",
            "attemptCnt": 1,
            "levelName": LEVEL,
            "reviewStatus": "completed",
            "reviewResult": {"reviewAnswer": answer, **result},
        }


def sumsub_on(url: str, **settings: Any) -> Provider:
    """SumSub's row, switched on, speaking to the loopback."""
    provider = Provider.objects.get(code="sumsub")
    provider.is_enabled = True
    provider.environment = "sandbox"
    provider.settings = {**provider.settings, "base_url": url, "timeout_seconds": 5, **settings}
    provider.credentials_secret = json.dumps(
        {"app_token": TOKEN, "app_secret": SECRET, "webhook_secret": WEBHOOK_SECRET}
    )
    provider.save()
    return provider


def webhook(reference: str, **fields: Any) -> bytes:
    body = {
        "applicantId": "5b594ade0a975a36c9349e66",
        "externalUserId": reference,
        "levelName": LEVEL,
        "type": "applicantReviewed",
        "reviewResult": {"reviewAnswer": "GREEN"},
        "reviewStatus": "completed",
        "sandboxMode": True,
        **fields,
    }
    return json.dumps(body).encode()
