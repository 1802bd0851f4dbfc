"""The callbacks process: listens to payment systems and nobody else."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

from backoffice.memory import settle

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "backoffice.settings")
os.environ["KAURI_PROCESS"] = "callbacks"
application = get_wsgi_application()
settle()
