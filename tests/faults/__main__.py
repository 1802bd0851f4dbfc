"""``python -m tests.faults [faults]``: the long campaign, 10,000 faults where nothing else is said."""

from __future__ import annotations

import os
import sys
from pathlib import Path

FAULTS = "10000"

if __name__ == "__main__":
    os.environ["FAULTS"] = sys.argv[1] if sys.argv[1:] else FAULTS
    os.execv(sys.executable, [sys.executable, "-m", "pytest", "-v", str(Path(__file__).parent)])
