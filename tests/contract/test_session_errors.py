"""Rejections of a session are reported as they are; only missing sessions are not found."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.api_fixtures import Client
from tests.support.fake_gateway import ErrorResponse, FakeGateway, run_fake_gateway
from tests.support.gateway_api import SESSIONS, create_gateway, make_fake_gateway
from tests.support.world import World

KEY = SESSIONS[1]["key"]
BLOCKED = "send blocked by session policy"


@pytest.fixture
async def fake() -> AsyncIterator[FakeGateway]:
    async with run_fake_gateway(make_fake_gateway()) as fake:
        yield fake


@pytest.fixture
async def sessions(alice: Client, fake: FakeGateway, world: World) -> str:
    """The sessions path of a gateway that rejects every message."""
    made = await create_gateway(alice, fake)
    put = await alice.patch(f"/boards/{world.board.id}", json={"gateway_id": made["id"]})
    assert put.status_code == 200

    def refuse(_params: dict[str, Any]) -> None:
        raise ErrorResponse("INVALID_REQUEST", BLOCKED)

    fake.handlers |= {"chat.send": refuse, "chat.history": refuse}
    return "/gateways/sessions"


async def test_rejections_in_a_session_use_the_words_of_the_gateway(
    alice: Client, sessions: str, world: World
) -> None:
    board = f"board_id={world.board.id}"
    response = await alice.post(f"{sessions}/{KEY}/message?{board}", json={"content": "Hello"})
    read = await alice.get(f"{sessions}/{KEY}/history?{board}")
    for answer in (response, read):
        assert answer.status_code == 502
        assert answer.json()["code"] == "gateway_rejected"
        assert BLOCKED in answer.json()["detail"]


@pytest.mark.parametrize("key", ["agent:nobody:main", "agent::"])
async def test_rejections_without_a_session_are_not_found(
    alice: Client, sessions: str, world: World, key: str
) -> None:
    """Whether the session is missing or the key is invalid."""
    board = f"board_id={world.board.id}"
    response = await alice.post(f"{sessions}/{key}/message?{board}", json={"content": "Hello"})
    assert response.status_code == 404
    assert response.json()["code"] == "session_not_found"


async def test_a_rejection_is_reported_if_the_gateway_disconnects(
    alice: Client, sessions: str, fake: FakeGateway, world: World
) -> None:
    def away(_params: dict[str, Any]) -> None:
        raise ErrorResponse("FORBIDDEN", "no")

    fake.handlers["sessions.describe"] = away
    at = f"{sessions}/agent:nobody:main/message?board_id={world.board.id}"
    response = await alice.post(at, json={"content": "Hello"})
    assert (response.status_code, response.json()["code"]) == (502, "gateway_rejected")
