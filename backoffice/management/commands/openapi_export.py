"""``manage.py openapi_export``: write the API's contract to ``fixtures/openapi.json``."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand

from backoffice.api import schema
from backoffice.settings.env import ROOT


class Command(BaseCommand):
    """The committed file is compared with the code by a test."""

    help = "Write fixtures/openapi.json"

    def handle(self, *args: Any, **options: Any) -> None:
        del args, options
        path = ROOT / "fixtures" / "openapi.json"
        path.write_text(json.dumps(schema(), indent=1, sort_keys=True, default=str) + "\n", encoding="utf-8")
        self.stdout.write(str(path))
