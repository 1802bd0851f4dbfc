"""The web process: back office and API."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

from backoffice.memory import settle

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "backoffice.settings")
os.environ["KAURI_PROCESS"] = "web"
application = get_wsgi_application()
settle()
