"""``manage.py audit_verify``: prove the audit's chain now."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from kauri.core.sealing import audit_seal, audit_verify


class Command(BaseCommand):
    """Prints JSON; ends with 1 when an entry is not as it was written."""

    help = "Seal what waits, prove the chain of the audit and print what was found as JSON"

    def handle(self, *args: Any, **options: Any) -> None:
        del args, options
        audit_seal()
        check = audit_verify()
        self.stdout.write(
            json.dumps(
                {
                    "clean": check.is_clean,
                    "findings": check.findings,
                    "entries": check.entries,
                    "blocks": check.blocks,
                    "head": check.head,
                },
                indent=2,
            )
        )
        if not check.is_clean:
            raise CommandError("the audit is not as it was written")
