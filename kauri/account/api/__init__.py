"""The account's calls, a file for each subject."""

from ninja import Router

from kauri.account.api import (
    keys,
    profile,
    registration,
    second_factor,
    security,
    sessions,
    telegram,
    verification,
)

router = Router()
router.add_router("", registration.router)
router.add_router("", keys.router)
router.add_router("", profile.router)
router.add_router("", sessions.router)
router.add_router("", second_factor.router)
router.add_router("", security.router)
router.add_router("", telegram.router)
router.add_router("", verification.router)
