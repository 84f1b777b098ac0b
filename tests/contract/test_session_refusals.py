"""What a gateway refuses of a session is told as it is; only what is not there is not found."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.api.conftest import Client
from tests.contract.gateways import SESSIONS, a_fake, entered
from tests.openclaw.fake import Fake, Refused, running
from tests.world import World

KEY = SESSIONS[1]["key"]
BLOCKED = "send blocked by session policy"


@pytest.fixture
async def fake() -> AsyncIterator[Fake]:
    async with running(a_fake()) as fake:
        yield fake


@pytest.fixture
async def sessions(alice: Client, fake: Fake, world: World) -> str:
    """Where the sessions of the gateway are on which is Launch. It refuses to say anything."""
    made = await entered(alice, fake)
    put = await alice.patch(f"/boards/{world.board.id}", json={"gateway_id": made["id"]})
    assert put.status_code == 200

    def refuse(_params: dict[str, Any]) -> None:
        raise Refused("INVALID_REQUEST", BLOCKED)

    fake.methods |= {"chat.send": refuse, "chat.history": refuse}
    return "/gateways/sessions"


async def test_what_is_refused_in_a_session_that_is_there_is_told_in_the_gateways_words(
    alice: Client, sessions: str, world: World
) -> None:
    board = f"board_id={world.board.id}"
    said = await alice.post(f"{sessions}/{KEY}/message?{board}", json={"content": "Hello"})
    read = await alice.get(f"{sessions}/{KEY}/history?{board}")
    for answer in (said, read):
        assert answer.status_code == 502
        assert answer.json()["code"] == "gateway_rejected"
        assert BLOCKED in answer.json()["detail"]


@pytest.mark.parametrize("key", ["agent:nobody:main", "agent::"])
async def test_what_is_refused_in_a_session_that_is_not_there_is_not_found(
    alice: Client, sessions: str, world: World, key: str
) -> None:
    """Whether it has none of that key, or the key is none."""
    board = f"board_id={world.board.id}"
    said = await alice.post(f"{sessions}/{key}/message?{board}", json={"content": "Hello"})
    assert said.status_code == 404
    assert said.json()["code"] == "session_not_found"


async def test_of_a_gateway_that_goes_away_in_between_the_refusal_is_told(
    alice: Client, sessions: str, fake: Fake, world: World
) -> None:
    def away(_params: dict[str, Any]) -> None:
        raise Refused("FORBIDDEN", "no")

    fake.methods["sessions.describe"] = away
    at = f"{sessions}/agent:nobody:main/message?board_id={world.board.id}"
    said = await alice.post(at, json={"content": "Hello"})
    assert (said.status_code, said.json()["code"]) == (502, "gateway_rejected")
