"""Which screens a process has that has imported nothing but what it serves: tests import more."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
ASK = """
from django.contrib import admin
for model, screen in sorted(admin.site._registry.items(), key=lambda item: item[0]._meta.label):
    print(model._meta.label, type(screen).__module__)
"""


def test_every_screen_is_the_houses_own() -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "shell", "--no-imports", "-c", ASK],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    screens = dict(line.split(" ") for line in done.stdout.splitlines())
    assert screens["auth.Group"] == "backoffice.roles"
    assert screens["account.User"] == "backoffice.admin"
    foreign = {
        model: name for model, name in screens.items() if not name.startswith(("kauri.", "backoffice."))
    }
    assert foreign == {}
