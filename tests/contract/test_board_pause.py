"""What agents may do on a paused board, and in an organization whose agents are stopped."""

from typing import Any

import pytest
from sqlalchemy import update

from core.clock import now
from core.db.engine import TransactionFactory
from models import Agent, Board, Organization, Status
from tests.support.api_fixtures import Client
from tests.support.world import World

Json = dict[str, Any]
CODES = ("board_paused", "organization_stopped")


@pytest.fixture
async def task(world: World, transaction: TransactionFactory) -> Json:
    """A task of the worker in progress on Launch, as its path and its id."""
    row = world.make_task("Count the boats", status=Status.IN_PROGRESS)
    row.assigned_agent_id = world.worker.id
    row.in_progress_at = now()
    async with transaction() as session:
        session.add(row)
        board = update(Board).where(Board.id == world.board.id)
        await session.execute(board.values(require_approval_for_done=False))
    return {"id": str(row.id), "path": f"/boards/{world.board.id}/tasks/{row.id}"}


async def hold_work(alice: Client, world: World, code: str) -> None:
    """Pause the board or stop all agents, as Alice."""
    if code == "organization_stopped":
        stopped = await alice.post("/organizations/me/stop", json={"reason": "Fire drill"})
        assert stopped.status_code == 200, stopped.text
        return
    note = {"content": "/pause", "tags": ["chat"]}
    assert (await alice.post(f"/boards/{world.board.id}/memory", json=note)).status_code == 200


async def resume_work(alice: Client, world: World, code: str) -> None:
    if code == "organization_stopped":
        assert (await alice.delete("/organizations/me/stop")).status_code == 200
        return
    note = {"content": "/resume", "tags": ["chat"]}
    assert (await alice.post(f"/boards/{world.board.id}/memory", json=note)).status_code == 200


def assert_refused(answer: Any, code: str) -> None:
    assert answer.status_code == 409, answer.text
    body = answer.json()
    assert body["code"] == code
    by, at = ("paused_by", "paused_at") if code == "board_paused" else ("stopped_by", "stopped_at")
    assert body["detail"][by] == "Alice"
    assert body["detail"][at][:4] == str(now().year)
    assert "Alice" in body["detail"]["message"]


@pytest.mark.parametrize("code", CODES)
async def test_agents_do_not_take_or_move_tasks_meanwhile(
    alice: Client, worker: Client, lead: Client, world: World, task: Json, code: str
) -> None:
    tasks = f"/boards/{world.board.id}/tasks"
    free = (await alice.post(tasks, json={"title": "Free"})).json()["id"]
    await hold_work(alice, world, code)
    to_worker = {"assigned_agent_id": str(world.worker.id)}
    refused = [
        await worker.patch(f"{tasks}/{free}", json={"status": "in_progress"}),
        await worker.patch(f"/agent{tasks}/{free}", json={"status": "in_progress"}),
        await worker.patch(task["path"], json={"status": "review", "comment": "Done."}),
        await lead.patch(f"{tasks}/{free}", json={"status": "in_progress", **to_worker}),
        await lead.patch(f"{tasks}/{free}", json=to_worker),
        await lead.post(f"/agent{tasks}", json={"title": "More", **to_worker}),
        await lead.delete(f"/agent{tasks}/{free}"),
        await lead.delete(f"/agent/boards/{world.board.id}/agents/{world.worker.id}"),
    ]
    for answer in refused:
        assert_refused(answer, code)
    assert (await alice.get(task["path"].rsplit("/", 1)[0])).json()["total"] == 2

    await resume_work(alice, world, code)
    taken = await worker.patch(f"{tasks}/{free}", json={"status": "in_progress"})
    assert taken.status_code == 200, taken.text


@pytest.mark.parametrize("code", CODES)
async def test_agents_read_comment_chat_check_in_and_request_meanwhile(
    alice: Client, worker: Client, lead: Client, world: World, task: Json, code: str
) -> None:
    await hold_work(alice, world, code)
    board = f"/agent/boards/{world.board.id}"
    chat = {"content": "We wait.", "tags": ["chat"]}
    request = {"action_type": "task.complete", "confidence": 80, "task_id": task["id"]}
    request |= {"payload": {"reason": "All boats are counted."}, "lead_reasoning": "Counted twice."}
    answers = [
        await worker.get(f"{board}/tasks"),
        await worker.get(board),
        await worker.get("/agent/messages"),
        await worker.post("/agent/heartbeat", json={"status": "online"}),
        await worker.post(f"{board}/tasks/{task['id']}/comments", json={"message": "Half done."}),
        await worker.patch(f"{board}/tasks/{task['id']}", json={"comment": "Almost."}),
        await worker.post(f"{board}/memory", json=chat),
        await worker.post(f"{board}/approvals", json=request),
        await lead.post(f"{board}/tasks", json={"title": "For later"}),
    ]
    assert [answer.status_code for answer in answers] == [200] * len(answers), [
        answer.text for answer in answers if answer.status_code != 200
    ]


@pytest.mark.parametrize("code", CODES)
async def test_people_move_tasks_meanwhile(
    alice: Client, world: World, task: Json, code: str
) -> None:
    await hold_work(alice, world, code)
    answer = await alice.patch(task["path"], json={"status": "review"})
    assert answer.status_code == 200, answer.text


async def test_a_pause_holds_only_its_own_board(
    alice: Client, worker: Client, world: World, task: Json, transaction: TransactionFactory
) -> None:
    async with transaction() as session:
        paused = update(Board).where(Board.id == world.garden.id)
        await session.execute(paused.values(paused_at=now()))
    answer = await worker.patch(task["path"], json={"status": "inbox"})
    assert answer.status_code == 200, answer.text


async def test_the_stop_of_another_organization_has_no_effect(
    worker: Client, world: World, task: Json, transaction: TransactionFactory
) -> None:
    async with transaction() as session:
        stopped = update(Organization).where(Organization.id == world.plover.id)
        await session.execute(stopped.values(stopped_at=now()))
    answer = await worker.patch(task["path"], json={"status": "inbox"})
    assert answer.status_code == 200, answer.text


async def test_a_pause_whose_author_is_gone_is_refused_as_well(
    worker: Client, world: World, task: Json, transaction: TransactionFactory
) -> None:
    async with transaction() as session:
        paused = update(Board).where(Board.id == world.board.id)
        await session.execute(paused.values(paused_at=now()))
        assert await session.get(Agent, world.worker.id)
    answer = await worker.patch(task["path"], json={"status": "inbox"})
    assert (answer.status_code, answer.json()["code"]) == (409, "board_paused")
    assert answer.json()["detail"]["paused_by"] == "a former member"


async def test_a_lead_does_not_end_a_pause_whose_author_is_gone(
    lead: Client, world: World, transaction: TransactionFactory
) -> None:
    async with transaction() as session:
        paused = update(Board).where(Board.id == world.board.id)
        await session.execute(paused.values(paused_at=now()))
    chat = f"/agent/boards/{world.board.id}/memory"
    answer = await lead.post(chat, json={"content": "/resume", "tags": ["chat"]})
    assert (answer.status_code, answer.json()["code"]) == (403, "paused_by_person")


async def test_a_lead_ends_a_pause_of_its_own_and_none_of_a_person(
    alice: Client, lead: Client, worker: Client, world: World, task: Json
) -> None:
    chat = f"/agent/boards/{world.board.id}/memory"
    pause, resume = ({"content": one, "tags": ["chat"]} for one in ("/pause", "/resume"))
    assert (await lead.post(chat, json=pause)).status_code == 200
    refused = await worker.patch(task["path"], json={"status": "inbox"})
    assert refused.json()["detail"]["paused_by"] == world.lead.name
    assert (await lead.post(chat, json=resume)).status_code == 200

    await hold_work(alice, world, "board_paused")
    answer = await lead.post(chat, json=resume)
    assert (answer.status_code, answer.json()["code"]) == (403, "paused_by_person")
    assert_refused(await worker.patch(task["path"], json={"status": "inbox"}), "board_paused")
    await resume_work(alice, world, "board_paused")
    assert (await worker.patch(task["path"], json={"status": "inbox"})).status_code == 200
