"""What the dialogs on a verification case ask."""

from __future__ import annotations

import uuid
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _
from unfold.forms import BaseDialogForm
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
)

from kauri.account.models import VerificationAnswer, VerificationCase
from kauri.account.states import DocumentKind, RejectReason
from kauri.common.search import searched


class WordsForm(BaseDialogForm):
    """Words that the customer reads."""

    words = forms.CharField(
        label=_("Words to the customer"),
        max_length=1000,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 4, "autofocus": True}),
        help_text=_("They are sent by e-mail and shown to the customer."),
    )


class RejectForm(WordsForm):
    """Why, from the list; and what is said about it."""

    reason_code = forms.ChoiceField(
        label=_("Reason"),
        choices=RejectReason.choices,
        widget=UnfoldAdminSelectWidget,
        help_text=_("A reason that would warn whom it concerns is told as another reason."),
    )
    field_order = ("reason_code", "words")


class AskForm(WordsForm):
    """Which documents are wanted once more, where the customer uploads them here."""

    documents = forms.MultipleChoiceField(
        label=_("Documents wanted again"),
        choices=DocumentKind.choices,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
    )
    field_order = ("documents", "words")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        case_id = searched(str(self.object_id), "uuid")
        uploads = VerificationCase.objects.filter(
            public_id=case_id if isinstance(case_id, uuid.UUID) else uuid.UUID(int=0),
            entrance_kind=VerificationCase.Entrance.UPLOAD,
        )
        if not uploads.exists():
            del self.fields["documents"]


class PlayForm(BaseDialogForm):
    """The verdict that the provider's sandbox shall give."""

    verdict = forms.ChoiceField(
        label=_("Verdict"),
        choices=[
            (verdict.value, verdict.label)
            for verdict in (
                VerificationAnswer.Verdict.APPROVED,
                VerificationAnswer.Verdict.RETRY,
                VerificationAnswer.Verdict.REJECTED,
            )
        ],
        widget=UnfoldAdminSelectWidget,
    )
