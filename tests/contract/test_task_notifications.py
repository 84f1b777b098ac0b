"""Notifications about tasks and decisions (people-and-boards 3.10.6, 3.10.8, 3.11.4; A27.11)."""

from typing import Any

import pytest

from core.db.engine import TransactionFactory
from models import Board, EventType
from tests.contract.test_messages import list_kinds, list_messages
from tests.support.api_fixtures import Client
from tests.support.notification_helpers import acknowledge_all, list_recorded
from tests.support.world import World

Json = dict[str, Any]


@pytest.fixture
def path(world: World) -> str:
    """The path of the tasks of the board Launch."""
    return f"/boards/{world.board.id}/tasks"


async def create_task(client: Client, path: str, **fields: Any) -> Json:
    answer = await client.post(path, json={"title": "Write the report", **fields})
    assert answer.status_code == 200, answer.text
    task: Json = answer.json()
    return task


async def update_task(client: Client, path: str, task: Json, **changes: Any) -> Json:
    answer = await client.patch(f"{path}/{task['id']}", json=changes)
    assert answer.status_code == 200, answer.text
    after: Json = answer.json()
    return after


async def test_the_lead_is_notified_of_a_task_created_by_a_user(
    alice: Client,
    lead: Client,
    worker: Client,
    transaction: TransactionFactory,
    world: World,
    path: str,
) -> None:
    """3.10.3: `task.lead_notified` is recorded once the lead has the message."""
    task = await create_task(alice, path, description="All of it.")
    [message] = await list_messages(lead)
    assert message["content"].startswith(
        f"NEW TASK ADDED\nBoard: Launch\nTask: Write the report\nTask ID: {task['id']}\n"
        "Status: inbox\n\nDescription:\n--- BEGIN EXTERNAL DATA "
    )
    assert (message["task_id"], message["board_id"]) == (task["id"], str(world.board.id))
    assert await list_kinds(worker) == []
    assert await list_recorded(transaction, EventType.TASK_LEAD_NOTIFIED) == []
    await acknowledge_all(lead)
    recorded = [(EventType.TASK_LEAD_NOTIFIED, world.lead.id)]
    assert await list_recorded(transaction, EventType.TASK_LEAD_NOTIFIED) == recorded


async def list_other_agents(lead: Client) -> list[Json]:
    """Return the agents that the lead sees, without the lead, which its calls mark as seen."""
    agents: list[Json] = (await lead.get("/agent/agents")).json()["items"]
    return [agent for agent in agents if not agent["is_board_lead"]]


async def test_a_task_created_by_the_lead_notifies_only_its_assignee(
    lead: Client, worker: Client, transaction: TransactionFactory, world: World, path: str
) -> None:
    """3.15 and A6.7, without a forged presence (C40, W-14)."""
    before = await list_other_agents(lead)
    await create_task(lead, f"/agent{path}", assigned_agent_id=str(world.worker.id))
    assert await list_kinds(lead) == []
    assert await list_other_agents(lead) == before
    assert await list_kinds(worker) == ["TASK ASSIGNED"]
    await acknowledge_all(worker)
    recorded = [(EventType.TASK_ASSIGNEE_NOTIFIED, world.worker.id)]
    assert await list_recorded(transaction, EventType.TASK_ASSIGNEE_NOTIFIED) == recorded


async def test_an_assignee_is_notified_unless_it_assigned_itself(
    alice: Client, worker: Client, other_worker: Client, lead: Client, world: World, path: str
) -> None:
    task = await create_task(alice, path)
    await acknowledge_all(lead)
    await update_task(alice, path, task, assigned_agent_id=str(world.worker.id))
    await update_task(alice, path, task, assigned_agent_id=str(world.worker.id), title="Same agent")
    assert await list_kinds(worker) == ["TASK ASSIGNED"]
    await update_task(alice, path, task, assigned_agent_id=str(world.other_worker.id))
    assert await list_kinds(other_worker) == ["TASK ASSIGNED"]
    free = await create_task(alice, path)
    await acknowledge_all(worker, lead)
    await update_task(worker, path, free, status="in_progress")
    assert await list_kinds(worker) == []
    assert await list_kinds(lead) == []


async def test_the_assignee_of_a_task_started_by_a_user_is_notified(
    alice: Client, worker: Client, world: World, path: str
) -> None:
    """C40. 3.10.6: the message wakes the agent; its presence is not changed."""
    task = await create_task(alice, path, assigned_agent_id=str(world.worker.id))
    await acknowledge_all(worker)
    await update_task(alice, path, task, status="in_progress")
    [message] = await list_messages(worker)
    assert message["kind"] == "TASK ASSIGNED"
    assert "\nStatus: in_progress\n" in message["content"]
    await update_task(alice, path, task, status="in_progress")
    assert len(await list_messages(worker)) == 1


async def test_the_lead_is_notified_of_a_task_in_review(
    alice: Client, worker: Client, lead: Client, path: str
) -> None:
    """Point 15."""
    task = await create_task(alice, path)
    await update_task(worker, path, task, status="in_progress")
    await acknowledge_all(lead)
    await update_task(worker, path, task, status="review")
    [message] = await list_messages(lead)
    assert message["kind"] == "TASK READY FOR LEAD REVIEW"
    assert "\nStatus: review\n" in message["content"]


async def test_a_returned_task_requests_changes_from_its_worker(
    alice: Client,
    worker: Client,
    lead: Client,
    world: World,
    transaction: TransactionFactory,
    path: str,
) -> None:
    """Point 18. The message contains the latest comment of the lead."""
    task = await create_task(alice, path)
    await update_task(worker, path, task, status="in_progress")
    await update_task(worker, path, task, status="review")
    for words in ("Hm.", "Add a summary."):
        await lead.post(f"/agent{path}/{task['id']}/comments", json={"message": words})
    await acknowledge_all(lead, worker)
    await update_task(lead, path, task, status="inbox")
    [message] = await list_messages(worker)
    assert message["kind"] == "CHANGES REQUESTED"
    assert "Add a summary." in message["content"]
    assert "Hm." not in message["content"]
    assert await list_kinds(lead) == []
    await acknowledge_all(worker)
    recorded = [(EventType.TASK_REWORK_NOTIFIED, world.worker.id)]
    assert await list_recorded(transaction, EventType.TASK_REWORK_NOTIFIED) == recorded


async def test_a_returned_task_notifies_the_new_assignee(
    alice: Client, worker: Client, other_worker: Client, lead: Client, world: World, path: str
) -> None:
    """Point 18. And C4: the named agent is the assignee."""
    task = await create_task(alice, path)
    await update_task(worker, path, task, status="in_progress")
    await update_task(worker, path, task, status="review")
    other = str(world.other_worker.id)
    await update_task(lead, path, task, status="inbox", assigned_agent_id=other)
    assert await list_kinds(other_worker) == ["CHANGES REQUESTED"]
    assert await list_kinds(worker) == []


async def test_returning_a_task_without_an_assignee_notifies_the_lead(
    alice: Client, lead: Client, path: str
) -> None:
    """C4, fixed: otherwise no agent would know of the task in the inbox."""
    task = await create_task(alice, path, status="review")
    await acknowledge_all(lead)
    await update_task(lead, path, task, status="inbox")
    assert await list_kinds(lead) == ["TASK BACK IN INBOX"]


async def test_the_lead_is_notified_of_unassigned_tasks_in_the_inbox(
    alice: Client,
    worker: Client,
    lead: Client,
    world: World,
    transaction: TransactionFactory,
    path: str,
) -> None:
    task = await create_task(alice, path)
    await acknowledge_all(lead)
    await update_task(alice, path, task, title="Still in the inbox")
    assert await list_kinds(lead) == []
    await update_task(worker, path, task, status="in_progress")
    await update_task(worker, path, task, status="inbox")
    assert await list_kinds(lead) == ["TASK BACK IN INBOX"]
    await update_task(alice, path, task, assigned_agent_id=str(world.worker.id))
    await acknowledge_all(lead, worker)
    await update_task(alice, path, task, assigned_agent_id=None)
    assert await list_kinds(lead) == ["TASK BACK IN INBOX"]
    await acknowledge_all(lead)
    recorded = [(EventType.TASK_LEAD_UNASSIGNED_NOTIFIED, world.lead.id)] * 2
    assert await list_recorded(transaction, EventType.TASK_LEAD_UNASSIGNED_NOTIFIED) == recorded

    await update_task(lead, path, task, assigned_agent_id=str(world.worker.id))
    await update_task(lead, path, task, assigned_agent_id=None)
    assert await list_kinds(lead) == []


async def test_indirect_task_changes_notify_nobody(
    alice: Client, worker: Client, lead: Client, world: World, path: str
) -> None:
    """3.10.5: dependents."""
    first = await create_task(alice, path, status="done")
    second = await create_task(
        alice, path, depends_on_task_ids=[first["id"]], assigned_agent_id=str(world.worker.id)
    )
    await update_task(alice, path, second, status="in_progress")
    await acknowledge_all(worker, lead)
    await update_task(alice, path, first, status="review")
    assert (await alice.get(f"{path}/{second['id']}")).json()["status"] == "inbox"
    assert await list_kinds(worker) == []
    assert await list_kinds(lead) == ["TASK READY FOR LEAD REVIEW"]


async def test_a_comment_notifies_the_assignee(
    alice: Client, worker: Client, other_worker: Client, lead: Client, world: World, path: str
) -> None:
    """3.10.8; the message contains the name of the user (C27)."""
    task = await create_task(alice, path, assigned_agent_id=str(world.worker.id))
    await acknowledge_all(worker, lead)
    comments = f"{path}/{task['id']}/comments"
    await alice.post(comments, json={"message": "How far are you?"})
    [message] = await list_messages(worker)
    assert message["content"].startswith(
        "NEW TASK COMMENT\nBoard: Launch\nTask: Write the report\n"
        f"Task ID: {task['id']}\nFrom: Alice\n"
    )
    assert "\nHow far are you?\n" in message["content"]
    await acknowledge_all(worker)
    await worker.post(comments, json={"message": "Half of it."})
    assert [await list_kinds(agent) for agent in (worker, other_worker, lead)] == [[], [], []]


async def test_mentions_notify_others_and_never_the_author(
    alice: Client, worker: Client, other_worker: Client, lead: Client, world: World, path: str
) -> None:
    """Point 22."""
    task = await create_task(alice, path, assigned_agent_id=str(world.worker.id))
    await acknowledge_all(worker, lead)
    comments = f"{path}/{task['id']}/comments"
    await worker.post(comments, json={"message": "@lead @worker @nobody, is the title right?"})
    assert await list_kinds(lead) == ["TASK MENTION"]
    assert await list_kinds(worker) == []
    await acknowledge_all(lead)
    await alice.post(comments, json={"message": "@nobody?"})
    await alice.post(comments, json={"message": "Hi @worker"})
    assert await list_kinds(worker) == ["TASK MENTION"]
    assert [await list_kinds(agent) for agent in (lead, other_worker)] == [[], []]


async def test_an_email_address_mentions_nobody(
    alice: Client, worker: Client, lead: Client, world: World, path: str
) -> None:
    """C28, fixed."""
    task = await create_task(alice, path, assigned_agent_id=str(world.worker.id))
    await acknowledge_all(worker, lead)
    message = {"message": "Write to someone@lead.example, please."}
    await alice.post(f"{path}/{task['id']}/comments", json=message)
    assert await list_kinds(worker) == ["NEW TASK COMMENT"]
    assert await list_kinds(lead) == []


async def test_a_comment_with_a_change_notifies_too(
    alice: Client, worker: Client, other_worker: Client, lead: Client, world: World, path: str
) -> None:
    """C27, fixed."""
    task = await create_task(alice, path)
    await acknowledge_all(lead)
    await update_task(
        alice, path, task, assigned_agent_id=str(world.worker.id), comment="By Friday, please."
    )
    assert await list_kinds(worker) == ["TASK ASSIGNED", "NEW TASK COMMENT"]
    await update_task(worker, path, task, status="in_progress", comment="@other help me")
    assert await list_kinds(other_worker) == ["TASK MENTION"]


async def test_a_decision_notifies_the_lead_once(
    alice: Client,
    worker: Client,
    lead: Client,
    world: World,
    transaction: TransactionFactory,
    path: str,
) -> None:
    """Point 28."""
    task = await create_task(alice, path)
    await acknowledge_all(lead)
    approvals = f"/boards/{world.board.id}/approvals"
    body = {"action_type": "deploy", "confidence": 80.5, "payload": {"reason": "It is ready."}}
    approval = (await worker.post(approvals, json={**body, "task_id": task["id"]})).json()
    one = f"{approvals}/{approval['id']}"
    for status in ("approved", "approved"):
        assert (await alice.patch(one, json={"status": status})).status_code == 200
    [message] = await list_messages(lead)
    assert message["content"].startswith(
        f"APPROVAL RESOLVED\nBoard: Launch\nApproval ID: {approval['id']}\nAction: deploy\n"
        f"Decision: approved\nConfidence: 80.5\nTask ID: {task['id']}\n"
    )
    assert (message["approval_id"], message["task_id"]) == (approval["id"], task["id"])
    await acknowledge_all(lead)
    [worker_message] = await list_messages(worker)  # the requester waits for it
    assert worker_message["content"] == message["content"]
    await acknowledge_all(worker)
    recorded = [(EventType.APPROVAL_LEAD_NOTIFIED, world.lead.id)]
    assert await list_recorded(transaction, EventType.APPROVAL_LEAD_NOTIFIED) == recorded
    for status in ("pending", "rejected"):
        assert (await alice.patch(one, json={"status": status})).status_code == 409
    assert await list_kinds(lead) == []


async def test_a_lead_that_requested_the_approval_is_notified_once(
    alice: Client, lead: Client, world: World
) -> None:
    approvals = f"/boards/{world.board.id}/approvals"
    body = {"action_type": "deploy", "confidence": 80, "payload": {"reason": "It is ready."}}
    approval = (await lead.post(approvals, json=body)).json()
    await alice.patch(f"{approvals}/{approval['id']}", json={"status": "approved"})
    assert await list_kinds(lead) == ["APPROVAL RESOLVED"]


async def test_the_messages_of_a_paused_board_remain_queued(
    alice: Client, lead: Client, world: World, transaction: TransactionFactory, path: str
) -> None:
    async with transaction() as session:
        board = await session.get_one(Board, world.board.id)
        board.paused_at = board.created_at
    await create_task(alice, path)
    assert await list_kinds(lead) == ["NEW TASK ADDED"]


async def test_without_a_lead_its_notifications_are_omitted(
    alice: Client, worker: Client, world: World, path: str
) -> None:
    await alice.delete(f"/agents/{world.lead.id}")
    task = await create_task(alice, path)
    await update_task(worker, path, task, status="in_progress")
    await update_task(worker, path, task, status="review")
    await update_task(alice, path, task, status="inbox")
    assert await list_kinds(worker) == []
