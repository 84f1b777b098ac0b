"""The gateway jobs of runs: one follows them, one aborts them while their organization is stopped.

Changes of a run that people wait for (another phase, a tool call, the end) are stored at once,
others at most once per second and run.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Collection, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, select

from core.clock import now
from core.db.engine import TransactionFactory
from core.db.listen import PostgresListener
from core.db.reads import Query, ReadFactory, Source
from core.text import is_storable
from models import Gateway, Organization, RunStatus
from openclaw import ErrorKind, GatewayClient, GatewayError, GatewayEvent, poll_events
from openclaw import api as gateway_api
from openclaw.api import find_agent_id, parse_milliseconds
from services.gateways.runs import commands
from services.gateways.runs.queries import RUN_WITH_ID, RUNNING_RUNS, RunAgent, load_run_agents
from services.gateways.runs.run_state import (
    END_PHASES,
    OPEN_STATUSES,
    PHASE_OF_LIFECYCLE,
    RunState,
)

EVENT_NAMES = ("agent", "chat", "session.tool", "sessions.changed")
POLL_INTERVAL = 20.0  # seconds between two loads of the active runs, whatever events arrive
WRITE_INTERVAL = 1.0  # seconds between two writes for one run
RETRY_DELAY = 1.0  # seconds after a load that failed
UNKNOWN_AGENT_INTERVAL = 5.0  # seconds between two loads of our agents for the same unknown one
MAX_UNKNOWN_AGENTS = 20  # for which ours are loaded in an interval; a gateway may name any number
MAX_FINISHED = 500  # finished runs that are remembered, because late events may arrive
MAX_RUNS = 200  # runs followed at once; a gateway may report any number
CHAT_END_STATES = ("final", "error", "aborted")  # also sent for runs that another run absorbed
PERMANENT_ERRORS = (ErrorKind.REJECTED, ErrorKind.MISSING_SCOPE)
TOO_MANY_RUNS = (
    f"Its gateway reported more than {MAX_RUNS} runs at once, so the oldest are not tracked."
)
MAX_ID_SIZE = 1_000  # bytes of the id of a run or of its session; an index has at most 2,704
MAX_EVENTS = 5_000  # the latest of a run that are applied
MAX_SESSIONS = 10_000  # active sessions of one gateway that are read

ABORT_INTERVAL = 1.0  # seconds between two searches for runs while the organization is stopped
STOP_POLL_INTERVAL = 30.0  # seconds between two checks for a stop, if no notification arrives
OUTAGE_POLL_INTERVAL = 3.0  # the same while no notification can arrive
ABORT_TIMEOUT = 2.0  # seconds for the abort of one run
MAX_ABORTS = 20  # at once, so that runs that do not answer do not delay the others
DEBOUNCE_DELAY = 0.1  # seconds, in which several notifications are handled as one

STOPPED_ORGANIZATION = Query(
    select(Organization.id).where(
        Organization.id == bindparam("id"), Organization.stopped_at.is_not(None)
    )
)

log = logging.getLogger(__name__)


class RunTrackingJob:
    """A gateway job: follows the runs of our agents."""

    def __init__(
        self,
        open_transaction: TransactionFactory,
        open_read: ReadFactory,
        *,
        poll_interval: float = POLL_INTERVAL,
        write_interval: float = WRITE_INTERVAL,
    ) -> None:
        self._open_transaction = open_transaction
        self._open_read = open_read
        self._poll_interval = poll_interval
        self._write_interval = write_interval

    async def __call__(self, gateway: Gateway, client: GatewayClient) -> None:
        """Follow the runs of a gateway until cancelled."""
        tracker = RunTracker(self._open_transaction, self._open_read, gateway, client)
        async with asyncio.TaskGroup() as group:
            group.create_task(
                poll_events(
                    client,
                    EVENT_NAMES,
                    load_all=tracker.refresh,
                    handle_event=tracker.handle_event,
                    interval=self._poll_interval,
                    # The errors that stay are retried rarely.
                    retry_delay=lambda error: (
                        self._poll_interval if error.kind in PERMANENT_ERRORS else RETRY_DELAY
                    ),
                )
            )
            group.create_task(tracker.write_until_cancelled(self._write_interval))


class RunTracker:
    """The open runs of one gateway, in memory."""

    def __init__(
        self,
        open_transaction: TransactionFactory,
        open_read: ReadFactory,
        gateway: Gateway,
        client: GatewayClient,
    ) -> None:
        self._open_transaction = open_transaction
        self._open_read = open_read
        self._gateway = gateway
        self._client = client
        self._runs: dict[str, RunState] = {}
        self._finished: deque[str] = deque(maxlen=MAX_FINISHED)
        self._recently_active: set[str] = set()  # runs with events since the last refresh
        self._agents: dict[str, RunAgent] = {}
        self._unknown_agents: set[str] = set()  # for which ours were loaded in this interval
        self._interval_began_at = float("-inf")
        self._written_at: dict[str, float] = {}
        self._has_urgent_change = asyncio.Event()

    async def refresh(self, has_missed: bool) -> None:
        """Load the active runs, catch up with what was missed, and finish the others.

        If no events were missed, a run with events since the last refresh continues, though the
        gateway may not list it yet.
        """
        spared, self._recently_active = set() if has_missed else self._recently_active, set()
        await gateway_api.subscribe_to_sessions(self._client)
        await self._load_open_runs()
        active = await self._catch_up_runs()
        for run in list(self._runs.values()):
            is_over = run.is_running and run.run_id not in active | spared
            if is_over and not await load_outcome(self._client, run, now()):
                reason = "It has ended, and its gateway does not know how."
                run.finish(RunStatus.LOST, now(), reason)
        if active:
            async with self._open_transaction() as session:
                await commands.confirm_running(session, self._gateway.id, active)
        self._has_urgent_change.set()

    async def handle_event(self, event: GatewayEvent) -> None:
        """Apply an event, if it belongs to a run of one of our agents."""
        payload = event.payload
        has_run = _is_id(payload.get("runId"))
        run = await self._find_or_load_run(payload) if has_run else None
        if run is None:
            return
        self._recently_active.add(run.run_id)
        if event.name == "sessions.changed":
            await self._apply_phase(run, payload)
        else:
            run.apply_event(event.name, payload, parse_milliseconds(payload.get("ts")) or now())
        if run.has_urgent_change:
            self._has_urgent_change.set()

    async def write_until_cancelled(self, interval: float) -> None:
        """Store changes until cancelled."""
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._has_urgent_change.wait(), interval)
            self._has_urgent_change.clear()
            await self.write_changes(interval)

    async def write_changes(self, interval: float) -> None:
        """Store urgent changes, and those of runs not stored for `interval` seconds."""
        clock = time.monotonic()
        due = [
            run
            for run in self._runs.values()
            if run.has_change
            and (run.has_urgent_change or clock - self._written_at.get(run.run_id, 0.0) >= interval)
            and run.agent_key in self._agents
        ]
        for run in due:
            run.has_urgent_change = run.has_change = False
            self._written_at[run.run_id] = clock
        if due:
            async with self._open_transaction() as session:
                runs = [(run, self._agents[run.agent_key]) for run in due]
                await commands.upsert_runs(session, self._gateway, runs)
        for run in due:
            if run.is_running or run.has_change:
                continue
            if run.status is not RunStatus.LOST:  # a lost one may be found again
                self._finished.append(run.run_id)
            self._runs.pop(run.run_id, None)
            self._written_at.pop(run.run_id, None)

    async def _load_open_runs(self) -> None:
        """Continue the runs that are stored as running, perhaps by another process."""
        async with self._open_read() as source:
            await self._load_agents(source)
            rows = await RUNNING_RUNS.fetch(source, gateway_id=self._gateway.id)
        known = {agent.id: agent for agent in self._agents.values()}
        runs = self._runs.values()
        self._runs = {run.run_id: run for run in runs if run.agent_key in self._agents}
        for row in rows:
            if row.run_id not in self._runs and row.agent_id in known:
                self._runs[row.run_id] = RunState.from_row(row, known[row.agent_id].key)
        self._drop_excess_runs()

    async def _catch_up_runs(self) -> set[str]:
        """Apply what was missed of the active runs, and return their ids."""
        active = set()
        for key, agent_key in await list_active_sessions(self._client, self._agents):
            history = await gateway_api.chat_history(self._client, key, limit=1)
            found = history.get("inFlightRun")
            if not isinstance(found, Mapping) or not _is_id(found.get("runId")):
                continue
            active_run = {**found, "sessionKey": key, "agentId": agent_key}
            run = await self._find_or_load_run(active_run)
            if run is not None:
                catch_up_run(run, active_run, now())
                active.add(run.run_id)
        return active

    async def _apply_phase(self, run: RunState, payload: Mapping[str, Any]) -> None:
        """Apply a phase. For runs of heartbeats the gateway sends no other events."""
        phase = str(payload.get("phase"))
        if phase in END_PHASES and run.is_running:
            at = parse_milliseconds(payload.get("ts")) or now()
            if not await load_outcome(self._client, run, at):
                run.finish(RunStatus.ENDED if phase == "end" else RunStatus.FAILED, at)
        elif phase in PHASE_OF_LIFECYCLE and run.phase is None:
            run.apply_event("agent", {"stream": "lifecycle", "data": {"phase": phase}}, now())

    async def _find_or_load_run(self, payload: Mapping[str, Any]) -> RunState | None:
        """Return the run of an event; None if it is finished, or if its agent is not ours.

        Another process may have stored the run.
        """
        run_id, key = str(payload["runId"]), find_agent_id(payload) or ""
        is_end = payload.get("state") in CHAT_END_STATES and run_id not in self._runs
        if run_id in self._finished or is_end:
            return None
        if not await self._knows_agent(key):
            return None
        if run_id in self._runs:
            return self._runs[run_id]
        async with self._open_read() as source:
            row = await RUN_WITH_ID.first(source, gateway_id=self._gateway.id, run_id=run_id)
        if row is not None and row.status not in OPEN_STATUSES:
            self._finished.append(run_id)
            return None
        started_at = parse_milliseconds(payload.get("startedAt")) or parse_milliseconds(
            payload.get("ts")
        )
        session_key = payload.get("sessionKey")
        session_key = str(session_key) if _is_id(session_key) else ""
        run = (
            RunState(run_id, session_key, key, started_at or now())
            if row is None
            else RunState.from_row(row, key)
        )
        self._runs[run_id] = run
        self._drop_excess_runs()
        return run

    async def _knows_agent(self, key: str) -> bool:
        """Return whether an agent is ours. For an unknown one ours are loaded again, at once.

        The first run of a new agent may take less time than an interval.
        """
        if key in self._agents:
            return True
        if time.monotonic() - self._interval_began_at > UNKNOWN_AGENT_INTERVAL:
            self._unknown_agents.clear()
            self._interval_began_at = time.monotonic()
        if key in self._unknown_agents or len(self._unknown_agents) >= MAX_UNKNOWN_AGENTS:
            return False
        self._unknown_agents.add(key)
        async with self._open_read() as source:
            await self._load_agents(source)
        return key in self._agents

    async def _load_agents(self, source: Source) -> None:
        self._agents = await load_run_agents(source, self._gateway.id)

    def _drop_excess_runs(self) -> None:
        """Finish the oldest runs beyond MAX_RUNS for good: loaded again they displace others."""
        running = [run for run in self._runs.values() if run.is_running]
        for run in running[:-MAX_RUNS]:
            run.finish(RunStatus.LOST, now(), TOO_MANY_RUNS)
            self._finished.append(run.run_id)


def _is_id(value: object) -> bool:
    """Return whether an id can be stored: clients of the gateway choose those of their runs."""
    is_text = isinstance(value, str) and is_storable(value)
    return is_text and len(str(value).encode()) <= MAX_ID_SIZE


async def list_active_sessions(
    client: GatewayClient, agent_keys: Collection[str]
) -> list[tuple[str, str]]:
    """Return the active sessions of these agents on all pages: session key and agent key each."""
    found: dict[str, str] = {}  # a session may be on two pages if another one has ended meanwhile
    offset: int | None = None
    while (offset or 0) < MAX_SESSIONS:
        page = await gateway_api.list_sessions(client, limit=500, offset=offset, active_only=True)
        for session in page.sessions:
            key = session.get("key")
            if not session.get("hasActiveRun") or not isinstance(key, str):
                continue
            agent_key = find_agent_id({"sessionKey": key, **session}) or ""
            if agent_key in agent_keys:
                found[key] = agent_key
        if page.next_offset is None or page.next_offset <= (offset or 0):
            break
        offset = page.next_offset
    return list(found.items())


def catch_up_run(run: RunState, active_run: Mapping[str, Any], at: datetime) -> None:
    """Apply what the gateway still has of an active run. Repetitions change nothing."""
    if run.phase is None:
        start = {"phase": "start", "startedAt": active_run.get("startedAt")}
        run.apply_event("agent", {"stream": "lifecycle", "data": start}, at)
    run.set_output(active_run.get("text"))
    events = active_run.get("events")
    for event in events[-MAX_EVENTS:] if isinstance(events, list) else []:
        if isinstance(event, Mapping):
            run.apply_event("agent", event, parse_milliseconds(event.get("ts")) or at)


async def load_outcome(client: GatewayClient, run: RunState, at: datetime) -> bool:
    """Finish a run as its gateway remembers it; return whether the gateway does."""
    answer = await gateway_api.wait_for_run(client, run.run_id, timeout_ms=1)
    if answer.get("status") not in ("ok", "error"):
        return False
    reply = answer.get("terminalReply")
    run.set_output(reply.get("text") if isinstance(reply, Mapping) else None)
    is_aborted = answer.get("error") == "aborted"
    status = RunStatus.ENDED if answer["status"] == "ok" else RunStatus.FAILED
    status = RunStatus.ABORTED if is_aborted else status
    error = None if is_aborted else answer.get("error")
    run.finish(status, parse_milliseconds(answer.get("endedAt")) or at, error)
    return True


class RunAbortJob:
    """A gateway job: aborts the runs of our agents while their organization is stopped.

    It searches again and again, because a message that was claimed before the stop, a heartbeat of
    the gateway or a user of the gateway may start another run.
    """

    def __init__(self, open_read: ReadFactory, listener: PostgresListener) -> None:
        self._open_read = open_read
        self._listener = listener

    async def __call__(self, gateway: Gateway, client: GatewayClient) -> None:
        """Abort runs whenever the organization is stopped, until cancelled."""
        with self._listener.subscribe(str(gateway.organization_id)) as notified:
            while True:
                await client.wait_connected()
                notified.clear()
                is_stopped = await self._abort_if_stopped(gateway, client)
                is_notified = self._listener.connected.is_set()
                idle_time = STOP_POLL_INTERVAL if is_notified else OUTAGE_POLL_INTERVAL
                wait_time = ABORT_INTERVAL if is_stopped else idle_time
                with suppress(TimeoutError):
                    await asyncio.wait_for(notified.wait(), wait_time)
                await asyncio.sleep(DEBOUNCE_DELAY)

    async def _abort_if_stopped(self, gateway: Gateway, client: GatewayClient) -> bool:
        async with self._open_read() as source:
            if not await STOPPED_ORGANIZATION.fetch(source, id=gateway.organization_id):
                return False
            agents = await load_run_agents(source, gateway.id)
        try:
            errors = await _abort_runs(client, agents)
        except GatewayError as error:
            errors = [error]
        for error in errors[:1]:
            log.warning(
                "Runs on the gateway %s cannot be aborted (%d errors): %s",
                gateway.id,
                len(errors),
                error,
            )
        return True


async def _abort_runs(client: GatewayClient, agent_keys: Collection[str]) -> list[GatewayError]:
    """Abort the active runs of these agents, and return the errors of those that continue."""
    errors: list[GatewayError] = []
    semaphore = asyncio.Semaphore(MAX_ABORTS)

    async def abort(key: str) -> None:
        async with semaphore:
            try:
                await gateway_api.abort_chat(client, key, time_limit=ABORT_TIMEOUT)
            except GatewayError as error:
                errors.append(error)

    sessions = await list_active_sessions(client, agent_keys)
    async with asyncio.TaskGroup() as group:
        for key, _ in sessions:
            group.create_task(abort(key))
    return errors
