"""Asking a gateway about runs: which go on, what was missed of them, and how one has ended."""

from collections.abc import AsyncGenerator, Collection, Mapping
from datetime import datetime
from typing import Any

from models import RunStatus
from openclaw import Link
from services.runs.live import Live, moment

ABORTED = "aborted"
STARTED = {"stream": "lifecycle", "data": {"phase": "start"}}


async def subscribe(link: Link) -> None:
    """Have all that happens in sessions told over this connection."""
    await link.ask("sessions.subscribe", {})


async def going_on(link: Link, agent_keys: Collection[str]) -> AsyncGenerator[Mapping[str, Any]]:
    """Yield the runs that go on in sessions of these agents: id, session, text, and last events."""
    listed = await link.ask("sessions.list", {"activeOnly": True})
    sessions = listed.get("sessions") if isinstance(listed, Mapping) else None
    for row in sessions if isinstance(sessions, list) else []:
        if not (isinstance(row, Mapping) and row.get("hasActiveRun")):
            continue
        if row.get("agentId") in agent_keys:
            asked = {"sessionKey": row.get("key"), "limit": 1}
            history = await link.ask("chat.history", asked)
            run = history.get("inFlightRun") if isinstance(history, Mapping) else None
            if isinstance(run, Mapping) and isinstance(run.get("runId"), str):
                yield {**run, "sessionKey": row.get("key"), "agentId": row.get("agentId")}


def catch_up(live: Live, run: Mapping[str, Any], at: datetime) -> None:
    """Let a run take what the gateway still has of it. What it has taken before changes nothing."""
    began = {**STARTED, "data": {"phase": "start", "startedAt": run.get("startedAt")}}
    if live.phase is None:
        live.take("agent", began, at)
    live.say(run.get("text"))
    events = run.get("events")
    for event in events if isinstance(events, list) else []:
        if isinstance(event, Mapping):
            live.take("agent", event, moment(event.get("ts")) or at)


async def how_it_ended(link: Link, live: Live, at: datetime) -> bool:
    """Note how a run has ended, if its gateway still knows; say whether it does."""
    said = await link.ask("agent.wait", {"runId": live.run_id, "timeoutMs": 1})
    said = said if isinstance(said, Mapping) else {}
    reply = said.get("terminalReply")
    if said.get("status") not in ("ok", "error"):
        return False
    live.say(reply.get("text") if isinstance(reply, Mapping) else None)
    well = RunStatus.ENDED if said["status"] == "ok" else RunStatus.FAILED
    aborted = said.get("error") == ABORTED
    error = None if aborted else said.get("error")
    live.end(RunStatus.ABORTED if aborted else well, moment(said.get("endedAt")) or at, error)
    return True
