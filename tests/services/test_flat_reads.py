"""Reads do not read whole tables: their cost does not grow with tasks, events and approvals."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from operator import attrgetter
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.paging import Paging
from models import ApprovalStatus, EventType, Status, Task
from services import activity, approvals, boards, events, metrics, sidebar, tasks, tool_calls
from services.activity import ActivityFilters
from services.gateways import requests
from services.inbox import load_waiting_items
from services.tasks import BoardFilters, BoardOrder
from tests.conftest import rolled_back
from tests.support.board_rows import make_task
from tests.support.gateway_rows import make_gateway
from tests.support.round_trips import record_round_trips
from tests.support.stored_world import store_world
from tests.support.tool_calls import make_coding_session
from tests.support.world import World

PAGE = Paging(20)
GROWING = (
    *("activity_events", "approvals", "gateway_requests", "task_comments", "tasks"),
    "tool_grants",
)
SCAN = re.compile(rf"Seq Scan on ({'|'.join(GROWING)})\b.*?rows=(\d+)")
FILL = (
    """
    insert into tasks (id, board_id, title, status, priority, auto_created, version, created_at,
        updated_at, done_at, started_at)
    select gen_random_uuid(), {board}, 'Task', case k % 3 when 0 then 'done' else 'inbox' end,
        'low', false, 1, now() - k * interval '1 hour', now(),
        case k % 3 when 0 then now() - k * interval '1 hour' end, now() - k * interval '2 hours'
    from generate_series(1, 6000) k
    """,
    """
    insert into approvals (id, board_id, action_type, confidence, status, created_at, resolved_at,
        decided_at)
    select gen_random_uuid(), {board}, 'note', 1,
        case k % 50 when 0 then 'pending' else 'approved' end, now() - k * interval '1 hour',
        case k % 50 when 0 then null else now() - k * interval '1 hour' end,
        case k % 50 when 0 then null else now() - k * interval '1 hour' end
    from generate_series(1, 6000) k
    """,
    """
    insert into task_comments (id, board_id, task_id, message, created_at)
    select gen_random_uuid(), board_id, id, 'Said.', created_at from tasks
    """,
    """
    insert into activity_events (id, type, organization_id, board_id, agent_id, data, created_at)
    select gen_random_uuid(), (array['task.created', 'task.updated', 'message.sent'])[1 + k % 3],
        '{organization}', {board}, '{agent}', jsonb_build_object('message_id', k / 2),
        now() - (6000 - k) * interval '1 hour'
    from generate_series(1, 6000) k
    """,
    """
    insert into gateway_requests (id, organization_id, gateway_id, gateway_name, request_id, kind,
        board_id, agent_id, exact, allowed_decisions, state, asked_at, expires_at, ended_at,
        created_at)
    select gen_random_uuid(), '{organization}', '{gateway}', 'Harbour', k::text, 'exec', {board},
        '{agent}', 'ls', '[]', 'expired', now(), now(), now() - k * interval '1 hour', now()
    from generate_series(1, 6000) k
    """,
    """
    insert into tool_grants (id, organization_id, board_id, agent_id, session_id, approval_id,
        request_hash, tool, input_excerpt, created_at)
    select gen_random_uuid(), '{organization}', '{first_board}', '{agent}', '{session}', id, '0',
        'Bash', 'ls', decided_at
    from approvals where decided_at is not null
    """,
)
START = datetime(2026, 11, 1, tzinfo=UTC)


async def find_neighbors(session, world):
    """Find the neighbors of a task in the middle of a column."""
    query = select(Task).where(Task.board_id == world.board.id, Task.status == Status.INBOX)
    task = await session.scalar(query.order_by(Task.rank).offset(1_000).limit(1))
    task = task or make_task(world.board, "Missing")  # the other organization has no tasks
    order = BoardOrder(in_sections=True)
    await tasks.find_neighbors(session, world.board, task, BoardFilters(), order)


READS = {
    "the activity": lambda session, world: activity.list_member_activity(
        session, world.alice_member, PAGE
    ),
    "the activity of a board": lambda session, world: activity.list_member_activity(
        session, world.alice_member, PAGE, ActivityFilters(board_id=world.board.id)
    ),
    "rare events": lambda session, world: activity.list_member_activity(
        session, world.alice_member, PAGE, ActivityFilters(kinds=[EventType.BOARD_UPDATED])
    ),
    "the activity of an agent": lambda session, world: activity.list_agent_activity(
        session, world.worker, PAGE
    ),
    "the last event": lambda session, world: events.get_last_seq(session, world.tern.id),
    "comments": lambda session, world: activity.list_comment_entries(
        session, world.alice_member, PAGE
    ),
    "approvals": lambda session, world: approvals.list_member_approvals(
        session, world.alice_member, PAGE
    ),
    "pending approvals": lambda session, world: approvals.list_board_approvals(
        session, world.board, PAGE, status=ApprovalStatus.PENDING
    ),
    "decided approvals": lambda session, world: approvals.list_decided_approvals(
        session, world.alice_member, PAGE
    ),
    "what was decided lately": lambda session, world: approvals.build_decided_since_query(
        by_board=False
    ).fetch(
        session,
        user_id=world.alice.id,
        organization_id=world.tern.id,
        since=now() - timedelta(days=365),
    ),
    "the tasks of a board": lambda session, world: tasks.list_tasks(session, world.board, PAGE),
    "the tasks in the inbox": lambda session, world: tasks.list_tasks(
        session, world.board, PAGE, statuses=[Status.INBOX]
    ),
    "the neighbors of a task": lambda session, world: find_neighbors(session, world),
    "the sidebar": lambda session, world: sidebar.load_sidebar(session, world.alice_member),
    "the boards": lambda session, world: boards.list_board_page(session, world.alice_member, PAGE),
    "the calendar": lambda session, world: tasks.list_due_tasks(
        session, world.board, BoardFilters(), [START, START + timedelta(days=1)], START
    ),
    "a task for nobody": lambda session, world: tasks.find_free_task(session, world.board),
    "gateway requests that are over": lambda session, world: requests.list_ended_requests(
        session, world.alice_member, PAGE
    ),
    "permissions of an agent": lambda session, world: tool_calls.list_newest_grants(
        session, world.worker, 20
    ),
    "the inbox": lambda session, world: load_waiting_items(session, world.alice_member),
    "the dashboard": lambda session, world: metrics.load_dashboard(
        session, world.alice_member, "24h", now()
    ),
}


async def fill_boards(session, world):
    """Create 6,000 rows of each growing table on both boards of Tern."""
    gateway, coding_session = make_gateway(world.tern), make_coding_session(world.worker)
    session.add_all([gateway, coding_session])
    await session.flush()
    values = {
        "gateway": gateway.id,
        "session": coding_session.id,
        "first_board": world.board.id,
        "board": f"(array['{world.board.id}'::uuid, '{world.garden.id}'])[1 + k % 2]",
        "organization": world.tern.id,
        "agent": world.worker.id,
    }
    for statement in FILL:
        await session.execute(text(statement.format(**values)))
    for table in GROWING:
        await session.execute(text(f"analyze {table}"))


@pytest.fixture(scope="module")
async def filled(settings) -> AsyncIterator[tuple[AsyncSession, World]]:
    async with rolled_back(settings) as (_, transaction):
        world = await store_world(transaction)
        async with transaction() as session:
            await fill_boards(session, world)
            yield session, world


@pytest.mark.parametrize("read", READS.values(), ids=READS)
async def test_a_read_uses_indexes_and_counters(filled, read) -> None:
    session, world = filled
    async with session.begin_nested() as part:
        await check_plans(session, partial(read, session, world))
        await part.rollback()
    session.expunge_all()


@pytest.mark.parametrize("read", READS.values(), ids=READS)
async def test_a_read_does_not_depend_on_the_events_of_another_organization(filled, read) -> None:
    session, world = filled
    quiet = replace(
        world,
        **{"tern": world.plover, "alice": world.charlie, "alice_member": world.charlie_member},
        **{"board": world.charlies_board, "worker": world.charlies_worker},
    )
    async with session.begin_nested() as part:
        # PostgreSQL plans like this after it has executed the same statement some times.
        await session.execute(text("set local plan_cache_mode = force_generic_plan"))
        before = await count_read_events(session)
        await read(session, quiet)
        assert await count_read_events(session) - before < 100
        await part.rollback()
    session.expunge_all()


async def count_read_events(session: AsyncSession) -> int:
    """Return how many events this transaction has read."""
    statement = text(
        "select seq_tup_read + idx_tup_fetch from pg_stat_xact_user_tables"
        " where relname = 'activity_events'"
    )
    return (await session.scalars(statement)).one()


async def test_long_lists_are_counted_up_to_a_limit(filled) -> None:
    session, world = filled
    totals = [
        (await requests.list_ended_requests(session, world.alice_member, Paging(20, offset))).total
        for offset in (0, 2_000, 5_990, 7_000)
    ]
    assert totals == [1_001, 3_001, 6_000, 6_000]
    found = await tasks.list_due_tasks(
        session, world.board, BoardFilters(), [START, START + timedelta(days=1)], START
    )
    undated = found[tasks.UNDATED]
    assert (len(undated.tasks), undated.total, undated.has_more) == (20, 1_000, True)


async def check_plans(session: Any, read: Callable[[], Awaitable[object]]) -> None:
    """Check the query plan of each statement that is sent by a read."""
    with record_round_trips() as log:
        await read()
    assert log.statements
    connection = await (await session.connection()).get_raw_connection()
    # What other tests rolled back makes tables larger, and scans of these few rows look cheaper.
    await session.execute(text("set local enable_seqscan = off"))
    for sent in filter(attrgetter("is_statement"), log.all):
        explained = f"explain (analyze, costs off, timing off) {sent.statement}"
        rows = await connection.driver_connection.fetch(explained, *sent.arguments)
        plan = "\n".join(row[0] for row in rows)
        assert SCAN.findall(plan) == [], plan
        read_counts = [float(rows) for rows in re.findall(r"rows=([\d.]+)", plan)]
        discarded = [int(rows) for rows in re.findall(r"Rows Removed by Filter: (\d+)", plan)]
        assert max([0, *read_counts, *discarded]) < 1_500, plan
