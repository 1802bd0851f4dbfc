"""The field of every form whose act asks for the operator's one-time code again. The service checks it."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminTextInputWidget

SOMETIMES = _("Asked for above the limit that holds for you. Good for this act only.")
ALWAYS = _("The six digits that it shows now. Good for this act only.")


def code_field(help_text: Any = ALWAYS) -> forms.CharField:
    return forms.CharField(
        label=_("Code from the authenticator"),
        required=False,  # without it the service refuses, in its own words
        max_length=12,
        help_text=help_text,
        widget=UnfoldAdminTextInputWidget(
            attrs={"autocomplete": "one-time-code", "inputmode": "numeric", "data-testid": "code"}
        ),
    )


class CodeAgainForm(forms.Form):
    """An act that asks for the code above a limit."""

    code = code_field(SOMETIMES)


class CodeAlwaysForm(forms.Form):
    """An act that asks for the code whatever it is about."""

    code = code_field()
