"""Cards and columns of a board."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from uuid import UUID

from core.errors import AppError
from models import Priority, Status, Task
from services.agents import AgentCard
from services.approvals import UndecidedApproval
from services.tasks import BoardColumn, CardTask
from web.ui.locale_format import describe_error
from web.ui.translation import N_, pgettext, translate

EMPTY_COLUMN_TEXTS = {
    Status.INBOX: N_("Tasks that people or the lead create appear here."),
    Status.IN_PROGRESS: N_(
        "An agent moves a task here when it starts. The card shows who, and for how long."
    ),
    Status.REVIEW: N_(
        "Finished work waits here for you or the lead. Cards that need your decision are "
        "highlighted."
    ),
    Status.DONE: N_("Completed tasks appear here."),
}
"""Text of an empty column."""

STATUS_NAMES = {
    Status.INBOX: N_("Inbox"),
    Status.IN_PROGRESS: N_("In progress"),
    Status.REVIEW: N_("Review"),
    Status.DONE: N_("Done"),
}

REVIEW_HEADINGS = (N_("Waiting for you"), N_("Waiting for the lead"), N_("Blocked"))
REVIEW_BY_OTHERS = N_("Waiting for others")  # shown to people who may only read the board
REVIEW_WITHOUT_LEAD = N_("Waiting for review")
DECISION_RANK, LEAD_RANK = 0, 1  # of the sections of tasks that wait for a person, for the lead

MOVE_ERRORS = {
    "task_blocked_cannot_transition": "",
    "approval_required": N_("Needs an approval before Done"),
    "completion_denied": N_("The policy does not allow this task to be done"),
    "decider_not_allowed": N_("Somebody else must approve this before Done"),
    "second_approval_required": N_("Two people must approve this before Done"),
    "review_required": N_("Needs a review before Done"),
    "approval_pending": N_("Locked while an approval is pending"),
    "comment_required": N_("Needs a comment before Review"),
}
"""Short texts of rejected moves by error code; "" where the card shows the reason anyway."""


@dataclass(frozen=True)
class RejectedMove:
    """A rejected move or other change, shown on its card until the task changes."""

    task_id: UUID
    version: int
    code: str
    message: str = ""
    is_selected: bool = False  # whether the card is selected, for another try

    @classmethod
    def from_error(
        cls, task: Task | CardTask, error: AppError, *, is_selected: bool = False
    ) -> "RejectedMove":
        """Build the rejected move of an error."""
        return cls(task.id, task.version, error.code, describe_error(error), is_selected)

    @classmethod
    def parse_all(cls, text: str) -> "list[RejectedMove]":
        """Parse several moves, separated by commas; what is none is left out."""
        parsed = map(cls.parse, text.split(",")[:50])
        return [one for one in parsed if one is not None]

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
        known = MOVE_ERRORS.get(self.code)
        return self.message if known is None else translate(known)


@dataclass(frozen=True)
class TaskCard:
    """A task on its board."""

    task: CardTask
    approvals: Sequence[UndecidedApproval]  # of this task
    assignee_card: AgentCard | None
    rejected_move: RejectedMove | None

    @property
    def is_movable(self) -> bool:
        """Return whether the card can be dragged. Blocked tasks cannot."""
        return not self.task.is_blocked

    @property
    def version(self) -> str:
        """Return a value that changes with every change of the card."""
        return f"{self.task.version}.{self.task.comments_count}.{len(self.approvals)}"


@dataclass(frozen=True)
class CardColumn:
    """A column with its first cards. The Review column has sections with headings."""

    status: Status
    total: int
    cards: Sequence[TaskCard]  # those that are shown
    has_lead: bool  # whether the board has a lead, who reviews

    def list_sections(self, *, can_write: bool) -> Sequence[tuple[str, Sequence[TaskCard]]]:
        """Return the cards, grouped under the headings of their sections for a viewer."""
        if self.status is not Status.REVIEW:
            return [("", self.cards)]
        grouped = groupby(sorted(self.cards, key=_review_rank), key=_review_rank)
        sections = [
            (self._review_heading(rank, can_write=can_write), list(cards))
            for rank, cards in grouped
        ]
        return sections or [("", [])]

    def _review_heading(self, rank: int, *, can_write: bool) -> str:
        if rank == DECISION_RANK and not can_write:
            return translate(REVIEW_BY_OTHERS)
        has_reviewer = self.has_lead or rank != LEAD_RANK
        return translate(REVIEW_HEADINGS[rank] if has_reviewer else REVIEW_WITHOUT_LEAD)

    @property
    def empty_text(self) -> str:
        """Return the text of the column while it is empty."""
        return translate(EMPTY_COLUMN_TEXTS[self.status])

    @property
    def hidden_count(self) -> int:
        """Return the number of cards that are not shown."""
        return self.total - len(self.cards)


def name_priority(priority: str) -> str:
    """Return the name of a priority; of an unknown one, its value."""
    names = {
        Priority.LOW.value: pgettext("priority", "Low"),
        Priority.MEDIUM.value: pgettext("priority", "Medium"),
        Priority.HIGH.value: pgettext("priority", "High"),
    }
    return names.get(priority, priority)


def build_columns(
    columns: Sequence[BoardColumn],
    approvals: Sequence[UndecidedApproval],
    agent_cards: Sequence[AgentCard],
    rejected_moves: Sequence[RejectedMove],
) -> list[CardColumn]:
    """Build the columns of a board with their cards."""
    cards_by_agent = {card.agent.id: card for card in agent_cards}
    approvals_by_task = group_by_task(approvals)
    rejected = {move.task_id: move for move in rejected_moves}
    has_lead = any(card.agent.is_board_lead for card in agent_cards)
    return [
        CardColumn(
            column.status,
            column.total,
            [
                build_card(task, approvals_by_task, cards_by_agent, rejected.get(task.id))
                for task in column.cards
            ],
            has_lead,
        )
        for column in columns
    ]


def _review_rank(card: TaskCard) -> int:
    """Return the number of the section of the Review column that shows a card."""
    if card.approvals:
        return 0
    return 2 if card.task.is_blocked else LEAD_RANK


def includes_card(columns: Iterable[CardColumn], task_id: UUID) -> bool:
    """Return whether the card of a task is among those that are shown."""
    return any(card.task.id == task_id for column in columns for card in column.cards)


def group_by_task(approvals: Sequence[UndecidedApproval]) -> dict[UUID, list[UndecidedApproval]]:
    """Return the approvals of each task."""
    approvals_by_task: dict[UUID, list[UndecidedApproval]] = {}
    for approval in approvals:
        for task_id in approval.task_ids:
            approvals_by_task.setdefault(task_id, []).append(approval)
    return approvals_by_task


def build_groups(
    columns: Sequence[CardColumn], statuses: Sequence[Status]
) -> list[tuple[CardColumn, Sequence[TaskCard]]]:
    """Return the columns that have cards in this order, as groups of a list."""
    by_status = {column.status: column for column in columns}
    return [(by_status[one], by_status[one].cards) for one in statuses if by_status[one].cards]


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
    task: CardTask,
    approvals_by_task: Mapping[UUID, Sequence[UndecidedApproval]],
    cards_by_agent: Mapping[UUID, AgentCard],
    move: RejectedMove | None = None,
) -> TaskCard:
    """Build the card of a task."""
    is_current = move and (move.task_id, move.version) == (task.id, task.version)
    return TaskCard(
        task=task,
        approvals=approvals_by_task.get(task.id, ()),
        assignee_card=cards_by_agent.get(task.assignee.id) if task.assignee else None,
        rejected_move=move if is_current else None,
    )
