"""What the ``account`` queue does."""

from __future__ import annotations

from kauri.account import api_keys, cases, factor_reset, passwords, sessions
from kauri.common import throttle


def nonces_forget() -> None:
    """Drop nonces that are too old to matter."""
    api_keys.nonces_forget()


def throttles_forget() -> None:
    """Drop counters whose window is over."""
    throttle.forget(3600)


def reset_link_send(email: str) -> None:
    """Write to whoever asked for a new password, if they are a customer."""
    passwords.reset_send(email)


def refresh_tokens_forget() -> None:
    """Drop refresh tokens that nobody can use any more."""
    sessions.refresh_tokens_forget()


def case_step(case_id: int) -> None:
    """The next call to a verification provider about one case."""
    cases.case_step(case_id)


def cases_sweep() -> None:
    """Queue calls that are due; end cases whose customer did not come."""
    cases.cases_sweep()


def verifiers_check() -> None:
    """Ask every verification provider how it is."""
    cases.verifiers_check()


def factor_resets_expire() -> None:
    """End what nobody decided on in time."""
    factor_reset.factor_resets_expire()
