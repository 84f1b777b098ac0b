"""What a person approves who moves tasks to Done on a board that requires an approval for it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from core.db.reads import Source
from core.errors import AppError
from models import Board, Member, PolicyEffect, Status, Task, User
from services import approvals, tasks
from services.approval_actions import COMPLETION_KIND
from services.approvals import ApprovalCreate
from web.approvals.presenter import ApprovalView, load_decision_rights, load_views
from web.approvals.sentences import build_done_reason

CERTAIN = 100.0  # percent: confidence of an approval that a user requests
MAX_OFFERS = 20  # tasks of one confirmation, which shows the content of each

REJECTION_CODES = {"approval_required", "approval_pending"}
"""Why a task is not moved to Done unless somebody approves it."""


@dataclass(frozen=True)
class CompletionOffer:
    """What would be approved for a task. With an `obstacle`, this person may not do it now."""

    task_id: UUID
    view: ApprovalView
    obstacle: str = ""  # a code of MOVE_ERRORS in web/boards/cards.py

    @property
    def shown(self) -> str:
        """Return the field that the form sends: the task, and the hash of what is shown."""
        return f"{self.task_id}:{self.view.action_hash}"


@dataclass(frozen=True)
class Confirmation:
    """The confirmation that is offered for tasks that need an approval before Done."""

    offers: Sequence[CompletionOffer]
    more: int = 0  # further tasks, which are not part of it
    problem: str = ""  # why the last confirmation had no effect

    @property
    def must_be_opened(self) -> bool:
        """Return whether the complete content has to be opened before."""
        return any(one.view.must_be_opened for one in self.offers)

    @property
    def has_all_hashes(self) -> bool:
        """Return whether nothing changed while it was read."""
        return all(one.view.action_hash for one in self.offers)

    @property
    def query(self) -> str:
        """Return the query of the page with this confirmation."""
        return f"?ids={','.join(str(one.task_id) for one in self.offers)}"

    async def reveal_texts(self) -> None:
        """Prepare the HTML of the texts that it shows. Call it without a connection."""
        for one in self.offers:
            await one.view.reveal_texts()


def build_done_approval(task: Task, user: User) -> ApprovalCreate:
    """Build the approval that a board requires before a task moves to Done."""
    return ApprovalCreate.parse(
        {
            "action_type": COMPLETION_KIND,
            "confidence": CERTAIN,
            "task_id": task.id,
            "payload": {"reason": build_done_reason(user.display_name)},
        }
    )


async def load_completion_offers(
    source: Source,
    member: Member,
    board: Board,
    task_ids: Sequence[UUID],
    *,
    complete: bool = False,
) -> list[CompletionOffer]:
    """Load what a member who may change the board would approve to move these tasks to Done."""
    found = await tasks.load_task_details(source, board, task_ids)
    open_tasks = [
        found[id].task for id in task_ids if id in found and found[id].task.status != Status.DONE
    ]
    requests = [(task, build_done_approval(task, member.user)) for task in open_tasks]
    proposals = await approvals.propose_completions(source, member.user, board, requests)
    details = [one.detail for one in proposals]
    rights = await load_decision_rights(source, member, details, {board.id})
    contents = {id: links for one in proposals for id, links in one.contents.items()}
    views = await load_views(source, details, rights, contents, complete=complete)
    return [
        CompletionOffer(
            proposal.task_id,
            replace(view, key_prefix="done-"),
            _find_obstacle(view) if proposal.is_usable else "approval_required",
        )
        for proposal, view in zip(proposals, views, strict=True)
    ]


def _find_obstacle(view: ApprovalView) -> str:
    verdict = view.detail.approval.policy_verdict
    if verdict.effect is PolicyEffect.DENY:
        return "completion_denied"
    if view.rights.is_excluded:
        return "decider_not_allowed"
    if view.can_complete:
        return ""
    return "second_approval_required" if verdict.required_approvals > 1 else "approval_required"


def needs_approval(error: AppError | None) -> bool:
    """Return whether a task was not moved because nobody has approved it."""
    return error is not None and error.code in REJECTION_CODES


def build_confirmation(offers: Sequence[CompletionOffer], problem: str = "") -> Confirmation | None:
    """Build the confirmation of the tasks that the person may complete; None without any."""
    possible = [one for one in offers if not one.obstacle]
    if not possible:
        return None
    return Confirmation(possible[:MAX_OFFERS], max(0, len(possible) - MAX_OFFERS), problem)
