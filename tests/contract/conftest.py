"""The contract is tried by the same callers as the API."""

from tests.api.conftest import (
    alice,
    bob,
    calling,
    charlie,
    dana,
    house,
    house_settings,
    lead,
    local,
    nobody,
    other_worker,
    real_house,
    really_calling,
    rita,
    worker,
)

__all__ = [
    "alice",
    "bob",
    "calling",
    "charlie",
    "dana",
    "house",
    "house_settings",
    "lead",
    "local",
    "nobody",
    "other_worker",
    "real_house",
    "really_calling",
    "rita",
    "worker",
]
