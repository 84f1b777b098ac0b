"""The typed provisioning state of agents, as it is stored."""

import pytest

from core.clock import now
from models import ProvisioningState


def test_a_state_is_the_same_after_it_was_stored() -> None:
    state = ProvisioningState(
        is_created_by_us=True,
        file_digests={"SOUL.md": ["a", "b"]},
        kept_files=("USER.md",),
        token_id="1",
        step_times={"files": now()},
        lost_at=now(),
    )
    assert ProvisioningState.from_json(state.to_json()) == state
    assert ProvisioningState().to_json() == {}


@pytest.mark.parametrize(
    "stored",
    [
        [],
        {"files": None, "kept": None, "done_at": None},
        {"done_at": {"create": "no time", "files": 5}},
        {"lost_at": "no time"},
        {"files": "x", "kept": 1, "done_at": "x"},
        {"written_by_a_newer_version": True},
    ],
)
def test_malformed_parts_of_a_stored_state_are_ignored(stored) -> None:
    """Otherwise one damaged row would break every query that loads the agent."""
    assert ProvisioningState.from_json(stored) == ProvisioningState()
