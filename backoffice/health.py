"""Is it alive, is it ready, how is it: for balancers and monitoring."""

from __future__ import annotations

import hmac

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.defaults import page_not_found

from backoffice.metrics import metrics_lines
from backoffice.rights import owns_the_ledger
from kauri.common.api import error_response
from kauri.common.errors import KauriError


def live(request: HttpRequest) -> HttpResponse:
    """The process answers."""
    del request
    return JsonResponse({"status": "ok"})


def ready(request: HttpRequest) -> HttpResponse:
    """The database answers, has every migration and, in prod, does not let us write the ledger by hand."""
    del request
    try:
        executor = MigrationExecutor(connection)
        missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
        too_mighty = settings.KAURI.env == "prod" and not missing and owns_the_ledger()
    except DatabaseError:
        return JsonResponse({"status": "error", "reason": "database"}, status=503)
    if missing:
        return JsonResponse({"status": "error", "reason": "migrations"}, status=503)
    if too_mighty:
        return JsonResponse({"status": "error", "reason": "database role"}, status=503)
    return JsonResponse({"status": "ok"})


def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus text, for whoever has the token; nobody else learns that it exists."""
    token = settings.KAURI.metrics_token
    given = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if not token or not hmac.compare_digest(given.encode(), token.encode()):
        return HttpResponse(status=404)
    return HttpResponse("\n".join(metrics_lines()) + "\n", content_type="text/plain; version=0.0.4")


def api_not_found(request: HttpRequest) -> HttpResponse:
    """No such call: the API's envelope."""
    return error_response(request, KauriError("not_found"))


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """The API's envelope under /api/, a page elsewhere."""
    if request.path_info.startswith(("/api/", "/callbacks")) or settings.CALLBACKS_PROCESS:
        return error_response(request, KauriError("not_found"))
    return page_not_found(request, exception)
