"""SumSub's wire: our vectors, every word of the status, every answer that is none, against a loopback."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kauri.account.verifier import (
    ConfigError,
    EntranceKind,
    Hint,
    Ignored,
    Invalid,
    OutcomeUnknown,
    RawWebhook,
    Rejected,
    Retryable,
    StartRequest,
    Verdict,
    VerifierConfig,
    VerifierError,
)
from kauri.account.verifiers import sumsub as wire
from kauri.account.verifiers.sumsub import Sumsub as Adapter
from tests.kauri.account.papers import LEVEL, SECRET, TOKEN, WEBHOOK_SECRET, Sumsub, webhook

REQUEST = StartRequest("01890000-0000-7000-8000-000000000001", 1)
FIND = f"GET /resources/applicants/-;externalUserId={REQUEST.reference}/one"
CREATE = "POST /resources/applicants"
LINK = "POST /resources/sdkIntegrations/levels/-/websdkLink"
#: One line, no newline: the webhook of the vectors.
BODY = (
    b'{"applicantId":"5b594ade0a975a36c9349e66","inspectionId":"5b594ade0a975a36c9349e67",'
    b'"correlationId":"c-1","externalUserId":"user-1001","levelName":"basic-kyc-level",'
    b'"type":"applicantReviewed","reviewResult":{"reviewAnswer":"GREEN"},"reviewStatus":"completed",'
    b'"createdAtMs":"2024-03-15 12:00:00.000","sandboxMode":true}'
)
DIGESTS = {
    "HMAC_SHA256_HEX": "e51b0c578a2963b514be11bfacc3e3eb9830f518d62ea4bc90aca3d1d6ef142c",
    "HMAC_SHA1_HEX": "6cabfd7673f50a033ab842015d899e61d909eb48",
    "HMAC_SHA512_HEX": (
        "492175fcc03aab14c7d5258e097b9773de38a0a4dcd7ab6999eddb0cbc8b7587"
        "13472a6afc7fbf09a0ffd300f21eb1f1fc0fe42039c1317d12972c3dbfdafad7"
    ),
}


def adapter(url: str = "https://127.0.0.1:9", environment: str = "sandbox", **settings: Any) -> Adapter:
    token = TOKEN if environment == "sandbox" else "prd:token"
    return Adapter(
        VerifierConfig(
            code="sumsub",
            environment=environment,
            settings={"base_url": url, "levels": {"1": LEVEL}, "timeout_seconds": 1, **settings},
            credentials={"app_token": token, "app_secret": SECRET, "webhook_secret": WEBHOOK_SECRET},
        )
    )


def raised(act: Callable[[], Any]) -> type[VerifierError] | None:
    try:
        act()
    except VerifierError as exc:
        return None if SECRET in str(exc) else type(exc)
    return None


def heard(body: bytes = BODY, verifier: Adapter | None = None, **headers: str) -> Any:
    given = {"x-payload-digest": DIGESTS["HMAC_SHA256_HEX"], "x-payload-digest-alg": "HMAC_SHA256_HEX"}
    found = {**given, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return (verifier or adapter()).parse_webhook(RawWebhook("POST", "", found, body))


# -- vectors ----------------------------------------------------------------------------------------


def test_requests_are_signed_as_documented() -> None:
    status = "/resources/applicants/5b594ade0a975a36c9349e66/status"
    assert wire.sign("test-sumsub-secret", "1700000000", "get", status, b"") == (
        "82045ce27f557faf30348e022de5c743bb798cfb8ec6a011db980e3c7aa09783"
    )
    create = "/resources/applicants?levelName=basic-kyc-level"
    assert wire.sign(
        "test-sumsub-secret", "1700000000", "POST", create, b'{"externalUserId":"user-1001"}'
    ) == ("775717fc123f8e35267e5590742bbf0a6d6932bcb08b8286edeb9bd18c3b0143")


@pytest.mark.parametrize("algorithm", list(DIGESTS))
def test_webhooks_are_signed_as_documented(algorithm: str) -> None:
    assert wire.digest("test-webhook-secret", algorithm, BODY) == DIGESTS[algorithm]
    ours = adapter(webhook_algorithm=algorithm)
    given = {"x_payload_digest": DIGESTS[algorithm], "x_payload_digest_alg": algorithm}
    assert heard(verifier=ours, **given) == Hint("user-1001")
    for other in set(DIGESTS) - {algorithm}:
        # A right digest under an algorithm that is not ours is no proof.
        assert isinstance(heard(verifier=adapter(webhook_algorithm=other), **given), Invalid)


# -- webhooks ---------------------------------------------------------------------------------------


def test_without_a_named_algorithm_the_documented_default_counts() -> None:
    headers = {"x-payload-digest": DIGESTS["HMAC_SHA256_HEX"]}
    assert adapter().parse_webhook(RawWebhook("POST", "", headers, BODY)) == Hint("user-1001")


@pytest.mark.parametrize(
    "headers",
    [
        {"x_payload_digest": "0" * 64},
        {"x_payload_digest": ""},
        {"x_payload_digest": "ї" * 64},
        {"x_payload_digest_alg": "HMAC_SHA1_HEX", "x_payload_digest": DIGESTS["HMAC_SHA1_HEX"]},
        {"x_payload_digest_alg": "HMAC_SHA512_HEX"},  # a right digest of ours, under another's name
        {"x_payload_digest_alg": "HMAC_MD5_HEX"},
        {"x_payload_digest_alg": "none"},
        {"x_payload_digest_alg": ""},
    ],
)
def test_forged_webhooks_are_nothing(headers: dict[str, str]) -> None:
    assert isinstance(heard(**headers), Invalid)
    assert isinstance(heard(BODY + b" "), Invalid)


def test_no_secret_or_an_unknown_algorithm_of_ours_trusts_nothing() -> None:
    assert isinstance(heard(verifier=adapter(webhook_algorithm="HMAC_MD5_HEX")), Invalid)
    bare = adapter()
    bare.config = VerifierConfig("sumsub", "sandbox", {}, {"app_token": TOKEN, "app_secret": SECRET})
    assert isinstance(heard(verifier=bare), Invalid)


def signed(body: bytes, verifier: Adapter | None = None) -> Any:
    return heard(body, verifier, x_payload_digest=wire.digest(WEBHOOK_SECRET, "HMAC_SHA256_HEX", body))


def test_what_is_signed_and_still_not_for_us() -> None:
    assert signed(webhook("a-1")) == Hint("a-1")
    assert signed(webhook("a-1", type="applicantOfAKindThatIsNew")) == Hint("a-1")
    assert isinstance(signed(webhook("a-1", type="applicantKytTxnApproved")), Ignored)
    assert isinstance(signed(webhook("a-1", sandboxMode=False)), Invalid)
    assert isinstance(signed(webhook("a-1"), adapter(environment="production")), Invalid)
    assert signed(webhook("a-1", sandboxMode=False), adapter(environment="production")) == Hint("a-1")
    for body in (b"[]", b"null", b"not json", b"[" * 100_000, webhook(""), webhook("a", type=None)):
        assert isinstance(signed(body), Invalid)
    assert isinstance(signed(webhook("a-1", padding="x" * 300_000)), Invalid)
    get = RawWebhook("GET", "", {"x-payload-digest": DIGESTS["HMAC_SHA256_HEX"]}, BODY)
    assert isinstance(adapter().parse_webhook(get), Invalid)


# -- registering ------------------------------------------------------------------------------------


def test_an_applicant_is_created_once_and_gets_a_link(sumsub: Sumsub) -> None:
    ours = adapter(sumsub.url)
    first, second = ours.start(REQUEST), ours.start(REQUEST)
    assert first.provider_reference == second.provider_reference == "5b594ade0a975a36c9349e00"
    assert (first.entrance.kind, first.entrance.value) == (
        EntranceKind.LINK,
        "https://in.sumsub.example/websdk/p/3",
    )
    assert first.entrance.value != second.entrance.value
    assert sumsub.count() == {FIND: 2, CREATE: 1, LINK: 2}
    assert (sumsub.bad_signatures, list(sumsub.applicants)) == (0, [REQUEST.reference])
    assert "in.sumsub" not in repr(first)


def test_a_token_for_the_sdk(sumsub: Sumsub) -> None:
    found = adapter(sumsub.url, entrance="token").start(REQUEST).entrance
    assert (found.kind, found.value) == (EntranceKind.TOKEN, "_act-3")


@pytest.mark.parametrize("loss", ["lost", 500, 502])
def test_a_lost_answer_never_makes_a_second_applicant(sumsub: Sumsub, loss: int | str) -> None:
    sumsub.answers[CREATE] = [loss]
    ours = adapter(sumsub.url)
    assert raised(lambda: ours.start(REQUEST)) is OutcomeUnknown
    assert ours.start(REQUEST).provider_reference == "5b594ade0a975a36c9349e00"
    assert len(sumsub.applicants) == 1
    assert sumsub.count()[CREATE] == (1 if loss == "lost" else 2)


def test_one_who_came_between_look_and_creation_is_found(sumsub: Sumsub) -> None:
    sumsub.applicants[REQUEST.reference] = "5b594ade0a975a36c9349eff"
    sumsub.answers[FIND] = [404]
    assert adapter(sumsub.url).start(REQUEST).provider_reference == "5b594ade0a975a36c9349eff"
    assert len(sumsub.applicants) == 1
    sumsub.answers[FIND] = [404, 404]
    assert raised(lambda: adapter(sumsub.url).start(REQUEST)) is OutcomeUnknown


@pytest.mark.parametrize(
    ("where", "status", "error"),
    [
        (FIND, 401, ConfigError),
        (FIND, 403, ConfigError),
        (FIND, 429, Retryable),
        (FIND, 500, Retryable),
        (FIND, "lost", Retryable),
        (CREATE, 400, Rejected),
        (CREATE, 401, ConfigError),
        (CREATE, 429, Retryable),
        (CREATE, 302, Retryable),
        (LINK, "lost", Retryable),
        (LINK, 503, Retryable),
        (LINK, 400, Rejected),
    ],
)
def test_each_failure_has_its_class(
    sumsub: Sumsub, where: str, status: int | str, error: type[VerifierError]
) -> None:
    sumsub.answers[where] = [status]
    assert raised(lambda: adapter(sumsub.url).start(REQUEST)) is error


def test_nobody_there_is_retryable_and_a_wrong_secret_is_ours(sumsub: Sumsub) -> None:
    assert raised(lambda: adapter("http://127.0.0.1:9").start(REQUEST)) is Retryable
    wrong = adapter(sumsub.url)
    wrong.config = VerifierConfig(
        "sumsub", "sandbox", wrong.config.settings, {"app_token": TOKEN, "app_secret": "another"}
    )
    assert raised(lambda: wrong.start(REQUEST)) is ConfigError
    assert (sumsub.bad_signatures, sumsub.applicants) == (1, {})


@pytest.mark.parametrize(
    ("environment", "given", "level"),
    [
        ("production", {}, 1),  # plain http, even on the loopback
        ("sandbox", {"base_url": "http://api.sumsub.example"}, 1),
        ("sandbox", {"levels": {}}, 1),
        ("sandbox", {"levels": ["basic"]}, 1),
        ("sandbox", {"entrance": "window"}, 1),
        ("sandbox", {}, 3),
    ],
)
def test_settings_that_are_wrong_open_no_entrance(
    sumsub: Sumsub, environment: str, given: dict[str, Any], level: int
) -> None:
    ours = adapter(sumsub.url, environment)
    config = ours.config
    ours.config = VerifierConfig(config.code, environment, {**config.settings, **given}, config.credentials)
    assert raised(lambda: ours.start(StartRequest("r", level))) is ConfigError
    assert sumsub.count()[LINK] == 0


def test_tokens_of_the_sandbox_stay_there() -> None:
    for environment, token in (("production", "sbx:x"), ("sandbox", "prd:x"), ("sandbox", "")):
        config = VerifierConfig(
            "sumsub", environment, {"levels": {"1": LEVEL}}, {"app_token": token, "app_secret": SECRET}
        )
        assert raised(lambda: Adapter(config).fetch_status(REQUEST, "a")) is ConfigError  # noqa: B023


# -- the status -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "result", "verdict"),
    [
        ("init", None, Verdict.WAITING),
        ("pending", None, Verdict.PENDING),
        ("prechecked", None, Verdict.PENDING),
        ("queued", None, Verdict.PENDING),
        ("onHold", None, Verdict.PENDING),
        # An old result beside an unfinished review decides nothing.
        ("pending", {"reviewAnswer": "GREEN"}, Verdict.PENDING),
        ("init", {"reviewAnswer": "RED", "reviewRejectType": "FINAL"}, Verdict.WAITING),
        ("completed", {"reviewAnswer": "GREEN"}, Verdict.APPROVED),
        ("completed", {"reviewAnswer": "RED", "reviewRejectType": "RETRY"}, Verdict.RETRY),
        ("completed", {"reviewAnswer": "RED", "reviewRejectType": "FINAL"}, Verdict.REJECTED),
        ("completed", {"reviewAnswer": "RED"}, Verdict.UNKNOWN),
        ("completed", {"reviewAnswer": "RED", "reviewRejectType": "EXTERNAL"}, Verdict.UNKNOWN),
        ("completed", {"reviewAnswer": "YELLOW"}, Verdict.UNKNOWN),
        ("completed", None, Verdict.UNKNOWN),
        ("completed", "GREEN", Verdict.UNKNOWN),
        ("awaitingUser", None, Verdict.UNKNOWN),
        ("Completed", {"reviewAnswer": "GREEN"}, Verdict.UNKNOWN),
        (None, None, Verdict.UNKNOWN),
    ],
)
def test_every_word_of_the_status(sumsub: Sumsub, status: Any, result: Any, verdict: Verdict) -> None:
    sumsub.status = {"reviewStatus": status, "levelName": LEVEL, "reviewResult": result}
    assert adapter(sumsub.url).fetch_status(REQUEST, "a-1").verdict is verdict


def test_a_check_of_another_level_says_nothing(sumsub: Sumsub) -> None:
    sumsub.reviewed("GREEN")
    sumsub.status["levelName"] = "another-level"
    assert adapter(sumsub.url).fetch_status(REQUEST, "a-1").verdict is Verdict.UNKNOWN


def test_the_customer_reads_what_is_meant_for_the_customer(sumsub: Sumsub) -> None:
    sumsub.reviewed(
        "RED",
        reviewRejectType="RETRY",
        rejectLabels=["UNSATISFACTORY_PHOTOS", "SCREENSHOTS"],
        clientComment="looks like a fraudster",
        moderationComment="Please send a photo, not a screenshot.",
    )
    sumsub.status["createDate"] = "2024-03-15 12:00:00+0000"
    sumsub.status["info"] = {"firstName": "never kept"}
    found = adapter(sumsub.url).fetch_status(REQUEST, "a-1")
    assert found.words == "Please send a photo, not a screenshot."
    assert found.answer == {
        "reviewStatus": "completed",
        "levelName": LEVEL,
        "attemptCnt": 1,
        "createDate": "2024-03-15 12:00:00+0000",
        "reviewAnswer": "RED",
        "reviewRejectType": "RETRY",
        "rejectLabels": ["UNSATISFACTORY_PHOTOS", "SCREENSHOTS"],
        "moderationComment": "Please send a photo, not a screenshot.",
        "clientComment": "looks like a fraudster",
    }


# -- the rest ---------------------------------------------------------------------------------------


def test_verdicts_are_played_in_the_sandbox_only(sumsub: Sumsub) -> None:
    ours = adapter(sumsub.url)
    for verdict in (Verdict.APPROVED, Verdict.RETRY, Verdict.REJECTED):
        ours.play_verdict("a-1", verdict)
        assert ours.fetch_status(REQUEST, "a-1").verdict is verdict
    assert raised(lambda: ours.play_verdict("a-1", Verdict.PENDING)) is Rejected
    calls = len(sumsub.calls)
    assert (
        raised(lambda: adapter(environment="production").play_verdict("a", Verdict.APPROVED)) is ConfigError
    )
    assert len(sumsub.calls) == calls


def test_asking_again_goes_back_to_the_first_step(sumsub: Sumsub) -> None:
    sumsub.reviewed("GREEN")
    ours = adapter(sumsub.url)
    ours.ask_again(REQUEST, "a-1")
    ours.ask_again(REQUEST, "a-1")
    assert ours.fetch_status(REQUEST, "a-1").verdict is Verdict.WAITING


def test_health_is_the_token_and_our_level_names(sumsub: Sumsub) -> None:
    assert adapter(sumsub.url).check_health().ok
    missing = adapter(sumsub.url, levels={"1": LEVEL, "2": "no-such-level"}).check_health()
    assert (missing.ok, missing.detail) == (False, "SumSub knows no level no-such-level")
    assert adapter(sumsub.url).levels() == (1,)


def test_ids_of_others_cannot_leave_their_place_in_a_path(sumsub: Sumsub) -> None:
    raised(lambda: adapter(sumsub.url).fetch_status(REQUEST, "../x?y=1"))
    assert sumsub.calls[-1][1] == "/resources/applicants/..%2Fx%3Fy%3D1/status"
