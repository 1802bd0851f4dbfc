"""Settings by a file: read, shown and proposed as one; anything wrong is said and nothing is written."""

from __future__ import annotations

from collections.abc import Callable
from datetime import time, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core import signing
from django.db import DatabaseError, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kauri.common import clock
from kauri.common.actor import Actor
from kauri.common.errors import KauriError
from kauri.common.formulas import guarded, runs, unguarded
from kauri.core import batches, imports, proposals, sheets
from kauri.core.models import AuditEntry, Proposal
from kauri.order_core.models import Policy
from kauri.withdrawal_order.models import ReviewRule
from tests.backoffice import scene
from tests.moves import as_owner, code_of

POLICY = "order_core.policy"
RULE = "withdrawal_order.reviewrule"
CHANNEL = "payment_provider.channel"
HEAD = "operation,currency,user,group,account_type"

pytestmark = pytest.mark.usefixtures("house")


@pytest.fixture
def maker(operator: Callable[..., Actor]) -> Actor:
    return operator("Administrator")


@pytest.fixture
def checker(operator: Callable[..., Actor]) -> Actor:
    return operator("Senior")


def looked(text: str, target: str = POLICY) -> list[imports.Line]:
    return imports.dry_run(target, imports.parse(target, text.encode(), "edited.csv"))


def faults(text: str, target: str = POLICY) -> list[tuple[int, str, str]]:
    return [(line.number, one.column, one.reason) for line in looked(text, target) for one in line.faults]


def made(text: str, actor: Actor, target: str = POLICY, **more: Any) -> list[Proposal]:
    sheet = imports.parse(target, text.encode(), "edited.csv")
    lines = imports.dry_run(target, sheet)
    options = {"sheet": sheet, "reason": "new prices", "actor": actor, **more}
    return imports.propose_import(target, lines, **options)


TWO = f"{HEAD},min_amount,fee_payer\nWITHDRAWAL,UAH,,,,70.50,recipient\nWITHDRAWAL,,,,business,5,\n"


def test_the_difference_is_exact_and_nothing_is_written() -> None:
    found = looked(TWO)
    changed, new = found
    row = Policy.objects.get(operation="WITHDRAWAL", currency__code="UAH")
    assert (changed.number, changed.state, changed.target_id) == (2, "changed", str(row.pk))
    assert [(one.column, one.before, one.after) for one in changed.differences] == [
        ("min_amount", "50", "70.5"),
        ("fee_payer", "", "recipient"),
    ]
    assert (new.number, new.state, new.label) == (3, "new", "WITHDRAWAL · business")
    assert new.values == {"operation": "WITHDRAWAL", "account_type": "business", "min_amount": Decimal(5)}
    assert (Proposal.objects.count(), AuditEntry.objects.count()) == (0, 0)
    row.refresh_from_db()
    assert row.min_amount == Decimal(50)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("WITHDRAWAL,XXX,,,,1", ("currency", "unknown_code")),
        ("WITHDRAWAL,,nobody@example.com,,,1", ("user", "unknown_code")),
        ("GIFT,UAH,,,,1", ("operation", "unknown_choice")),
        (",UAH,,,,1", ("operation", "required")),
        ("WITHDRAWAL,UAH,,,,many", ("min_amount", "not_a_number")),
        ("WITHDRAWAL,UAH,,,,NaN", ("min_amount", "not_a_number")),
        ("WITHDRAWAL,UAH,,,,1e3", ("min_amount", "not_a_number")),
        ('WITHDRAWAL,UAH,,,,"70,5"', ("min_amount", "not_a_number")),
        ("WITHDRAWAL,UAH,,,,-1", ("", "refused")),
        ("WITHDRAWAL,UAH,,,,=1+1", ("min_amount", "formula")),
        ("WITHDRAWAL,UAH,,,,1,2", ("", "cells")),
        ("WITHDRAWAL,UAH", ("", "cells")),
    ],
)
def test_what_is_wrong_is_said_by_line_and_column(line: str, expected: tuple[str, str], maker: Actor) -> None:
    text = f"{HEAD},min_amount\nDEPOSIT,,,,business,1\n{line}\n"
    assert (3, *expected) in faults(text)
    assert code_of(lambda: made(text, maker)) == "validation_error"
    assert Proposal.objects.count() == 0


def test_two_lines_for_one_row_and_a_row_that_waits(maker: Actor) -> None:
    assert faults(TWO + "WITHDRAWAL,UAH,,,,80,\n") == [(4, "", "repeated")]
    made(TWO, maker)
    assert faults(TWO) == [(2, "", "waits_already"), (3, "", "waits_already")]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (HEAD.encode(), "empty"),
        (f"{HEAD},colour\nWITHDRAWAL,UAH,,,,1".encode(), "unknown_column"),
        (f"{HEAD},id\nWITHDRAWAL,UAH,,,,1".encode(), "unknown_column"),
        (f"{HEAD},user\nWITHDRAWAL,UAH,,,,1".encode(), "repeated_column"),
        (b"operation,min_amount\nWITHDRAWAL,1", "missing_column"),
        (TWO.encode("utf-16"), "bad_encoding"),
        ("operation;currency\nВ".encode("cp1251"), "bad_encoding"),
        (b"PK\x03\x04\x00", "not_a_table"),
        (b"once upon a time", "not_a_table"),
        (f'{HEAD}\n"WITHDRAWAL,UAH'.encode(), "empty"),
        ((HEAD + "\nWITHDRAWAL,UAH,,," * 501).encode(), "too_many_rows"),
        (b"x" * (sheets.MOST_BYTES + 1), "too_big"),
    ],
)
def test_what_is_no_file_of_ours(data: bytes, reason: str) -> None:
    with pytest.raises(KauriError) as caught:
        imports.parse(POLICY, data, "edited.csv")
    assert caught.value.fields == {"file": reason}


def test_semicolons_a_mark_and_titles_are_read_too() -> None:
    text = TWO.replace(",", ";").replace("min_amount", "Minimum").replace("user", "Customer")
    for data in (text.encode(), b"\xef\xbb\xbf" + text.encode(), text.replace("\n", "\r\n").encode()):
        found = imports.dry_run(POLICY, imports.parse(POLICY, data, "edited.csv"))
        assert [line.state for line in found] == ["changed", "new"]


def test_all_are_proposed_as_one_and_a_second_person_decides(maker: Actor, checker: Actor) -> None:
    rows = made(TWO, maker)
    assert len({row.batch for row in rows}) == 1
    entry = AuditEntry.objects.get(verb="settings_import")
    assert entry.object_id == str(rows[0].batch)
    told = {name: entry.after[name] for name in ("rows", "new", "changed", "file")}  # type: ignore[index]
    assert told == {"rows": 2, "new": 1, "changed": 1, "file": "edited.csv"}
    assert AuditEntry.objects.filter(verb="proposal_make").count() == 2
    ids = [row.public_id for row in rows]
    own = batches.approve_all(ids, actor=maker)
    assert [one.error.code for one in own if one.error] == ["forbidden", "forbidden"]
    Policy.objects.filter(currency__code="UAH", operation="WITHDRAWAL").update(min_amount=Decimal(55))
    done = batches.approve_all(ids, actor=checker)
    assert [one.proposal.state for one in done if one.proposal] == ["failed", "applied"]
    assert Policy.objects.get(account_type="business").min_amount == Decimal(5)
    again = batches.reject_all(ids, actor=checker, reason="late")
    assert [one.error.code for one in again if one.error] == ["wrong_state", "wrong_state"]
    with pytest.raises(DatabaseError) as caught, transaction.atomic(), as_owner() as cursor:
        cursor.execute("update core_proposal set batch = null")
    assert caught.value.__cause__.sqlstate == "KA403"  # type: ignore[union-attr]


def test_all_or_nothing(maker: Actor) -> None:
    sheet = imports.parse(POLICY, TWO.encode(), "edited.csv")
    lines = imports.dry_run(POLICY, sheet)
    row = Policy.objects.get(operation="WITHDRAWAL", currency__code="UAH")
    twice = [*lines, lines[0]]
    propose = imports.propose_import
    code = code_of(lambda: propose(POLICY, twice, sheet=sheet, reason="x", actor=maker))
    assert (code, Proposal.objects.count(), AuditEntry.objects.count()) == ("conflict", 0, 0)
    assert code_of(lambda: propose(POLICY, lines, sheet=sheet, reason=" ", actor=maker)) == "validation_error"
    assert Proposal.objects.count() == 0
    assert row.min_amount == Decimal(50)


@pytest.mark.parametrize("role", ["Support", "Compliance", "Treasury", "Finance", "Auditor"])
def test_who_may_not_propose_may_not_import(role: str, operator: Callable[..., Actor]) -> None:
    assert code_of(lambda: made(TWO, operator(role))) == "forbidden"
    assert Proposal.objects.count() == 0


def test_what_has_no_key_is_not_imported(maker: Actor) -> None:
    assert code_of(lambda: imports.importable("order_core.operatorlimit", maker)) == "not_found"
    assert code_of(lambda: imports.importable("core.switch", maker)) == "not_found"


def test_rules_go_by_their_number(maker: Actor, checker: Actor) -> None:
    rule = ReviewRule.objects.create(kind="amount", threshold=Decimal(5))
    text = f"id,kind,threshold,is_enabled\n{rule.pk},amount,7,FALSE\n,amount,9,\n,amount,9,\n"
    assert [line.state for line in looked(text, RULE)] == ["changed", "new", "new"]
    assert faults("id,kind,threshold\n999999,amount,7\n", RULE) == [(2, "id", "unknown_row")]
    done = batches.approve_all([row.public_id for row in made(text, maker, RULE)], actor=checker)
    assert {one.proposal.state for one in done if one.proposal} == {"applied"}
    rule.refresh_from_db()
    assert (rule.threshold, rule.is_enabled) == (Decimal(7), False)
    assert ReviewRule.objects.filter(threshold=Decimal(9)).count() == 2


def test_hours_of_a_channel_change_twice(maker: Actor, checker: Actor) -> None:
    channel = scene.channel(1)
    for opens in ("08:00", "09:30:00"):
        text = f"provider,currency,opens_at,closes_at\nbank1,UAH,{opens},18:00:00\n"
        done = batches.approve_all([row.public_id for row in made(text, maker, CHANNEL)], actor=checker)
        assert [one.proposal.state for one in done if one.proposal] == ["applied"]
    channel.refresh_from_db()
    assert (channel.opens_at, channel.closes_at) == (time(9, 30), time(18))


def test_what_was_shown_is_signed(maker: Actor, checker: Actor) -> None:
    sheet = imports.parse(POLICY, TWO.encode(), "edited.csv")
    lines = imports.dry_run(POLICY, sheet)
    text = imports.seal(POLICY, sheet, lines, maker)
    assert imports.unseal(POLICY, text, maker) == (sheet, imports.digest(lines))
    forged = signing.dumps({"target": POLICY}, salt="another")
    for target, given_text, actor in (
        (POLICY, text, checker),
        (RULE, text, maker),
        (POLICY, text[:-2], maker),
        (POLICY, forged, maker),
        (POLICY, "", maker),
    ):
        with pytest.raises(KauriError) as caught:
            imports.unseal(target, given_text, actor)
        assert caught.value.fields == {"file": "not_shown"}


def test_a_file_unchanged_changes_nothing() -> None:
    scene.channel(1)
    Policy.objects.create(operation="DEPOSIT", user=scene.customer("ruled@example.com"))
    for target in (POLICY, CHANNEL):
        data = imports.export(target)
        found = imports.dry_run(target, imports.parse(target, data, "same.csv"))
        assert found
        assert {line.state for line in found} == {"same"}


_THRESHOLD = st.decimals(min_value=0, max_value=10**12, places=18)
_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=40)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=st.one_of(
        st.fixed_dictionaries({"kind": st.just("amount"), "threshold": _THRESHOLD}),
        st.fixed_dictionaries(
            {"kind": st.just("sum"), "threshold": _THRESHOLD, "hours": st.integers(1, 720)}
        ),
        st.fixed_dictionaries({"kind": st.just("country_in"), "threshold": st.none(), "countries": _TEXT}),
    ),
    is_enabled=st.booleans(),
)
def test_whatever_stands_comes_back_the_same(values: dict[str, Any], is_enabled: bool) -> None:
    rule = ReviewRule(kind="amount", threshold=Decimal(1))
    with transaction.atomic():
        rule.save()
        ReviewRule.objects.filter(pk=rule.pk).update(**values, is_enabled=is_enabled)
        found = imports.dry_run(RULE, imports.parse(RULE, imports.export(RULE), "same.csv"))
        transaction.set_rollback(True)
    assert {line.state for line in found} == {"same"}


@given(text=st.text(max_size=30))
def test_a_guarded_text_comes_back(text: str) -> None:
    assert not runs(guarded(text))
    assert unguarded(guarded(text)) == text


def test_a_dry_run_is_good_for_half_an_hour(maker: Actor) -> None:
    sheet = imports.parse(POLICY, TWO.encode(), "edited.csv")
    text = imports.seal(POLICY, sheet, imports.dry_run(POLICY, sheet), maker)
    later = clock.now() + timedelta(seconds=imports.LIFE + 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("time.time", later.timestamp)
        with pytest.raises(KauriError) as caught:
            imports.unseal(POLICY, text, maker)
    assert caught.value.fields == {"file": "expired"}


def test_without_a_waiting_proposal_one_may_be_made(maker: Actor) -> None:
    row = made(TWO, maker)[0]
    proposals.withdraw(proposal_id=row.public_id, actor=maker)
    assert [line.state for line in looked(TWO)] == ["changed", "error"]
