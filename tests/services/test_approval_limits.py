"""Whoever requests too many approvals does not flood people with decisions."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update

from core.clock import now
from core.errors import Conflict, TooMany
from models import Actor, Approval, Event, EventType
from services import approvals, boards
from services.approvals import ApprovalCreate, LimitedAgent
from services.approvals import requests as approval_requests
from services.approvals.requests import PERIOD
from tests.support.approval_helpers import REJECTED, decide_approval
from tests.support.tiers import repetition

MAX_PENDING, MAX_RECENT = 5, 12


@pytest.fixture(autouse=True)
def low_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits that few requests reach; how many may wait is in tests/contract/test_approvals.py."""
    monkeypatch.setattr(approval_requests, "MAX_PENDING", MAX_PENDING)
    monkeypatch.setattr(approval_requests, "MAX_RECENT", MAX_RECENT)


async def request_approval(session, actor, world, *, is_decided_at_once=False, **fields):
    board = await boards.lock_board(session, actor, world.board.id)
    given: dict[str, Any] = {"action_type": "deploy", "confidence": 90}
    draft = ApprovalCreate(**(given | fields))
    return await approvals.request_approval(
        session, actor, board, draft, is_decided_at_once=is_decided_at_once
    )


async def make_older(session, time: timedelta) -> None:
    """Let all requests be older."""
    await session.execute(update(Event).values(created_at=Event.created_at - time))
    await session.execute(update(Approval).values(created_at=Approval.created_at - time))


async def count_rows(session) -> int:
    return await session.scalar(select(func.count()).select_from(Approval)) or 0


@pytest.fixture(params=["agent", "user"])
def requester(request, world) -> Actor:
    """Return an agent and a user: their requests are limited alike."""
    found: Actor = world.worker if request.param == "agent" else world.alice
    return found


@pytest.mark.parametrize("count", [pytest.param(MAX_RECENT - 1, marks=repetition), MAX_RECENT])
async def test_equal_requests_are_one_approval_with_a_count(
    session, world, requester, count
) -> None:
    task = world.make_task()
    session.add(task)
    await session.flush()
    for fields in ({"task_id": task.id}, {}):
        await make_older(session, timedelta(hours=1))
        found = [
            await request_approval(session, requester, world, **fields, lead_reasoning="Why.")
            for _ in range(count)
        ]
        assert len({one.approval.id for one in found}) == 1
        assert found[-1].approval.request_count == count
    assert await count_rows(session) == 2
    await make_older(session, timedelta(hours=1))
    types = list(await session.scalars(select(Event.type)))
    assert types.count(EventType.APPROVAL_REQUESTED) == 2
    with pytest.raises(Conflict) as raised:
        await request_approval(
            session, requester, world, task_id=task.id, lead_reasoning="Another."
        )
    assert raised.value.code == "approval_pending_exists"


async def test_repeated_requests_are_held_too(session, world) -> None:
    for _ in range(MAX_RECENT):
        await request_approval(session, world.worker, world, lead_reasoning="Why.")
    with pytest.raises(TooMany) as raised:
        await request_approval(session, world.worker, world, lead_reasoning="Why.")
    assert raised.value.code == "approval_requests_held"
    held = EventType.APPROVAL_REQUESTS_HELD
    [event] = await session.scalars(select(Event).where(Event.type == held))
    assert event.data == {"name": "Worker", "pending": 1, "recent": MAX_RECENT}
    await request_approval(session, world.lead, world, lead_reasoning="Why.")
    await make_older(session, timedelta(hours=1))
    for _ in range(MAX_RECENT + 1):
        await request_approval(session, world.worker, world, lead_reasoning="Why.")
    with pytest.raises(TooMany):
        await request_approval(session, world.worker, world, lead_reasoning="Why.")


@pytest.mark.parametrize(
    ("first", "second", "is_equal"),
    [
        ({"a": 1, "b": [1.50, None]}, {"b": [1.5, None], "a": 1.0}, True),
        ({"a": 1}, {"a": "1"}, False),
        ({"a": [1, 2]}, {"a": [2, 1]}, False),
    ],
)
async def test_payloads_are_compared_by_value(session, world, first, second, is_equal) -> None:
    for payload in (first, second):
        given = {"reason": "Why."} | payload
        await request_approval(session, world.worker, world, payload=given)
    assert await count_rows(session) == (1 if is_equal else 2)


async def test_requests_that_differ_are_not_merged(session, world) -> None:
    one, two = world.make_task("One"), world.make_task("Two")
    session.add_all([one, two])
    await session.flush()
    for actor, fields in [
        (world.worker, {}),
        (world.lead, {}),
        (world.alice, {}),
        (world.bob, {}),
        (world.worker, {"action_type": "publish"}),
        (world.worker, {"payload": {"reason": "Why.", "target": 1}}),
        (world.worker, {"task_id": one.id}),
        (world.worker, {"task_id": two.id}),
    ]:
        await request_approval(session, actor, world, **({"lead_reasoning": "Why."} | fields))
    assert await count_rows(session) == 8


async def test_a_decided_request_can_be_made_again(session, world) -> None:
    first = await request_approval(session, world.worker, world, lead_reasoning="Why.")
    await decide_approval(session, world.bob, first.approval, REJECTED, undo_seconds=0)
    second = await request_approval(session, world.worker, world, lead_reasoning="Why.")
    assert second.approval.id != first.approval.id


@pytest.mark.parametrize("count", [MAX_PENDING + 2, 2 * MAX_RECENT])
async def test_too_many_pending_requests_are_held(session, world, count) -> None:
    errors: list[TooMany] = []
    for n in range(count):
        try:
            await request_approval(session, world.worker, world, lead_reasoning=f"Reason {n}.")
        except TooMany as error:
            errors.append(error)
    assert await count_rows(session) == MAX_PENDING
    assert len(errors) == count - MAX_PENDING
    assert {error.code for error in errors} == {"approval_requests_held"}
    assert all(error.keeps_changes and error.retry_after == 300 for error in errors)
    held = EventType.APPROVAL_REQUESTS_HELD
    [event] = await session.scalars(select(Event).where(Event.type == held))
    assert (event.agent_id, event.board_id) == (world.worker.id, world.board.id)
    assert event.data == {"name": "Worker", "pending": MAX_PENDING, "recent": MAX_PENDING}
    await request_approval(session, world.worker, world, lead_reasoning="Reason 1.")
    await request_approval(session, world.lead, world, lead_reasoning="Mine.")


@pytest.mark.parametrize("requester", ["worker", "alice"])
async def test_too_many_requests_in_an_hour_are_held(session, world, requester) -> None:
    actor = getattr(world, requester)
    for n in range(MAX_RECENT):
        detail = await request_approval(session, actor, world, lead_reasoning=f"Reason {n}.")
        await decide_approval(session, world.bob, detail.approval, REJECTED, undo_seconds=0)
    with pytest.raises(TooMany) as raised:
        await request_approval(session, actor, world, lead_reasoning="One more.")
    assert 3500 < raised.value.retry_after <= 3600
    await make_older(session, timedelta(hours=1))
    await request_approval(session, actor, world, lead_reasoning="One more.")


@pytest.mark.parametrize("board_name", ["board", "garden"])
async def test_pending_requests_of_a_user_are_limited_on_all_boards(
    session, world, board_name
) -> None:
    async def ask(board, **fields):
        locked = await boards.lock_board(session, world.alice, board.id)
        draft = ApprovalCreate(action_type="deploy", confidence=90, **fields)
        return await approvals.request_approval(session, world.alice, locked, draft)

    for n in range(MAX_PENDING):
        await ask(world.board, lead_reasoning=f"Reason {n}.")
    with pytest.raises(TooMany) as raised:
        await ask(getattr(world, board_name), lead_reasoning="One more.")
    assert (raised.value.code, raised.value.retry_after) == ("approval_requests_held", 300)
    assert "People were informed" not in raised.value.message
    held = Event.type == EventType.APPROVAL_REQUESTS_HELD
    assert await session.scalar(select(func.count()).where(held)) == 0
    await request_approval(session, world.bob, world, lead_reasoning="Mine.")


async def test_requests_that_users_decide_at_once_are_not_limited(session, world) -> None:
    for n in range(MAX_PENDING):
        await request_approval(session, world.alice, world, lead_reasoning=f"Reason {n}.")
    for n in range(MAX_RECENT):
        own = await request_approval(
            session, world.alice, world, is_decided_at_once=True, lead_reasoning=f"Own {n}."
        )
        await decide_approval(session, world.alice, own.approval, REJECTED, undo_seconds=0)
    repeated = await request_approval(session, world.alice, world, lead_reasoning="Reason 1.")
    assert repeated.approval.request_count == 2


async def list_limited_agents(session, member) -> list[LimitedAgent]:
    parameters = {"user_id": member.user_id, "organization_id": member.organization_id}
    return await approvals.LIMITED_AGENTS.fetch(session, held_since=now() - PERIOD, **parameters)


async def test_people_see_whose_requests_are_held(session, world) -> None:
    for n in range(MAX_PENDING):
        await request_approval(session, world.worker, world, lead_reasoning=f"Reason {n}.")
    assert await list_limited_agents(session, world.alice_member) == []
    with pytest.raises(TooMany):
        await request_approval(session, world.worker, world, lead_reasoning="One more.")
    for member, names in [
        (world.alice_member, ["Worker"]),
        (world.rita_member, ["Worker"]),
        (world.dana_member, []),
        (world.charlie_member, []),
    ]:
        held = await list_limited_agents(session, member)
        assert [one.agent.name for one in held] == names
    [one] = await list_limited_agents(session, world.alice_member)
    assert (one.board.name, one.pending, one.recent) == ("Launch", MAX_PENDING, MAX_PENDING)
    assert now() - one.held_at < timedelta(minutes=1)
