"""What pages say about the gate of a coding agent: its clients, sessions and tool calls."""

from collections.abc import Mapping
from typing import Any

from core.clock import now
from core.db.reads import Source
from core.paging import Paging
from models import Agent, ApprovalStatus, ToolAnswer, ToolCall
from services import coding_sessions
from services.coding_sessions import (
    CLIENT_NAMES,
    REASON_UNGATED,
    TESTED_VERSIONS,
    GateReport,
    GateState,
    ReportedState,
    SessionSummary,
    is_tested,
)
from services.tool_calls import CallDetail
from web.agents.presenter import format_duration
from web.ui.translation import N_, _, translate

SHOWN_SESSIONS = 3  # on the page of an agent

GATE_LABELS: Mapping[GateState, str] = {
    GateState.ON: N_("On"),
    GateState.BYPASSED: N_("Bypassed"),
    GateState.NOT_IN_SESSION: N_("No request yet"),
    GateState.NEVER_ASKED: N_("Not on"),
    GateState.DISCONNECTED: N_("Disconnected"),
    GateState.UNKNOWN: N_("Unknown"),
}
GATE_TONES: Mapping[GateState, str] = {GateState.ON: "good", GateState.BYPASSED: "danger"}

STATE_LABELS: Mapping[ReportedState, str] = {
    ReportedState.WORKING: N_("Working"),
    ReportedState.WAITING: N_("Waits for a decision"),
    ReportedState.IDLE: N_("Idle"),
    ReportedState.UNKNOWN: N_("Unknown"),
    ReportedState.ENDED: N_("Ended"),
}
STATE_TONES: Mapping[ReportedState, str] = {
    ReportedState.WORKING: "good",
    ReportedState.WAITING: "signal",
}

DECIDED = (ApprovalStatus.APPROVED, ApprovalStatus.REJECTED)

ALLOWED_REASONS: Mapping[str, str] = {
    "plain_read": N_("Allowed: it only reads"),
    "own_tool": N_("Allowed: a tool of Mission Control"),
}
DENIED_REASONS: Mapping[str, str] = {
    "no_board": N_("Denied: the agent has no board"),
    "too_large": N_("Denied: the input is larger than 100 kB"),
    "limited": N_("Denied: too many calls were waiting"),
    "replayed": N_("Denied: this call was answered before"),
}
"""Answers that neither a rule nor a person has given, by the reason of the call."""


async def load_gate(source: Source, agent: Agent) -> dict[str, Any]:
    """Load what the page of an agent says about its clients and latest sessions."""
    has_client = agent.gateway_id is None
    gates = await coding_sessions.list_gates(source, agent) if has_client else ()
    if not gates:
        return {"gates": (), "ungated": None}
    sessions = await coding_sessions.list_sessions(source, agent, Paging(limit=SHOWN_SESSIONS))
    return {
        "gates": gates,
        "sessions": sessions,
        "ungated": await coding_sessions.find_ungated_calls(source, agent),
        **gate_functions(),
    }


def gate_functions() -> dict[str, Any]:
    """Return what the templates of gates and sessions call."""
    return {
        "client_names": CLIENT_NAMES,
        "tested_versions": TESTED_VERSIONS,
        "is_tested": is_tested,
        "gate_label": lambda state: translate(GATE_LABELS[state]),
        "gate_tones": GATE_TONES,
        "describe_gate": describe_gate,
        "session_label": lambda state: translate(STATE_LABELS[state]),
        "session_tones": STATE_TONES,
        "name_session": name_session,
        "describe_call": describe_call,
        "describe_result": describe_result,
    }


def describe_gate(report: GateReport) -> str:
    """Say what shows whether a client asks."""
    client, connection = CLIENT_NAMES[report.connection.client], report.connection
    if connection.hook_at is None:
        return _("The hook of %(client)s has never called.", client=client)
    if report.state is GateState.DISCONNECTED and connection.disconnected_at is not None:
        age = format_duration(report.at - connection.disconnected_at)
        return _("%(client)s was disconnected %(age)s ago.", client=client, age=age)
    age = format_duration(report.at - connection.hook_at)
    if report.state is GateState.ON:
        return _("%(client)s has asked in its latest session.", client=client)
    if report.state is GateState.BYPASSED:
        return _("%(client)s called tools in its latest session without permission.", client=client)
    if report.state is GateState.NOT_IN_SESSION:
        return _("No request in the latest session. The last one was %(age)s ago.", age=age)
    return _("No request for %(age)s, and no newer session.", age=age)


def name_session(summary: SessionSummary) -> str:
    """Return a short name of a session: the last part of its folder, or of its id."""
    folder = (summary.session.cwd or "").replace("\\", "/").rstrip("/").rpartition("/")[2]
    return folder or summary.session.session_key[-8:]


def describe_call(detail: CallDetail) -> str:
    """Say how a call was answered, and by whom."""
    call = detail.call
    if call.reason == REASON_UNGATED:
        return _("Ran without asking")
    if call.is_ungated:
        return _("Ran without permission")
    if call.answer is None:
        waits = call.abandoned_at is None and call.waits_until and call.waits_until > now()
        return _("Waits for a decision") if waits else _("Not answered: the client no longer waits")
    if call.answer is ToolAnswer.DEFER:
        return _("Deferred until a person decides")
    is_allowed = call.answer is ToolAnswer.ALLOW
    if call.grant_id is not None:
        return _("Allowed by a permission")
    if detail.approval_status in DECIDED and not detail.is_decided_by_policy:
        text = N_("Allowed by %(name)s") if is_allowed else N_("Denied by %(name)s")
        return _(text, name=detail.decided_by)
    if call.rule_name is not None:
        allowed, denied = N_("Allowed by the rule “%(rule)s”"), N_("Denied by the rule “%(rule)s”")
        return _(allowed if is_allowed else denied, rule=call.rule_name)
    known = (ALLOWED_REASONS if is_allowed else DENIED_REASONS).get(call.reason)
    return translate(known or (N_("Allowed") if is_allowed else N_("Denied")))


def describe_result(call: ToolCall) -> str:
    """Say what the client has reported about the execution of a call."""
    if call.executed_at is None:
        return ""
    if call.is_successful is None:
        return _("Executed")
    return _("Succeeded") if call.is_successful else _("Failed")
