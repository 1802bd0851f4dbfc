"""SumSub: an applicant for each case of ours, a link or SDK token for the customer, signed webhooks.

The applicant's ``externalUserId`` is the case's own id, so an answer to one case never decides on
another. Settings: ``levels`` (our level to SumSub's level name), ``entrance`` ("link" or "token"),
``base_url``, ``webhook_algorithm``, ``timeout_seconds``. Credentials: ``app_token``, ``app_secret``,
``webhook_secret``. The provider's environment is ``sandbox`` or ``production``; a sandbox token
begins with ``sbx:``.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar, Final
from urllib.parse import quote, urlsplit

import requests

from kauri.account.verifier import (
    ConfigError,
    Entrance,
    EntranceKind,
    Health,
    Hint,
    Ignored,
    Invalid,
    OutcomeUnknown,
    RawWebhook,
    Rejected,
    Retryable,
    Started,
    StartRequest,
    StatusReport,
    Verdict,
    Verifier,
    WebhookMeaning,
)
from kauri.common import clock, http

BASE_URL: Final = "https://api.sumsub.com"
ENTRANCE_SECONDS: Final = 1800
MAX_WEBHOOK: Final = 256 * 1024
DEFAULT_TIMEOUT: Final = 20
#: The documented algorithms; which of them is believed is said by our settings.
DIGESTS: Final = {"HMAC_SHA1_HEX": "sha1", "HMAC_SHA256_HEX": "sha256", "HMAC_SHA512_HEX": "sha512"}
DEFAULT_DIGEST: Final = "HMAC_SHA256_HEX"
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
#: Until the review is completed, its result is absent or an old one.
_UNFINISHED: Final = {
    "init": Verdict.WAITING,
    "pending": Verdict.PENDING,
    "prechecked": Verdict.PENDING,
    "queued": Verdict.PENDING,
    "onHold": Verdict.PENDING,
}
_RED: Final = {"RETRY": Verdict.RETRY, "FINAL": Verdict.REJECTED}
_PLAYED: Final[dict[Verdict, dict[str, Any]]] = {
    Verdict.APPROVED: {"reviewAnswer": "GREEN", "rejectLabels": []},
    Verdict.RETRY: {
        "reviewAnswer": "RED",
        "rejectLabels": ["UNSATISFACTORY_PHOTOS"],
        "reviewRejectType": "RETRY",
        "clientComment": "played in the sandbox",
        "moderationComment": "Please send a sharper photo.",
    },
    Verdict.REJECTED: {
        "reviewAnswer": "RED",
        "rejectLabels": ["FORGERY"],
        "reviewRejectType": "FINAL",
        "clientComment": "played in the sandbox",
        "moderationComment": "",
    },
}
_KEPT: Final = ("reviewStatus", "levelName", "attemptCnt", "createDate", "reviewDate")
_KEPT_OF_RESULT: Final = (
    "reviewAnswer",
    "reviewRejectType",
    "rejectLabels",
    "moderationComment",
    "clientComment",
)


def sign(secret: str, timestamp: str, method: str, target: str, body: bytes) -> str:
    """``X-App-Access-Sig``: hex HMAC-SHA256 over time, METHOD, path with query, and the body's bytes."""
    message = timestamp.encode() + method.upper().encode() + target.encode() + body
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


def digest(secret: str, algorithm: str, body: bytes) -> str:
    """``X-Payload-Digest`` of a webhook's raw body."""
    return hmac.new(secret.encode(), body, DIGESTS[algorithm]).hexdigest()


class Sumsub(Verifier):
    """Speaks SumSub's REST API."""

    code: ClassVar[str] = "sumsub"

    def levels(self) -> tuple[int, ...]:
        return tuple(sorted(self._level_names()))

    def check_health(self) -> Health:
        """Ask for the list of levels: proves the token, the secret and our level names at once."""
        status, answer = self._call("GET", "/resources/applicants/-/levels")
        self._good(status, answer)
        items = _inside(answer, "list").get("items")
        known = {str(item.get("name")) for item in items or () if isinstance(item, dict)}
        missing = sorted(set(self._level_names().values()) - known)
        if missing:
            return Health(ok=False, detail=f"SumSub knows no level {', '.join(missing)}")
        return Health(ok=True, detail=self.config.environment)

    def start(self, request: StartRequest) -> Started:
        # A look first, always: whoever called before us may have been killed before the answer came.
        found = self._find(request) or self._create(request)
        return Started(found, self._entrance(request))

    def fetch_status(self, request: StartRequest, provider_reference: str) -> StatusReport:
        path = f"/resources/applicants/{quote(provider_reference, safe='')}/status"
        status, answer = self._call("GET", path)
        self._good(status, answer)
        if answer.get("levelName") not in (None, self._level_name(request.level)):
            # A check of another level says nothing of this one.
            return StatusReport(Verdict.UNKNOWN, provider_reference, answer=_kept(answer))
        verdict = _verdict(answer)
        result = _inside(answer, "reviewResult")
        # moderationComment is written for the customer, clientComment for us.
        words = str(result.get("moderationComment") or "") if verdict is Verdict.RETRY else ""
        return StatusReport(verdict, provider_reference, words=words, answer=_kept(answer))

    def ask_again(self, request: StartRequest, provider_reference: str) -> None:
        """Back to the first step at SumSub; doing it twice is doing it once."""
        path = f"/resources/applicants/{quote(provider_reference, safe='')}/reset"
        self._good(*self._call("POST", path))

    def play_verdict(self, provider_reference: str, verdict: Verdict) -> None:
        """Only where the provider's environment is the sandbox; ConfigError elsewhere."""
        if self.config.environment != "sandbox":
            raise ConfigError("a verdict is played in the sandbox only")
        if verdict not in _PLAYED:
            raise Rejected(f"{verdict} is no end of a check")
        path = f"/resources/applicants/{quote(provider_reference, safe='')}/status/testCompleted"
        self._good(*self._call("POST", path, dict(_PLAYED[verdict])))

    def parse_webhook(self, raw: RawWebhook) -> WebhookMeaning:
        secret = self.config.credentials.get("webhook_secret", "")
        wanted = str(self.config.settings.get("webhook_algorithm") or DEFAULT_DIGEST)
        if not secret or wanted not in DIGESTS:
            return Invalid("no webhook secret or no known algorithm is set, so nothing can be trusted")
        if raw.method.upper() != "POST" or len(raw.body) > MAX_WEBHOOK:
            return Invalid("not a POST of a reasonable size")
        if raw.headers.get("x-payload-digest-alg", DEFAULT_DIGEST) != wanted:
            return Invalid("signed with another algorithm than ours")
        given = raw.headers.get("x-payload-digest", "").lower()
        if not hmac.compare_digest(given.encode(), digest(secret, wanted, raw.body).encode()):
            return Invalid("the digest does not match")
        try:
            body = json.loads(raw.body)
            kind, reference = body.get("type"), body.get("externalUserId")
        except (ValueError, AttributeError, RecursionError):
            return Invalid("not a JSON object")
        if bool(body.get("sandboxMode", False)) != (self.config.environment == "sandbox"):
            return Invalid("from the sandbox to production, or the other way round")
        if not isinstance(kind, str) or not kind:
            return Invalid("no type")
        if kind.startswith("applicantKyt"):
            return Ignored("about a transaction, not a person")
        if not isinstance(reference, str) or not reference:
            return Invalid("no externalUserId")
        return Hint(reference)

    # -- calls ----------------------------------------------------------------------------------

    def _find(self, request: StartRequest) -> str:
        """The applicant's id by our reference; '' when SumSub surely has none."""
        path = f"/resources/applicants/-;externalUserId={quote(request.reference, safe='')}/one"
        status, answer = self._call("GET", path)
        if status == requests.codes.not_found:
            return ""
        self._good(status, answer)
        return _identity(answer)

    def _create(self, request: StartRequest) -> str:
        path = f"/resources/applicants?levelName={quote(self._level_name(request.level), safe='')}"
        status, answer = self._call("POST", path, {"externalUserId": request.reference})
        if status == requests.codes.conflict:
            # Somebody was faster, perhaps our own lost call.
            found = self._find(request)
            if not found:
                raise OutcomeUnknown("SumSub has the applicant and does not show it")
            return found
        self._good(status, answer)
        return _identity(answer)

    def _entrance(self, request: StartRequest) -> Entrance:
        level = self._level_name(request.level)
        body = {"levelName": level, "userId": request.reference, "ttlInSecs": ENTRANCE_SECONDS}
        until = clock.now() + timedelta(seconds=ENTRANCE_SECONDS)
        kind = self._entrance_kind()
        if kind is EntranceKind.LINK:
            path, name = "/resources/sdkIntegrations/levels/-/websdkLink", "url"
        else:
            path, name = "/resources/accessTokens/sdk", "token"
        try:
            status, answer = self._call("POST", path, body)
        except OutcomeUnknown as exc:
            # One link or token more does no harm.
            raise Retryable(str(exc)) from None
        self._good(status, answer)
        value = answer.get(name)
        if not isinstance(value, str) or not value:
            raise Retryable(f"SumSub's answer has no {name}")
        if kind is EntranceKind.LINK and urlsplit(value).scheme != "https":
            raise Rejected("SumSub's link is not https")
        return Entrance(kind, value, until)

    def _call(
        self, method: str, target: str, body: dict[str, Any] | None = None
    ) -> tuple[int, dict[str, Any]]:
        """One signed call; its status and JSON answer ({} when it has none)."""
        base = str(self.config.settings.get("base_url") or BASE_URL).rstrip("/")
        self._check_config(base)
        data = b"" if body is None else json.dumps(body, separators=(",", ":")).encode()
        stamp = str(int(clock.now().timestamp()))
        headers = {
            "Accept": "application/json",
            "Content-Type": "application/json",
            "X-App-Token": self.config.credentials["app_token"],
            "X-App-Access-Ts": stamp,
            "X-App-Access-Sig": sign(self.config.credentials["app_secret"], stamp, method, target, data),
        }
        timeout = int(self.config.settings.get("timeout_seconds") or DEFAULT_TIMEOUT)
        with requests.Session() as session:
            session.trust_env = False
            try:
                answer = http.send(
                    method, base + target, data, headers=headers, session=session, read_timeout=timeout
                )
            except http.NotSent as exc:
                raise Retryable(f"not reached: {exc}") from None
            except http.NoAnswer as exc:
                lost = Retryable if method == "GET" else OutcomeUnknown
                raise lost(f"no answer: {exc}") from None
        if answer.status >= requests.codes.server_error and method != "GET":
            raise OutcomeUnknown(f"HTTP {answer.status}")
        return answer.status, _json(answer.text)

    def _good(self, status: int, answer: dict[str, Any]) -> None:
        """Sort what is no success: ConfigError, Rejected (final) or Retryable."""
        if status == requests.codes.ok or status == requests.codes.created:
            return
        # Their words may quote what we sent: only the number is kept.
        number = answer.get("errorCode")
        said = f"HTTP {status}" + (f", error {number}" if isinstance(number, int) else "")
        if status in {requests.codes.unauthorized, requests.codes.forbidden}:
            raise ConfigError(f"SumSub refuses our token or signature: {said}")
        if status == requests.codes.too_many_requests or not 400 <= status < 500:  # noqa: PLR2004 - 4xx
            raise Retryable(said)
        raise Rejected(said)

    # -- settings -------------------------------------------------------------------------------

    def _check_config(self, base: str) -> None:
        token = self.config.credentials.get("app_token", "")
        if not token or not self.config.credentials.get("app_secret"):
            raise ConfigError("app_token and app_secret are needed")
        sandbox = self.config.environment == "sandbox"
        if token.startswith("sbx:") != sandbox:
            raise ConfigError("a sandbox token belongs to the sandbox, and no other does")
        where = urlsplit(base)
        if where.scheme != "https" and not (sandbox and where.hostname in _LOOPBACK):
            raise ConfigError("base_url must be https")

    def _level_names(self) -> dict[int, str]:
        given = self.config.settings.get("levels") or {}
        try:
            return {int(level): str(name) for level, name in given.items() if name}
        except (AttributeError, TypeError, ValueError):
            raise ConfigError("levels must map our level to SumSub's level name") from None

    def _level_name(self, level: int) -> str:
        try:
            return self._level_names()[level]
        except KeyError:
            raise ConfigError(f"no SumSub level is set for level {level}") from None

    def _entrance_kind(self) -> EntranceKind:
        given = str(self.config.settings.get("entrance") or EntranceKind.LINK)
        if given not in set(EntranceKind):
            raise ConfigError("entrance must be link or token")
        return EntranceKind(given)


def _verdict(answer: Mapping[str, Any]) -> Verdict:
    status = answer.get("reviewStatus")
    if status != "completed":
        return _UNFINISHED.get(str(status), Verdict.UNKNOWN)
    result = _inside(answer, "reviewResult")
    if result.get("reviewAnswer") == "GREEN":
        return Verdict.APPROVED
    if result.get("reviewAnswer") == "RED":
        return _RED.get(str(result.get("reviewRejectType")), Verdict.UNKNOWN)
    return Verdict.UNKNOWN


def _kept(answer: Mapping[str, Any]) -> dict[str, Any]:
    """What operators are shown: the review, without anything that happens to come with it."""
    result = _inside(answer, "reviewResult")
    kept = {name: answer[name] for name in _KEPT if name in answer}
    return kept | {name: result[name] for name in _KEPT_OF_RESULT if name in result}


def _identity(answer: Mapping[str, Any]) -> str:
    found = answer.get("id")
    if not isinstance(found, str) or not found or len(found) > 64:  # noqa: PLR2004 - the column
        raise OutcomeUnknown("SumSub's answer has no applicant id")
    return found


def _inside(answer: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = answer.get(name)
    return value if isinstance(value, dict) else {}


def _json(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
