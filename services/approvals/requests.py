"""Request approvals, and ask the requester for clarification."""

import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, String, Text, cast, func, literal, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.errors import Conflict, Invalid, NotFound
from core.text import N_
from models import (
    Actor,
    Agent,
    Approval,
    ApprovalStatus,
    ApprovalTask,
    Board,
    EventType,
    PolicyEffect,
    Task,
    User,
    new_id,
)
from services import boards, policies, tasks
from services.approvals import finalization, rules
from services.approvals.details import (
    ApprovalDetail,
    LinkedTask,
    already_decided,
    get_approval,
    get_board_id,
)
from services.approvals.events import approval_event, record_approval_event
from services.approvals.policy_decisions import set_expiry
from services.approvals.request_limits import check_request_limits, find_equal_request
from services.approvals.reviewed_content import bind_request, load_task_contents
from services.approvals.rules import validate_text

LINKS_AT_ONCE = 20
MENTIONABLE = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}")  # contract 1.17


async def request_approval(
    session: AsyncSession,
    actor: Actor,
    board: Board,
    draft: rules.ApprovalDraft,
    *,
    is_decided_at_once: bool = False,
) -> ApprovalDetail:
    """Request an approval on a locked board. The actor is the requester.

    A request that equals a pending one of the same requester is counted there, and that approval is
    returned. Raises the errors of `check_draft`, NotFound for tasks that are not on this board,
    Conflict if one of them has another pending approval, and TooMany for a requester of too many.
    A request that is decided in the same transaction asks nobody else, so it is not limited.
    """
    rules.check_draft(draft, actor)
    payload = rules.payload_with_reason(draft)
    linked = await _load_tasks(session, board, rules.linked_task_ids(draft))
    if not is_decided_at_once:
        task_ids = [task.id for task in linked]
        equal = await find_equal_request(session, actor, board, draft, payload, task_ids)
        await check_request_limits(session, actor, board, is_repeat=equal is not None)
        if equal is not None:
            equal.request_count += 1
            await session.flush()
            return await get_approval(session, board, equal.id)
    await _ensure_no_pending_approval(session, board, [task.id for task in linked])
    detail = build_approval(actor, board, draft, payload, linked)
    await _add_links(session, detail, linked)
    requested = approval_event(EventType.APPROVAL_REQUESTED, actor, detail)
    decided = await _apply_policy(session, detail)
    effects = [finalization.FinalizationEffects([requested]), *([decided] if decided else [])]
    await finalization.publish_effects(session, effects)
    return await get_approval(session, board, detail.approval.id)


async def _apply_policy(
    session: AsyncSession, detail: ApprovalDetail
) -> finalization.FinalizationEffects | None:
    """Store what the policy says about a new approval, and decide it if no person is asked.

    The effects of such a decision are returned for publishing.
    """
    approval = detail.approval
    verdict = await policies.evaluate_request(session, approval, detail.board, detail.task_ids)
    approval.policy_verdict = verdict
    if verdict.expires_after is not None:
        set_expiry(approval, approval.created_at)
        await finalization.wake_workers(session)
    if status := STATUS_BY_EFFECT.get(verdict.effect):
        finalization.set_policy_decision(detail, status)
        return await finalization.finalize_without_recording(session, detail)
    return None


STATUS_BY_EFFECT = {
    PolicyEffect.ALLOW: ApprovalStatus.APPROVED,
    PolicyEffect.DENY: ApprovalStatus.REJECTED,
}


def build_approval(
    actor: Actor,
    board: Board,
    draft: rules.ApprovalDraft,
    payload: dict[str, Any],
    linked: Sequence[Task],
) -> ApprovalDetail:
    """Build an undecided approval of these tasks, which is not stored."""
    agent, user = (actor, None) if isinstance(actor, Agent) else (None, actor)
    approval = Approval(
        id=new_id(),
        board_id=board.id,
        task_id=linked[0].id if linked else None,
        agent_id=agent.id if agent else None,
        requested_by_user_id=user.id if user else None,
        action_type=draft.action_type.strip(),
        payload=payload,
        equality_hash=_hash_request(draft.action_type.strip(), payload),
        risk=policies.parse_risk(payload),
        confidence=draft.confidence,
        rubric_scores=dict(draft.rubric_scores) if draft.rubric_scores is not None else None,
        status=ApprovalStatus.PENDING,
        created_at=now(),
    )
    linked_tasks = [LinkedTask(task.id, task.title) for task in linked]
    return ApprovalDetail(approval, board, agent, None, user, None, linked_tasks)


def _hash_request(kind: str, payload: dict[str, Any]) -> ColumnElement[str]:
    """Build the hash of what requests about different tasks can have in common.

    The database computes it, because payloads may be large.
    """
    text = literal(f"{kind} ", String) + cast(literal(payload, JSONB), Text)
    return func.encode(func.sha256(func.convert_to(text, "UTF8")), "hex")


async def _add_links(session: AsyncSession, detail: ApprovalDetail, linked: Sequence[Task]) -> None:
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
        if number and number % LINKS_AT_ONCE == 0:
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
        )
    return [found[id] for id in ids]


async def request_clarification(
    session: AsyncSession, user: User, approval_id: UUID, *, question: str
) -> ApprovalDetail:
    """Post a question to the agent as a comment on the first task. The approval stays pending.

    Raises NotFound, Forbidden, Conflict if the approval is decided, and Invalid if the question is
    blank or the approval has no task.
    """
    text = validate_text(question, "question")
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
    await record_approval_event(session, EventType.APPROVAL_CLARIFICATION_REQUESTED, user, detail)
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
