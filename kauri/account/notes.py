"""What operators write about a customer, for each other."""

from __future__ import annotations

from django.db import transaction

from kauri.account.models import CustomerNote, User
from kauri.account.selectors import require_permission, require_scope
from kauri.common.actor import Actor, request_id
from kauri.common.errors import KauriError
from kauri.core.audit import audit


@transaction.atomic
def customer_note_add(*, user_id: int, text: str, actor: Actor) -> CustomerNote:
    """Keep an operator's words on a customer. ``forbidden``, ``not_found``, ``validation_error`` (empty)."""
    require_permission(actor, "account.add_customernote")
    said = text.strip()
    if not said:
        raise KauriError("validation_error", "an empty note", fields={"text": "required"})
    user = User.objects.filter(pk=user_id, is_staff=False).first()
    if user is None:
        raise KauriError("not_found")
    require_scope(actor, user)
    note = CustomerNote(user=user, text=said)
    note.stamp(actor, request_id.get())
    note.save(force_insert=True)
    audit(
        actor,
        "customer_note_add",
        object_type="user",
        object_id=user.pk,
        label=user.email,
        after={"text": said},
    )
    return note
