"""The account's calls, a file for each subject."""

from ninja import Router

from kauri.account.api import keys, registration, verification

router = Router()
router.add_router("", registration.router)
router.add_router("", keys.router)
router.add_router("", verification.router)
