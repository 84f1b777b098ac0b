"""Cards and columns of a board."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from core.errors import AppError
from models import Priority, Status, Task
from services.agents import AgentCard
from services.approvals import ApprovalDetail
from services.tasks import BoardColumn, TaskDetail

NO_DUE_DATE = datetime(9999, 1, 1, tzinfo=UTC)
PRIORITY_RANKS = {priority.value: rank for rank, priority in enumerate(Priority)}
LIST_ORDER = (Status.REVIEW, Status.IN_PROGRESS, Status.INBOX, Status.DONE)
EMPTY_COLUMN_TEXTS = {
    Status.INBOX: "New work lands here: yours, and what the board's lead plans.",
    Status.IN_PROGRESS: "An agent moves a task here when it starts. "
    "The card shows who, and for how long.",
    Status.REVIEW: "Finished work waits here for you or the lead. "
    "Questions for you light up in marigold.",
    Status.DONE: "Approved work rests here.",
}
"""Text of an empty column."""

MOVE_ERRORS = {
    "task_blocked_cannot_transition": "",
    "approval_required": "Needs an approval before Done",
    "review_required": "Goes to Review before it is done",
    "approval_pending": "Stays here until its question is answered",
    "comment_required": "Needs a comment before Review",
}
"""Short texts of rejected moves by error code; "" where the card shows the reason anyway."""


@dataclass(frozen=True)
class RejectedMove:
    """A rejected move, shown on its card until the task changes."""

    task_id: UUID
    version: int
    code: str
    message: str = ""

    @classmethod
    def from_error(cls, task: Task, error: AppError) -> "RejectedMove":
        """Build the rejected move of an error."""
        return cls(task.id, task.version, error.code, error.message)

    @classmethod
    def parse(cls, text: str) -> "RejectedMove | None":
        """Parse the text that `str` returns; a refreshed part of the page sends it back."""
        id, _, rest = text.partition(".")
        version, _, code = rest.partition(".")
        if code not in MOVE_ERRORS or not (version.isdecimal() and version.isascii()):
            return None
        try:
            return cls(UUID(id), int(version[:9]), code)
        except ValueError:
            return None

    def __str__(self) -> str:
        """Format the move for an address."""
        return f"{self.task_id}.{self.version}.{self.code}"

    @property
    def text(self) -> str:
        """Return the reason in a few words."""
        return MOVE_ERRORS.get(self.code, self.message)


@dataclass(frozen=True)
class TaskCard:
    """A task on its board."""

    detail: TaskDetail
    approvals: Sequence[ApprovalDetail]  # undecided approvals of this task
    assignee_card: AgentCard | None
    rejected_move: RejectedMove | None

    @property
    def task(self) -> Task:
        """Return the task."""
        return self.detail.task

    @property
    def is_movable(self) -> bool:
        """Return whether the card can be dragged. Blocked tasks cannot."""
        return not self.detail.is_blocked

    @property
    def version(self) -> str:
        """Return a value that changes with every change of the card."""
        return f"{self.task.version}.{self.detail.comments_count}.{len(self.approvals)}"


@dataclass(frozen=True)
class CardColumn:
    """A column of cards. The Review column has sections with headings."""

    status: Status
    total: int
    cards: Sequence[TaskCard]

    @property
    def sections(self) -> Sequence[tuple[str, Sequence[TaskCard]]]:
        """Return the cards grouped under their headings."""
        if self.status is not Status.REVIEW:
            return [("", self.cards)]
        undecided = [card for card in self.cards if card.approvals]
        others = [card for card in self.cards if not card.approvals]
        sections = [
            ("Waiting for you", undecided),
            ("Waiting for the lead", [card for card in others if not card.detail.is_blocked]),
            ("Blocked", [card for card in others if card.detail.is_blocked]),
        ]
        return [(heading, cards) for heading, cards in sections if cards] or [("", [])]

    @property
    def empty_text(self) -> str:
        """Return the text of the column while it is empty."""
        return EMPTY_COLUMN_TEXTS[self.status]

    @property
    def hidden_count(self) -> int:
        """Return the number of cards that exceed the limit of the column."""
        return self.total - len(self.cards)


def build_columns(
    columns: Sequence[BoardColumn],
    approvals: Sequence[ApprovalDetail],
    agent_cards: Sequence[AgentCard],
    rejected_move: RejectedMove | None,
) -> list[CardColumn]:
    """Build the columns of a board with their cards."""
    cards_by_agent = {card.agent.id: card for card in agent_cards}
    approvals_by_task = group_by_task(approvals)
    return [
        CardColumn(
            column.status,
            column.total,
            [
                build_card(detail, approvals_by_task, cards_by_agent, rejected_move)
                for detail in column.cards
            ],
        )
        for column in columns
    ]


def group_by_task(approvals: Sequence[ApprovalDetail]) -> dict[UUID, list[ApprovalDetail]]:
    """Return the approvals of each task."""
    approvals_by_task: dict[UUID, list[ApprovalDetail]] = {}
    for approval in approvals:
        for task_id in approval.task_ids:
            approvals_by_task.setdefault(task_id, []).append(approval)
    return approvals_by_task


def build_groups(
    columns: Sequence[CardColumn], sort: str
) -> list[tuple[CardColumn, list[TaskCard]]]:
    """Return the columns in list order, each with its sorted cards."""
    by_status = {column.status: column for column in columns}
    key = SORT_KEYS[sort.lstrip("-")]
    groups = [by_status[status] for status in LIST_ORDER if by_status[status].cards]
    return [
        (column, sorted(column.cards, key=key, reverse=sort.startswith("-"))) for column in groups
    ]


def choose_phone_column(columns: Sequence[CardColumn], requested: str) -> Status:
    """Return the column that a phone shows first: as requested, or where a decision is needed."""
    if requested:
        return Status(requested)
    by_status = {column.status: column for column in columns}
    if any(card.approvals for card in by_status[Status.REVIEW].cards):
        return Status.REVIEW
    order = (Status.IN_PROGRESS, Status.INBOX, Status.REVIEW)
    return next((status for status in order if by_status[status].total), Status.INBOX)


def build_card(
    detail: TaskDetail,
    approvals_by_task: Mapping[UUID, Sequence[ApprovalDetail]],
    cards_by_agent: Mapping[UUID, AgentCard],
    move: RejectedMove | None = None,
) -> TaskCard:
    """Build the card of a task."""
    task = detail.task
    is_current = move and (move.task_id, move.version) == (task.id, task.version)
    return TaskCard(
        detail=detail,
        approvals=approvals_by_task.get(task.id, ()),
        assignee_card=(
            cards_by_agent.get(task.assigned_agent_id) if task.assigned_agent_id else None
        ),
        rejected_move=move if is_current else None,
    )


SORT_KEYS = {
    "title": lambda card: card.task.title.casefold(),
    "priority": lambda card: -PRIORITY_RANKS.get(card.task.priority, -1),
    "assignee": lambda card: (
        card.detail.assignee is None,
        card.detail.assignee.name.casefold() if card.detail.assignee else "",
    ),
    "due": lambda card: card.task.due_at or NO_DUE_DATE,
}
"""Sort key of the list by column name."""
