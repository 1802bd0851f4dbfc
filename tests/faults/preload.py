"""What worker processes are forked from: everything imported, nothing connected."""

from __future__ import annotations

import importlib

import django
from django.conf import settings

django.setup()
importlib.import_module(settings.ROOT_URLCONF)
client = importlib.import_module("tests.faults.client")
importlib.import_module("tests.faults.worker")
client.API.http.handler.load_middleware()
