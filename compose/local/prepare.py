"""Brings a database up to date, in one start of Django instead of three: ``python -m compose.local.prepare migrate defaults_load …``."""

from __future__ import annotations

import os
import sys

import django
from django.core.management import call_command


def main(commands: list[str]) -> None:
    """Run these management commands one after another, without questions."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "backoffice.settings")
    django.setup()
    for command in commands:
        options = {"interactive": False} if command == "migrate" else {}
        call_command(command, verbosity=1, **options)


if __name__ == "__main__":
    main(sys.argv[1:])
