"""Whose rights are whose: by roles alone."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import ModelBackend


class RoleBackend(ModelBackend):
    """Rights come with roles, which two people give and the audit names; what a row gives a person alone counts for nothing."""

    def get_user_permissions(self, user_obj: Any, obj: Any = None) -> set[str]:
        del user_obj, obj
        return set()
