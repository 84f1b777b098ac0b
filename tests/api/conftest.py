"""Fixtures of the API tests: the application and its clients."""

from tests.support.api_fixtures import (
    alice,
    anonymous,
    api_app,
    api_settings,
    bob,
    charlie,
    client_for,
    committing_api_app,
    committing_client_for,
    dana,
    lead,
    local_client_for,
    other_worker,
    rita,
    without_waits,
    worker,
)

__all__ = [
    "alice",
    "anonymous",
    "api_app",
    "api_settings",
    "bob",
    "charlie",
    "client_for",
    "committing_api_app",
    "committing_client_for",
    "dana",
    "lead",
    "local_client_for",
    "other_worker",
    "rita",
    "without_waits",
    "worker",
]
