"""The contract's checklist (people-and-boards 7), 25 to 28: approvals."""

from typing import Any
from uuid import UUID

import pytest

from models import ApprovalStatus, new_id
from services import approvals
from tests.api.conftest import Client
from tests.conftest import Transaction
from tests.world import World

ASK = {"action_type": "deploy", "confidence": 80.5, "lead_reasoning": "  It is ready.  "}


@pytest.fixture
def path(world: World) -> str:
    """Where the approvals of Launch are."""
    return f"/boards/{world.board.id}/approvals"


async def a_task(client: Client, world: World, title: str = "Write") -> str:
    """Create a task, and return its id."""
    made = await client.post(f"/boards/{world.board.id}/tasks", json={"title": title})
    return str(made.json()["id"])


async def test_a_question_says_why_and_how_sure_one_is(
    worker: Client, alice: Client, path: str
) -> None:
    """Point 25."""
    asked = (await worker.post(path, json=ASK)).json()
    assert asked["payload"] == {"reason": "It is ready."}
    assert (asked["status"], asked["confidence"], asked["resolved_at"]) == ("pending", 80.5, None)
    assert "lead_reasoning" not in asked
    for payload in ({"reason": "Why"}, {"decision": {"reason": "Why"}}):
        body = {"action_type": "x", "confidence": 0, "payload": payload}
        assert (await worker.post(path, json=body)).json()["payload"] == payload
    for wrong in (
        {"action_type": "x", "confidence": 50},
        {"action_type": "x", "confidence": 50, "payload": {"reason": "  "}, "lead_reasoning": ""},
        {**ASK, "confidence": 100.1},
        {**ASK, "confidence": -0.1},
        {**ASK, "rubric_scores": {"tests": 0.5}},
        {**ASK, "payload": ["reason"]},
    ):
        assert (await alice.post(path, json=wrong)).status_code == 422, wrong


async def test_for_each_task_one_question_waits_at_most(
    worker: Client, alice: Client, world: World, path: str
) -> None:
    """Point 26."""
    one, two = await a_task(alice, world), await a_task(alice, world)
    first = (await worker.post(path, json={**ASK, "task_ids": [one, two]})).json()
    again = await worker.post(path, json={**ASK, "task_id": two})
    assert again.status_code == 409
    assert again.json()["detail"].keys() == {"message", "conflicts"}
    assert again.json()["detail"]["conflicts"] == [{"task_id": two, "approval_id": first["id"]}]

    await alice.patch(f"{path}/{first['id']}", json={"status": "rejected"})
    await worker.post(path, json={**ASK, "task_id": two})
    reopened = await alice.patch(f"{path}/{first['id']}", json={"status": "pending"})
    assert reopened.status_code == 409
    assert reopened.json()["detail"]["conflicts"][0]["task_id"] == two


@pytest.mark.parametrize("status", ["approved", "rejected"])
async def test_agents_ask_and_do_not_decide(
    worker: Client, lead: Client, alice: Client, world: World, path: str, status: str
) -> None:
    """S2, W-03. Point 27. A27.13. Fixed."""
    for agent in (worker, lead):
        for at in (path, f"/agent{path}"):
            decided = await agent.post(at, json={**ASK, "status": status})
            assert decided.status_code == 403
    assert (await alice.get(path)).json()["total"] == 0
    asked = (await worker.post(path, json={**ASK, "agent_id": str(world.lead.id)})).json()
    assert asked["agent_id"] == str(world.worker.id)
    for agent in (worker, lead):
        response = await agent.patch(f"{path}/{asked['id']}", json={"status": status})
        assert response.status_code == 401
    assert (await worker.get(path)).json()["items"] == [asked]


async def test_a_decision_is_told_once_with_who_made_it(
    worker: Client, bob: Client, rita: Client, alice: Client, world: World, path: str
) -> None:
    """Point 28. Here the decision is an event; C10 and C11, fixed."""
    asked = (await worker.post(path, json=ASK)).json()
    at = f"{path}/{asked['id']}"
    assert (await rita.patch(at, json={"status": "approved"})).status_code == 403
    decided = (await bob.patch(at, json={"status": "approved"})).json()
    assert (decided["status"], decided["decided_by_name"]) == ("approved", "Bob")
    assert decided["resolved_at"]
    assert (await alice.patch(at, json={"status": "approved"})).json() == decided
    assert (await alice.patch(at, json={})).json() == decided
    happened = (await alice.get("/activity")).json()["items"]
    assert [one["event_type"] for one in happened] == ["approval.approved", "approval.requested"]

    back = (await alice.patch(at, json={"status": "pending"})).json()
    assert (back["resolved_at"], back["decided_by_name"]) == (None, None)
    assert (await alice.patch(at, json={"status": None})).status_code == 422


async def test_an_answer_that_can_be_taken_back_has_not_been_given_yet(
    worker: Client, alice: Client, world: World, transaction: Transaction, path: str
) -> None:
    """What agents read while a decision made on a page settles (docs/decisions)."""
    asked = (await worker.post(path, json=ASK)).json()
    async with transaction() as session:
        await approvals.answer(
            session,
            world.alice,
            UUID(asked["id"]),
            status=ApprovalStatus.APPROVED,
            undo_seconds=60,
        )
    for client in (worker, alice):
        assert (await client.get(path)).json()["items"] == [asked]


async def test_links_are_found_in_the_payload_and_only_on_this_board(
    worker: Client, alice: Client, world: World, path: str
) -> None:
    """3.11.1; S3, fixed."""
    one, two, three = [await a_task(alice, world, title) for title in ("one", "two", "three")]
    payload = {"reason": "Why", "taskIds": [three, "nonsense", two], "task_id": one}
    asked = (await worker.post(path, json={**ASK, "payload": payload, "task_ids": [two]})).json()
    assert asked["task_ids"] == [two, three, one]
    assert asked["task_id"] == two
    assert asked["task_titles"] == ["two", "three", "one"]
    elsewhere = await alice.post(f"/boards/{world.garden.id}/tasks", json={"title": "secret"})
    for unknown in (str(new_id()), elsewhere.json()["id"]):
        response = await worker.post(path, json={**ASK, "task_id": unknown})
        assert response.status_code == 404
        assert response.json()["detail"]["missing_task_ids"] == [unknown]


async def test_a_list_is_filtered_by_status_newest_first(
    worker: Client, alice: Client, path: str
) -> None:
    """3.11.2."""
    ids: list[Any] = [(await worker.post(path, json=ASK)).json()["id"] for _ in range(3)]
    await alice.patch(f"{path}/{ids[1]}", json={"status": "rejected"})
    for query, expected in [
        ("", [ids[2], ids[1], ids[0]]),
        ("?status=pending", [ids[2], ids[0]]),
        ("?status=rejected", [ids[1]]),
    ]:
        for client, at in ((alice, path), (worker, f"/agent{path}")):
            page = (await client.get(at + query)).json()
            assert [one["id"] for one in page["items"]] == expected
    assert (await alice.get(f"{path}?status=nonsense")).status_code == 422


async def test_an_approval_of_another_board_is_not_found(
    worker: Client, alice: Client, world: World, path: str
) -> None:
    """3.11.4."""
    asked = (await worker.post(path, json=ASK)).json()
    other = f"/boards/{world.garden.id}/approvals/{asked['id']}"
    assert (await alice.patch(other, json={"status": "approved"})).status_code == 404


async def test_a_decision_may_say_why_and_the_task_keeps_it(
    alice: Client, worker: Client, world: World, path: str
) -> None:
    task = await a_task(alice, world)
    asked = (await worker.post(path, json={**ASK, "task_id": task})).json()
    body = {"status": "rejected", "note": " Not on a Friday. "}
    decided = (await alice.patch(f"{path}/{asked['id']}", json=body)).json()
    assert (decided["decision_note"], decided["decided_by_name"]) == ("Not on a Friday.", "Alice")
    comments = (await worker.get(f"/boards/{world.board.id}/tasks/{task}/comments")).json()
    [said] = comments["items"]
    assert (said["message"], said["author_name"]) == ("Not on a Friday.", "Alice")
    again = (await alice.patch(f"{path}/{asked['id']}", json={"status": "pending"})).json()
    assert (again["status"], again["decision_note"]) == ("pending", None)


EVERYWHERE = "/approvals"


async def test_the_questions_of_all_boards_are_one_list(
    alice: Client, bob: Client, dana: Client, charlie: Client, world: World
) -> None:
    asked = [
        (await alice.post(f"/boards/{board.id}/approvals", json=ASK)).json()
        for board in (world.board, world.garden)
    ]
    launch, garden = [one["id"] for one in asked]
    path = f"/boards/{world.board.id}/approvals/{launch}"
    await alice.patch(path, json={"status": "rejected"})

    async def seen(client: Client, query: str = "") -> list[str]:
        found = (await client.get(f"{EVERYWHERE}?{query}")).json()
        assert found["total"] == len(found["items"])
        return [one["id"] for one in found["items"]]

    assert await seen(alice) == [garden, launch]
    assert await seen(alice, "status=pending") == [garden]
    assert await seen(alice, f"board_id={world.board.id}") == [launch]
    assert await seen(bob) == [launch]
    assert await seen(dana) == await seen(charlie) == []
    assert await seen(charlie, f"board_id={world.board.id}") == []
    assert (await alice.get(f"{EVERYWHERE}?status=maybe")).status_code == 422


async def test_several_questions_are_decided_at_once_and_each_for_itself(
    alice: Client, bob: Client, charlie: Client, worker: Client, world: World
) -> None:
    paths = [f"/boards/{board.id}/approvals" for board in (world.board, world.board, world.garden)]
    ids = [(await alice.post(path, json=ASK)).json()["id"] for path in paths]
    never = str(new_id())
    body = {"ids": [*ids, never, ids[0]], "status": "approved", "note": "Go ahead."}
    told = (await bob.post(f"{EVERYWHERE}/decisions", json=body)).json()
    assert (told["decided"], told["refused"]) == (2, 2)
    assert [one["approval_id"] for one in told["results"]] == [*ids, never]
    codes = [None, None, "board_read_forbidden", "approval_not_found"]
    assert [one["code"] for one in told["results"]] == codes
    first = told["results"][0]["approval"]
    assert (first["status"], first["decided_by_name"]) == ("approved", "Bob")
    assert first["decision_note"] == "Go ahead."
    listed = (await worker.get(f"{paths[0]}?status=approved")).json()
    assert listed["total"] == 2

    against = {"ids": ids, "status": "rejected"}
    again = (await alice.post(f"{EVERYWHERE}/decisions", json=against)).json()
    decided = ["already_decided", "already_decided", None]
    assert [one["code"] for one in again["results"]] == decided
    foreign = (await charlie.post(f"{EVERYWHERE}/decisions", json=against)).json()
    assert {one["code"] for one in foreign["results"]} == {"approval_not_found"}


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"ids": [], "status": "approved"},
        {"ids": [str(new_id())] * 201, "status": "approved"},
        {"ids": ["no id"], "status": "approved"},
        {"ids": [str(new_id())], "status": "pending"},
        {"ids": [str(new_id())], "status": "approved", "note": "x" * 10_001},
    ],
)
async def test_a_decision_about_several_that_makes_no_sense_is_refused(
    alice: Client, worker: Client, wrong: dict[str, Any]
) -> None:
    assert (await alice.post(f"{EVERYWHERE}/decisions", json=wrong)).status_code == 422
    assert (await worker.post(f"{EVERYWHERE}/decisions", json=wrong)).status_code == 401
