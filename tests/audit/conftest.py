"""Fixtures of the audit's tests: clients of the API and of pages."""

from tests.support.api_fixtures import (
    alice,
    anonymous,
    api_app,
    api_settings,
    bob,
    charlie,
    client_for,
    dana,
    lead,
    rita,
    worker,
)
from tests.web.conftest import browsers

__all__ = [
    "alice",
    "anonymous",
    "api_app",
    "api_settings",
    "bob",
    "browsers",
    "charlie",
    "client_for",
    "dana",
    "lead",
    "rita",
    "worker",
]
