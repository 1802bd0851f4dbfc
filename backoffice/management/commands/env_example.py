"""``manage.py env_example``: write ``.env.example`` from the typed settings."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from backoffice.settings.env import ROOT, example


class Command(BaseCommand):
    """The committed file is compared with the settings by a test."""

    help = "Write .env.example"

    def handle(self, *args: Any, **options: Any) -> None:
        del args, options
        path = ROOT / ".env.example"
        path.write_text(example(), encoding="utf-8")
        self.stdout.write(str(path))
