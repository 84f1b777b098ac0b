"""Link messages, runs, requests, decisions and changes to the steps that led to them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from core.clock import now
from core.text import N_
from models import (
    Approval,
    ApprovalStatus,
    Event,
    EventType,
    GatewayRequest,
    Message,
    RequestKind,
    Run,
    RunStatus,
    Status,
)
from services.approvals import EDITED_INPUT
from services.events import find_cause_text, find_feed_text
from services.tool_facts import build_excerpt

MESSAGE_ID_LENGTH = 36  # the id of a run begins with the id of the message that started it
SHORT_HASH_LENGTH = 12
RUN_SENTENCES = {
    RunStatus.RUNNING: N_("%(actor)s started to work, and is still working."),
    RunStatus.ENDED: N_("%(actor)s started to work. The run is finished."),
    RunStatus.FAILED: N_("%(actor)s started to work. The run failed."),
    RunStatus.ABORTED: N_("%(actor)s started to work. The run was aborted."),
    RunStatus.LOST: N_("%(actor)s started to work. The outcome of the run is unknown."),
}
REQUEST_TEXTS = {
    RequestKind.EXEC: (
        "asked to run a command",
        N_("%(actor)s asked to run a command: %(subject)s"),
    ),
    RequestKind.QUESTION: ("asked", N_("%(actor)s asked a question: %(subject)s")),
    RequestKind.PLUGIN: (
        "asked to allow an action of a plugin",
        N_("%(actor)s asked to allow an action of a plugin: %(subject)s"),
    ),
}
"""What an agent did, for the API, and the sentence for pages."""

DECISION_SENTENCES: Mapping[str, str] = {
    "allow-once": N_("%(actor)s allowed it once: %(subject)s"),
    "allow-always": N_("%(actor)s always allows it: %(subject)s"),
    "deny": N_("%(actor)s denied it: %(subject)s"),
    "answered": N_("%(actor)s answered the question: %(subject)s"),
    ApprovalStatus.APPROVED: N_("%(actor)s approved the request: %(subject)s"),
    ApprovalStatus.REJECTED: N_("%(actor)s rejected the request: %(subject)s"),
}
CALL_SENTENCES = {
    ApprovalStatus.APPROVED: N_("%(actor)s allowed the tool call: %(subject)s"),
    ApprovalStatus.REJECTED: N_("%(actor)s denied the tool call: %(subject)s"),
}
UNKNOWN_DECISION = N_("%(actor)s made a decision: %(subject)s")


class StepKind(StrEnum):
    """The kind of a step."""

    MESSAGE = "message"
    RUN = "run"
    REQUEST = "request"
    APPROVAL = "approval"
    DECISION = "decision"
    CHANGE = "change"


@dataclass(frozen=True)
class CauseStep:
    """A step. `cause` is the id of the step that led to it, if it is known.

    `actor` and `text` are English, for the API. Pages translate `sentence`, for which they use
    `names`: those of the actor, the recipient and the policy, "" if unknown, and the kind of an
    approval.
    """

    kind: StepKind
    id: str  # the id of the object; of a decision, with a prefix
    at: datetime
    actor: str
    text: str  # what the actor did
    sentence: str  # with actor, recipient and subject; marked for translation
    names: Mapping[str, str]
    subject: str = ""
    note: str = ""
    cause: str | None = None
    agent_id: UUID | None = None  # of the agent of a message or run
    task_id: UUID | None = None


@dataclass(frozen=True)
class CauseRows:
    """The rows that the steps are built from, and the names of users and agents by id."""

    messages: Sequence[Message] = ()
    runs: Sequence[Run] = ()
    requests: Sequence[GatewayRequest] = ()
    approvals: Sequence[Approval] = ()
    changes: Sequence[Event] = ()
    approved_task_ids: Mapping[UUID, UUID] = field(default_factory=dict)  # approval by task
    names: Mapping[UUID | None, str] = field(default_factory=dict)


def build_steps(rows: CauseRows) -> list[CauseStep]:
    """Return the steps in the order of time, each with its cause if that is one of them."""
    steps = [
        *(_message_step(one, rows) for one in rows.messages),
        *(_run_step(one, rows) for one in rows.runs),
        *_request_steps(rows),
        *_approval_steps(rows),
        *(_change_step(one, rows) for one in rows.changes),
    ]
    known = {step.id for step in steps}
    linked = [step if step.cause in known else replace(step, cause=None) for step in steps]
    return sorted(linked, key=lambda step: (step.at, step.id))


def decision_id(id: UUID | str) -> str:
    """Return the id of the step in which an approval or a request was decided."""
    return f"decision-{id}"


def find_active_run(runs: Iterable[Run], agent_id: UUID | None, at: datetime) -> Run | None:
    """Return the latest run of an agent that was active at a time."""
    active = [
        run
        for run in runs
        if run.agent_id == agent_id and run.started_at <= at <= (run.ended_at or now())
    ]
    return max(active, key=lambda run: run.started_at, default=None)


def get_message_id(run: Run) -> str:
    """Return the id of the message that started a run; another text if none did."""
    return run.run_id[:MESSAGE_ID_LENGTH]


def _message_step(message: Message, rows: CauseRows) -> CauseStep:
    sender = rows.names.get(message.from_user_id) or rows.names.get(message.from_agent_id) or ""
    recipient = rows.names.get(message.agent_id, "")
    return CauseStep(
        StepKind.MESSAGE,
        str(message.id),
        message.created_at,
        sender or "Mission Control",
        f"sent a message to {recipient or 'an agent'}:",
        N_("%(actor)s sent a message to %(recipient)s: %(subject)s"),
        {"actor": sender, "recipient": recipient},
        message.kind,
        note=message.last_error or "",
        cause=decision_id(message.approval_id) if message.approval_id else None,
        agent_id=message.agent_id,
    )


def _run_step(run: Run, rows: CauseRows) -> CauseStep:
    return CauseStep(
        StepKind.RUN,
        str(run.id),
        run.started_at,
        rows.names.get(run.agent_id, "An agent"),
        f"started to work: {run.status}",
        RUN_SENTENCES[run.status],
        {"actor": rows.names.get(run.agent_id, "")},
        note=run.error or "",
        cause=get_message_id(run),
        agent_id=run.agent_id,
    )


def _request_steps(rows: CauseRows) -> Iterable[CauseStep]:
    runs = {run.run_id: str(run.id) for run in rows.runs}
    for request in rows.requests:
        asked = CauseStep(
            StepKind.REQUEST,
            str(request.id),
            request.asked_at,
            rows.names.get(request.agent_id, "An agent"),
            *REQUEST_TEXTS[request.kind],
            {"actor": rows.names.get(request.agent_id, "")},
            f"({request.sha256[:SHORT_HASH_LENGTH]})",
            cause=runs.get(request.run_id or ""),
        )
        yield asked
        if request.answered_at:
            answer = (request.answer or {}).get("decision", "answered")
            yield replace(
                asked,
                kind=StepKind.DECISION,
                id=decision_id(request.id),
                at=request.answered_at,
                actor=request.answered_by or "A user",
                text=f"decided: {answer}",
                sentence=DECISION_SENTENCES.get(answer, UNKNOWN_DECISION),
                names={"actor": request.answered_by or ""},
                cause=asked.id,
            )


def _name_call(approval: Approval, key: str = "input") -> str:
    """Return the tool of a call and the beginning of its input, with secrets masked."""
    payload = approval.payload or {}
    given = payload.get(key) or payload.get("input")
    excerpt = build_excerpt(given) if given else payload.get("excerpt", "")
    return f"{payload.get('tool', '')} {excerpt}".strip()


def _approval_steps(rows: CauseRows) -> Iterable[CauseStep]:
    for approval in rows.approvals:
        is_call = approval.is_tool_call
        subject = _name_call(approval) if is_call else approval.action_type
        kind = {} if is_call else {"kind": approval.action_type}
        requester = approval.agent_id or approval.requested_by_user_id
        run = find_active_run(rows.runs, approval.agent_id, approval.created_at)
        asked = CauseStep(
            StepKind.APPROVAL,
            str(approval.id),
            approval.created_at,
            rows.names.get(requester, "A deleted agent or user"),
            "asked to call a tool:" if is_call else "requested an approval:",
            N_("%(actor)s asked to call a tool: %(subject)s")
            if is_call
            else N_("%(actor)s requested an approval: %(subject)s"),
            {"actor": rows.names.get(requester, ""), **kind},
            subject,
            cause=str(run.id) if run else None,
        )
        yield asked
        status = approval.decided_status or approval.status
        decided_at = approval.decided_at or approval.resolved_at
        if status is not ApprovalStatus.PENDING and decided_at:
            if approval.is_decided_by_policy:
                names = {"policy": approval.policy_verdict.rule_name or ""}
                decider = f"The policy “{names['policy']}”"
            else:
                names = {"actor": rows.names.get(approval.decided_by_user_id, "")}
                decider = names["actor"] or "A deleted user"
            yield replace(
                asked,
                kind=StepKind.DECISION,
                id=decision_id(approval.id),
                at=decided_at,
                actor=decider,
                text=f"{status} the tool call:" if is_call else f"{status} the request:",
                sentence=(CALL_SENTENCES if is_call else DECISION_SENTENCES).get(
                    status, UNKNOWN_DECISION
                ),
                names={**names, **kind},
                subject=_name_call(approval, EDITED_INPUT) if is_call else subject,
                note=approval.decision_note or "",
                cause=asked.id,
            )


def _change_step(event: Event, rows: CauseRows) -> CauseStep:
    actor = rows.names.get(event.user_id or event.agent_id, "")
    return CauseStep(
        StepKind.CHANGE,
        str(event.id),
        event.created_at,
        actor or "Mission Control",
        find_cause_text(event),
        find_feed_text(event),
        {"actor": actor},
        str(event.data.get("title") or ""),
        cause=_find_change_cause(event, rows),
        task_id=event.task_id,
    )


def _find_change_cause(event: Event, rows: CauseRows) -> str | None:
    """Return the decision that allowed a task to be done, or else the run of the acting agent."""
    is_done = event.type is EventType.TASK_STATUS_CHANGED and (
        event.data.get("entered") == Status.DONE
    )
    approval_id = event.data.get("approval_id") or (
        rows.approved_task_ids.get(event.task_id) if event.task_id else None
    )
    if is_done and approval_id:
        return decision_id(approval_id)
    if event.user_id:
        return None
    run = find_active_run(rows.runs, event.agent_id, event.created_at)
    return str(run.id) if run else None
