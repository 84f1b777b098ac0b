"""Calls of a gateway about runs: which are active, what was missed, and how one has ended."""

from collections.abc import AsyncGenerator, Collection, Mapping
from datetime import datetime
from typing import Any

from models import RunStatus
from openclaw import GatewayClient
from openclaw import api as gateway_api
from services.gateways.runs.run_state import RunState, parse_timestamp

MAX_EVENTS = 5_000  # the latest of a run that are applied
ABORTED = "aborted"  # the error of a run that was stopped
SESSIONS_PER_PAGE = 500
MAX_SESSIONS = 10_000  # active sessions of one gateway that are read
STARTED_EVENT = {"stream": "lifecycle", "data": {"phase": "start"}}


async def list_active_sessions(
    client: GatewayClient, agent_keys: Collection[str]
) -> list[tuple[str, str]]:
    """Return the active sessions of these agents on all pages: session key and agent key each."""
    found: dict[str, str] = {}  # a session may be on two pages if another one has ended meanwhile
    offset: int | None = None
    while (offset or 0) < MAX_SESSIONS:
        page = await gateway_api.list_sessions(
            client, limit=SESSIONS_PER_PAGE, offset=offset, active_only=True
        )
        for session in page.sessions:
            key = session.get("key")
            if not session.get("hasActiveRun") or not isinstance(key, str):
                continue
            agent_key = agent_key_of({"sessionKey": key, **session})
            if agent_key in agent_keys:
                found[key] = agent_key
        if page.next_offset is None or page.next_offset <= (offset or 0):
            break
        offset = page.next_offset
    return list(found.items())


async def iterate_active_runs(
    client: GatewayClient, agent_keys: Collection[str]
) -> AsyncGenerator[Mapping[str, Any]]:
    """Yield the active runs of these agents: id, session, agent, text, and latest events."""
    for key, agent_key in await list_active_sessions(client, agent_keys):
        history = await gateway_api.chat_history(client, key, limit=1)
        run = history.get("inFlightRun")
        if isinstance(run, Mapping) and isinstance(run.get("runId"), str):
            yield {**run, "sessionKey": key, "agentId": agent_key}


def catch_up_run(run: RunState, active_run: Mapping[str, Any], at: datetime) -> None:
    """Apply what the gateway still has of an active run. Repetitions change nothing."""
    start = {"phase": "start", "startedAt": active_run.get("startedAt")}
    if run.phase is None:
        run.apply_event("agent", {**STARTED_EVENT, "data": start}, at)
    run.set_output(active_run.get("text"))
    events = active_run.get("events")
    for event in events[-MAX_EVENTS:] if isinstance(events, list) else []:
        if isinstance(event, Mapping):
            run.apply_event("agent", event, parse_timestamp(event.get("ts")) or at)


async def load_outcome(client: GatewayClient, run: RunState, at: datetime) -> bool:
    """Finish a run as its gateway remembers it; return whether the gateway does."""
    answer = await gateway_api.wait_for_run(client, run.run_id, timeout_ms=1)
    if answer.get("status") not in ("ok", "error"):
        return False
    reply = answer.get("terminalReply")
    run.set_output(reply.get("text") if isinstance(reply, Mapping) else None)
    is_aborted = answer.get("error") == ABORTED
    status = RunStatus.ENDED if answer["status"] == "ok" else RunStatus.FAILED
    status = RunStatus.ABORTED if is_aborted else status
    error = None if is_aborted else answer.get("error")
    run.finish(status, parse_timestamp(answer.get("endedAt")) or at, error)
    return True


def agent_key_of(payload: Mapping[str, Any]) -> str:
    """Return the id that the gateway has for the agent of a run."""
    agent_id = payload.get("agentId")
    if isinstance(agent_id, str):
        return agent_id
    parts = str(payload.get("sessionKey") or "").split(":")
    return parts[1] if len(parts) > 1 else ""
