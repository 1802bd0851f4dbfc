"""Settings of a web server that is measured: a connection has the application's rights only, as in production."""

from __future__ import annotations

import os

from backoffice.settings import base
from bench.settings import *  # noqa: F403 - Django reads its settings from this module

OPTIONS = {**base.DATABASES["default"]["OPTIONS"]}
OPTIONS["options"] += f" -c role={os.environ['BENCH_ROLE']}"
DATABASES = {"default": {**base.DATABASES["default"], "OPTIONS": OPTIONS}}
