"""The twins behind Django REST framework: token, serializers, views; served by gunicorn, or called in this process."""

# mypy: disable-error-code="import-not-found"
# (installed apart, see bench/peers.py)

from __future__ import annotations

import io
import json
import sys
from typing import Any

from django.core.handlers.wsgi import WSGIRequest
from django.db.models import Q
from django.urls import path
from rest_framework import serializers
from rest_framework.authentication import TokenAuthentication
from rest_framework.generics import ListAPIView
from rest_framework.pagination import PageNumberPagination
from rest_framework.parsers import JSONParser
from rest_framework.permissions import IsAuthenticated
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from bench import orm, twin
from kauri.core.models import Currency


class MovementIn(serializers.Serializer):
    currency = serializers.CharField(max_length=12)
    amount = serializers.DecimalField(max_digits=38, decimal_places=18)
    destination_account_email = serializers.EmailField()
    external_id = serializers.CharField(max_length=128)


class WithdrawalIn(serializers.Serializer):
    currency = serializers.CharField(max_length=12)
    amount = serializers.DecimalField(max_digits=38, decimal_places=18)
    wallet_to = serializers.CharField(max_length=128)
    external_id = serializers.CharField(max_length=128)


class OrderOut(serializers.Serializer):
    order_id = serializers.UUIDField(source="public_id")
    currency = serializers.CharField(source="currency.code")
    amount = serializers.DecimalField(max_digits=38, decimal_places=18)
    fee = serializers.DecimalField(max_digits=38, decimal_places=18)
    status = serializers.CharField()
    external_id = serializers.CharField()
    message = serializers.CharField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField()


class MovementOut(serializers.Serializer):
    status = serializers.CharField()
    order_id = serializers.UUIDField()
    order_status = serializers.CharField()
    amount = serializers.DecimalField(max_digits=38, decimal_places=18)
    fee = serializers.DecimalField(max_digits=38, decimal_places=18)


class Guarded(APIView):
    authentication_classes = (TokenAuthentication,)
    permission_classes = (IsAuthenticated,)
    parser_classes = (JSONParser,)
    renderer_classes = (JSONRenderer,)


class Movement(Guarded):
    def post(self, request: Request) -> Response:
        asked = MovementIn(data=request.data)
        asked.is_valid(raise_exception=True)
        return Response(MovementOut(twin.move(request.user, asked.validated_data)).data)


class Withdrawal(Guarded):
    def post(self, request: Request) -> Response:
        asked = WithdrawalIn(data=request.data)
        asked.is_valid(raise_exception=True)
        return Response(MovementOut(twin.withdraw(request.user, asked.validated_data)).data)


class Balance(Guarded):
    """Available and held in every currency, as ours answers; the twin has accounts in one of them."""

    def get(self, request: Request) -> Response:
        pk = request.user.pk
        rows = {row.pk: row.balance for row in orm.Account.objects.filter(pk__in=[pk, twin.HELD + pk])}
        balance = {
            currency.code: {
                "available": rows.get(pk, 0) if currency.code == "UAH" else 0,
                "held": rows.get(twin.HELD + pk, 0) if currency.code == "UAH" else 0,
            }
            for currency in Currency.objects.filter(is_enabled=True)
        }
        return Response({"status": "success", "balance": balance})


class History(ListAPIView, Guarded):
    """A page of orders with its count, as the framework's own pagination makes one."""

    serializer_class = OrderOut
    pagination_class = type("Ten", (PageNumberPagination,), {"page_size": 10})

    def get_queryset(self) -> Any:
        mine = Q(owner=self.request.user) | Q(recipient=self.request.user)
        return twin.Order.objects.filter(mine).select_related("currency").order_by("-id")


urlpatterns = [
    path("api/v1/user/balance", Balance.as_view()),
    path("api/v1/orders/history", History.as_view()),
    path("api/v1/internal_movement", Movement.as_view()),
    path("api/v1/withdrawal", Withdrawal.as_view()),
]
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
