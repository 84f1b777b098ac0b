"""The type of `detail`: a sentence where the original's operations checked a value (1.3)."""

from typing import Any

import pytest

from core.db.engine import TransactionFactory
from models import Board, new_id
from tests.support.api_fixtures import Client
from tests.support.world import World


def assert_sentence(response: Any, code: str) -> None:
    """Fail unless the detail of a 422 is a sentence."""
    assert (response.status_code, response.json()["code"]) == (422, code)
    assert isinstance(response.json()["detail"], str), response.json()


async def test_details_of_tasks_are_sentences(
    alice: Client, worker: Client, world: World, transaction: TransactionFactory
) -> None:
    path = f"/boards/{world.board.id}/tasks"
    async with transaction() as session:
        (await session.get_one(Board, world.board.id)).comment_required_for_review = True
    id = (await alice.post(path, json={"title": "Write"})).json()["id"]
    itself = await alice.patch(f"{path}/{id}", json={"depends_on_task_ids": [id]})
    assert_sentence(itself, "dependency_on_itself")
    await worker.patch(f"{path}/{id}", json={"status": "in_progress"})
    silent = await worker.patch(f"{path}/{id}", json={"status": "review"})
    assert_sentence(silent, "comment_required")
    assert_sentence(await alice.get(f"{path}?status=lost"), "unknown_status")
    blank = await alice.post(path, json={"title": " "})
    assert isinstance(blank.json()["detail"], list)


@pytest.mark.parametrize("path", ["", "/agent:main:main", "/agent:main:main/history"])
async def test_sessions_without_a_board_are_refused_in_a_sentence(alice: Client, path: str) -> None:
    assert_sentence(await alice.get(f"/gateways/sessions{path}"), "board_required")


async def test_a_message_without_a_board_is_refused_in_a_sentence(alice: Client) -> None:
    path = "/gateways/sessions/agent:main:main/message"
    assert_sentence(await alice.post(path, json={"content": "Hello"}), "board_required")
    assert_sentence(await alice.get("/gateways/status"), "board_required")


async def test_details_of_agents_and_souls_are_sentences(
    alice: Client, lead: Client, world: World
) -> None:
    at = f"/agents/{world.worker.id}"
    assert_sentence(await alice.post("/agents", json={"name": "Ada"}), "board_required")
    assert_sentence(await alice.post("/agents/heartbeat", json={"name": "Ada"}), "board_required")
    assert_sentence(await alice.patch(at, json={"board_id": None}), "board_required")
    assert_sentence(await alice.patch(at, json={"is_gateway_main": True}), "gateway_required")
    soul = f"/agent/boards/{world.board.id}/agents/{world.worker.id}/soul"
    assert_sentence(await lead.put(soul, json={"content": " "}), "blank")


async def test_details_of_boards_members_and_webhooks_are_sentences(
    alice: Client, world: World
) -> None:
    board = f"/boards/{world.board.id}"
    for field, code in (
        ("gateway_id", "gateway_not_found"),
        ("board_group_id", "board_group_not_found"),
    ):
        assert_sentence(await alice.patch(board, json={field: str(new_id())}), code)
    assert_sentence(await alice.patch(board, json={"board_type": "goal"}), "goal_incomplete")
    goal = {"name": "G", "description": "g", "board_type": "goal", "goal_confirmed": True}
    made = await alice.post("/boards", json=goal)
    assert (made.status_code, type(made.json()["detail"])) == (422, list)
    mine = (await alice.get("/organizations/me/member")).json()["id"]
    path = f"/organizations/me/members/{mine}"
    assert_sentence(await alice.patch(path, json={"role": "member"}), "last_owner")
    webhook = {"description": "Builds", "agent_id": str(new_id())}
    assert_sentence(await alice.post(f"{board}/webhooks", json=webhook), "agent_not_on_board")
