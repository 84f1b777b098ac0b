"""Load what led to the state of a task, an approval or a message.

The caller checks that the reader may read the object. Everything else is on the same board, or, for
an agent without a board, of the same agent.
"""

from collections.abc import Collection
from dataclasses import replace
from typing import Any
from uuid import UUID

from core.clock import now
from core.db.reads import Source
from core.errors import NotFound
from core.text import N_
from models import Agent, Approval, ApprovalStatus, Board, Message, Task
from services.causes.statements import (
    AGENT_NAMES,
    APPROVALS_IN_RUNS,
    APPROVALS_OF_TASK,
    CHANGES_AFTER_APPROVAL,
    CHANGES_IN_RUNS,
    CHANGES_OF_TASK,
    LINKS,
    MESSAGE,
    MESSAGES_BY_ID,
    MESSAGES_OF_APPROVAL,
    MESSAGES_OF_TASK,
    REQUESTS,
    RUNS_OF_REQUESTER,
    RUNS_OF_TASK,
    STARTED_RUNS,
    USERS,
)
from services.causes.steps import (
    CauseRows,
    CauseStep,
    build_steps,
    find_active_run,
    get_message_id,
)


async def load_task_causes(source: Source, board: Board, task: Task) -> list[CauseStep]:
    """Return what led to the state of a task of a board that the reader may read."""
    task_id = {"task_id": task.id}
    approvals = await APPROVALS_OF_TASK.fetch(source, board_id=board.id, **task_id)
    messages = await MESSAGES_OF_TASK.fetch(source, **_place(board), **task_id)
    runs = await RUNS_OF_TASK.fetch(source, **_place(board), **_starters(messages), **task_id)
    changes = await CHANGES_OF_TASK.fetch(source, **_place(board), **task_id)
    rows = CauseRows(messages, runs, approvals=approvals, changes=changes)
    return await _build(source, board, rows)


async def load_approval_causes(source: Source, board: Board, approval: Approval) -> list[CauseStep]:
    """Return what led to an approval of a board that the reader may read, and what followed."""
    about = {
        "approval_id": approval.id,
        "task_id": approval.task_id,
        "requester_id": approval.agent_id,
        "requested_at": approval.created_at,
    }
    messages = await MESSAGES_OF_APPROVAL.fetch(source, **_place(board), **about)
    runs = await RUNS_OF_REQUESTER.fetch(source, **_place(board), **_starters(messages), **about)
    request_run = find_active_run(runs, approval.agent_id, approval.created_at)
    started = {str(message.id) for message in messages}
    runs = [run for run in runs if run is request_run or get_message_id(run) in started]
    changes = await CHANGES_AFTER_APPROVAL.fetch(source, **_place(board), **about)
    rows = CauseRows(messages, runs, approvals=[approval], changes=changes)
    return await _build(source, board, rows)


async def load_message_causes(source: Source, agent: Agent, message_id: UUID) -> list[CauseStep]:
    """Return what led to a message to an agent that the reader may see, and what followed.

    Raises NotFound.
    """
    message = await MESSAGE.first(source, message_id=message_id, agent_id=agent.id)
    if message is None:
        raise NotFound("message_not_found", N_("There is no such message."))
    runs = await STARTED_RUNS.fetch(source, **_place(agent), **_starters([message]))
    during = {
        "agent_id": agent.id,
        "approval_id": message.approval_id,
        "starts": [run.started_at for run in runs],
        "ends": [run.ended_at or now() for run in runs],
    }
    approvals = await APPROVALS_IN_RUNS.fetch(source, board_id=agent.board_id, **during)
    changes = await CHANGES_IN_RUNS.fetch(source, **_place(agent), **during)
    rows = CauseRows([message], runs, approvals=approvals, changes=changes)
    return await _build(source, agent, rows)


async def _build(source: Source, owner: Board | Agent, rows: CauseRows) -> list[CauseStep]:
    """Add the messages that started the runs, the requests of the runs, and all names."""
    known = {str(message.id) for message in rows.messages}
    missing = {get_message_id(run) for run in rows.runs} - known
    ids = [id for id in map(_parse_id, missing) if id]
    starting = await MESSAGES_BY_ID.fetch(source, **_place(owner), ids=ids) if ids else []
    run_ids = [run.run_id for run in rows.runs]
    agent_ids = list({run.agent_id for run in rows.runs})
    requests = await REQUESTS.fetch(source, run_ids=run_ids, agent_ids=agent_ids) if run_ids else []
    rows = replace(rows, messages=[*rows.messages, *starting], requests=requests)
    return build_steps(
        replace(
            rows,
            names=await _load_names(source, rows),
            approved_task_ids=await _load_approved_tasks(source, rows.approvals),
        )
    )


def _place(owner: Board | Agent) -> dict[str, UUID | None]:
    """Return the parameters for rows of a board, or of the board of an agent.

    Ids of messages may come from a gateway, so without a board they do not prove access.
    """
    board_id = owner.id if isinstance(owner, Board) else owner.board_id
    return {"organization_id": owner.organization_id, "board_id": board_id}


def _starters(messages: Collection[Message]) -> dict[str, list[Any]]:
    """Return the parameters for the runs that messages started."""
    return {
        "message_ids": [str(one.id) for one in messages],
        "recipient_ids": list({one.agent_id for one in messages}),
    }


async def _load_approved_tasks(source: Source, approvals: Collection[Approval]) -> dict[UUID, UUID]:
    """Return the latest approved approval of each task."""
    approved = {
        one.id: one.decided_at or one.resolved_at
        for one in approvals
        if one.status is ApprovalStatus.APPROVED
    }
    if not approved:
        return {}
    rows = await LINKS.fetch(source, ids=list(approved))
    return {task_id: id for task_id, id in sorted(rows, key=lambda row: str(approved[row[1]]))}


async def _load_names(source: Source, rows: CauseRows) -> dict[UUID | None, str]:
    agent_ids = {
        *(one.agent_id for one in (*rows.runs, *rows.requests, *rows.approvals, *rows.changes)),
        *(id for one in rows.messages for id in (one.agent_id, one.from_agent_id)),
    }
    user_ids = {
        *(one.from_user_id for one in rows.messages),
        *(
            id
            for one in rows.approvals
            for id in (one.requested_by_user_id, one.decided_by_user_id)
        ),
        *(one.user_id for one in rows.changes),
    }
    agents = await AGENT_NAMES.fetch(source, ids=[id for id in agent_ids if id])
    users = await USERS.fetch(source, ids=[id for id in user_ids if id])
    return {**dict(agents), **{one.id: one.display_name for one in users}}


def _parse_id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
