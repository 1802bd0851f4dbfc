"""Customers and operators, their keys, and who verified whom."""

from kauri.account.models.keys import ApiKey, ConfirmationCode, UsedNonce
from kauri.account.models.people import CustomerGroup, User, UserManager
from kauri.account.models.record import SignIn, VerificationDecision
from kauri.account.models.verification import (
    VerificationAnswer,
    VerificationCase,
    VerificationDocument,
    VerificationMove,
)

__all__ = [
    "ApiKey",
    "ConfirmationCode",
    "CustomerGroup",
    "SignIn",
    "UsedNonce",
    "User",
    "UserManager",
    "VerificationAnswer",
    "VerificationCase",
    "VerificationDecision",
    "VerificationDocument",
    "VerificationMove",
]
