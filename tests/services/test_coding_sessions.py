"""Sessions of coding agents: signs of life, states, results of calls, and connections."""

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from core.clock import now
from core.errors import Invalid
from models import (
    ClientConnection,
    CodingClient,
    CodingSession,
    Event,
    EventType,
    SessionState,
    Status,
    ToolAnswer,
    ToolCall,
    UsageFact,
)
from services import coding_sessions
from services.coding_sessions import (
    ConnectionKind,
    ReportedState,
    SessionEvent,
    SessionEventKind,
    UsageReport,
    find_state,
    record_connection,
    record_event,
    record_signal,
)

CLAUDE = CodingClient.CLAUDE


def make_call(coding_session: CodingSession, **fields) -> ToolCall:
    """Make a tool call of a session that was allowed, unless the fields say something else."""
    at = now()
    defaults = {
        "organization_id": coding_session.organization_id,
        "board_id": coding_session.board_id,
        "agent_id": coding_session.agent_id,
        "session_id": coding_session.id,
        "tool": "Bash",
        "request_hash": "a" * 64,
        "input_excerpt": "make test",
        "facts": {},
        "reason": "rule",
        "answer": ToolAnswer.ALLOW,
        "asked_at": at,
        "answered_at": at,
    }
    return ToolCall(**(defaults | fields))


async def list_event_types(session) -> list[EventType]:
    return list(await session.scalars(select(Event.type).order_by(Event.seq)))


async def test_a_session_is_stored_once_with_the_last_known_values(session, world) -> None:
    first = await record_signal(session, world.worker, CLAUDE, "s1", cwd="/work", model="m1")
    again = await record_signal(session, world.worker, CLAUDE, "s1", model="m2", is_call=True)
    assert again.id == first.id
    assert (again.cwd, again.model, again.board_id) == ("/work", "m2", world.board.id)
    assert again.last_call_at == again.last_signal_at >= again.started_at
    other = await record_signal(session, world.other_worker, CLAUDE, "s1")
    assert other.id != first.id


async def test_a_session_belongs_to_the_only_task_in_progress(session, world) -> None:
    tasks = [
        world.make_task(status=Status.IN_PROGRESS, assigned_agent_id=world.worker.id),
        world.make_task(status=Status.REVIEW, assigned_agent_id=world.worker.id),
        world.make_task(status=Status.IN_PROGRESS, assigned_agent_id=world.lead.id),
    ]
    session.add_all(tasks)
    begun = await record_signal(session, world.worker, CLAUDE, "s1")
    assert begun.task_id == tasks[0].id
    session.add(world.make_task(status=Status.IN_PROGRESS, assigned_agent_id=world.worker.id))
    assert (await record_signal(session, world.worker, CLAUDE, "s1")).task_id == tasks[0].id
    assert (await record_signal(session, world.worker, CLAUDE, "s2")).task_id is None


async def test_a_silent_session_is_unknown_and_never_idle(session, world) -> None:
    stored = await record_signal(session, world.worker, CLAUDE, "s1", state=SessionState.IDLE)
    at = stored.last_signal_at
    assert find_state(stored, at) == ReportedState.IDLE
    assert find_state(stored, at + timedelta(minutes=5)) == ReportedState.UNKNOWN
    assert find_state(stored, at + timedelta(minutes=9), is_held=True) == ReportedState.WAITING
    stored = await record_signal(session, world.worker, CLAUDE, "s1", is_call=True)
    assert find_state(stored, now()) == ReportedState.WORKING
    stored = await record_signal(session, world.worker, CLAUDE, "s1", state=SessionState.ENDED)
    assert find_state(stored, now() + timedelta(days=1)) == ReportedState.ENDED


async def test_only_a_session_that_works_again_leaves_its_end(session, world) -> None:
    ended = await record_signal(session, world.worker, CLAUDE, "s1", state=SessionState.ENDED)
    late = await record_signal(session, world.worker, CLAUDE, "s1")  # of telemetry, for example
    assert (late.state, late.ended_at) == (SessionState.ENDED, ended.ended_at)
    resumed = await record_signal(session, world.worker, CLAUDE, "s1", is_call=True)
    assert (resumed.state, resumed.ended_at) == (SessionState.WORKING, None)


@pytest.mark.parametrize("key", ["", "a\0b", "a\nb", "\ud800", "k" * 201])
async def test_a_session_needs_an_id_that_can_be_stored(session, world, key) -> None:
    with pytest.raises(Invalid):
        await record_signal(session, world.worker, CLAUDE, key)


async def test_values_of_the_client_are_stored_as_short_lines(session, world) -> None:
    stored = await record_signal(
        session, world.worker, CLAUDE, "s1", cwd="/a\0\n\u202eb" + "c" * 9_000, model=" \0 "
    )
    assert stored.cwd == "/a b" + "c" * 494
    assert stored.model is None


async def test_only_changes_of_the_state_are_events(session, world) -> None:
    kinds = SessionEventKind
    for kind in (kinds.WORKING, kinds.WORKING, kinds.TOOL_RETURNED, kinds.TURN_ENDED, kinds.ENDED):
        await record_event(session, world.worker, SessionEvent(CLAUDE, "s1", kind))
    assert await list_event_types(session) == [EventType.AGENT_SESSION_CHANGED] * 3


async def test_a_returned_call_is_found_by_its_key_or_as_the_latest(session, world) -> None:
    stored = await record_signal(session, world.worker, CodingClient.COPILOT, "s1")
    keyed = make_call(stored, call_key="c1")
    calls = [make_call(stored, asked_at=now() - timedelta(minutes=n)) for n in range(2)]
    denied = make_call(stored, answer=ToolAnswer.DENY)
    session.add_all([keyed, *calls, denied])

    async def report(**fields) -> None:
        kind = SessionEventKind.TOOL_RETURNED
        event = SessionEvent(CodingClient.COPILOT, "s1", kind, **fields)
        await record_event(session, world.worker, event)

    await report(call_key="c1", is_successful=False)
    await report(call_key="unknown", is_successful=True)
    await report(request_hash="b" * 64)
    for call in (keyed, *calls, denied):
        await session.refresh(call)
    assert (keyed.executed_at is not None, keyed.is_successful) == (True, False)
    assert [call.executed_at for call in (*calls, denied)] == [None] * 3
    await report(request_hash="a" * 64, is_successful=True)
    for call in (*calls, denied):
        await session.refresh(call)
    assert calls[0].is_successful
    assert [call.executed_at for call in (calls[1], denied)] == [None] * 2


async def test_usage_that_a_hook_reports_is_stored_once(session, world) -> None:
    usage = UsageReport("usage", "msg_1", input=700, output=22, cache_read=302, model="m")
    event = SessionEvent(CodingClient.OPENCODE, "s1", SessionEventKind.USAGE, usage=usage)
    for _ in range(2):
        stored = await record_event(session, world.worker, event)
    [fact] = await session.scalars(select(UsageFact))
    assert (fact.session_id, fact.input_tokens, fact.cache_read_tokens) == (stored.id, 700, 302)


async def test_the_first_contact_is_an_event_and_later_ones_are_rare(session, world) -> None:
    async def connect(kind: ConnectionKind = ConnectionKind.HOOK, **more) -> ClientConnection:
        await record_connection(session, world.worker, CLAUDE, kind=kind, **more)
        query = select(ClientConnection).execution_options(populate_existing=True)
        return (await session.scalars(query)).one()

    first = (await connect()).hook_at
    assert (await connect()).hook_at == first
    known = await connect(ConnectionKind.TELEMETRY, version="2.1.332")
    assert (known.version, known.hook_at, known.mcp_at) == ("2.1.332", first, None)
    assert (await connect(version="2.2")).version == "2.2"
    earlier = now() - coding_sessions.CONNECTION_INTERVAL
    await session.execute(update(ClientConnection).values(hook_at=earlier))
    assert ((await connect()).hook_at or earlier) > earlier
    assert await list_event_types(session) == [
        EventType.AGENT_CLIENT_CONNECTED,
        EventType.AGENT_SESSION_CHANGED,
    ]
