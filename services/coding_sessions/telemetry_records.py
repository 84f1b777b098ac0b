"""Record what an export of telemetry says: usage, results of calls, and calls that never asked."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from sqlalchemy import DateTime, String, Uuid, bindparam, func, select, update
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.reads import Query
from models import (
    Agent,
    ClientConnection,
    CodingClient,
    CodingSession,
    ToolAnswer,
    ToolCall,
    new_id,
)
from services import events
from services.coding_sessions.signals import (
    build_change_event,
    build_ungated_events,
    record_signal,
    record_usage,
)
from services.coding_sessions.telemetry import CallReport, Export

REASON_UNGATED = "ungated"  # of a call that the hook was not asked about
KEY_AGE = timedelta(days=2)  # a call is asked for, executed and reported within this time

CALL_COLUMNS = (
    ToolCall.id,
    ToolCall.call_key,
    ToolCall.answer,
    ToolCall.is_ungated,
    ToolCall.tool,
)
CALL_KEYS = ToolCall.call_key == func.any(bindparam("keys", type_=ARRAY(String())))
CALLS_OF_SESSION: Query[tuple[Any, ...]] = Query(
    select(*CALL_COLUMNS).where(
        ToolCall.session_id == bindparam("session_id", type_=Uuid()), CALL_KEYS
    )
)
CALLS_OF_AGENT: Query[tuple[Any, ...]] = Query(
    select(*CALL_COLUMNS).where(
        ToolCall.agent_id == bindparam("agent_id", type_=Uuid()),
        ToolCall.asked_at > bindparam("since", type_=DateTime(timezone=True)),
        CALL_KEYS,
    )
)
"""A client may report a call of a part of its session as that of another session."""
GATED_CLIENTS: Query[tuple[CodingClient]] = Query(
    select(ClientConnection.client).where(
        ClientConnection.agent_id == bindparam("agent_id", type_=Uuid()),
        ClientConnection.hook_at.is_not(None),
    )
)


async def record_export(session: AsyncSession, agent: Agent, export: Export) -> None:
    """Record an export of an agent's client, and its events.

    A call that ran although the hook was not asked, or has not allowed it, is an event, once. That
    is only known of clients whose hook has called before: without it there is no gate.
    """
    gated = {client for (client,) in await GATED_CLIENTS.fetch(session, agent_id=agent.id)}
    begun, ungated = [], []
    # in one order, so that exports that arrive together cannot deadlock
    for (client, key), reports in sorted(export.sessions.items(), key=lambda one: one[0]):
        stored = await record_signal(session, agent, client, key, model=reports.model)
        begun += [stored] if stored.started_at == stored.last_signal_at else []
        await record_usage(session, stored, reports.usage)
        calls = _combine(reports.calls)
        if calls:
            ungated += await _record_calls(session, agent, stored, calls, is_gated=client in gated)
    new_events = [build_change_event(agent, one) for one in begun]
    if ungated:
        new_events += await build_ungated_events(session, agent, ungated)
    await events.record_events(session, new_events)


def _combine(calls: Iterable[CallReport]) -> Mapping[str, CallReport]:
    """Return one report for each call: its result, if it has one."""
    combined: dict[str, CallReport] = {}
    for call in calls:
        known = combined.get(call.key)
        if known is not None:
            is_successful = (
                known.is_successful if call.is_successful is None else call.is_successful
            )
            is_proof = known.is_proof or call.is_proof
            call = replace(call, is_successful=is_successful, is_proof=is_proof)
        combined[call.key] = call
    return combined


async def _record_calls(
    session: AsyncSession,
    agent: Agent,
    coding_session: CodingSession,
    calls: Mapping[str, CallReport],
    *,
    is_gated: bool,
) -> Sequence[tuple[CodingSession, str]]:
    """Record the results of calls, and return the tools of calls that ran without permission."""
    at, ungated = now(), []
    known = await CALLS_OF_SESSION.fetch(session, session_id=coding_session.id, keys=[*calls])
    unknown = [*calls.keys() - {row[1] for row in known}]
    if unknown:
        known += await CALLS_OF_AGENT.fetch(
            session, agent_id=agent.id, since=at - KEY_AGE, keys=unknown
        )
    executed, succeeded, without_permission = [], [], []
    for id, key, answer, was_ungated, tool in known:
        is_successful = calls[key].is_successful
        if is_successful is None:
            continue  # it is not executed yet
        executed.append(id)
        if is_successful:
            succeeded.append(id)
        if is_successful and answer != ToolAnswer.ALLOW and not was_ungated:
            without_permission.append(id)
            ungated.append((coding_session, tool))
    if executed:
        await session.execute(
            update(ToolCall)
            .where(ToolCall.id.in_(executed))
            .values(
                executed_at=func.coalesce(ToolCall.executed_at, at),
                is_successful=ToolCall.id.in_(succeeded),
                is_ungated=ToolCall.is_ungated | ToolCall.id.in_(without_permission),
            )
            .execution_options(synchronize_session=False)
        )
    found = {row[1] for row in known}
    new = [call for key, call in sorted(calls.items()) if key not in found and call.is_proof]
    if new and is_gated:
        inserted = await _insert_ungated(session, coding_session, new)
        ungated += [(coding_session, tool) for tool in inserted]
    return ungated


async def _insert_ungated(
    session: AsyncSession, coding_session: CodingSession, calls: Sequence[CallReport]
) -> Sequence[str]:
    """Store calls that the hook was not asked about, and return their tools, each call once."""
    at = now()
    rows = [
        {
            "id": new_id(),
            "organization_id": coding_session.organization_id,
            "board_id": coding_session.board_id,
            "agent_id": coding_session.agent_id,
            "session_id": coding_session.id,
            "call_key": call.key,
            "tool": call.tool,
            "request_hash": "",
            "input_excerpt": "",
            "facts": {},
            "reason": REASON_UNGATED,
            "asked_at": at,
            "abandoned_at": at,  # nobody waits for an answer
            "executed_at": at,
            "is_successful": call.is_successful,
            "is_ungated": True,
        }
        for call in calls
    ]
    statement = insert(ToolCall).values(rows)
    statement = statement.on_conflict_do_nothing(
        index_elements=["session_id", "call_key"], index_where=ToolCall.call_key.is_not(None)
    )
    return list(await session.scalars(statement.returning(ToolCall.tool)))
