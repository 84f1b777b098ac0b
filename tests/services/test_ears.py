"""What is heard of turns, however much a gateway tells, and whatever. Pure."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from kit.text import storable
from openclaw import Event
from services.messages.ears import LONGEST_SESSION, MOST_HEARD, Ears
from services.messages.turns import Turn, told

MESSAGE = UUID("01a212af-2e8a-7107-b348-0cd2347980dd")


SAID = {"role": "assistant", "content": []}


def ended(message_id: object = MESSAGE, session: object = "agent:ada:main", **more: Any) -> Event:
    said = {"runId": str(message_id), "sessionKey": session, "state": "final", **more}
    return Event("chat", said)


def test_a_gateway_that_tells_of_more_turns_than_anybody_has_begun_fills_no_memory() -> None:
    ears = Ears()
    for number in range(3 * MOST_HEARD):
        assert ears.hear(ended(uuid4(), f"agent:{number}:main", message=SAID))
    assert len(ears.ends) == len(ears.sessions) == MOST_HEARD
    assert ears.losses > 1


def test_what_does_not_fit_any_more_is_looked_up_as_if_it_was_missed() -> None:
    ears = Ears()
    for _ in range(MOST_HEARD):
        ears.hear(ended(uuid4(), message=SAID))
    before = ears.losses
    ears.hear(ended(MESSAGE, message=SAID))
    assert ears.losses == before + 1
    ears.ends = {}
    ears.hear(ended(MESSAGE, message=SAID))
    assert ears.losses == before + 1
    assert MESSAGE in ears.ends


@pytest.mark.parametrize(
    "session", [None, 7, {"a": 1}, "\0", "\ud800", "x" * (LONGEST_SESSION + 1)]
)
def test_no_session_that_could_not_be_asked_for_is_kept(session: object) -> None:
    ears = Ears()
    assert ears.hear(ended(session=session))
    assert ears.sessions == set()


def test_the_key_of_a_turn_is_not_longer_than_ours() -> None:
    ears = Ears()
    assert not ears.hear(ended(f"{MESSAGE}.{'7' * 1_000_000}", message=SAID))
    assert (ears.ends, ears.doubtful) == ({}, set())


def test_why_a_turn_has_failed_can_be_kept_and_tells_no_token() -> None:
    reason = "Wrong \0 \ud800 mc_agent_abcdefgh was refused"
    said = ended(state="error", errorMessage=reason, errorDetail={"a": 1})
    _, turn = told(said) or ("", None)
    assert isinstance(turn, Turn)
    assert storable(turn.reason)
    assert turn.reason.endswith("mc_agent_*** was refused")
