"""The contract's checklist (people-and-boards 7), points 10 to 24: tasks.

Messages to agents through a gateway are tested with the gateways.
"""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from core.db.engine import TransactionFactory
from models import Status, Tag, Task, new_id
from tests.support.api_fixtures import Client
from tests.support.task_api import create_task, path, update_task
from tests.support.world import World

__all__ = ["path"]


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


async def test_a_done_task_is_not_blocked_by_a_reopened_dependency(
    alice: Client, path: str, transaction: TransactionFactory
) -> None:
    first = await create_task(alice, path)
    second = await create_task(alice, path, depends_on_task_ids=[first["id"]])
    async with transaction() as session:
        (await session.get_one(Task, UUID(second["id"]))).status = Status.DONE
    found = (await alice.get(f"{path}/{second['id']}")).json()
    assert (found["is_blocked"], found["blocked_by_task_ids"]) == (False, [])
    assert found["depends_on_task_ids"] == [first["id"]]


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
        *("tags", "custom_field_values", "version", "assigned_user_id", "stale_since"),
        "claimed_run",
    }
    labels = await worker.get(f"/agent/boards/{world.board.id}/tags")
    assert labels.json() == task["tags"]


async def test_a_stale_task_says_so_while_it_is_in_progress(
    alice: Client, path: str, world: World, transaction: TransactionFactory
) -> None:
    task = await create_task(alice, path, assigned_agent_id=str(world.worker.id))
    await update_task(alice, path, task, status="in_progress")
    at = datetime(2026, 7, 1, 9, tzinfo=UTC)
    async with transaction() as session:
        (await session.get_one(Task, task["id"])).stale_since = at
    [listed] = (await alice.get(path)).json()["items"]
    found = (await alice.get(f"{path}/{task['id']}")).json()
    assert found == listed
    assert found["stale_since"] == "2026-07-01T09:00:00.000000"
    returned = await update_task(alice, path, task, status="inbox")
    assert returned["stale_since"] is None
    [listed] = (await alice.get(path)).json()["items"]
    assert listed["stale_since"] is None


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
