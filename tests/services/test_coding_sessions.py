"""Sessions of coding agents: signs of life, states, results of calls, and connections."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from core.clock import now
from core.errors import Invalid, NotFound
from core.paging import Paging
from models import (
    Agent,
    AgentStatus,
    ClientConnection,
    CodingClient,
    CodingSession,
    Event,
    EventType,
    Notification,
    NotificationKind,
    SessionState,
    Status,
    ToolAnswer,
    ToolCall,
    UsageFact,
)
from services import agents, coding_sessions
from services.agents import AgentState
from services.coding_sessions import (
    TESTED_VERSIONS,
    ConnectionKind,
    GateState,
    ReportedState,
    SessionEvent,
    SessionEventKind,
    TokenCounts,
    UsageReport,
    find_state,
    is_tested,
    record_connection,
    record_event,
    record_signal,
)
from tests.support.gateway_rows import make_gateway
from tests.support.tool_calls import ask, make_coding_session

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


async def test_a_returned_call_is_one_that_was_allowed_or_an_event(session, world) -> None:
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
    for count in (1, 2):  # those that were allowed, the latest first
        await report(request_hash="a" * 64, is_successful=True)
        for call in (*calls, denied):
            await session.refresh(call)
        assert [call.executed_at is not None for call in calls] == [True, count == 2]
    assert (denied.executed_at, denied.is_ungated) == (None, False)
    assert EventType.AGENT_TOOL_UNGATED not in await list_event_types(session)
    for _ in range(2):
        await report(request_hash="a" * 64, is_successful=True)
    await session.refresh(denied)
    assert denied.is_ungated
    types = await list_event_types(session)
    assert types.count(EventType.AGENT_TOOL_UNGATED) == 1


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


async def test_a_session_is_read_with_its_task_calls_and_tokens(session, world) -> None:
    task = world.make_task(status=Status.IN_PROGRESS, assigned_agent_id=world.worker.id)
    session.add(task)
    stored = await record_signal(session, world.worker, CLAUDE, "s1", is_call=True)
    waiting = {"answer": None, "answered_at": None, "waits_until": now() + timedelta(minutes=1)}
    session.add_all(
        [
            make_call(stored, **waiting),
            make_call(stored, **waiting | {"waits_until": now()}),  # its server was killed
            make_call(stored, is_ungated=True, executed_at=now()),
        ]
    )
    for n in range(2):
        usage = UsageReport("usage", str(n), input=1, output=10, cache_read=100, cache_write=1000)
        kind = SessionEventKind.USAGE
        await record_event(session, world.worker, SessionEvent(CLAUDE, "s1", kind, usage=usage))
    await record_signal(session, world.worker, CLAUDE, "s2")
    page = await coding_sessions.list_sessions(session, world.worker, Paging(limit=1, offset=1))
    assert page.total == 2
    found = await coding_sessions.get_session(session, world.worker, stored.id)
    assert found == replace(page.items[0], at=found.at)
    assert (found.task_title, found.state) == (task.title, ReportedState.WAITING)
    assert (found.call_count, found.held_count, found.ungated_count) == (3, 1, 1)
    assert found.tokens == TokenCounts(2, 20, 200, 2000, 2)
    with pytest.raises(NotFound):
        await coding_sessions.get_session(session, world.other_worker, stored.id)


async def test_the_gate_is_on_only_by_a_request_of_the_latest_session(session, world) -> None:
    async def find_state() -> GateState:
        [report] = await coding_sessions.list_gates(session, world.worker)
        return report.state

    async def move_to_past(age: timedelta) -> None:
        earlier = CodingSession.last_signal_at - age
        await session.execute(update(CodingSession).values(last_signal_at=earlier))

    async def connect(kind: ConnectionKind) -> None:
        await record_connection(session, world.worker, CLAUDE, kind=kind)

    await connect(ConnectionKind.TELEMETRY)
    await record_signal(session, world.worker, CLAUDE, "s1")
    assert await find_state() == GateState.NEVER_ASKED
    await connect(ConnectionKind.HOOK)
    assert await find_state() == GateState.NOT_IN_SESSION
    await record_signal(session, world.worker, CLAUDE, "s1", is_call=True)
    assert await find_state() == GateState.ON
    await move_to_past(timedelta(minutes=1))
    latest = await record_signal(session, world.worker, CLAUDE, "s2")
    assert await find_state() == GateState.NOT_IN_SESSION
    session.add(make_call(latest, is_ungated=True, executed_at=now()))
    assert await find_state() == GateState.BYPASSED
    ungated = await coding_sessions.find_ungated_calls(session, world.worker)
    assert ungated is not None
    assert (ungated.count, ungated.tool, ungated.session_id) == (1, "Bash", latest.id)
    await session.execute(update(ToolCall).values(is_ungated=False))
    await move_to_past(timedelta(days=1))
    assert await find_state() == GateState.UNKNOWN


async def test_a_disconnected_client_is_off_until_it_asks_again(session, world) -> None:
    async def find_gate() -> tuple[GateState, bool]:
        [report] = await coding_sessions.list_gates(session, world.worker)
        contact = coding_sessions.find_contact(report.connection, ConnectionKind.HOOK)
        return report.state, contact is not None

    async def call() -> None:
        await record_connection(session, world.worker, CLAUDE, kind=ConnectionKind.HOOK)
        await record_signal(session, world.worker, CLAUDE, "s1", is_call=True)

    await coding_sessions.record_disconnection(session, world.worker, CLAUDE)
    await call()
    assert await find_gate() == (GateState.ON, True)
    await coding_sessions.record_disconnection(session, world.worker, CLAUDE)
    await record_signal(session, world.worker, CLAUDE, "s1")  # by telemetry
    assert await find_gate() == (GateState.DISCONNECTED, False)
    await call()
    assert await find_gate() == (GateState.ON, True)
    types = [one for one in await list_event_types(session) if "client" in one]
    connected = EventType.AGENT_CLIENT_CONNECTED
    assert types == [connected, EventType.AGENT_CLIENT_DISCONNECTED, connected]


def test_other_versions_than_the_tested_ones_are_known() -> None:
    for client, version in TESTED_VERSIONS.items():
        assert is_tested(client, version)
        assert not is_tested(client, f"{version}.1")
        assert is_tested(client, None) is None


async def test_sessions_are_deleted_after_30_days_and_usage_after_400(session, world) -> None:
    ages = {"new": 29, "old": 31, "with a call": 31}
    for key, days in ages.items():
        stored = await record_signal(session, world.worker, CLAUDE, key)
        usage = UsageReport("usage", key, input=1)
        kind = SessionEventKind.USAGE
        await record_event(session, world.worker, SessionEvent(CLAUDE, key, kind, usage=usage))
        stored.last_signal_at -= timedelta(days=days)
    session.add(make_call(stored))
    session.add(
        UsageFact(
            organization_id=world.tern.id,
            agent_id=world.worker.id,
            source="usage",
            source_key="very old",
            used_at=now() - timedelta(days=401),
        )
    )
    await session.flush()
    await coding_sessions.delete_old_sessions(session)
    assert set(await session.scalars(select(CodingSession.session_key))) == {"new", "with a call"}
    rows = await session.execute(select(UsageFact.source_key, UsageFact.session_id.is_(None)))
    assert {key: is_alone for key, is_alone in rows} == {
        "new": False,
        "old": True,
        "with a call": False,
    }


async def test_the_state_of_an_agent_is_that_of_its_sessions(transaction, world) -> None:
    """A silent session is unknown, also with a task; one that waits is never offline."""

    async def find_state() -> str:
        async with transaction() as session:
            card = await agents.get_agent_card(session, world.alice_member, world.worker.id)
            return card.state

    async with transaction() as session:
        agent = await session.get_one(Agent, world.worker.id)
        agent.last_seen_at = now()
        session.add(make_coding_session(world.worker))
    assert await find_state() == "working"
    silent = now() - agents.SESSION_SILENT_AFTER
    async with transaction() as session:
        await session.execute(update(CodingSession).values(last_signal_at=silent))
    assert await find_state() == "unknown"
    async with transaction() as session:
        await session.execute(update(CodingSession).values(state=SessionState.ENDED))
    assert await find_state() == "idle"
    async with transaction() as session:
        agent = await session.get_one(Agent, world.worker.id)
        await ask(session, agent)
        agent.last_seen_at = now() - timedelta(hours=1)
    assert await find_state() == "waiting"


async def test_a_closed_client_raises_no_alarm(transaction, world) -> None:
    """The agent is offline for the API. One on a gateway, which also uses MCP, is missed."""
    earlier = now() - timedelta(hours=1)
    async with transaction() as session:
        gateway = make_gateway(world.tern, "Harbor")
        session.add(gateway)
        await session.flush()
        for agent in (world.worker, world.other_worker):
            await record_connection(session, agent, CLAUDE, kind=ConnectionKind.MCP)
            stored = await session.get_one(Agent, agent.id)
            stored.status, stored.last_seen_at = AgentStatus.ONLINE, earlier
        stored.gateway_id = gateway.id
    async with transaction() as session:
        assert await agents.mark_silent_agents_offline(session) == 2
    async with transaction() as session:
        card = await agents.get_agent_card(session, world.alice_member, world.worker.id)
        assert (card.state, card.has_client) == (AgentState.CLOSED, True)
        assert card.agent.status == AgentStatus.OFFLINE
        card = await agents.get_agent_card(session, world.alice_member, world.other_worker.id)
        assert card.state in (AgentState.OFFLINE, AgentState.AWAY)
        kind = Notification.kind == NotificationKind.AGENT_OFFLINE
        notified = set(await session.scalars(select(Notification.agent_id).where(kind)))
        assert notified == {world.other_worker.id}
