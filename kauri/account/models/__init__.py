"""Customers and operators, their keys, and who verified whom."""

from kauri.account.models.factor_reset import FactorReset
from kauri.account.models.keys import ApiKey, ConfirmationCode, UsedNonce
from kauri.account.models.people import GRANTS, CustomerGroup, User, UserManager
from kauri.account.models.record import CustomerNote, SignIn, VerificationDecision
from kauri.account.models.security import OneTimeLink, RecoveryCode, TOTPDevice, WhiteIp
from kauri.account.models.sessions import RefreshToken, Session
from kauri.account.models.telegram import TelegramLink
from kauri.account.models.verification import (
    VerificationAnswer,
    VerificationCase,
    VerificationDocument,
    VerificationMove,
)

__all__ = [
    "GRANTS",
    "ApiKey",
    "ConfirmationCode",
    "CustomerGroup",
    "CustomerNote",
    "FactorReset",
    "OneTimeLink",
    "RecoveryCode",
    "RefreshToken",
    "Session",
    "SignIn",
    "TOTPDevice",
    "TelegramLink",
    "UsedNonce",
    "User",
    "UserManager",
    "VerificationAnswer",
    "VerificationCase",
    "VerificationDecision",
    "VerificationDocument",
    "VerificationMove",
    "WhiteIp",
]
