"""The contract's checklist (people-and-boards 7), points 10 to 24: tasks.

Messages to agents through a gateway are tested with the gateways.
"""

from typing import Any

import pytest

from core.db.engine import TransactionFactory
from models import Board, Status, Tag, Task, new_id
from tests.support.api_fixtures import Client
from tests.support.world import World


@pytest.fixture
def path(world: World) -> str:
    """The path of the tasks of Launch."""
    return f"/boards/{world.board.id}/tasks"


async def create_task(client: Client, path: str, **fields: Any) -> dict[str, Any]:
    """Create a task and return it."""
    response = await client.post(path, json={"title": "Write", **fields})
    assert response.status_code == 200, response.text
    task: dict[str, Any] = response.json()
    return task


async def update_task(
    client: Client, path: str, task: dict[str, Any], **changes: Any
) -> dict[str, Any]:
    """Update a task and return it."""
    response = await client.patch(f"{path}/{task['id']}", json=changes)
    assert response.status_code == 200, response.text
    changed: dict[str, Any] = response.json()
    return changed


async def set_board_rules(transaction: TransactionFactory, world: World, **rules: bool) -> None:
    """Set rules of Launch."""
    async with transaction() as session:
        board = await session.get_one(Board, world.board.id)
        for name, value in rules.items():
            setattr(board, name, value)


async def test_a_blocked_task_is_created_unassigned_in_the_inbox(
    alice: Client, lead: Client, world: World, path: str
) -> None:
    """Point 10."""
    first = await create_task(alice, path)
    for wrong in ({"status": "in_progress"}, {"assigned_agent_id": str(world.worker.id)}):
        body = {"title": "x", "depends_on_task_ids": [first["id"]], **wrong}
        for client, at in ((alice, path), (lead, f"/agent{path}")):
            response = await client.post(at, json=body)
            assert response.status_code == 409
            detail = response.json()["detail"]
            assert detail["code"] == "task_blocked_cannot_transition"
            assert detail["blocked_by_task_ids"] == [first["id"]]
            assert detail["message"]
    second = await create_task(alice, path, depends_on_task_ids=[first["id"]])
    assert second["is_blocked"] is True
    assert second["blocked_by_task_ids"] == second["depends_on_task_ids"] == [first["id"]]


async def test_dependencies_must_exist_and_form_no_cycle(alice: Client, path: str) -> None:
    """Point 11."""
    first = await create_task(alice, path)
    second = await create_task(alice, path, depends_on_task_ids=[first["id"]])
    circle = await alice.patch(
        f"{path}/{first['id']}", json={"depends_on_task_ids": [second["id"]]}
    )
    assert circle.status_code == 409
    assert isinstance(circle.json()["detail"], str)
    itself = {"depends_on_task_ids": [first["id"]]}
    assert (await alice.patch(f"{path}/{first['id']}", json=itself)).status_code == 422
    unknown = str(new_id())
    missing = await alice.post(path, json={"title": "x", "depends_on_task_ids": [unknown]})
    assert missing.status_code == 404
    assert missing.json()["detail"]["missing_task_ids"] == [unknown]
    no_tag = await alice.post(path, json={"title": "x", "tag_ids": [unknown]})
    assert no_tag.status_code == 404
    assert no_tag.json()["detail"]["missing_tag_ids"] == [unknown]


async def test_a_task_is_claimed_by_its_status_and_only_once(
    alice: Client, worker: Client, other_worker: Client, world: World, path: str
) -> None:
    """Point 12. Fixed: the second claim fails. Concurrent claims: tests/race."""
    task = await create_task(alice, path)
    claimed = await update_task(worker, path, task, status="in_progress")
    assert claimed["assigned_agent_id"] == str(world.worker.id)
    assert claimed["in_progress_at"]
    late = await other_worker.patch(f"{path}/{task['id']}", json={"status": "in_progress"})
    assert late.status_code in (403, 409)
    assert (await alice.get(f"{path}/{task['id']}")).json()["assigned_agent_id"] == str(
        world.worker.id
    )


async def test_a_worker_may_only_comment_on_a_task_of_another_agent(
    alice: Client, worker: Client, world: World, path: str
) -> None:
    """Point 13."""
    task = await create_task(alice, path, assigned_agent_id=str(world.other_worker.id))
    for status in ("review", "inbox"):
        response = await worker.patch(f"{path}/{task['id']}", json={"status": status})
        assert response.status_code == 403
        assert response.json()["detail"]["code"] == "task_assignee_mismatch"
        assert response.json()["detail"]["message"]
    await update_task(worker, path, task, comment="I could help.")
    [comment] = (await alice.get(f"{path}/{task['id']}/comments")).json()["items"]
    assert (comment["message"], comment["agent_id"]) == ("I could help.", str(world.worker.id))


@pytest.mark.parametrize(
    "changes",
    [
        {"title": "Mine"},
        {"priority": "high"},
        {"assigned_agent_id": None},
        {"tag_ids": []},
        {"due_at": None, "status": "in_progress"},
    ],
)
async def test_a_worker_cannot_change_other_fields(
    alice: Client, worker: Client, path: str, changes: dict[str, Any]
) -> None:
    """Point 14."""
    task = await create_task(alice, path)
    response = await worker.patch(f"/agent{path}/{task['id']}", json=changes)
    assert response.status_code == 403
    assert response.json()["detail"]["code"] == "task_update_field_forbidden"


async def test_a_task_in_review_is_assigned_to_the_lead(
    alice: Client, worker: Client, world: World, path: str
) -> None:
    """Point 15."""
    task = await create_task(alice, path)
    await update_task(worker, path, task, status="in_progress")
    reviewed = await update_task(worker, path, task, status="review")
    assert reviewed["assigned_agent_id"] == str(world.lead.id)
    assert reviewed["in_progress_at"] is None


async def test_a_board_can_require_a_comment_for_review(
    alice: Client, worker: Client, world: World, transaction: TransactionFactory, path: str
) -> None:
    """Point 16."""
    await set_board_rules(transaction, world, comment_required_for_review=True)
    task = await create_task(alice, path)
    await update_task(worker, path, task, status="in_progress")
    silent = await worker.patch(f"{path}/{task['id']}", json={"status": "review", "comment": " "})
    assert silent.status_code == 422
    await update_task(worker, path, task, status="review", comment="Done, see the wiki.")

    other = await create_task(alice, path)
    await update_task(worker, path, other, status="in_progress")
    await worker.post(f"{path}/{other['id']}/comments", json={"message": "Done."})
    assert (await update_task(worker, path, other, status="review"))["status"] == "review"


async def test_a_lead_assigns_starts_and_reviews_tasks(
    alice: Client, lead: Client, worker: Client, world: World, path: str
) -> None:
    """C3. Point 17. Point 24, fixed: a task that a lead starts has a start time."""
    task = await create_task(alice, path)
    for forbidden in (
        {"status": "review"},
        {"status": "in_progress"},
        {"status": "done"},
        {"title": "Mine"},
        {"comment": "Well done."},
    ):
        assert (await lead.patch(f"{path}/{task['id']}", json=forbidden)).status_code == 403
    start = {"status": "in_progress", "assigned_agent_id": str(world.worker.id)}
    started = await update_task(lead, path, task, **start)
    assert started["assigned_agent_id"] == str(world.worker.id)
    assert started["in_progress_at"]
    await update_task(worker, path, task, status="review")
    assert (
        await lead.patch(f"{path}/{task['id']}", json={"status": "in_progress"})
    ).status_code == 403
    assert (await update_task(lead, path, task, status="done"))["status"] == "done"


async def test_a_rejected_task_returns_to_its_worker(
    alice: Client, lead: Client, worker: Client, world: World, path: str
) -> None:
    """Point 18."""
    task = await create_task(alice, path)
    await update_task(worker, path, task, status="in_progress")
    await update_task(worker, path, task, status="review")
    rejected = await update_task(lead, path, task, status="inbox")
    assert (rejected["status"], rejected["assigned_agent_id"]) == ("inbox", str(world.worker.id))


@pytest.mark.parametrize(
    ("rule", "status"),
    [
        ("require_approval_for_done", "done"),
        ("require_review_before_done", "done"),
        ("block_status_changes_with_pending_approval", "review"),
    ],
)
async def test_a_status_guard_answers_with_a_conflict(
    alice: Client,
    worker: Client,
    world: World,
    transaction: TransactionFactory,
    path: str,
    rule: str,
    status: str,
) -> None:
    """Point 19."""
    await set_board_rules(transaction, world, **{rule: True})
    task = await create_task(alice, path)
    await update_task(worker, path, task, status="in_progress")
    ask = {"action_type": "x", "confidence": 1, "task_id": task["id"], "lead_reasoning": "Why"}
    await worker.post(f"/boards/{world.board.id}/approvals", json=ask)
    for client in (alice, worker):
        response = await client.patch(f"{path}/{task['id']}", json={"status": status})
        assert response.status_code == 409
        detail = response.json()["detail"]
        assert detail.keys() - {"reason", "changed", "request"} == {
            "message",
            "blocked_by_task_ids",
        }
        assert detail["blocked_by_task_ids"] == []


async def test_the_request_in_the_conflict_asks_for_the_right_approval(
    alice: Client, worker: Client, world: World, transaction: TransactionFactory, path: str
) -> None:
    """A client that sends the request as it is, and waits for the decision, gets the task done."""
    await set_board_rules(transaction, world, require_approval_for_done=True)
    board = f"/boards/{world.board.id}"
    for client in (alice, worker):
        task = f"{path}/{(await create_task(alice, path))['id']}"
        refused = (await client.patch(task, json={"status": "done"})).json()["detail"]
        assert (refused["reason"], refused["changed"]) == ("none", [])
        request = refused["request"]
        assert (request["method"], request["body"]["action_type"]) == ("POST", "task.complete")
        asked = await client.post(request["path"].removeprefix("/api/v1"), json=request["body"])
        assert asked.status_code == 200
        waiting = (await client.patch(task, json={"status": "done"})).json()["detail"]
        assert waiting["request"] is None
        assert "wait for the decision" in waiting["message"]
        decision = {"status": "approved"}
        await alice.patch(f"{board}/approvals/{asked.json()['id']}", json=decision)
        assert (await client.patch(task, json={"status": "done"})).json()["status"] == "done"


async def test_the_conflict_names_what_has_changed_since_the_approval(
    alice: Client, worker: Client, world: World, transaction: TransactionFactory, path: str
) -> None:
    await set_board_rules(transaction, world, require_approval_for_done=True)
    approvals = f"/boards/{world.board.id}/approvals"
    task_id = (await create_task(alice, path))["id"]
    ask = {"action_type": "task_done", "confidence": 90, "task_id": task_id}
    asked = (await worker.post(approvals, json={**ask, "lead_reasoning": "Done."})).json()
    approved = await alice.patch(f"{approvals}/{asked['id']}", json={"status": "approved"})
    assert approved.json()["action"]["completes_tasks"]
    await alice.patch(f"{path}/{task_id}", json={"description": "And delete the rest."})
    refused = (await worker.patch(f"{path}/{task_id}", json={"status": "done"})).json()["detail"]
    assert (refused["reason"], refused["changed"]) == ("content", ["description"])
    assert refused["request"]["path"] == f"/api/v1/agent{approvals}"
    [listed] = (await worker.get(approvals)).json()["items"]
    assert [one["changed"] for one in listed["action"]["objects"]] == [True]


async def test_reopening_and_completing_a_task_affect_its_dependents(
    alice: Client, worker: Client, world: World, path: str
) -> None:
    """Point 20."""
    first = await create_task(alice, path)
    second = await create_task(alice, path, depends_on_task_ids=[first["id"]])
    await update_task(alice, path, first, status="done")
    await update_task(worker, path, second, status="in_progress")
    await update_task(alice, path, first, status="in_progress")
    second_after = (await alice.get(f"{path}/{second['id']}")).json()
    assert (second_after["status"], second_after["assigned_agent_id"]) == ("inbox", None)
    assert second_after["in_progress_at"] is None
    assert second_after["blocked_by_task_ids"] == [first["id"]]
    events = (await alice.get("/activity")).json()["items"]
    of_second = [one["event_type"] for one in events if one["task_id"] == second["id"]]
    assert of_second == [
        "task.status_changed",  # returned to the inbox
        "task.status_changed",  # started
        "task.updated",  # its dependency was done
        "task.created",
    ]


async def test_a_lead_can_comment_only_where_it_is_addressed(
    alice: Client, lead: Client, worker: Client, path: str
) -> None:
    """Point 21."""
    task = await create_task(alice, path)
    at = f"{path}/{task['id']}/comments"
    assert (await lead.post(at, json={"message": "Hm."})).status_code == 403
    await worker.post(at, json={"message": "me@lead.example knows"})
    assert (await lead.post(at, json={"message": "Hm."})).status_code == 403
    await worker.post(at, json={"message": "What do you think, @Lead?"})
    assert (await lead.post(at, json={"message": "Go on."})).status_code == 200

    own = await create_task(lead, f"/agent{path}")
    assert (
        await lead.post(f"{path}/{own['id']}/comments", json={"message": "!"})
    ).status_code == 200
    other = await create_task(alice, path, status="review")
    assert (
        await lead.post(f"{path}/{other['id']}/comments", json={"message": "!"})
    ).status_code == 200


async def test_comments_have_authors_and_are_listed_oldest_first(
    alice: Client, worker: Client, rita: Client, world: World, path: str
) -> None:
    """3.10.8, except for messages to agents; C27, fixed."""
    task = await create_task(alice, path)
    at = f"{path}/{task['id']}/comments"
    for client, message in ((alice, "  One  "), (worker, "Two")):
        comment = await client.post(at, json={"message": message})
        assert comment.json()["task_id"] == task["id"]
    one, two = (await rita.get(at)).json()["items"]
    assert (one["message"], one["agent_id"], one["author_name"]) == ("One", None, "Alice")
    assert (two["message"], two["agent_id"]) == ("Two", str(world.worker.id))
    assert (await rita.post(at, json={"message": "Three"})).status_code == 403
    assert (await alice.post(at, json={"message": "   "})).status_code == 422


async def test_deleting_a_task_deletes_only_its_own_rows(
    alice: Client, worker: Client, lead: Client, world: World, path: str
) -> None:
    """Point 23."""
    first = await create_task(alice, path)
    second = await create_task(alice, path, depends_on_task_ids=[first["id"]])
    await alice.post(f"{path}/{first['id']}/comments", json={"message": "Gone soon"})
    approvals = f"/boards/{world.board.id}/approvals"
    ask = {"action_type": "x", "confidence": 1, "lead_reasoning": "Why"}
    both = {"task_ids": [first["id"], second["id"]], **ask}
    shared = (await worker.post(approvals, json=both)).json()

    assert (await worker.delete(f"{path}/{first['id']}")).status_code == 401
    assert (await worker.delete(f"/agent{path}/{first['id']}")).status_code == 403
    assert (await lead.delete(f"/agent{path}/{first['id']}")).json() == {"ok": True}
    assert (await alice.get(f"{path}/{first['id']}")).status_code == 404
    assert (await alice.get(f"{path}/{first['id']}/comments")).status_code == 404
    remaining = (await alice.get(f"{path}/{second['id']}")).json()
    assert (remaining["depends_on_task_ids"], remaining["is_blocked"]) == ([], False)
    [approval] = (await alice.get(approvals)).json()["items"]
    assert approval["id"] == shared["id"]
    assert (approval["task_id"], approval["task_ids"]) == (second["id"], [second["id"]])

    assert (await alice.delete(f"{path}/{second['id']}")).status_code == 200
    assert (await alice.get(approvals)).json()["items"] == []


async def test_starting_a_task_again_keeps_its_start_time(
    alice: Client, worker: Client, path: str
) -> None:
    """C5. Point 24. Fixed."""
    task = await create_task(alice, path)
    started = await update_task(worker, path, task, status="in_progress")
    second_after = await update_task(
        worker, path, task, status="in_progress", comment="Still at it."
    )
    assert second_after["in_progress_at"] == started["in_progress_at"]


async def test_tasks_are_filtered_and_listed_newest_first(
    alice: Client, worker: Client, world: World, path: str
) -> None:
    """3.10.2."""
    await create_task(alice, path, title="one")
    two = await create_task(alice, path, title="two")
    await update_task(worker, path, two, status="in_progress")
    await create_task(alice, path, title="three", status="done")
    for query, titles in [
        ("", ["three", "two", "one"]),
        ("?status=", ["three", "two", "one"]),
        ("?status=inbox, done", ["three", "one"]),
        (f"?assigned_agent_id={world.worker.id}", ["two"]),
        ("?unassigned=true", ["three", "one"]),
        ("?unassigned=No", ["three", "two", "one"]),
        (f"?unassigned=1&assigned_agent_id={world.worker.id}", []),
    ]:
        for client, at in ((alice, path), (worker, f"/agent{path}")):
            page = (await client.get(at + query)).json()
            assert [task["title"] for task in page["items"]] == titles, query
    wrong = await alice.get(f"{path}?status=inbox,nonsense")
    assert wrong.status_code == 422
    assert isinstance(wrong.json()["detail"], str)


async def test_a_task_can_be_read_by_its_id(alice: Client, worker: Client, path: str) -> None:
    """C41: an addition; the original answers 405."""
    task = await create_task(alice, path)
    assert (await alice.get(f"{path}/{task['id']}")).json() == task
    assert (await worker.get(f"/agent{path}/{task['id']}")).json() == task


async def test_a_task_has_all_fields_of_the_contract(
    alice: Client, worker: Client, transaction: TransactionFactory, world: World, path: str
) -> None:
    """A27.1. 3.10.1, and the times of 1.1 (C19, fixed)."""
    tag = Tag(
        id=new_id(),
        organization_id=world.tern.id,
        name="Web",
        slug="web",
        color="aabbcc",
        created_at=world.board.created_at,
        updated_at=world.board.created_at,
    )
    async with transaction() as session:
        session.add(tag)
    task = await create_task(
        alice,
        path,
        description="All of it",
        due_at="2026-12-24T18:00:00+02:00",
        tag_ids=[str(tag.id)],
        created_by_user_id=str(world.bob.id),
    )
    assert task["due_at"] == "2026-12-24T16:00:00.000000"
    assert len(task["created_at"]) == 26
    assert task["tags"] == [{"id": str(tag.id), "name": "Web", "slug": "web", "color": "aabbcc"}]
    assert task["tag_ids"] == [str(tag.id)]
    assert task["created_by_user_id"] == str(world.alice.id)
    assert task["custom_field_values"] == {}
    assert task.keys() == {
        *("title", "description", "status", "priority", "due_at", "assigned_agent_id"),
        *("depends_on_task_ids", "tag_ids", "id", "board_id", "created_by_user_id"),
        *("in_progress_at", "created_at", "updated_at", "blocked_by_task_ids", "is_blocked"),
        *("tags", "custom_field_values", "version", "assigned_user_id"),
    }
    labels = await worker.get(f"/agent/boards/{world.board.id}/tags")
    assert labels.json() == task["tags"]


async def test_null_is_rejected_for_required_fields(
    alice: Client, path: str, transaction: TransactionFactory
) -> None:
    """C8, fixed."""
    task = await create_task(alice, path, description="Text", due_at="2026-12-24T18:00:00")
    for name in ("title", "status", "priority"):
        assert (await alice.patch(f"{path}/{task['id']}", json={name: None})).status_code == 422
    cleared = await update_task(alice, path, task, description=None, due_at=None, tag_ids=None)
    assert (cleared["description"], cleared["due_at"]) == (None, None)
    async with transaction() as session:
        assert (await session.get_one(Task, task["id"])).status is Status.INBOX
