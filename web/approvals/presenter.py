"""Approvals in full, and who may decide them, as pages show them."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from markupsafe import Markup

from core.db.reads import Source
from core.errors import Invalid
from models import ApprovalStatus, Member, Status
from services import approvals, custom_fields, organizations, policies, tasks
from services.approvals import ApprovalDetail, CurrentContents, UndoneNote
from services.tasks import TaskDetail
from web.approvals.evidence import (
    TaskContent,
    TaskEvidenceView,
    build_task_content,
    list_field_keys,
)
from web.approvals.payload import BRIEF, COMPLETE, ApprovalPayload, parse_payload
from web.approvals.sentences import (
    describe_lapses,
    describe_question,
    describe_reason,
    describe_requester,
)
from web.approvals.tool_calls import ToolCallView
from web.ui.formatted_texts import reveal_texts
from web.ui.text_display import reveal_lines
from web.ui.translation import N_, _, ngettext

MAX_NAMES = 5  # in a sentence


@dataclass(frozen=True)
class DecisionRights:
    """What a member may do with an approval: by the rights on the board and by the policy."""

    can_write: bool  # on the board
    can_approve: bool
    allowed: Collection[ApprovalStatus]  # by the policy
    is_first_approver: bool  # of two people
    has_approved: bool  # as the first of two people, and the content is the same
    decider_names: Sequence[str] = ()  # of the people whom the policy names and lets decide

    @property
    def can_reject(self) -> bool:
        """Return whether the member may reject the approval."""
        return self.can_write and ApprovalStatus.REJECTED in self.allowed

    @property
    def named_deciders(self) -> str:
        """Return the names of the people whom the policy names, as a phrase."""
        names = list(self.decider_names)
        if len(names) > MAX_NAMES:
            others = len(names) - MAX_NAMES + 1
            names[MAX_NAMES - 1 :] = [ngettext("%(num)d other", "%(num)d others", others)]
        first, last = ", ".join(names[:-1]), "".join(names[-1:])
        return _("%(names)s and %(last_name)s", names=first, last_name=last) if first else last

    @property
    def is_excluded(self) -> bool:
        """Return whether the policy leaves the approval to other people."""
        return ApprovalStatus.APPROVED not in self.allowed


def build_decision_rights(
    detail: ApprovalDetail,
    member: Member,
    writable: Collection[UUID],
    named: Sequence[Member] = (),
) -> DecisionRights:
    """Return the rights of a member of the organization. `named` are members named by policies."""
    can_write = detail.board.id in writable
    verdict = detail.approval.policy_verdict
    return DecisionRights(
        can_write=can_write,
        can_approve=can_write and approvals.may_approve(detail, member),
        allowed=approvals.list_allowed_decisions(detail, member),
        is_first_approver=detail.approval.first_approver_id == member.user_id,
        has_approved=approvals.has_approved_first(detail, member.user_id),
        decider_names=[
            one.user.display_name
            for one in named
            if one.user_id in verdict.decider_ids
            and policies.may_decide(verdict, one.user_id, one.role)
        ],
    )


async def load_decision_rights(
    source: Source, member: Member, details: Sequence[ApprovalDetail], writable: Collection[UUID]
) -> dict[UUID, DecisionRights]:
    """Load the rights of a user on approvals of one organization, with one query for the names."""
    if not details:
        return {}
    organization_id = details[0].board.organization_id
    if organization_id != member.organization_id:  # an address can lead to another organization
        found = await organizations.find_membership(source, member.user, organization_id)
        assert found is not None  # the user sees the board
        member = found
    named_ids = {id for one in details for id in one.approval.policy_verdict.decider_ids}
    named = await policies.list_named_members(source, organization_id, named_ids)
    return {one.approval.id: build_decision_rights(one, member, writable, named) for one in details}


def is_last_approval(detail: ApprovalDetail) -> bool:
    """Return whether no other person has to approve too after the next approval."""
    has_first = detail.first_approver and detail.may_first_vote and not detail.is_changed
    return detail.approval.policy_verdict.required_approvals == 1 or bool(has_first)


@dataclass(frozen=True)
class ApprovalView:
    """An approval in full: its payload, its tasks, and what the member may decide.

    Unless it `is_complete`, long content is cut, and `notes` say so.
    """

    detail: ApprovalDetail
    payload: ApprovalPayload
    tasks: list[TaskContent]
    rights: DecisionRights
    is_complete: bool = False
    action_hash: str = ""  # of what is shown; empty if it changed while it was read
    undone_note: UndoneNote | None = None  # of the member's own decision that was undone
    evidence: Sequence[TaskEvidenceView] = ()  # not part of what is approved
    tool_call: ToolCallView | None = None  # what a client asks for, always complete
    key_prefix: str = ""  # where a page can show the same approval twice
    _revealed: dict[str, Markup] = field(default_factory=dict)  # the HTML of texts

    @property
    def id(self) -> UUID:
        """Return the id of the approval."""
        return self.detail.approval.id

    @property
    def key(self) -> str:
        """Return the part of the ids of its elements that belongs to this approval."""
        return f"{self.key_prefix}{self.id}"

    @property
    def question(self) -> str:
        """Return the question to decide."""
        return describe_question(self.detail)

    @property
    def reason(self) -> str:
        """Return the reason for the request."""
        return describe_reason(self.detail)

    @property
    def requester_name(self) -> str:
        """Return the name of the agent or user who requested it."""
        return describe_requester(self.detail)

    @property
    def lapses(self) -> str:
        """Return which decisions about it count no longer, and why."""
        return describe_lapses(self.detail)

    @property
    def can_undo(self) -> bool:
        """Return whether the member may undo the decision, which is not final."""
        is_allowed = self.detail.shown_status in self.rights.allowed
        return self.rights.can_write and is_allowed and self.detail.can_undo

    @property
    def may_complete_tasks(self) -> bool:
        """Return whether the decider may say that the approval also completes the tasks."""
        board = self.detail.board
        can_help = board.require_approval_for_done and bool(self.tasks)
        return can_help and self.rights.can_approve and not self.detail.completes_tasks

    @property
    def can_complete(self) -> bool:
        """Return whether the member may approve and complete the tasks in one step.

        Not if another person has to approve too, or if a task is blocked or has to be reviewed.
        """
        needs_review = self.detail.board.require_review_before_done
        return self.leaves_tasks_open and all(
            not one.blocked_by and (one.task.status is Status.REVIEW or not needs_review)
            for one in self._open_tasks
        )

    @property
    def leaves_tasks_open(self) -> bool:
        """Return whether an approval by the member allows open tasks to be moved to Done later."""
        is_final = self.rights.can_approve and is_last_approval(self.detail)
        return bool(is_final and self.detail.completes_tasks and self._open_tasks)

    @property
    def _open_tasks(self) -> list[TaskDetail]:
        return [one.detail for one in self.tasks if one.detail.task.status is not Status.DONE]

    @property
    def task_notes(self) -> list[str]:
        """Return what is not shown of the tasks."""
        cut = sum(task.is_cut for task in self.tasks)
        note = ngettext(
            "The content of %(num)d task is cut.", "The content of %(num)d tasks is cut.", cut
        )
        return [note] if cut else []

    @property
    def notes(self) -> list[str]:
        """Return what is not shown."""
        return [*self.payload.notes, *self.task_notes]

    @property
    def must_be_opened(self) -> bool:
        """Return whether the complete content has to be opened before an approval."""
        return bool(self.notes) and not self.is_complete

    async def reveal_texts(self) -> None:
        """Prepare the HTML of the texts that the page shows. Call it without a connection."""
        payload = self.payload
        rows = [*payload.changes, *payload.fields]
        rows += [row for task in self.tasks for row in (*task.changes, *task.fields)]
        texts = [self.reason, payload.description, payload.text]
        texts += self.tool_call.texts if self.tool_call else ()
        texts += [task.description for task in self.tasks]
        texts += [text for row in rows for text in (row.value, row.old_value)]
        self._revealed.update(await reveal_texts(texts))
        for one in self.evidence:
            await one.prepare()

    def reveal_lines(self, text: str) -> Markup:
        """Return the HTML of a text."""
        return self._revealed[text] if text in self._revealed else reveal_lines(text)


async def load_approval_views(
    source: Source,
    member: Member,
    details: Sequence[ApprovalDetail],
    writable: set[UUID],
    *,
    complete: bool = False,
) -> list[ApprovalView]:
    """Load what pages show of approvals, with one query for the tasks of each board."""
    # Contents come first: what changes before the tasks are loaded has another hash than was sent.
    ids = [detail.approval.id for detail in details]
    contents = await approvals.load_current_contents(source, ids)
    rights = await load_decision_rights(source, member, details, writable)
    return await load_views(source, details, rights, contents, complete=complete)


async def load_views(
    source: Source,
    details: Sequence[ApprovalDetail],
    rights: Mapping[UUID, DecisionRights],
    contents: CurrentContents,
    *,
    complete: bool = False,
) -> list[ApprovalView]:
    """Load what pages show of approvals with these rights and contents."""
    boards = {detail.board.id: detail.board for detail in details}
    found: dict[UUID, TaskDetail] = {}
    for board in boards.values():
        ids = {task.id for one in details if one.board.id == board.id for task in one.tasks}
        found |= await tasks.load_task_details(source, board, ids)
    # All boards are of the organization that is open.
    labels = (
        await custom_fields.load_field_labels(
            source, details[0].board.organization_id, list_field_keys(found.values(), contents)
        )
        if details
        else {}
    )
    views = []
    for detail in details:
        right = rights[detail.approval.id]
        views.append(_build_view(detail, found, right, contents, labels, complete=complete))
        await asyncio.sleep(0)  # a long request takes some 50 ms, so others have their turn
    return views


def _build_view(
    detail: ApprovalDetail,
    found: Mapping[UUID, TaskDetail],
    rights: DecisionRights,
    contents: CurrentContents,
    labels: Mapping[str, str],
    *,
    complete: bool,
) -> ApprovalView:
    complete = complete or detail.approval.is_tool_call  # which are limited in their size
    limits, current = COMPLETE if complete else BRIEF, contents.get(detail.approval.id, ())
    by_task = {content.link.task_id: content for content in current}
    shown_titles = {task.id: task.title for task in detail.tasks}
    is_consistent = shown_titles == {id: one.content["title"] for id, one in by_task.items()}
    return ApprovalView(
        detail,
        parse_payload(detail, limits),
        [
            build_task_content(found[task.id], by_task.get(task.id), limits, labels)
            for task in detail.tasks
            if task.id in found
        ],
        rights,
        complete,
        approvals.hash_current_action(detail.approval, current) if is_consistent else "",
    )


async def find_unopened(
    source: Source,
    member: Member,
    approval_ids: Collection[UUID],
    *,
    listed_hashes: Mapping[UUID, str] | None = None,
) -> dict[UUID, Invalid]:
    """Return an error for each undecided approval whose complete content has to be opened first.

    A list, which sends `listed_hashes`, shows only the titles of the tasks: what is not the content
    of the original request has to be opened too, and a tool call, of which it shows the beginning.
    """
    waiting = await approvals.list_undecided_approvals(source, member, approval_ids=approval_ids)
    contents = await approvals.load_current_contents(source, [one.approval.id for one in waiting])
    rights = {one.approval.id: build_decision_rights(one, member, ()) for one in waiting}
    views = await load_views(source, waiting, rights, contents)
    message = N_("This page did not show everything. Open the complete content, then approve.")
    found = {
        view.id: Invalid("content_not_opened", message) for view in views if view.must_be_opened
    }
    message = N_(
        "The list does not show all of it, or the content may have changed after the request. Open"
        " the request and read it, then approve."
    )
    for view in views:
        approval = view.detail.approval
        if listed_hashes is not None and (
            approval.is_tool_call or listed_hashes[view.id] != approval.requested_hash
        ):
            found.setdefault(view.id, Invalid("content_not_opened", message))
    return found
