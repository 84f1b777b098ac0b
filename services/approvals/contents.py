"""Bind approvals to the content of their tasks: when they are requested, and when approved."""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeAlias
from uuid import UUID

from sqlalchemy import Uuid, bindparam, func, select
from sqlalchemy.dialects.postgresql import ARRAY

from core.clock import now
from core.db.reads import Query, Source
from core.errors import Conflict, build_request
from core.text import N_
from models import Approval, ApprovalTask, Board, Task
from services import policies
from services.approval_actions import (
    ActionObject,
    ContentChange,
    TaskContent,
    hash_action,
    hash_content,
    list_changes,
)
from services.approvals.details import ApprovalDetail


@dataclass(frozen=True)
class CurrentContent:
    """The current content of the task of a link, compared with the content when it was loaded."""

    link: ApprovalTask
    content: TaskContent

    @cached_property
    def object(self) -> ActionObject:
        """The task with the hash of its current content."""
        return ActionObject(self.link.task_id, hash_content(self.content))

    @cached_property
    def changes(self) -> list[ContentChange]:
        """The differences to what was requested or approved, if that is stored."""
        if self.link.content is None:
            return []
        return list_changes(self.link.content, self.content)

    @property
    def changed_fields(self) -> list[str]:
        """The names of the fields that differ from what was requested or approved."""
        return sorted(change.name for change in self.changes)

    def compare(self) -> None:
        """Compute the hash and the changes, which are then kept."""
        _ = self.object, self.changes


CurrentContents: TypeAlias = Mapping[UUID, Sequence[CurrentContent]]
"""The links of approvals, by approval id."""


async def load_task_contents(source: Source, task_ids: Collection[UUID]) -> dict[UUID, TaskContent]:
    """Return the current content of tasks by id. The caller has checked the access to them."""
    if not task_ids:
        return {}
    return dict(await TASK_CONTENTS.fetch(source, task_ids=list(task_ids)))


async def load_current_contents(source: Source, approval_ids: Collection[UUID]) -> CurrentContents:
    """Return the links of approvals by approval id, each with the current content of its task.

    A hundred long contents take a tenth of a second to compare and hash, so other requests have
    their turn after each.
    """
    found: defaultdict[UUID, list[CurrentContent]] = defaultdict(list)
    if approval_ids:
        for one in await CURRENT_CONTENTS.fetch(source, approval_ids=list(approval_ids)):
            one.compare()
            found[one.link.approval_id].append(one)
            await asyncio.sleep(0)
    return found


TASK_CONTENTS: Query[tuple[UUID, TaskContent]] = Query(
    select(Task.id, policies.task_content_query()).where(
        Task.id == func.any(bindparam("task_ids", type_=ARRAY(Uuid())))
    )
)
CURRENT_CONTENTS = Query(
    select(ApprovalTask, policies.task_content_query())
    .join(Task, Task.id == ApprovalTask.task_id)
    .where(ApprovalTask.approval_id == func.any(bindparam("approval_ids", type_=ARRAY(Uuid()))))
    .order_by(ApprovalTask.position, ApprovalTask.created_at, ApprovalTask.id)
    .execution_options(populate_existing=True),
    lambda row: CurrentContent(*row),
)


def hash_current_action(approval: Approval, contents: Sequence[CurrentContent]) -> str:
    """Return the hash of an action with the current content of its tasks.

    A page sends it with the decision, so that exactly what it shows is approved.
    """
    objects = [one.object for one in contents]
    return hash_action(approval.board_id, approval.action_type, objects, approval.payload)


async def bind_request(
    approval: Approval, board: Board, links: Sequence[tuple[ApprovalTask, TaskContent]]
) -> None:
    """Store what a new approval is about: the contents of its tasks, and the hash of the action.

    Other requests have their turn after each content.
    """
    objects = []
    for link, content in links:
        content_hash = hash_content(content)
        link.content, link.content_hash = dict(content), content_hash
        objects.append(ActionObject(link.task.id, content_hash))
        await asyncio.sleep(0)
    approval.requested_hash = approval.action_hash = hash_action(
        board.id, approval.action_type, objects, approval.payload
    )


def bind_decision(
    detail: ApprovalDetail,
    contents: Sequence[CurrentContent],
    expected_hash: str | None,
    completes_tasks: bool | None,
) -> ApprovalDetail:
    """Store the current content as what was reviewed. `completes_tasks` is part of the decision.

    Raises Conflict if the approval has expired, or if the content is not what the user has seen:
    that with `expected_hash`, or else that of the original request. A decision without a hash does
    not mean content that somebody has approved since. Approvals from before hashes were stored need
    one.
    """
    approval = detail.approval
    if approval.expires_at is not None and approval.expires_at <= now():
        message = N_("This request has expired, so it can no longer be approved.")
        raise Conflict("approval_expired", message)
    current_hash = hash_current_action(approval, contents)
    if (expected_hash or approval.requested_hash) != current_hash:
        raise content_changed(detail, contents, current_hash, completes_tasks)
    approval.action_hash = current_hash
    for one in contents:
        if one.link.content_hash != one.object.content_hash:
            one.link.content, one.link.content_hash = dict(one.content), one.object.content_hash
    hashes = dict(one.object for one in contents)
    reviewed = [
        task._replace(content_hash=hashes[task.id], is_changed=False) for task in detail.tasks
    ]
    return replace(detail, tasks=reviewed)


def content_changed(
    detail: ApprovalDetail,
    contents: Sequence[CurrentContent],
    current_hash: str | None,
    completes_tasks: bool | None,
) -> Conflict:
    """Build the error for an outdated decision, with the request that approves current content."""
    body: dict[str, Any] = {"status": "approved", "action_hash": current_hash}
    if completes_tasks is not None:
        body["completes_tasks"] = completes_tasks
    titles = {task.id: task.title for task in detail.tasks}
    changed = [
        {
            "task_id": str(one.link.task_id),
            "title": titles.get(one.link.task_id),
            "fields": one.changed_fields,
        }
        for one in contents
        if one.changed_fields
    ]
    text = N_("The content of this request may have changed. Read it again, then decide.")
    if changed or detail.approval.requested_hash not in (None, current_hash):
        text = N_("The content of this request has changed. Read it again, then decide.")
    names = sorted({name for one in contents for name in one.changed_fields})
    path = f"/api/v1/boards/{detail.board.id}/approvals/{detail.approval.id}"
    return Conflict(
        "approval_content_changed",
        text,
        hint=f"Changed: {', '.join(names)}." if names else "",
        changed=changed,
        action_hash=current_hash,
        request=build_request("PATCH", path, body),
        sent_as="object",
    )
