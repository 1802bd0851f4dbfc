"""``manage.py rights``: give the application's database role its rights. Run as the schema's owner."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import DatabaseError, transaction

from backoffice import rights


class Command(BaseCommand):
    """Makes the role where it is missing and this user may, then grants; says so when it can't."""

    help = "Give the application's database role its rights (migrate does it too)"

    def handle(self, *args: Any, **options: Any) -> None:
        del args, options
        role = settings.KAURI.database_role
        try:
            with transaction.atomic():
                if not rights.role_exists(role):
                    rights.role_make(role, settings.KAURI.database_role_password)
        except DatabaseError as exc:
            self.stderr.write(
                f"There is no role {role}, and this user may not make one ({str(exc).strip()}). Until there is,"
                " the application can only run with the owner's rights. See docs/running.md."
            )
            return
        with transaction.atomic():
            rights.apply(role)
        self.stdout.write(f"{role}: rights applied.")
