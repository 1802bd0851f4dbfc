"""The callbacks process's only view."""

from __future__ import annotations

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from kauri.callbacks.services import Incoming, callback_store


@csrf_exempt
def receive(request: HttpRequest, provider_code: str) -> HttpResponse:
    """``/callbacks/<provider>``: store, then answer in the provider's own words."""
    try:
        body = request.body
    except RequestDataTooBig:
        return JsonResponse(
            {"status": "error", "code": "payload_too_large", "limit": settings.KAURI.callback_body_limit},
            status=413,
        )
    reply = callback_store(
        Incoming(
            provider_code=provider_code,
            method=request.method or "",
            path=request.path_info,
            query=str(request.META.get("QUERY_STRING", "")),
            headers=dict(request.headers),
            body=body,
            remote_addr=str(getattr(request, "client_ip", "")),
        )
    )
    return HttpResponse(reply.body, status=reply.status, content_type=reply.content_type)
