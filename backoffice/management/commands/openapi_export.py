"""``manage.py openapi_export``: write the API's contract, a collection of it, and the list of its calls."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand

from backoffice import calls, collection
from backoffice.api import schema
from backoffice.settings.env import ROOT


class Command(BaseCommand):
    """The committed files are compared with the code by tests."""

    help = "Write fixtures/openapi.json, fixtures/kauri.postman_collection.json and docs/calls.md"

    def handle(self, *args: Any, **options: Any) -> None:
        del args, options
        document = schema()
        texts = {
            ROOT / "fixtures" / "openapi.json": json.dumps(document, indent=1, sort_keys=True, default=str)
            + "\n",
            ROOT / "fixtures" / "kauri.postman_collection.json": json.dumps(
                collection.collection(document), indent=1, default=str
            )
            + "\n",
            ROOT / "docs" / "calls.md": calls.page(document),
        }
        for path, text in texts.items():
            path.write_text(text, encoding="utf-8")
            self.stdout.write(str(path))
