"""The movement's twin behind Django REST framework: token, serializers, view; called in this process, without HTTP."""

# mypy: disable-error-code="import-not-found"
# (installed apart, see bench/peers.py)

from __future__ import annotations

import io
import json
import sys
from typing import Any

from django.core.handlers.wsgi import WSGIRequest
from rest_framework import serializers
from rest_framework.authentication import TokenAuthentication
from rest_framework.parsers import JSONParser
from rest_framework.permissions import IsAuthenticated
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from bench import twin


class MovementIn(serializers.Serializer):
    currency = serializers.CharField(max_length=12)
    amount = serializers.DecimalField(max_digits=38, decimal_places=18)
    destination_account_email = serializers.EmailField()
    external_id = serializers.CharField(max_length=128)


class MovementOut(serializers.Serializer):
    status = serializers.CharField()
    order_id = serializers.UUIDField()
    order_status = serializers.CharField()
    amount = serializers.DecimalField(max_digits=38, decimal_places=18)
    fee = serializers.DecimalField(max_digits=38, decimal_places=18)


class Movement(APIView):
    authentication_classes = (TokenAuthentication,)
    permission_classes = (IsAuthenticated,)
    parser_classes = (JSONParser,)
    renderer_classes = (JSONRenderer,)

    def post(self, request: Request) -> Response:
        asked = MovementIn(data=request.data)
        asked.is_valid(raise_exception=True)
        return Response(MovementOut(twin.move(request.user, asked.validated_data)).data)


view = Movement.as_view()


def call(customer: int, data: dict[str, Any]) -> bytes:
    """The answer's body; anything but 200 is an error."""
    body = json.dumps(data).encode()
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/internal_movement",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_AUTHORIZATION": f"Token {customer:040d}",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.url_scheme": "http",
    }
    response = view(WSGIRequest(environ)).render()
    if response.status_code != 200:
        raise RuntimeError(f"the twin answered {response.status_code}: {response.content[:300]!r}")
    return bytes(response.content)
