"""``manage.py operator_make EMAIL --role ROLE …``: a new operator, made by whoever runs the host."""

from __future__ import annotations

import getpass
import sys
from argparse import ArgumentParser
from typing import Any

from django.contrib.auth.models import Group
from django.core.management.base import BaseCommand, CommandError

from kauri.account.operators import operator_make
from kauri.common.actor import SYSTEM
from kauri.common.errors import KauriError


class Command(BaseCommand):
    """Asks for the password, or reads it from standard input where that is no terminal."""

    help = "Make an operator. They choose a second factor at their first sign-in."

    def add_arguments(self, parser: ArgumentParser) -> None:
        roles = ", ".join(Group.objects.order_by("name").values_list("name", flat=True))
        parser.add_argument("email")
        parser.add_argument("--name", default="", help="what colleagues call them")
        parser.add_argument("--role", action="append", default=[], dest="roles", help=f"one of: {roles}")

    def handle(self, *args: Any, **options: Any) -> None:
        del args
        if sys.stdin.isatty():
            password = getpass.getpass("Password: ")
            if getpass.getpass("The password again: ") != password:
                raise CommandError("The two passwords differ. Nothing was made.")
        else:
            password = sys.stdin.readline().rstrip("\n")
        try:
            made = operator_make(
                email=options["email"],
                name=options["name"],
                password=password,
                roles=options["roles"],
                actor=SYSTEM,
            )
        except KauriError as error:
            told = "; ".join(f"{name}: {said}" for name, said in (error.fields or {}).items())
            raise CommandError(f"{error.code}: {told or error}. Nothing was made.") from None
        self.stdout.write(f"{made.email} is an operator: {', '.join(sorted(options['roles'])) or 'no role'}.")
