"""Request approvals within limits, and ask the requester for clarification."""

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    String,
    Text,
    bindparam,
    cast,
    extract,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.reads import Query
from core.errors import Conflict, Invalid, NotFound, TooMany
from core.text import N_
from models import (
    Actor,
    Agent,
    Approval,
    ApprovalStatus,
    ApprovalTask,
    Board,
    Event,
    EventType,
    PolicyEffect,
    PolicyVerdict,
    Status,
    Task,
    User,
    new_id,
)
from services import boards, events, policies, tasks
from services.approval_actions import is_completion_kind
from services.approvals import finalization, rules
from services.approvals.contents import bind_request, load_task_contents
from services.approvals.details import (
    ApprovalDetail,
    LinkedTask,
    already_decided,
    build_approval_event,
    get_approval,
    get_board_id,
)
from services.approvals.rules import ApprovalCreate
from services.approvals.votes import set_expiry

MAX_PENDING = 20  # approvals of one requester that wait for a decision
MAX_RECENT = 60  # approvals of one requester in PERIOD
PERIOD = timedelta(hours=1)
MENTIONABLE = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}")  # as `mentions` reads names


async def request_approval(
    session: AsyncSession,
    actor: Actor,
    board: Board,
    fields: ApprovalCreate,
    *,
    is_decided_at_once: bool = False,
) -> ApprovalDetail:
    """Request an approval on a locked board. The actor is the requester.

    A request that equals a pending one of the same requester is counted there, and that approval is
    returned. Raises NotFound for tasks that are not on this board, Conflict if one of them has
    another pending approval or is to be completed although it is done, and TooMany for a requester
    of too many.
    A request that is decided in the same transaction asks nobody else, so it is not limited.
    """
    rules.require_undecided(fields, actor)
    payload = rules.payload_with_reason(fields)
    linked = await _load_tasks(session, board, rules.linked_task_ids(fields))
    if not is_decided_at_once:
        task_ids = [task.id for task in linked]
        equal = await _find_equal_request(session, actor, board, fields, payload, task_ids)
        await _check_request_limits(session, actor, board, is_repeat=equal is not None)
        if equal is not None:
            equal.request_count += 1
            await session.flush()
            return await get_approval(session, board, equal.id)
    if is_completion_kind(fields.action_type):
        _require_open_tasks(linked)
    await _ensure_no_pending_approval(session, board, [task.id for task in linked])
    detail = build_approval(actor, board, fields, payload, linked)
    await _add_with_links(session, detail, linked)
    requested = build_approval_event(EventType.APPROVAL_REQUESTED, actor, detail)
    effects = [finalization.FinalizationEffects([requested])]
    approval = detail.approval
    verdict = await policies.evaluate_request(session, approval, board, detail.task_ids)
    approval.policy_verdict = verdict
    if verdict.expires_after is not None:
        set_expiry(approval, approval.created_at)
        await finalization.wake_workers(session)
    if status := STATUS_BY_EFFECT.get(verdict.effect):  # no person is asked
        finalization.set_policy_decision(detail, status)
        effects.append(await finalization.finalize_without_recording(session, detail))
    await finalization.publish_effects(session, effects)
    return await get_approval(session, board, approval.id)


async def request_tool_approval(
    session: AsyncSession,
    agent: Agent,
    board: Board,
    fields: ApprovalCreate,
    verdict: PolicyVerdict,
) -> tuple[ApprovalDetail, events.NewEvent]:
    """Add a request for a tool call on a locked board, which a person must decide by the policy.

    Returns the event to record last. The domain of tool calls has its own limits, and finds
    identical requests by their hash.
    """
    detail = build_approval(agent, board, fields, dict(fields.payload or {}), ())
    approval = detail.approval
    approval.is_tool_call, approval.policy_verdict = True, verdict
    await bind_request(approval, board, ())
    set_expiry(approval, approval.created_at)
    session.add(approval)
    await finalization.wake_workers(session)
    return detail, build_approval_event(EventType.APPROVAL_REQUESTED, agent, detail)


STATUS_BY_EFFECT = {
    PolicyEffect.ALLOW: ApprovalStatus.APPROVED,
    PolicyEffect.DENY: ApprovalStatus.REJECTED,
}


async def _find_equal_request(
    session: AsyncSession,
    requester: Actor,
    board: Board,
    fields: ApprovalCreate,
    payload: Mapping[str, Any],
    task_ids: Collection[UUID],
) -> Approval | None:
    """Return the requester's pending approval of the same kind, with the same tasks and payload."""
    links = select(func.array_agg(ApprovalTask.task_id))
    links = links.where(ApprovalTask.approval_id == Approval.id).correlate(Approval)
    query = select(Approval, links.scalar_subquery()).where(
        Approval.board_id == board.id,
        _is_requested_by(requester),
        Approval.status == ApprovalStatus.PENDING,
        ~Approval.is_tool_call,
        Approval.action_type == fields.action_type,
        Approval.payload == payload,  # in the database, because payloads may be large
    )
    for approval, linked_ids in await session.execute(query.order_by(Approval.id)):
        if set(linked_ids or ()) == set(task_ids):
            return approval
    return None


async def _check_request_limits(
    session: AsyncSession, requester: Actor, board: Board, *, is_repeat: bool
) -> None:
    """Raise TooMany if an agent or a user requests too many approvals.

    A repeat adds no pending approval, so only the requests of the last hour limit it. Of an agent,
    the members are informed once in a PERIOD. A user reads the error.
    """
    if isinstance(requester, User):  # who can request on several boards at the same time
        key = func.hashtextextended(f"approval requests of {requester.id}", 0)
        await session.execute(select(func.pg_advisory_xact_lock(key)))
    pending, recent, oldest = await _count_requests(session, requester)
    if (is_repeat or pending < MAX_PENDING) and recent < MAX_RECENT:
        return
    if isinstance(requester, Agent) and not await _is_held(session, requester):
        event = events.NewEvent(
            EventType.APPROVAL_REQUESTS_HELD,
            None,
            organization_id=board.organization_id,
            board=board,
            subject=requester,
            data={"name": requester.name, "pending": pending, "recent": recent},
        )
        await events.record_events(session, [event])
    retry_in = timedelta(minutes=5)  # people must decide first, which may take any time
    if recent >= MAX_RECENT and oldest is not None:
        retry_in = oldest + PERIOD - now()
    informed = "People were informed. " if isinstance(requester, Agent) else ""
    raise TooMany(
        max(1, math.ceil(retry_in.total_seconds())),
        code="approval_requests_held",
        text=N_(
            "Too many of your requests are pending, or you made too many in the last hour. Wait for"
            " decisions, then try again."
        ),
        hint=f"{pending} requests are pending and {recent} were made in the last hour; at most "
        f"{MAX_PENDING} may wait, and {MAX_RECENT} an hour are accepted. {informed}"
        "Put several steps into one request.",
        keeps_changes=True,
    )


async def _is_held(session: AsyncSession, agent: Agent) -> bool:
    query = select(Event.id).where(
        Event.agent_id == agent.id,
        Event.created_at > now() - PERIOD,
        Event.type == EventType.APPROVAL_REQUESTS_HELD,
    )
    return await session.scalar(query.limit(1)) is not None


async def _count_requests(
    session: AsyncSession, requester: Actor
) -> tuple[int, int, datetime | None]:
    """Return the undecided approvals of an agent or a user, the requests in PERIOD, and the first.

    Requests are counted by their events, because approvals are deleted with their tasks. The times
    of repeats are not stored: of an older approval MAX_RECENT repeats are free for each PERIOD.
    What users decided themselves asked nobody else, and tool calls have limits of their own.
    """
    undecided = Approval.decided_status.is_(None) & (Approval.status == ApprovalStatus.PENDING)
    pending = select(func.count()).select_from(Approval)
    pending = pending.where(_is_requested_by(requester), undecided, ~Approval.is_tool_call)
    query = select(pending.scalar_subquery(), func.count(), func.min(Event.created_at)).where(
        Event.created_at > now() - PERIOD, Event.type == EventType.APPROVAL_REQUESTED
    )
    if isinstance(requester, Agent):
        of_tool_call = select(Approval.id).where(
            Approval.id == Event.approval_id, Approval.is_tool_call
        )
        query = query.where(Event.agent_id == requester.id, ~of_tool_call.exists())
    else:
        decided = select(Approval.id).where(
            Approval.id == Event.approval_id, Approval.decided_by_user_id == requester.id
        )
        query = query.where(Event.user_id == requester.id, ~decided.exists())
    undecided_count, recent, oldest = (await session.execute(query)).one()
    age = extract("epoch", now() - Approval.created_at)
    free = MAX_RECENT * func.floor(age / PERIOD.total_seconds())
    repeats = select(func.sum(func.greatest(0, Approval.request_count - 1 - free))).where(
        _is_requested_by(requester),
        Approval.request_count > 1,
        ~Approval.is_tool_call,
        or_(Approval.status == ApprovalStatus.PENDING, Approval.created_at > now() - PERIOD),
    )
    return undecided_count, recent + int(await session.scalar(repeats) or 0), oldest


def _is_requested_by(requester: Actor) -> ColumnElement[bool]:
    if isinstance(requester, Agent):
        return Approval.agent_id == requester.id
    return Approval.requested_by_user_id == requester.id


def build_approval(
    actor: Actor,
    board: Board,
    fields: ApprovalCreate,
    payload: dict[str, Any],
    linked: Sequence[Task],
) -> ApprovalDetail:
    """Build an undecided approval of these tasks, which is not stored."""
    agent, user = (actor, None) if isinstance(actor, Agent) else (None, actor)
    # What requests about different tasks can have in common. The database computes the hash,
    # because payloads may be large.
    equal_text = literal(f"{fields.action_type} ", String) + cast(literal(payload, JSONB), Text)
    approval = Approval(
        id=new_id(),
        board_id=board.id,
        task_id=linked[0].id if linked else None,
        agent_id=agent.id if agent else None,
        requested_by_user_id=user.id if user else None,
        action_type=fields.action_type,
        payload=payload,
        equality_hash=func.encode(func.sha256(func.convert_to(equal_text, "UTF8")), "hex"),
        risk=policies.parse_risk(payload),
        confidence=fields.confidence,
        rubric_scores=fields.rubric_scores,
        status=ApprovalStatus.PENDING,
        created_at=now(),
    )
    linked_tasks = [LinkedTask(task.id, task.title) for task in linked]
    return ApprovalDetail(approval, board, agent, None, user, None, linked_tasks)


async def _add_with_links(
    session: AsyncSession, detail: ApprovalDetail, linked: Sequence[Task]
) -> None:
    """Add an approval with the links to its tasks, bound to their current content."""
    approval = detail.approval
    contents = await load_task_contents(session, [task.id for task in linked])
    links = [
        ApprovalTask(approval=approval, task=task, position=position, created_at=now())
        for position, task in enumerate(linked)
    ]
    bound = [(link, contents[link.task.id]) for link in links]
    await bind_request(approval, detail.board, bound)
    session.add(approval)
    for number, link in enumerate(links):
        if number and number % 20 == 0:
            await session.flush()  # the contents of all are encoded before the first is sent
        session.add(link)


async def _ensure_no_pending_approval(
    session: AsyncSession,
    board: Board,
    task_ids: Collection[UUID],
) -> None:
    """Raise Conflict if one of these tasks has a pending approval. Needs a locked board."""
    pending = (
        select(ApprovalTask.task_id, Approval.id)
        .join(Approval, Approval.id == ApprovalTask.approval_id)
        .where(
            Approval.board_id == board.id,
            Approval.status == ApprovalStatus.PENDING,
            ApprovalTask.task_id.in_(task_ids),
        )
    )
    found = (await session.execute(pending)).all() if task_ids else []
    if found:
        raise approval_pending_exists([(task_id, approval_id) for task_id, approval_id in found])


def approval_pending_exists(found: Iterable[tuple[UUID, UUID]]) -> Conflict:
    """Build the error for tasks that have a pending approval, from ids of both."""
    conflicts = [
        {"task_id": str(task_id), "approval_id": str(approval_id)} for task_id, approval_id in found
    ]
    return Conflict(
        "approval_pending_exists",
        N_("An approval of this task is pending already."),
        conflicts=sorted(conflicts, key=lambda item: (item["task_id"], item["approval_id"])),
        sent_as="object",
    )


def _require_open_tasks(linked: Iterable[Task]) -> None:
    """Raise Conflict if tasks are done: an approval to complete them could not be used."""
    if done := [str(task.id) for task in linked if task.status is Status.DONE]:
        raise Conflict(
            "task_is_done", N_("This task is done already."), task_ids=done, sent_as="object"
        )


async def _load_tasks(session: AsyncSession, board: Board, ids: list[UUID]) -> list[Task]:
    """Return these tasks, in this order. Raise NotFound with the ids that are not on the board."""
    if not ids:
        return []
    query = select(Task).where(Task.board_id == board.id, Task.id.in_(ids))
    found = {task.id: task for task in await session.scalars(query)}
    missing = [str(id) for id in ids if id not in found]
    if missing:
        raise NotFound(
            "task_not_found",
            N_("Not all of these tasks are on this board."),
            missing_task_ids=missing,
            sent_as="object",
        )
    return [found[id] for id in ids]


@dataclass(frozen=True)
class LimitedAgent:
    """An agent whose further requests are held for a while, with its counts at that time."""

    agent: Agent
    board: Board
    held_at: datetime
    pending: int
    recent: int  # requests in PERIOD


LIMITED_AGENTS: Query[LimitedAgent] = Query(
    select(Event, Agent, Board)
    .join(Agent, Agent.id == Event.agent_id)
    .join(Board, Board.id == Event.board_id)
    .where(
        Event.type == EventType.APPROVAL_REQUESTS_HELD,
        Event.created_at > bindparam("held_since"),
        Event.board_id.in_(boards.READABLE_BOARD_IDS),
    )
    .order_by(Event.created_at.desc()),
    lambda row: LimitedAgent(
        row[1], row[2], row[0].created_at, row[0].data["pending"], row[0].data["recent"]
    ),
)
"""The agents whose requests were held since `held_since`, on boards of a member."""


async def request_clarification(
    session: AsyncSession, user: User, approval_id: UUID, *, question: str
) -> ApprovalDetail:
    """Post a question to the agent as a comment on the first task. The approval stays pending.

    Raises NotFound, Forbidden, Conflict if the approval is decided, and Invalid if the question is
    blank or the approval has no task.
    """
    text = question.strip()
    if not text:
        raise Invalid("question_required", N_("Write what you want to know."), field="question")
    board = await boards.lock_board(session, user, await get_board_id(session, user, approval_id))
    detail = await get_approval(session, board, approval_id)
    if not detail.is_undecided:
        raise already_decided(detail)
    if not detail.tasks:
        raise Invalid(
            "no_linked_task", N_("There is no task to post a question on."), field="question"
        )
    await tasks.create_comment(
        session, user, board, detail.tasks[0].id, mention_agent(detail.agent, text)
    )
    detail.approval.clarification_requested_at = now()  # later comments clarify it
    await session.flush()
    requested = build_approval_event(EventType.APPROVAL_CLARIFICATION_REQUESTED, user, detail)
    await events.record_events(session, [requested])
    return detail


def mention_agent(agent: Agent | None, text: str) -> str:
    """Put the agent's name before a text, as a mention if the name can be mentioned."""
    if agent is None:
        return text
    if agent.is_board_lead:
        return f"@lead {text}"
    names = [agent.name, *agent.name.split()[:1]]
    mention = next((name for name in names if MENTIONABLE.fullmatch(name)), None)
    return f"@{mention} {text}" if mention else f"{agent.name}: {text}"
