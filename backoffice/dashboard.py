"""The desk: work first, then the state of the house, then the business. Every number leads to its rows."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest


def desk(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add the desk's figures to the index page."""
    return {**context, **figures(request)}


def figures(request: HttpRequest) -> dict[str, Any]:
    del request
    return {}
