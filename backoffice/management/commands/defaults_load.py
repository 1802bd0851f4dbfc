"""``manage.py defaults_load``: create what every installation starts with, where it is missing."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from backoffice import defaults


class Command(BaseCommand):
    """Idempotent; never overwrites what an operator has changed."""

    help = "Load currencies, networks, pairs, providers, switches, policies and roles"

    def handle(self, *args: Any, **options: Any) -> None:
        del args, options
        for name, count in defaults.load().items():
            self.stdout.write(f"{name}: {count} made")
