"""Boards and agents are deleted while something of theirs is being recorded."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.engine import TransactionFactory
from core.errors import NotFound, Unauthorized
from models import (
    Agent,
    AgentStatus,
    AgentToken,
    Approval,
    ApprovalStatus,
    CodingClient,
    DeletedTask,
    DesiredState,
    Gateway,
    Notification,
    NotificationKind,
    RequestKind,
)
from services import (
    agents,
    approvals,
    boards,
    coding_sessions,
    gateways,
    messages,
    notifications,
    organizations,
    tasks,
)
from services.gateways.provisioning import store
from services.gateways.requests.commands import store_requests
from services.gateways.requests.parser import parse_request
from services.gateways.runs.commands import upsert_runs
from services.gateways.runs.queries import RunAgent
from services.gateways.runs.run_state import RunState
from tests.services.test_agent_tokens import IMPORTED, add_imported_token, authenticate
from tests.services.test_escalations import choose_second_person
from tests.support.gateway_rows import make_gateway, make_main_agent
from tests.support.lock_waiter import wait_for_lock_waiter
from tests.support.people_rows import token_secret
from tests.support.rounds import ROUNDS, run_concurrently, run_rounds
from tests.support.tiers import repetition, select_options
from tests.support.tool_calls import ask, prepare
from tests.support.world import World, new_id

Change = Callable[[AsyncSession, World], Awaitable[object]]
PAST = timedelta(hours=3)


async def lock_board(session: AsyncSession, world: World) -> None:
    await boards.lock_board_as_admin(session, world.alice, world.board.id, to_delete=True)


async def delete_board(session: AsyncSession, world: World) -> None:
    board = await boards.lock_board_as_admin(session, world.alice, world.board.id, to_delete=True)
    await boards.delete_board(session, world.alice, board)


async def lock_board_of_agent(session: AsyncSession, world: World) -> None:
    await boards.lock_board_of_agent(session, world.alice, world.worker.id)


async def delete_agent(session: AsyncSession, world: World) -> None:
    await agents.delete_agent(session, world.alice, world.worker.id)


async def lock_organization(session: AsyncSession, world: World) -> None:
    await organizations.lock_organization_contents(session, [world.tern.id])


async def delete_organization(session: AsyncSession, world: World) -> None:
    await organizations.delete_organization(session, world.alice_member, signed_in_at=now())


DELETIONS = {
    "board": (lock_board, delete_board),
    "agent": (lock_board_of_agent, delete_agent),
    "organization": (lock_organization, delete_organization),
}


async def run(transaction: TransactionFactory, change: Change, world: World) -> None:
    async with transaction() as session:
        await change(session, world)


async def ask_for_ls(session: AsyncSession, world: World) -> None:
    await ask(session, world.worker, prepare("ls"))


async def begin_call(session: AsyncSession, world: World) -> None:
    client = CodingClient.CLAUDE
    await coding_sessions.record_signal(session, world.worker, client, "session-1")


async def renew_token(session: AsyncSession, world: World) -> None:
    own = update(AgentToken).where(AgentToken.agent_id == world.worker.id)
    await session.execute(own.values(first_used_at=None))


async def import_token(session: AsyncSession, world: World) -> None:
    await add_imported_token(session, world.worker)


async def use_own_token(session: AsyncSession, world: World) -> None:
    assert await authenticate(session, token_secret(world.worker))


async def use_imported_token(session: AsyncSession, _world: World) -> None:
    assert await authenticate(session, IMPORTED)


async def record_heartbeat(session: AsyncSession, world: World) -> None:
    await agents.record_heartbeat(session, world.worker)


def mark_read(number: int) -> Change:
    async def mark(session: AsyncSession, world: World) -> None:
        ids = select(Notification.id).order_by(Notification.created_at)
        id = (await session.scalars(ids)).all()[number]
        await notifications.mark_read(session, world.alice_member, id)

    return mark


async def add_notifications(session: AsyncSession, world: World) -> None:
    for number in range(2):
        session.add(make_notification(world, created_at=now() + number * timedelta(seconds=1)))
        await session.flush()  # a deletion finds them in the order in which they are stored


def make_notification(world: World, **fields: object) -> Notification:
    values = {
        "id": new_id(),
        "organization_id": world.tern.id,
        "user_id": world.alice.id,
        "kind": NotificationKind.QUESTION,
        "key": str(new_id()),
        "merges": False,
        "board_id": world.board.id,
        "data": {},
        "count": 1,
        "created_at": now(),
        "updated_at": now(),
    }
    return Notification(**values | fields)


async def connect_gateway(session: AsyncSession, world: World) -> None:
    gateway = make_gateway(world.tern)
    session.add(gateway)
    await session.flush()
    moved = update(Agent).where(Agent.id == world.worker.id)
    moved = moved.values(gateway_id=gateway.id, openclaw_session_id="agent:worker:main")
    await session.execute(moved.values(desired_state=DesiredState.RUNNING, observed_generation=1))


async def store_run(session: AsyncSession, world: World) -> None:
    gateway = (await session.scalars(select(Gateway))).one()
    run = RunState(str(new_id()), "agent:worker:main", "worker", now())
    worker = RunAgent(world.worker.id, "worker", world.worker.name, world.board.id)
    await upsert_runs(session, gateway, [(run, worker)])


async def store_request(session: AsyncSession, _world: World) -> None:
    gateway = (await session.scalars(select(Gateway))).one()
    question = {"questionId": "q", "question": "Which?", "options": []}
    row = {"id": str(new_id()), "createdAtMs": 1, "expiresAtMs": 2, "agentId": "worker"}
    request = parse_request(RequestKind.QUESTION, row | {"questions": [question]})
    assert request is not None
    await store_requests(session, gateway, [request])


async def retry_step(session: AsyncSession, world: World) -> None:
    worker = await session.get_one(Agent, world.worker.id)
    assert await store.compare_and_set(session, worker, {"step_attempts": 1})


async def send_message(session: AsyncSession, world: World) -> None:
    sent = messages.OutgoingMessage(to=world.worker.id, content="Hello")
    assert await messages.enqueue_messages(session, [sent])


RECORDED = {
    "call": (ask_for_ls, begin_call, ask_for_ls),
    "notifications": (add_notifications, mark_read(1), mark_read(0)),
    "first_use": (renew_token, use_own_token, record_heartbeat),
    "imported_token": (import_token, use_imported_token, record_heartbeat),
    "run": (connect_gateway, store_run, store_request),
    "provisioning": (connect_gateway, retry_step, store_request),
    "message": (connect_gateway, send_message, store_request),
}
"""What prepares the rows, and what is recorded before and after a deletion begins."""


def list_cases() -> Iterator[Any]:
    """Yield all deletions with a call, and one with each other record; `--all`: all with each."""
    for name, changes in RECORDED.items():
        stated = [*DELETIONS] if name == "call" else select_options(name, [*DELETIONS])
        for deleted in DELETIONS:
            marks = () if deleted in stated else repetition
            yield pytest.param(deleted, *changes, id=f"{name}-{deleted}", marks=marks)


@pytest.mark.parametrize(("deleted", "prepare_rows", "begin", "finish"), [*list_cases()])
async def test_a_deletion_waits_for_what_is_being_recorded(
    isolated_transaction: TransactionFactory,
    isolated_world: World,
    deleted: str,
    prepare_rows: Change,
    begin: Change,
    finish: Change,
) -> None:
    world = isolated_world
    _, delete = DELETIONS[deleted]
    await run(isolated_transaction, prepare_rows, world)
    async with isolated_transaction() as session:
        await begin(session, world)
        deletion = asyncio.create_task(run(isolated_transaction, delete, world))
        await wait_for_lock_waiter(isolated_transaction, unless=deletion)
        await finish(session, world)
    await deletion


@pytest.mark.parametrize("deleted", DELETIONS)
async def test_a_call_that_asks_people_waits_for_a_deletion(
    isolated_transaction: TransactionFactory, isolated_world: World, deleted: str
) -> None:
    world = isolated_world
    lock, delete = DELETIONS[deleted]
    async with isolated_transaction() as session:
        await lock(session, world)
        asking = asyncio.create_task(
            run(isolated_transaction, lambda own, _: ask(own, world.worker), world)
        )
        await wait_for_lock_waiter(isolated_transaction, unless=asking)
        await delete(session, world)
    with pytest.raises((NotFound, Unauthorized)):
        await asking


async def test_shared_boards_get_messages_while_an_account_is_deleted(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    """An organization is deleted with the account, and others keep theirs."""
    world = isolated_world
    async with isolated_transaction() as session:
        session.add(world.make_task(assigned_user_id=world.charlie.id))
    ids = [world.plover.id]
    to_other = messages.OutgoingMessage(to=world.charlies_worker.id, content="Hello")
    async with isolated_transaction() as deleting:
        await organizations.lock_organization_contents(deleting, ids, user_id=world.charlie.id)
        async with isolated_transaction() as session:
            await send_message(session, world)
            assert not await messages.enqueue_messages(session, [to_other])


async def test_a_gateway_is_deleted_while_it_reports(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    """Its agent is deleted after it, and runs refer to both."""
    world, transaction = isolated_world, isolated_transaction

    async def race(number: int) -> None:
        gateway = make_gateway(world.tern, f"Harbour {number}")
        async with transaction() as session:
            session.add(gateway)
            await session.flush()
            main, token = make_main_agent(gateway)
            session.add_all([main, token])

        async def store(session: AsyncSession) -> None:
            run = RunState(str(new_id()), "agent:main:main", "main", now())
            agent = RunAgent(main.id, "main", main.name, None)
            await upsert_runs(session, gateway, [(run, agent)])

        async def delete(session: AsyncSession) -> None:
            await gateways.delete_gateway(session, world.alice_member, gateway.id)

        ended = await run_concurrently(transaction, store, delete, store)
        assert ended == [None] * 3

    await run_rounds(range(ROUNDS), race)


async def test_an_agent_that_calls_lets_the_deletion_of_its_board_wait(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    """It locks its row first, and then what its new status resolves."""
    world = isolated_world
    async with isolated_transaction() as session:
        await agents.record_heartbeat(session, world.worker)
        deletion = asyncio.create_task(run(isolated_transaction, lock_board, world))
        await wait_for_lock_waiter(isolated_transaction, unless=deletion)
        assert not deletion.done()
    await deletion


async def let_reminders_be_due(session: AsyncSession, world: World) -> None:
    await session.execute(update(Approval).values(created_at=now() - PAST))


async def let_a_first_approval_be_outdated(session: AsyncSession, world: World) -> None:
    approval = (await session.scalars(select(Approval))).first()
    assert approval is not None
    approval.first_approver_id, approval.first_approval_hash = world.alice.id, "other"
    session.add(
        make_notification(
            world,
            kind=NotificationKind.APPROVAL_PENDING,
            key=str(approval.id),
            approval_id=approval.id,
            resolved_at=now(),
        )
    )


async def let_an_agent_be_silent(session: AsyncSession, world: World) -> None:
    silent = update(Agent).where(Agent.id == world.worker.id)
    await session.execute(silent.values(status=AgentStatus.ONLINE, last_seen_at=now() - PAST))


async def let_a_question_escalate(session: AsyncSession, world: World) -> None:
    await choose_second_person(session, world, world.alice, world.bob)
    session.add(make_notification(world, created_at=now() - PAST))


JOBS = [
    pytest.param(let_reminders_be_due, approvals.remind_of_approvals, id="reminders"),
    pytest.param(
        let_a_first_approval_be_outdated,
        approvals.reopen_outdated_first_approvals,
        id="first_approvals",
    ),
    pytest.param(let_an_agent_be_silent, agents.mark_silent_agents_offline, id="offline"),
    pytest.param(let_a_question_escalate, notifications.escalate, id="escalations"),
]


@pytest.mark.parametrize(("let_be_due", "do_job"), JOBS)
async def test_jobs_leave_out_a_board_that_is_being_deleted(
    isolated_transaction: TransactionFactory,
    isolated_world: World,
    let_be_due: Change,
    do_job: Callable[[AsyncSession], Awaitable[int]],
) -> None:
    """They would lock what the deletion needs, and wait for the board."""
    world = isolated_world
    async with isolated_transaction() as session:
        session.add(world.make_approval(status=ApprovalStatus.PENDING)[0])
        await session.flush()
        await let_be_due(session, world)
    async with isolated_transaction() as blocking:
        # a deletion removes the agents first
        await blocking.execute(select(Agent.id).where(Agent.id == world.lead.id).with_for_update())
        deletion = asyncio.create_task(run(isolated_transaction, delete_board, world))
        await wait_for_lock_waiter(isolated_transaction, unless=deletion)
        async with asyncio.timeout(10), isolated_transaction() as session:
            assert await do_job(session) == 0
    await deletion


async def test_the_purge_of_the_trash_waits_for_no_deletion(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    """The deletion of the board has deleted one task of the trash, and waits for the other."""
    world = isolated_world
    async with isolated_transaction() as session:
        board = await session.merge(world.board)
        for title in ("First", "Second"):
            task = await session.merge(world.make_task(title))
            await session.flush()
            await tasks.delete_task(session, world.alice, board, task.id)
    async with isolated_transaction() as blocking:
        newest = select(DeletedTask).order_by(DeletedTask.id.desc()).limit(1)
        await blocking.execute(newest.with_for_update())
        deletion = asyncio.create_task(run(isolated_transaction, delete_board, world))
        await wait_for_lock_waiter(isolated_transaction, unless=deletion)
        async with asyncio.timeout(10), isolated_transaction() as session:
            assert await tasks.purge_trash(session, keep_days=0) == 0
    await deletion


@pytest.mark.parametrize(("let_be_due", "do_job"), JOBS)
async def test_jobs_are_due_in_the_races_above(
    isolated_transaction: TransactionFactory,
    isolated_world: World,
    let_be_due: Change,
    do_job: Callable[[AsyncSession], Awaitable[int]],
) -> None:
    async with isolated_transaction() as session:
        session.add(isolated_world.make_approval(status=ApprovalStatus.PENDING)[0])
        await session.flush()
        await let_be_due(session, isolated_world)
        assert await do_job(session) == 1
