"""``manage.py secrets_rotate``: write every stored secret with the newest key, so that an older one may go."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from backoffice import rotation
from kauri.common.actor import SYSTEM
from kauri.core.audit import audit


class Command(BaseCommand):
    """Run as the schema's owner: versions of settings are closed to the application. Safe to run twice."""

    help = "Encrypt every stored secret with the first of KAURI_ENCRYPTION_KEYS"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--check", action="store_true", help="only say what is under an older key")

    def handle(self, *args: Any, **options: Any) -> None:
        del args
        is_dry: bool = options["check"]
        found = {
            f"{column.table}.{column.name}": rotation.rotate(column, is_dry=is_dry)
            for column in rotation.columns()
        }
        found["documents"] = rotation.documents(is_dry=is_dry)
        for name, outcome in found.items():
            self.stdout.write(f"{name}: {outcome.seen} secrets, {outcome.old} under an older key")
            if outcome.lost:
                self.stderr.write(
                    f"  no key opens {len(outcome.lost)} of them, the first: {', '.join(outcome.lost[:5])}"
                )
        old = sum(outcome.old for outcome in found.values())
        lost = sum(len(outcome.lost) for outcome in found.values())
        if old and not is_dry:
            audit(SYSTEM, "secrets_rotate", object_type="secrets", object_id="all", after={"rotated": old})
        if lost:
            raise CommandError(f"{lost} secrets can't be opened: an encryption key is missing")
        if is_dry and old:
            raise CommandError(f"{old} secrets need an older key: don't remove it yet")
        self.stdout.write("Every secret is under the newest key.")
