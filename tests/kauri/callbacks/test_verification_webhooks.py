"""A verification provider's webhooks: kept raw, believed when signed, and only ever a reason to ask."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import Client

from kauri.account.models import User, VerificationCase
from kauri.account.verifiers.sumsub import digest
from kauri.callbacks.models import InboundCallback
from kauri.core.models import Provider
from tests.kauri.account.papers import WEBHOOK_SECRET, Sumsub, started, sumsub_on, webhook

Drain = Callable[..., int]


@pytest.fixture
def sumsub() -> Iterator[Sumsub]:
    found = Sumsub()
    yield found
    found.close()


@pytest.fixture
def case(sumsub: Sumsub, customer: Callable[..., User], drain: Drain) -> VerificationCase:
    sumsub_on(sumsub.url, decides="provider")
    found = started(customer(verification_level=0))
    drain()
    return found


def tell(http: Client, body: bytes, code: str = "sumsub", **headers: str) -> Any:
    signed = {
        "X-Payload-Digest": digest(WEBHOOK_SECRET, "HMAC_SHA256_HEX", body),
        "X-Payload-Digest-Alg": "HMAC_SHA256_HEX",
        **headers,
    }
    return http.generic("POST", f"/callbacks/{code}", body, content_type="application/json", headers=signed)


def rows() -> list[tuple[str, str]]:
    return list(InboundCallback.objects.order_by("id").values_list("state", "outcome"))


def test_a_webhook_leads_to_the_level(
    http: Client, sumsub: Sumsub, case: VerificationCase, drain: Drain
) -> None:
    sumsub.reviewed("GREEN")
    body = webhook(str(case.public_id))
    for _ in range(3):
        answer = tell(http, body)
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    drain()
    case.refresh_from_db()
    assert (case.state, case.answers.count()) == ("approved", 1)
    assert {state for state, _ in rows()} == {"processed"}
    assert case.user.verification_decisions.count() == 1


def test_webhooks_out_of_order_end_at_what_is_so(
    http: Client, sumsub: Sumsub, case: VerificationCase, drain: Drain
) -> None:
    sumsub.reviewed("GREEN")
    tell(http, webhook(str(case.public_id)))
    drain()
    # The earlier news comes last, and says what is long over.
    late = webhook(str(case.public_id), type="applicantPending", reviewStatus="pending", reviewResult=None)
    assert tell(http, late).status_code == 200
    drain()
    case.refresh_from_db()
    assert case.state == "approved"
    assert case.user.verification_decisions.count() == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Payload-Digest": "0" * 64},
        {"X-Payload-Digest": ""},
        {"X-Payload-Digest-Alg": "HMAC_SHA1_HEX"},
        {"X-Payload-Digest-Alg": "HMAC_MD5_HEX"},
    ],
)
def test_a_forged_webhook_is_kept_apart_and_asks_nothing(
    http: Client, sumsub: Sumsub, case: VerificationCase, drain: Drain, headers: dict[str, str]
) -> None:
    sumsub.reviewed("GREEN")
    calls = len(sumsub.calls)
    assert tell(http, webhook(str(case.public_id)), **headers).status_code == 400
    drain()
    [(state, _outcome)] = rows()
    case.refresh_from_db()
    assert (state, case.state, len(sumsub.calls)) == ("invalid", "waiting_for_customer", calls)


def test_what_is_not_about_a_person_of_ours_is_ignored(
    http: Client, sumsub: Sumsub, case: VerificationCase, drain: Drain
) -> None:
    calls = len(sumsub.calls)
    tell(http, webhook("user-1001"))
    tell(http, webhook(str(case.public_id), type="applicantKytTxnApproved"))
    drain()
    assert rows() == [
        ("ignored", "about nobody of ours"),
        ("ignored", "about a transaction, not a person"),
    ]
    assert len(sumsub.calls) == calls


def test_a_payment_providers_door_does_not_lead_here(http: Client, case: VerificationCase) -> None:
    assert tell(http, webhook(str(case.public_id)), code="sandbox").status_code == 400
    assert tell(http, webhook(str(case.public_id)), code="manual").status_code == 400
    assert [state for state, _ in rows()] == ["invalid", "invalid"]


def test_a_provider_whose_adapter_is_gone_is_tried_again(http: Client, case: VerificationCase) -> None:
    Provider.objects.filter(code="sumsub").update(adapter="vanished")
    assert tell(http, webhook(str(case.public_id))).status_code == 503
    assert rows() == [("stored", "")]
