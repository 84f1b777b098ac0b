"""Who is told of tasks and decisions (people-and-boards 3.10.6, 3.10.8, 3.11.4; A27.11)."""

from typing import Any

import pytest

from models import Board, EventType
from tests.api.conftest import Client
from tests.conftest import Transaction
from tests.contract.test_messages import kinds, mail
from tests.contract.told import recorded, take_all
from tests.world import World

Json = dict[str, Any]


@pytest.fixture
def path(world: World) -> str:
    """Where the tasks of Launch are."""
    return f"/boards/{world.board.id}/tasks"


async def made(client: Client, path: str, **fields: Any) -> Json:
    answer = await client.post(path, json={"title": "Write the report", **fields})
    assert answer.status_code == 200, answer.text
    task: Json = answer.json()
    return task


async def changed(client: Client, path: str, task: Json, **changes: Any) -> Json:
    answer = await client.patch(f"{path}/{task['id']}", json=changes)
    assert answer.status_code == 200, answer.text
    after: Json = answer.json()
    return after


async def test_the_lead_is_told_of_a_task_that_a_person_makes(
    alice: Client, lead: Client, worker: Client, transaction: Transaction, world: World, path: str
) -> None:
    """3.10.3: `task.lead_notified` is recorded once the lead has the message."""
    task = await made(alice, path, description="All of it.")
    [message] = await mail(lead)
    assert message["content"].startswith(
        f"NEW TASK ADDED\nBoard: Launch\nTask: Write the report\nTask ID: {task['id']}\n"
        "Status: inbox\nDescription: All of it.\n"
    )
    assert (message["task_id"], message["board_id"]) == (task["id"], str(world.board.id))
    assert await kinds(worker) == []
    assert await recorded(transaction, EventType.TASK_LEAD_NOTIFIED) == []
    await take_all(lead)
    told = [(EventType.TASK_LEAD_NOTIFIED, world.lead.id)]
    assert await recorded(transaction, EventType.TASK_LEAD_NOTIFIED) == told


async def test_a_lead_is_not_told_of_what_it_makes_but_whoever_gets_it_is(
    lead: Client, worker: Client, transaction: Transaction, world: World, path: str
) -> None:
    """3.15 and A6.7, without a forged presence (C40, W-14)."""
    before = (await lead.get("/agent/agents")).json()["items"]
    await made(lead, f"/agent{path}", assigned_agent_id=str(world.worker.id))
    assert await kinds(lead) == []
    assert (await lead.get("/agent/agents")).json()["items"] == before
    assert await kinds(worker) == ["TASK ASSIGNED"]
    await take_all(worker)
    told = [(EventType.TASK_ASSIGNEE_NOTIFIED, world.worker.id)]
    assert await recorded(transaction, EventType.TASK_ASSIGNEE_NOTIFIED) == told


async def test_who_gets_a_task_is_told_and_who_takes_it_knows(
    alice: Client, worker: Client, other_worker: Client, lead: Client, world: World, path: str
) -> None:
    task = await made(alice, path)
    await take_all(lead)
    await changed(alice, path, task, assigned_agent_id=str(world.worker.id))
    await changed(alice, path, task, assigned_agent_id=str(world.worker.id), title="Same agent")
    assert await kinds(worker) == ["TASK ASSIGNED"]
    await changed(alice, path, task, assigned_agent_id=str(world.other_worker.id))
    assert await kinds(other_worker) == ["TASK ASSIGNED"]
    free = await made(alice, path)
    await take_all(worker, lead)
    await changed(worker, path, free, status="in_progress")
    assert await kinds(worker) == []
    assert await kinds(lead) == []


async def test_whoever_has_a_task_that_a_person_begins_is_woken(
    alice: Client, worker: Client, world: World, path: str
) -> None:
    """C40. 3.10.6: the message is the wake; the agent's presence is not touched."""
    task = await made(alice, path, assigned_agent_id=str(world.worker.id))
    await take_all(worker)
    await changed(alice, path, task, status="in_progress")
    [message] = await mail(worker)
    assert message["kind"] == "TASK ASSIGNED"
    assert "\nStatus: in_progress\n" in message["content"]
    await changed(alice, path, task, status="in_progress")
    assert len(await mail(worker)) == 1


async def test_a_task_that_comes_to_review_is_put_before_the_lead(
    alice: Client, worker: Client, lead: Client, path: str
) -> None:
    """Point 15."""
    task = await made(alice, path)
    await changed(worker, path, task, status="in_progress")
    await take_all(lead)
    await changed(worker, path, task, status="review")
    [message] = await mail(lead)
    assert message["kind"] == "TASK READY FOR LEAD REVIEW"
    assert "\nStatus: review\n" in message["content"]


async def test_what_a_lead_sends_back_asks_its_worker_for_changes(
    alice: Client,
    worker: Client,
    lead: Client,
    world: World,
    transaction: Transaction,
    path: str,
) -> None:
    """Point 18. With the lead's latest comment."""
    task = await made(alice, path)
    await changed(worker, path, task, status="in_progress")
    await changed(worker, path, task, status="review")
    for words in ("Hm.", "Add a summary."):
        await lead.post(f"/agent{path}/{task['id']}/comments", json={"message": words})
    await take_all(lead, worker)
    await changed(lead, path, task, status="inbox")
    [message] = await mail(worker)
    assert message["kind"] == "CHANGES REQUESTED"
    assert "Add a summary." in message["content"]
    assert "Hm." not in message["content"]
    assert await kinds(lead) == []
    await take_all(worker)
    told = [(EventType.TASK_REWORK_NOTIFIED, world.worker.id)]
    assert await recorded(transaction, EventType.TASK_REWORK_NOTIFIED) == told


async def test_whom_the_lead_names_gets_what_it_sends_back(
    alice: Client, worker: Client, other_worker: Client, lead: Client, world: World, path: str
) -> None:
    """Point 18. And C4: whoever is named has it."""
    task = await made(alice, path)
    await changed(worker, path, task, status="in_progress")
    await changed(worker, path, task, status="review")
    other = str(world.other_worker.id)
    await changed(lead, path, task, status="inbox", assigned_agent_id=other)
    assert await kinds(other_worker) == ["CHANGES REQUESTED"]
    assert await kinds(worker) == []


async def test_a_lead_that_sends_back_what_nobody_did_is_told_that_nobody_has_it(
    alice: Client, lead: Client, path: str
) -> None:
    """C4, fixed: without this the task would lie in the inbox, and nobody know."""
    task = await made(alice, path, status="review")
    await take_all(lead)
    await changed(lead, path, task, status="inbox")
    assert await kinds(lead) == ["TASK BACK IN INBOX"]


async def test_the_lead_is_told_of_what_comes_back_to_the_inbox_with_nobody(
    alice: Client,
    worker: Client,
    lead: Client,
    world: World,
    transaction: Transaction,
    path: str,
) -> None:
    task = await made(alice, path)
    await take_all(lead)
    await changed(alice, path, task, title="Still in the inbox")
    assert await kinds(lead) == []
    await changed(worker, path, task, status="in_progress")
    await changed(worker, path, task, status="inbox")
    assert await kinds(lead) == ["TASK BACK IN INBOX"]
    await changed(alice, path, task, assigned_agent_id=str(world.worker.id))
    await take_all(lead, worker)
    await changed(alice, path, task, assigned_agent_id=None)
    assert await kinds(lead) == ["TASK BACK IN INBOX"]
    await take_all(lead)
    told = [(EventType.TASK_LEAD_UNASSIGNED_NOTIFIED, world.lead.id)] * 2
    assert await recorded(transaction, EventType.TASK_LEAD_UNASSIGNED_NOTIFIED) == told

    await changed(lead, path, task, assigned_agent_id=str(world.worker.id))
    await changed(lead, path, task, assigned_agent_id=None)
    assert await kinds(lead) == []


async def test_nobody_is_told_of_what_happens_to_tasks_because_of_others(
    alice: Client, worker: Client, lead: Client, world: World, path: str
) -> None:
    """3.10.5: dependents."""
    first = await made(alice, path, status="done")
    second = await made(
        alice, path, depends_on_task_ids=[first["id"]], assigned_agent_id=str(world.worker.id)
    )
    await changed(alice, path, second, status="in_progress")
    await take_all(worker, lead)
    await changed(alice, path, first, status="review")
    assert (await alice.get(f"{path}/{second['id']}")).json()["status"] == "inbox"
    assert await kinds(worker) == []
    assert await kinds(lead) == ["TASK READY FOR LEAD REVIEW"]


async def test_a_comment_reaches_whoever_has_the_task(
    alice: Client, worker: Client, other_worker: Client, lead: Client, world: World, path: str
) -> None:
    """3.10.8; people sign with their names (C27)."""
    task = await made(alice, path, assigned_agent_id=str(world.worker.id))
    await take_all(worker, lead)
    said = f"{path}/{task['id']}/comments"
    await alice.post(said, json={"message": "How far are you?"})
    [message] = await mail(worker)
    assert message["content"].startswith(
        "NEW TASK COMMENT\nBoard: Launch\nTask: Write the report\n"
        f"Task ID: {task['id']}\nFrom: Alice\n"
    )
    assert "\nHow far are you?\n" in message["content"]
    await take_all(worker)
    await worker.post(said, json={"message": "Half of it."})
    assert [await kinds(agent) for agent in (worker, other_worker, lead)] == [[], [], []]


async def test_mentions_call_others_instead_and_authors_are_never_told(
    alice: Client, worker: Client, other_worker: Client, lead: Client, world: World, path: str
) -> None:
    """Point 22."""
    task = await made(alice, path, assigned_agent_id=str(world.worker.id))
    await take_all(worker, lead)
    said = f"{path}/{task['id']}/comments"
    await worker.post(said, json={"message": "@lead @worker @nobody, is the title right?"})
    assert await kinds(lead) == ["TASK MENTION"]
    assert await kinds(worker) == []
    await take_all(lead)
    await alice.post(said, json={"message": "@nobody?"})
    await alice.post(said, json={"message": "Hi @worker"})
    assert await kinds(worker) == ["TASK MENTION"]
    assert [await kinds(agent) for agent in (lead, other_worker)] == [[], []]


async def test_an_address_calls_nobody(
    alice: Client, worker: Client, lead: Client, world: World, path: str
) -> None:
    """C28, fixed."""
    task = await made(alice, path, assigned_agent_id=str(world.worker.id))
    await take_all(worker, lead)
    message = {"message": "Write to someone@lead.example, please."}
    await alice.post(f"{path}/{task['id']}/comments", json=message)
    assert await kinds(worker) == ["NEW TASK COMMENT"]
    assert await kinds(lead) == []


async def test_a_comment_with_a_change_is_told_too(
    alice: Client, worker: Client, other_worker: Client, lead: Client, world: World, path: str
) -> None:
    """C27, fixed."""
    task = await made(alice, path)
    await take_all(lead)
    await changed(
        alice, path, task, assigned_agent_id=str(world.worker.id), comment="By Friday, please."
    )
    assert await kinds(worker) == ["TASK ASSIGNED", "NEW TASK COMMENT"]
    await changed(worker, path, task, status="in_progress", comment="@other help me")
    assert await kinds(other_worker) == ["TASK MENTION"]


async def test_a_decision_is_told_to_the_lead_once(
    alice: Client,
    worker: Client,
    lead: Client,
    world: World,
    transaction: Transaction,
    path: str,
) -> None:
    """Point 28."""
    task = await made(alice, path)
    await take_all(lead)
    asked = f"/boards/{world.board.id}/approvals"
    ask = {"action_type": "deploy", "confidence": 80.5, "payload": {"reason": "It is ready."}}
    approval = (await worker.post(asked, json={**ask, "task_id": task["id"]})).json()
    one = f"{asked}/{approval['id']}"
    for status in ("approved", "approved"):
        assert (await alice.patch(one, json={"status": status})).status_code == 200
    [message] = await mail(lead)
    assert message["content"].startswith(
        f"APPROVAL RESOLVED\nBoard: Launch\nApproval ID: {approval['id']}\nAction: deploy\n"
        f"Decision: approved\nConfidence: 80.5\nTask ID: {task['id']}\n"
    )
    assert (message["approval_id"], message["task_id"]) == (approval["id"], task["id"])
    await take_all(lead)
    [to_worker] = await mail(worker)  # who asked waits for it
    assert to_worker["content"] == message["content"]
    await take_all(worker)
    told = [(EventType.APPROVAL_LEAD_NOTIFIED, world.lead.id)]
    assert await recorded(transaction, EventType.APPROVAL_LEAD_NOTIFIED) == told
    await alice.patch(one, json={"status": "pending"})
    assert await kinds(lead) == []
    await alice.patch(one, json={"status": "rejected"})
    assert await kinds(lead) == ["APPROVAL RESOLVED"]


async def test_a_lead_that_asked_itself_is_told_once(
    alice: Client, lead: Client, world: World
) -> None:
    asked = f"/boards/{world.board.id}/approvals"
    ask = {"action_type": "deploy", "confidence": 80, "payload": {"reason": "It is ready."}}
    approval = (await lead.post(asked, json=ask)).json()
    await alice.patch(f"{asked}/{approval['id']}", json={"status": "approved"})
    assert await kinds(lead) == ["APPROVAL RESOLVED"]


async def test_a_board_that_is_paused_keeps_its_messages(
    alice: Client, lead: Client, world: World, transaction: Transaction, path: str
) -> None:
    async with transaction() as session:
        board = await session.get_one(Board, world.board.id)
        board.paused_at = board.created_at
    await made(alice, path)
    assert await kinds(lead) == ["NEW TASK ADDED"]


async def test_without_a_lead_nobody_is_told_what_leads_are_told(
    alice: Client, worker: Client, world: World, path: str
) -> None:
    await alice.delete(f"/agents/{world.lead.id}")
    task = await made(alice, path)
    await changed(worker, path, task, status="in_progress")
    await changed(worker, path, task, status="review")
    await changed(alice, path, task, status="inbox")
    assert await kinds(worker) == []
