"""``manage.py migrate``: Django's own, then the rights of the application's role, so that no table is forgotten."""

from __future__ import annotations

from typing import Any

from django.core.management import call_command
from django.core.management.commands.migrate import Command as Migrate


class Command(Migrate):
    """What changes the tables grants on them too."""

    def handle(self, *args: Any, **options: Any) -> None:
        super().handle(*args, **options)
        if not (options["check_unapplied"] or options["plan"]):
            call_command("rights", stdout=self.stdout, stderr=self.stderr)
