"""The gateway job that follows runs: it receives their events and stores their state.

Changes that people wait for (another phase, a tool call, the end) are stored at once, others at
most once per second and run.
"""

import asyncio
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from core.clock import now
from core.db.engine import TransactionFactory
from core.db.reads import ReadFactory, Source
from models import Gateway, RunStatus
from openclaw import ErrorKind, GatewayClient, GatewayError, GatewayEvent, poll_events
from openclaw import api as gateway_api
from services.gateways.runs import client as runs_client
from services.gateways.runs import store
from services.gateways.runs.run_state import (
    END_PHASES,
    PHASE_OF_LIFECYCLE,
    RunState,
    parse_timestamp,
)
from services.gateways.runs.store import OPEN_STATUSES, RunAgent

EVENT_NAMES = ("agent", "chat", "session.tool", "sessions.changed")
POLL_INTERVAL = 20.0  # seconds between two loads of the active runs, whatever events arrive
WRITE_INTERVAL = 1.0  # seconds between two writes for one run
RETRY_DELAY = 1.0  # seconds after a load that failed
AGENT_REFRESH_INTERVAL = 5.0  # seconds between two loads of our agents for an unknown one
MAX_FINISHED = 500  # finished runs that are remembered, because late events may arrive
MAX_RUNS = 200  # runs followed at once; a gateway may report any number
CHAT_END_STATES = ("final", "error", "aborted")  # also sent for runs that another run absorbed
PERMANENT_ERRORS = (ErrorKind.REJECTED, ErrorKind.MISSING_SCOPE)
UNKNOWN_END = "It is over, and its gateway does not know how it ended."
TOO_MANY_RUNS = (
    f"Its gateway told of more than {MAX_RUNS} runs at once, and the oldest are not followed."
)


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
                    retry_delay=self._retry_delay,
                )
            )
            group.create_task(tracker.write_until_cancelled(self._write_interval))

    def _retry_delay(self, error: GatewayError) -> float:
        """Return the delay after an error, in seconds; permanent errors are retried rarely."""
        return self._poll_interval if error.kind in PERMANENT_ERRORS else RETRY_DELAY


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
        self._agents_loaded_at = float("-inf")
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
            if run.is_running and run.run_id not in active | spared:
                await self._finish(run)
        if active:
            async with self._open_transaction() as session:
                await store.confirm_running(session, self._gateway.id, active)
        self._has_urgent_change.set()

    async def handle_event(self, event: GatewayEvent) -> None:
        """Apply an event, if it belongs to a run of one of our agents."""
        payload = event.payload
        has_run = isinstance(payload.get("runId"), str)
        run = await self._find_or_load_run(payload) if has_run else None
        if run is None:
            return
        self._recently_active.add(run.run_id)
        if event.name == "sessions.changed":
            await self._apply_phase(run, payload)
        else:
            run.apply_event(event.name, payload, parse_timestamp(payload.get("ts")) or now())
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
                await store.upsert_runs(session, self._gateway, runs)
        for run in due:
            if not run.is_running and not run.has_change:
                self._forget(run)

    async def _load_open_runs(self) -> None:
        """Continue the runs that are stored as running, perhaps by another process."""
        async with self._open_read() as source:
            await self._load_agents(source)
            rows = await store.list_running_runs(source, self._gateway.id)
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
        async for active_run in runs_client.iterate_active_runs(self._client, self._agents):
            run = await self._find_or_load_run(active_run)
            if run is not None:
                runs_client.catch_up_run(run, active_run, now())
                active.add(run.run_id)
        return active

    async def _apply_phase(self, run: RunState, payload: Mapping[str, Any]) -> None:
        """Apply a phase. For runs of heartbeats the gateway sends no other events."""
        phase = str(payload.get("phase"))
        if phase in END_PHASES and run.is_running:
            at = parse_timestamp(payload.get("ts")) or now()
            if not await runs_client.load_outcome(self._client, run, at):
                run.finish(RunStatus.ENDED if phase == "end" else RunStatus.FAILED, at)
        elif phase in PHASE_OF_LIFECYCLE and run.phase is None:
            run.apply_event("agent", {"stream": "lifecycle", "data": {"phase": phase}}, now())

    async def _finish(self, run: RunState) -> None:
        """Finish a run that is not active any more, as far as the gateway knows how it ended."""
        if not await runs_client.load_outcome(self._client, run, now()):
            run.finish(RunStatus.LOST, now(), UNKNOWN_END)

    async def _find_or_load_run(self, payload: Mapping[str, Any]) -> RunState | None:
        """Return the run of an event; None if it is finished, or if its agent is not ours."""
        run_id, key = str(payload["runId"]), runs_client.agent_key_of(payload)
        is_end = payload.get("state") in CHAT_END_STATES and run_id not in self._runs
        if run_id in self._finished or is_end or not await self._is_our_agent(key):
            return None
        if run_id not in self._runs:
            run = await self._load_new_run(run_id, key, payload)
            if run is None:
                self._finished.append(run_id)
                return None
            self._runs[run_id] = run
            self._drop_excess_runs()
        return self._runs[run_id]

    async def _load_new_run(
        self, run_id: str, key: str, payload: Mapping[str, Any]
    ) -> RunState | None:
        """Return a run that is not in memory. Another process may have stored it."""
        async with self._open_read() as source:
            row = await store.find_run(source, self._gateway.id, run_id)
        if row is not None:
            return RunState.from_row(row, key) if row.status in OPEN_STATUSES else None
        started_at = parse_timestamp(payload.get("startedAt")) or parse_timestamp(payload.get("ts"))
        return RunState(run_id, str(payload.get("sessionKey") or ""), key, started_at or now())

    async def _is_our_agent(self, key: str) -> bool:
        """Return whether an agent is ours. For unknown keys our agents are loaded again."""
        elapsed = time.monotonic() - self._agents_loaded_at
        if key not in self._agents and elapsed > AGENT_REFRESH_INTERVAL:
            async with self._open_read() as source:
                await self._load_agents(source)
        return key in self._agents

    async def _load_agents(self, source: Source) -> None:
        self._agents = await store.load_run_agents(source, self._gateway.id)
        self._agents_loaded_at = time.monotonic()

    def _drop_excess_runs(self) -> None:
        """Finish the oldest runs beyond MAX_RUNS for good: loaded again they displace others."""
        running = [run for run in self._runs.values() if run.is_running]
        for run in running[:-MAX_RUNS]:
            run.finish(RunStatus.LOST, now(), TOO_MANY_RUNS)
            self._finished.append(run.run_id)

    def _forget(self, run: RunState) -> None:
        """Remove a finished run from memory. A lost one may be found again."""
        if run.status is not RunStatus.LOST:
            self._finished.append(run.run_id)
        self._runs.pop(run.run_id, None)
        self._written_at.pop(run.run_id, None)
