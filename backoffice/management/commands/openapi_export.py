"""``manage.py openapi_export``: write the API's contract, and the list of the calls that it must have."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand

from backoffice import calls
from backoffice.api import schema
from backoffice.settings.env import ROOT


class Command(BaseCommand):
    """The committed files are compared with the code by tests."""

    help = "Write fixtures/openapi.json and docs/calls.md"

    def handle(self, *args: Any, **options: Any) -> None:
        del args, options
        document = schema()
        texts = {
            ROOT / "fixtures" / "openapi.json": json.dumps(document, indent=1, sort_keys=True, default=str)
            + "\n",
            ROOT / "docs" / "calls.md": calls.page(document),
        }
        for path, text in texts.items():
            path.write_text(text, encoding="utf-8")
            self.stdout.write(str(path))
