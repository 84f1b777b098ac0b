"""Approvals in the API (contract people-and-boards 7, points 25 to 28)."""

from typing import Any
from uuid import UUID

import pytest

from core.db.engine import TransactionFactory
from models import ApprovalStatus, new_id
from services import approvals
from tests.support import encoded_responses
from tests.support.api_fixtures import Client
from tests.support.approval_helpers import store_long_requests
from tests.support.loop_holds import calibrate, measure_holds
from tests.support.tiers import repetition
from tests.support.world import World

REQUEST = {"action_type": "deploy", "confidence": 80.5, "lead_reasoning": "  It is ready.  "}


@pytest.fixture
def path(world: World) -> str:
    """Return the path of the approvals of Launch."""
    return f"/boards/{world.board.id}/approvals"


async def create_task(client: Client, world: World, title: str = "Write") -> str:
    """Create a task and return its id."""
    created = await client.post(f"/boards/{world.board.id}/tasks", json={"title": title})
    return str(created.json()["id"])


async def test_request_contains_reason_and_confidence(
    worker: Client, alice: Client, path: str
) -> None:
    """Point 25."""
    approval = (await worker.post(path, json=REQUEST)).json()
    assert approval["payload"] == {"reason": "It is ready."}
    assert (approval["status"], approval["confidence"], approval["resolved_at"]) == (
        "pending",
        80.5,
        None,
    )
    assert "lead_reasoning" not in approval
    for payload in ({"reason": "Why"}, {"decision": {"reason": "Why"}}):
        body = {"action_type": "x", "confidence": 0, "payload": payload}
        assert (await worker.post(path, json=body)).json()["payload"] == payload
    for wrong in (
        {"action_type": "x", "confidence": 50},
        {"action_type": "x", "confidence": 50, "payload": {"reason": "  "}, "lead_reasoning": ""},
        {**REQUEST, "confidence": 100.1},
        {**REQUEST, "confidence": -0.1},
        {**REQUEST, "rubric_scores": {"tests": 0.5}},
        {**REQUEST, "payload": ["reason"]},
    ):
        assert (await alice.post(path, json=wrong)).status_code == 422, wrong


async def test_second_pending_approval_of_a_task_conflicts(
    worker: Client, alice: Client, world: World, path: str
) -> None:
    """Point 26."""
    one, two = await create_task(alice, world), await create_task(alice, world)
    first = (await worker.post(path, json={**REQUEST, "task_ids": [one, two]})).json()
    again = await worker.post(path, json={**REQUEST, "task_id": two})
    assert again.status_code == 409
    assert again.json()["detail"].keys() == {"message", "conflicts"}
    assert again.json()["detail"]["conflicts"] == [{"task_id": two, "approval_id": first["id"]}]

    await alice.patch(f"{path}/{first['id']}", json={"status": "rejected"})
    assert (await worker.post(path, json={**REQUEST, "task_id": two})).status_code == 200


@pytest.mark.parametrize("status", ["approved", "rejected"])
async def test_agents_cannot_decide(
    worker: Client, lead: Client, alice: Client, world: World, path: str, status: str
) -> None:
    """S2, W-03. Point 27. A27.13. Fixed."""
    for agent in (worker, lead):
        for at in (path, f"/agent{path}"):
            decided = await agent.post(at, json={**REQUEST, "status": status})
            assert decided.status_code == 403
    assert (await alice.get(path)).json()["total"] == 0
    approval = (await worker.post(path, json={**REQUEST, "agent_id": str(world.lead.id)})).json()
    assert approval["agent_id"] == str(world.worker.id)
    for agent in (worker, lead):
        response = await agent.patch(f"{path}/{approval['id']}", json={"status": status})
        assert response.status_code == 401
    assert (await worker.get(path)).json()["items"] == [approval]


async def test_decision_is_recorded_once_with_its_decider(
    worker: Client, bob: Client, rita: Client, alice: Client, world: World, path: str
) -> None:
    """Point 28. The decision is recorded as an event, and is final; C10 and C11, fixed."""
    approval = (await worker.post(path, json=REQUEST)).json()
    at = f"{path}/{approval['id']}"
    assert (await rita.patch(at, json={"status": "approved"})).status_code == 403
    decided = (await bob.patch(at, json={"status": "approved"})).json()
    assert (decided["status"], decided["decided_by_name"]) == ("approved", "Bob")
    assert decided["resolved_at"]
    assert decided["decided_at"]
    assert (await bob.patch(at, json={"status": "approved"})).json() == decided
    assert (await alice.patch(at, json={})).json() == decided
    entries = (await alice.get("/activity")).json()["items"]
    assert [one["event_type"] for one in entries] == ["approval.approved", "approval.requested"]

    for client, body in [
        (alice, {"status": "approved"}),
        (alice, {"status": "rejected"}),
        (alice, {"status": "pending"}),
        (bob, {"status": "approved", "note": "Another one."}),
    ]:
        refused = await client.patch(at, json=body)
        assert (refused.status_code, refused.json()["code"]) == (409, "already_decided")
        detail = refused.json()["detail"]
        assert detail.keys() == {"message", "by", "status", "decided_at"}
        assert (detail["by"], detail["status"]) == ("Bob", "approved")
        assert detail["decided_at"] == decided["decided_at"]
    assert (await alice.get(path)).json()["items"] == [decided]
    assert (await alice.patch(at, json={"status": None})).status_code == 422


async def test_undoable_decision_is_still_pending_in_the_api(
    worker: Client, alice: Client, world: World, transaction: TransactionFactory, path: str
) -> None:
    """The API shows an approval as pending while its decision can be undone (docs/decisions)."""
    approval = (await worker.post(path, json=REQUEST)).json()
    async with transaction() as session:
        await approvals.decide_with_undo(
            session,
            world.alice,
            UUID(approval["id"]),
            status=ApprovalStatus.APPROVED,
            undo_seconds=60,
        )
    for client in (worker, alice):
        assert (await client.get(path)).json()["items"] == [approval]


async def test_task_links_are_read_from_payload_for_this_board_only(
    worker: Client, alice: Client, world: World, path: str
) -> None:
    """3.11.1; S3, fixed."""
    one, two, three = [await create_task(alice, world, title) for title in ("one", "two", "three")]
    payload = {"reason": "Why", "taskIds": [three, "nonsense", two], "task_id": one}
    approval = (
        await worker.post(path, json={**REQUEST, "payload": payload, "task_ids": [two]})
    ).json()
    assert approval["task_ids"] == [two, three, one]
    assert approval["task_id"] == two
    assert approval["task_titles"] == ["two", "three", "one"]
    other_task = await alice.post(f"/boards/{world.garden.id}/tasks", json={"title": "secret"})
    for unknown in (str(new_id()), other_task.json()["id"]):
        response = await worker.post(path, json={**REQUEST, "task_id": unknown})
        assert response.status_code == 404
        assert response.json()["detail"]["missing_task_ids"] == [unknown]


async def test_approvals_can_be_filtered_by_status(
    worker: Client, alice: Client, path: str
) -> None:
    """3.11.2."""
    ids: list[Any] = [
        (await worker.post(path, json={**REQUEST, "action_type": f"deploy {n}"})).json()["id"]
        for n in range(3)
    ]
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


async def test_approval_of_another_board_is_not_found(
    worker: Client, alice: Client, world: World, path: str
) -> None:
    """3.11.4."""
    approval = (await worker.post(path, json=REQUEST)).json()
    other = f"/boards/{world.garden.id}/approvals/{approval['id']}"
    assert (await alice.patch(other, json={"status": "approved"})).status_code == 404


async def test_decision_note_is_posted_on_the_task(
    alice: Client, worker: Client, world: World, path: str
) -> None:
    task = await create_task(alice, world)
    approval = (await worker.post(path, json={**REQUEST, "task_id": task})).json()
    body = {"status": "rejected", "note": " Not on a Friday. "}
    decided = (await alice.patch(f"{path}/{approval['id']}", json=body)).json()
    assert (decided["decision_note"], decided["decided_by_name"]) == ("Not on a Friday.", "Alice")
    comments = (await worker.get(f"/boards/{world.board.id}/tasks/{task}/comments")).json()
    [comment] = comments["items"]
    assert (comment["message"], comment["author_name"]) == ("Not on a Friday.", "Alice")


ALL_APPROVALS = "/approvals"


async def test_approvals_of_all_boards_are_listed_together(
    alice: Client, bob: Client, dana: Client, charlie: Client, world: World
) -> None:
    approval = [
        (await alice.post(f"/boards/{board.id}/approvals", json=REQUEST)).json()
        for board in (world.board, world.garden)
    ]
    launch, garden = [one["id"] for one in approval]
    path = f"/boards/{world.board.id}/approvals/{launch}"
    await alice.patch(path, json={"status": "rejected"})

    async def list_ids(client: Client, query: str = "") -> list[str]:
        found = (await client.get(f"{ALL_APPROVALS}?{query}")).json()
        assert found["total"] == len(found["items"])
        return [one["id"] for one in found["items"]]

    assert await list_ids(alice) == [garden, launch]
    assert await list_ids(alice, "status=pending") == [garden]
    assert await list_ids(alice, f"board_id={world.board.id}") == [launch]
    assert await list_ids(bob) == [launch]
    assert await list_ids(dana) == await list_ids(charlie) == []
    assert await list_ids(charlie, f"board_id={world.board.id}") == []
    assert (await alice.get(f"{ALL_APPROVALS}?status=maybe")).status_code == 422


async def test_bulk_decision_reports_each_result(
    alice: Client, bob: Client, charlie: Client, worker: Client, world: World
) -> None:
    paths = [f"/boards/{board.id}/approvals" for board in (world.board, world.board, world.garden)]
    bodies = [REQUEST | {"lead_reasoning": f"Reason {number}."} for number in range(3)]
    asked = zip(paths, bodies, strict=True)
    ids = [(await alice.post(path, json=body)).json()["id"] for path, body in asked]
    unknown = str(new_id())
    body = {"ids": [*ids, unknown, ids[0]], "status": "approved", "note": "Go ahead."}
    response = (await bob.post(f"{ALL_APPROVALS}/decisions", json=body)).json()
    assert (response["decided"], response["refused"]) == (2, 2)
    assert [one["approval_id"] for one in response["results"]] == [*ids, unknown]
    codes = [None, None, "board_read_forbidden", "approval_not_found"]
    assert [one["code"] for one in response["results"]] == codes
    first = response["results"][0]["approval"]
    assert (first["status"], first["decided_by_name"]) == ("approved", "Bob")
    assert first["decision_note"] == "Go ahead."
    listed = (await worker.get(f"{paths[0]}?status=approved")).json()
    assert listed["total"] == 2

    rejection = {"ids": ids, "status": "rejected"}
    again = (await alice.post(f"{ALL_APPROVALS}/decisions", json=rejection)).json()
    decided = ["already_decided", "already_decided", None]
    assert [one["code"] for one in again["results"]] == decided
    assert (again["results"][0]["details"]["by"], again["results"][2]["details"]) == ("Bob", None)
    foreign = (await charlie.post(f"{ALL_APPROVALS}/decisions", json=rejection)).json()
    assert {one["code"] for one in foreign["results"]} == {"approval_not_found"}


@repetition
async def test_many_long_approvals_do_not_hold_the_event_loop(
    alice: Client,
    transaction: TransactionFactory,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """See tests/trust/test_event_loop_holds.py and tests/web/test_long_contents.py."""
    async with transaction() as session:
        found = await store_long_requests(session, world, 60)
    monkeypatch.setattr(encoded_responses, "check_response", lambda *_: None)  # it takes longer
    await alice.get(f"{ALL_APPROVALS}?limit=1")
    with measure_holds() as holds:
        listed = await alice.get(f"{ALL_APPROVALS}?limit=200")
        body = {"ids": [str(one.id) for one in found], "status": "approved"}
        decided = await alice.post(f"{ALL_APPROVALS}/decisions", json=body)
    assert len(listed.json()["items"]) == decided.json()["decided"] == len(found)
    assert holds.longest < calibrate()


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
async def test_invalid_bulk_decision_is_rejected(
    alice: Client, worker: Client, wrong: dict[str, Any]
) -> None:
    assert (await alice.post(f"{ALL_APPROVALS}/decisions", json=wrong)).status_code == 422
    assert (await worker.post(f"{ALL_APPROVALS}/decisions", json=wrong)).status_code == 401


async def test_a_decision_is_about_the_content_that_was_seen(
    alice: Client, worker: Client, world: World, path: str
) -> None:
    task = await create_task(alice, world)
    body = {**REQUEST, "action_type": "spelling.choice", "task_id": task}
    asked = (await worker.post(path, json=body)).json()
    action = asked["action"]
    assert (action["kind"], action["completes_tasks"]) == ("spelling.choice", False)
    assert action["headline"] == "Choice the spelling for “Write”?"
    [one] = action["objects"]
    assert (one["task_id"], one["title"], one["changed"]) == (task, "Write", False)

    await alice.patch(f"/boards/{world.board.id}/tasks/{task}", json={"title": "Delete"})
    at, approved = f"{path}/{asked['id']}", {"status": "approved", "completes_tasks": True}
    refused = await alice.patch(at, json=approved)
    assert (refused.status_code, refused.json()["code"]) == (409, "approval_content_changed")
    detail = refused.json()["detail"]
    assert detail["changed"] == [{"task_id": task, "title": "Delete", "fields": ["title"]}]
    bulk = {"ids": [asked["id"]], "status": "approved"}
    [result] = (await alice.post("/approvals/decisions", json=bulk)).json()["results"]
    assert result["details"]["action_hash"] == detail["action_hash"]
    assert (await alice.patch(at, json=approved | {"action_hash": "x"})).status_code == 422

    request = detail["request"]
    assert request["method"] == "PATCH"
    decided = await alice.patch(request["path"].removeprefix("/api/v1"), json=request["body"])
    assert decided.json()["action"]["hash"] == detail["action_hash"] != action["hash"]
    assert decided.json()["action"]["objects"][0]["changed"] is False
    assert decided.json()["action"]["completes_tasks"] is True


async def test_too_many_requests_of_an_agent_are_held(
    worker: Client, alice: Client, path: str
) -> None:
    async def ask(n: int, **headers: str) -> Any:
        body = {**REQUEST, "payload": {"reason": f"Reason {n}."}}
        return await worker.post(path, json=body, headers=headers)

    for n in range(20):
        assert (await ask(n)).status_code == 200
    for _ in range(2):
        held = await ask(20, **{"Idempotency-Key": "the-same"})
        assert (held.status_code, held.json()["code"]) == (429, "approval_requests_held")
        assert held.headers["Retry-After"] == "300"
    same = await ask(5)
    assert (same.status_code, same.json()["request_count"]) == (200, 2)
    assert (await alice.get(path)).json()["total"] == 20
    entries = (await alice.get("/activity")).json()["items"]
    assert [one["event_type"] for one in entries].count("approval.requests_held") == 1
    waiting = (await alice.get(f"{path}?limit=1")).json()["items"][0]["id"]
    await alice.patch(f"{path}/{waiting}", json={"status": "rejected"})
    assert (await ask(20, **{"Idempotency-Key": "the-same"})).status_code == 200
