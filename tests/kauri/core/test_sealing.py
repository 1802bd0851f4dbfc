"""The audit's chain: what was written is proven, and whatever is done to it by hand is found and named."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction

from kauri.common import clock
from kauri.common.actor import SYSTEM
from kauri.core import sealing
from kauri.core.audit import audit
from kauri.core.models import AuditBlock, AuditCheck, AuditEntry, AuditKey, AuditPending, OutboxEvent
from tests.moves import as_owner, together

pytestmark = pytest.mark.django_db


def written(count: int) -> list[int]:
    """Entries by hand; their ids."""
    return [
        audit(
            SYSTEM,
            "note_add",
            object_type="order",
            object_id=number,
            before={"text": "old", "amount": "1.50"},
            after={"text": f"new {number}"},
            reason="because",
        ).pk
        for number in range(count)
    ]


def by_hand(statement: str, *params: object) -> None:
    """What somebody does who has the whole database: no trigger asks them anything."""
    with as_owner() as cursor:
        cursor.execute("set session_replication_role = replica")
        cursor.execute(statement, params)
        cursor.execute("set session_replication_role = origin")


def found() -> dict[str, list[int]]:
    return {row["law"]: row["rows"] for row in sealing.audit_verify().findings}


@pytest.fixture
def chain(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Ten entries in blocks of three."""
    monkeypatch.setattr(sealing, "BLOCK", 3)
    assert AuditEntry.objects.count() == 0
    ids = written(10)
    assert sealing.audit_seal() == 10
    return ids


def test_every_entry_is_sealed_once_in_its_order(chain: list[int]) -> None:
    blocks = list(AuditBlock.objects.all())
    assert [block.seq for block in blocks] == [1, 2, 3, 4]
    assert [pk for block in blocks for pk in block.entries] == chain
    assert AuditPending.objects.count() == 0
    assert sealing.audit_seal() == 0
    check = sealing.audit_verify()
    assert (check.is_clean, check.findings, check.entries, check.blocks) == (True, [], 10, 4)
    assert check.head == blocks[-1].digest
    assert not OutboxEvent.objects.filter(kind="audit.broken").exists()


def test_an_empty_house_is_clean() -> None:
    check = sealing.audit_verify()
    assert (check.is_clean, check.entries, check.blocks, check.head) == (True, 0, 0, "")
    written(1)
    sealing.audit_seal()
    assert sealing.audit_verify().is_clean


@pytest.mark.parametrize(
    "change",
    [
        "reason = 'another'",
        "verb = 'note_edit'",
        "at = at + interval '1 microsecond'",
        "actor_id = '7'",
        "actor_label = 'somebody@example.com'",
        "actor_kind = 'operator'",
        "object_id = '12345'",
        "object_type = 'user'",
        "object_label = 'x'",
        "request_id = 'x'",
        "ip = '203.0.113.1'",
        "before = null",
        "after = jsonb_set(after, '{text}', '\"changed\"')",
    ],
)
def test_a_change_by_sql_is_found_and_named(chain: list[int], change: str) -> None:
    by_hand(f"update core_auditentry set {change} where id = %s", chain[4])
    assert found() == {"entries that are not as they were written": [chain[4]]}
    [event] = OutboxEvent.objects.filter(kind="audit.broken")
    assert event.payload["laws"] == ["entries that are not as they were written"]


def test_an_entry_that_is_taken_out_is_missed(chain: list[int]) -> None:
    by_hand("delete from core_auditentry where id = %s", chain[0])
    assert found() == {"entries that are gone": [chain[0]]}


def test_an_entry_that_came_past_the_trigger_is_found(chain: list[int]) -> None:
    by_hand(
        "insert into core_auditentry (id, at, verb, object_type, object_id, object_label, reason, actor_kind,"
        " actor_id, actor_label, request_id)"
        " values (%s, now(), 'withdrawal_approve', 'order', '1', '', '', 'operator', '1', 'x', '')",
        chain[-1] + 1000,
    )
    sealing.audit_seal()
    assert found() == {"entries that came past the trigger": [chain[-1] + 1000]}


@pytest.mark.parametrize("seq", [1, 2, 4])
def test_a_block_that_is_taken_out_is_missed(chain: list[int], seq: int) -> None:
    sealing.audit_verify()
    by_hand("delete from core_auditblock where seq = %s", seq)
    laws = found()
    behind = chain[3 * (seq - 1) : 3 * seq]
    assert laws["entries that came past the trigger"] == behind
    if seq < 4:
        assert laws["blocks that do not follow the one before"][0] == seq + 1
    else:
        assert laws["the chain does not go on from where it was proven"] == [4]


def test_an_end_that_is_cut_off_with_its_entries_is_missed(chain: list[int]) -> None:
    sealing.audit_verify()
    by_hand("delete from core_auditentry where id = any(%s)", chain[9:])
    by_hand("delete from core_auditblock where seq = 4")
    assert found() == {"the chain does not go on from where it was proven": [4]}


def test_who_rewrites_a_block_without_the_key_is_found(chain: list[int]) -> None:
    by_hand("update core_auditentry set reason = 'x' where id = %s", chain[0])
    by_hand("update core_auditblock set marks[1] = repeat('0', 32), digest = repeat('0', 64) where seq = 1")
    assert found() == {
        "entries that are not as they were written": [chain[0]],
        "blocks that do not follow the one before": [1, 2],
    }


def test_two_blocks_that_change_places_are_found(chain: list[int]) -> None:
    by_hand("update core_auditblock set seq = 99 where seq = 2")
    by_hand("update core_auditblock set seq = 2 where seq = 3")
    by_hand("update core_auditblock set seq = 3 where seq = 99")
    assert found() == {"blocks that do not follow the one before": [2, 3, 4]}


def test_an_entry_in_two_blocks_is_found(chain: list[int]) -> None:
    by_hand("update core_auditblock set entries[1] = %s where seq = 2", chain[0])
    laws = found()
    assert laws["entries that stand in two blocks"] == [chain[0]]
    assert laws["entries that came past the trigger"] == [chain[3]]


def test_entries_that_nobody_seals_are_told_of(chain: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    late = written(1)
    assert sealing.audit_verify().is_clean
    after = clock.now() + timedelta(minutes=16)
    monkeypatch.setattr(clock, "now", lambda: after)
    assert found() == {"entries that nobody seals": late}


@pytest.mark.parametrize(
    "statement",
    [
        "update core_auditblock set digest = repeat('0', 64)",
        "delete from core_auditblock",
        "update core_auditcheck set is_clean = true",
        "delete from core_auditcheck",
        "update core_auditentry set reason = 'x'",
    ],
)
def test_the_chain_is_append_only(chain: list[int], statement: str) -> None:
    sealing.audit_verify()
    with (
        pytest.raises(DatabaseError, match="append-only"),
        transaction.atomic(),
        as_owner() as cursor,
    ):
        cursor.execute(statement)


def test_what_is_rolled_back_leaves_no_gap() -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        written(1)
        raise ZeroDivisionError
    kept = written(2)
    assert sealing.audit_seal() == 2
    assert AuditBlock.objects.get().entries == kept
    assert sealing.audit_verify().is_clean


def test_a_pending_mark_without_its_entry_goes() -> None:
    AuditPending.objects.create(entry_id=77)
    assert sealing.audit_seal() == 0
    assert (AuditPending.objects.count(), AuditBlock.objects.count()) == (0, 0)


@pytest.mark.django_db(transaction=True)
def test_sealers_and_writers_at_one_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "BLOCK", 4)

    def act(number: int) -> Any:
        for _turn in range(10):
            if number % 2:
                sealing.audit_seal()
            else:
                with transaction.atomic():
                    written(3)
        return None

    assert together(4, act) == [None] * 4
    sealing.audit_seal()
    check = sealing.audit_verify()
    assert (check.findings, check.entries) == ([], 60)
    ids = [pk for block in AuditBlock.objects.all() for pk in block.entries]
    assert sorted(ids) == sorted(AuditEntry.objects.values_list("pk", flat=True))


def test_the_key_is_sealed() -> None:
    written(1)
    sealing.audit_seal()
    secret = AuditKey.objects.get().secret
    assert len(bytes.fromhex(secret)) == 32
    with connection.cursor() as cursor:
        cursor.execute("select secret from core_auditkey")
        assert secret not in cursor.fetchone()[0]


def test_the_command_says_what_it_found(chain: list[int]) -> None:
    out = StringIO()
    call_command("audit_verify", stdout=out)
    assert '"clean": true' in out.getvalue()
    by_hand("update core_auditentry set reason = 'x' where id = %s", chain[2])
    with pytest.raises(CommandError, match="not as it was written"):
        call_command("audit_verify", stdout=out)
    assert AuditCheck.objects.first().findings[0]["rows"] == [chain[2]]


def test_every_act_of_the_house_waits_from_its_first_moment() -> None:
    [pk] = written(1)
    assert list(AuditPending.objects.values_list("entry_id", flat=True)) == [pk]
