"""The door: makes the virtual environment ready for a command, then hands over to it (``compose.local.commands``)."""

from __future__ import annotations

import fcntl
import os
import sys

from compose.local import clean, leftovers, places, shell, venv
from compose.local.console import SetupError, say

WITH_DEV_TOOLS = ("test", "lint", "bench", "openapi", "screenshots")
# these need no environment, and must work where there is none
ALONE = {"stop": leftovers.stop, "clean": clean.clean}


def main(arguments: list[str]) -> int:
    """Set up, then become the command (this process is replaced, so signals reach the right one)."""
    name = arguments[0] if arguments else "run"
    shell.end_on_sigterm()
    try:
        if name in ALONE:
            return ALONE[name]()
        places.ensure_state()
        with (places.STATE / "setup.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            venv.ensure(dev=name in WITH_DEV_TOOLS)
    except SetupError as error:
        say(f"kauri: {error}")
        return 1
    except KeyboardInterrupt:
        return 130
    os.chdir(places.ROOT)
    command = [str(places.VENV_PYTHON), "-m", "compose.local.commands", name]
    os.execv(command[0], command)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
