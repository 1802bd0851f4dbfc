"""``make bench``: measures Kauri on this machine and writes ``bench/results.json``. See ``docs/performance.md``.

Importing it sets Django up, for the database that DATABASE_URL names.
"""

from __future__ import annotations

import os

import django

# Servers that it starts (bench/web.py) say which settings are theirs.
os.environ["DJANGO_SETTINGS_MODULE"] = os.environ.get("BENCH_SETTINGS", "bench.settings")
# The rate limit is counted in every request as always, only never reached.
for rate in ("MINUTE", "MINUTE_KEY", "MINUTE_ADDRESS"):
    os.environ.setdefault(f"KAURI_API_RATE_PER_{rate}", "100000000")
django.setup()
