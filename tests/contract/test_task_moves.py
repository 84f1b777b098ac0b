"""Moving tasks through the API: who may, and what is required."""

import pytest

from core.db.engine import TransactionFactory
from tests.support.api_fixtures import Client
from tests.support.task_api import create_task, path, set_board_rules, update_task
from tests.support.world import World

__all__ = ["path"]


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
