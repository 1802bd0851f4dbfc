"""What else a crowd leaves: money at providers, decisions, messages, audit. As in :mod:`backoffice.demo.crowd_books`."""

from __future__ import annotations

from typing import Final

from django.db.models import Model

from backoffice.demo.crowd_books import ENDED, ORDERS, OWNER, Columns
from kauri.account.models import ApiKey, SignIn, VerificationCase
from kauri.callbacks.models import InboundCallback
from kauri.core.models import AuditEntry, OutboxEvent
from kauri.deposit_order.models import DepositDetail
from kauri.internal_movement_order.models import MovementDetail
from kauri.notification.models import Delivery
from kauri.order_core.models import Approval, ApprovalVote, Screening
from kauri.payment_provider.models import Payin, Payout, ProviderBalanceSnapshot
from kauri.wallet.models import DepositAddress, PaymentLink
from kauri.withdrawal_order.models import SavedDestination, WithdrawalDetail, WithdrawalPart

TRAFFIC: Final[tuple[tuple[type[Model], str, Columns], ...]] = (
    (
        Payin,
        f"{ORDERS} where type = 'DEPOSIT' order by n",
        {
            "id": "n",
            "public_id": "pg_temp.uid(at, 'payin' || n)",
            "provider_id": "provider",
            "currency_id": "currency",
            "transaction": "pg_temp.hash(n::text)",
            "address": "case when box = 1 then pg_temp.place('d' || c) else '' end",
            "sender": "pg_temp.place('s' || c)",
            "amount": "amount",
            "state": "case fate when 'done' then 'credited' when 'seen' then 'seen' when 'held' then 'held' else 'orphaned' end",
            "block_height": "n / 10",
            "booked_at": "case when fate = 'held' then at end",
            "order_id": "uid",
            "seen_at": "at",
            "credited_at": "case when fate = 'done' then done end",
        },
    ),
    (
        Payin,
        "from generate_series(1, 60) n",
        {
            "id": "{orders} + n",
            "public_id": "pg_temp.uid(now() - n * interval '1 hour', 'nobody' || n)",
            "provider_id": "{node}",
            "currency_id": "{usdt}",
            "transaction": "pg_temp.hash('nobody' || n)",
            "address": "pg_temp.place('nobody' || n)",
            "amount": "10 + n",
            "state": "'unmatched'",
            "fault": "'address_not_given'",
            "seen_at": "now() - n * interval '1 hour'",
        },
    ),
    (
        DepositDetail,
        f"{ORDERS} where type = 'DEPOSIT' order by n",
        {"order_id": "n", "payin_id": "n", "confirmations_needed": "12"},
    ),
    (
        MovementDetail,
        f"{ORDERS} where type = 'INTERNAL_MOVEMENT' order by n",
        {
            "order_id": "n",
            "recipient_id": "{people} + other",
            "addressed_by": "'email'",
            "addressed_to": "'customer' || other || '@crowd.example'",
            "fee_payer": "'sender'",
        },
    ),
    (
        WithdrawalDetail,
        f"{ORDERS} where type = 'WITHDRAWAL' order by n",
        {
            "order_id": "n",
            "destination": "pg_temp.place('w' || c || '/' || mod(n, 3))",
            "network_id": "case when box = 1 then {network} end",
            "provider_id": "provider",
        },
    ),
    (
        Payout,
        f"{ORDERS} where type = 'WITHDRAWAL' and fate in ('done', 'paying', 'failed') order by n",
        {
            "id": "n",
            "public_id": "pg_temp.uid(at, 'payout' || n)",
            "provider_id": "provider",
            "currency_id": "currency",
            "amount": "amount",
            "destination": "pg_temp.place('w' || c || '/' || mod(n, 3))",
            "state": "case fate when 'done' then 'confirmed' when 'failed' then 'failed'"
            " else case when mod(n, 2) = 0 then 'sent' else 'unknown' end end",
            "provider_reference": "pg_temp.hash('payout' || n)",
            "payload": "'0x' || md5(n::text)",
            "attempts": "1",
            "order_id": "uid",
            "created_at": "at",
            "next_attempt_at": "at",
            "sent_at": "at",
            "finished_at": "done",
            "admitted_at": "at",
        },
    ),
    (
        WithdrawalPart,
        f"{ORDERS} where type = 'WITHDRAWAL' and fate in ('done', 'paying', 'failed') order by n",
        {"id": "n", "detail_id": "n", "ordinal": "1", "amount": "amount", "fee": "fee", "payout_id": "n"},
    ),
    (
        Approval,
        f"{ORDERS} where fate in ('waits', 'rejected') or type = 'WITHDRAWAL' and fate = 'done' and mod(h, 10) = 0 order by n",
        {
            "id": "n",
            "order_id": "n",
            "rules": """'[{"rule": "approval_above", "text": "The amount is above the approval limit"}]'::jsonb""",
            "state": "case fate when 'waits' then 'pending' when 'rejected' then 'rejected' else 'approved' end",
            "draw": "mod(n, 10000)",
            "created_at": "at",
            "decided_at": "done",
        },
    ),
    (
        ApprovalVote,
        f"{ORDERS} where fate = 'rejected' or type = 'WITHDRAWAL' and fate = 'done' and mod(h, 10) = 0 order by n",
        {
            "approval_id": "n",
            "decision": "case fate when 'rejected' then 'reject' else 'approve' end",
            "usd": "amount",
            "actor_kind": "'operator'",
            "actor_id": "mod(n, 20)::text",
            "actor_label": "'operator' || mod(n, 20) || '@crowd.example'",
            "at": "done",
        },
    ),
    (
        Screening,
        f"{ORDERS} where fate = 'held' or type = 'WITHDRAWAL' and box = 1 and mod(h, 5) = 0 order by n",
        {
            "public_id": "pg_temp.uid(at, 'screening' || n)",
            "order_id": "n",
            "payin_id": "case when fate = 'held' then n end",
            "destination": "case when fate = 'held' then '' else pg_temp.place('w' || c || '/' || mod(n, 3)) end",
            "currency_id": "currency",
            "amount": "amount",
            "provider_id": "provider",
            "reference": "'analysis-' || n",
            "state": "'ready'",
            "score": "case when fate = 'held' then 0.7 else 0.1 end",
            "outcome": "case when fate = 'held' then 'hold' else 'pass' end",
            "created_at": "at",
            "next_attempt_at": "at",
        },
    ),
    (
        Delivery,
        f"{ORDERS} where mod(n, 5) = 0 order by n",
        {
            "public_id": "pg_temp.uid(at, 'delivery' || n)",
            "channel": "case when mod(n, 50) = 0 then 'email' else 'webhook' end",
            "target": "'https://client' || c || '.example/hook'",
            "owner_id": OWNER,
            "subject_type": "'order'",
            "subject_id": "uid",
            "title": "'order.closed'",
            "body": """'{"order_id": "' || uid || '", "status": "' || status || '"}'""",
            "dedupe_key": "'crowd-' || n",
            "state": "case when late and mod(n, 25) = 0 then 'dead' when late and mod(n, 40) = 0 then 'waiting' else 'delivered' end",
            "attempts": "1",
            "created_at": "at",
            "next_attempt_at": "at",
            "finished_at": "done",
        },
    ),
    (
        OutboxEvent,
        f"{ORDERS} where mod(n, 5) = 0 order by n",
        {
            "kind": "'order.closed'",
            "owner_id": OWNER,
            "subject_type": "'order'",
            "subject_id": "uid",
            "body": """'{"order_id": "' || uid || '"}'""",
            "created_at": "at",
            "dispatched_at": "case when n <= {orders} - 100 then at + interval '1 second' end",
        },
    ),
    (
        AuditEntry,
        f"{ORDERS} where mod(n, 5) = 1 order by n",
        {
            "at": ENDED,
            "verb": "(array['withdrawal_approve', 'note_add', 'case_approve', 'list_export', 'payin_credit'])[1 + mod(h, 5)]",
            "object_type": "'order'",
            "object_id": "uid::text",
            "object_label": "'order ' || n",
            "after": """'{"status": "CLOSED"}'::jsonb""",
            "actor_kind": "'operator'",
            "actor_id": "mod(n, 20)::text",
            "actor_label": "'operator' || mod(n, 20) || '@crowd.example'",
            "request_id": "md5('request' || n)",
        },
    ),
    (
        InboundCallback,
        f"{ORDERS} where type = 'DEPOSIT' and mod(n, 5) = 2 order by n",
        {
            "public_id": "pg_temp.uid(at, 'callback' || n)",
            "provider_code": "case when box = 1 then 'usdt-node' else 'sandbox' end",
            "method": "'POST'",
            "path": "'/callbacks/sandbox'",
            "body": """'{}'::bytea""",
            "received_at": "at",
            "state": "case when late and mod(h, 10) = 0 then 'failed' else 'processed' end",
            "attempts": "1",
            "next_attempt_at": "at",
            "processed_at": "done",
            "order_id": "uid",
        },
    ),
    (
        SignIn,
        f"{ORDERS} where mod(n, 10) = 3 order by n",
        {
            "user_id": OWNER,
            "email": "'customer' || c || '@crowd.example'",
            "door": "'api'",
            "succeeded": "mod(h, 20) > 0",
            "ip": "'198.51.100.7'::inet + mod(c, 200)",
            "user_agent": "'Mozilla/5.0'",
            "at": "at",
        },
    ),
    (
        VerificationCase,
        "from generate_series(1, {customers} / 2) c order by c",
        {
            "public_id": "pg_temp.uid(now() - interval '{days} days', 'case' || c)",
            "user_id": "{people} + c",
            "level": "1",
            "provider_id": "{manual}",
            "state": "case when c > {customers} / 2 - 120 then 'waiting_for_operator' else 'approved' end",
            "created_at": "now() - ({customers} / 2 + 1 - c)::float8 / {customers} * interval '{days} days'",
            "updated_at": "now() - ({customers} / 2 + 1 - c)::float8 / {customers} * interval '{days} days'",
            "finished_at": "case when c <= {customers} / 2 - 120 then now() end",
        },
    ),
    (
        DepositAddress,
        "from generate_series(0, {customers} - 1) c where mod(c, 4) < 2 order by c",
        {
            "provider_id": "{node}",
            "network_id": "{network}",
            "currency_id": "{usdt}",
            "address": "pg_temp.place('d' || c)",
            "index": "c",
            "user_id": OWNER,
            "external_id": "'shop-' || c",
            "created_at": "now() - interval '{days} days'",
            "assigned_at": "now() - interval '{days} days'",
        },
    ),
    (
        PaymentLink,
        f"{ORDERS} where type = 'DEPOSIT' and box > 1 and mod(h, 20) = 0 order by n",
        {
            "public_id": "pg_temp.uid(at, 'link' || n)",
            "user_id": OWNER,
            "provider_id": "provider",
            "currency_id": "currency",
            "amount": "amount",
            "provider_reference": "'link-' || n",
            "external_id": "'basket-' || n",
            "created_at": "at",
        },
    ),
    (
        SavedDestination,
        "from generate_series(0, {customers} - 1) c where mod(c, 4) = 0 order by c",
        {
            "public_id": "pg_temp.uid(now() - interval '{days} days', 'saved' || c)",
            "customer_id": OWNER,
            "currency_id": "{usdt}",
            "network_id": "{network}",
            "destination": "pg_temp.place('w' || c || '/0')",
            "created_at": "now() - interval '{days} days'",
        },
    ),
    (
        ApiKey,
        "from generate_series(0, {customers} - 1) c where mod(c, 10) = 0 order by c",
        {
            "public_id": "pg_temp.uid(now() - interval '{days} days', 'key' || c)",
            "user_id": OWNER,
            "name": "'shop'",
            "key": "'crowd-' || c",
            "scopes": "'{read}'",
        },
    ),
    (
        ProviderBalanceSnapshot,
        f"{ORDERS} where mod(n, 30) = 0 order by n",
        {"provider_id": "provider", "currency_id": "currency", "amount": "1000 + mod(n, 1000)", "at": "at"},
    ),
)
