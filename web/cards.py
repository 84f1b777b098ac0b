"""The cards of a board as people see them: what waits for them, who works, and what was refused."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from kit.errors import Refusal
from models import Priority, Status, Task
from services.agents import AgentCard
from services.approvals import ApprovalDetail
from services.tasks import Column, TaskDetail

FAR = datetime(9999, 1, 1, tzinfo=UTC)
RANKS = {priority.value: rank for rank, priority in enumerate(Priority)}
LIST_ORDER = (Status.REVIEW, Status.IN_PROGRESS, Status.INBOX, Status.DONE)
TEACHING = {
    Status.INBOX: "New work lands here: yours, and what the board's lead plans.",
    Status.IN_PROGRESS: "An agent moves a task here when it starts. "
    "The card shows who, and for how long.",
    Status.REVIEW: "Finished work waits here for you or the lead. "
    "Questions for you light up in marigold.",
    Status.DONE: "Approved work rests here.",
}
"""What an empty column says."""

REFUSALS = {
    "task_blocked_cannot_transition": "",
    "approval_required": "Needs an approval before Done",
    "review_required": "Goes to Review before it is done",
    "approval_pending": "Stays here until its question is answered",
    "comment_required": "Needs a comment before Review",
}
"""Refused moves in few words, by code. "" where the card says it already."""


@dataclass(frozen=True)
class Refused:
    """A move that was refused, as it is told on the card until the task changes."""

    task_id: UUID
    version: int
    code: str
    message: str = ""

    @classmethod
    def of(cls, task: Task, refusal: Refusal) -> "Refused":
        """Keep what is to be told."""
        return cls(task.id, task.version, refusal.code, refusal.message)

    @classmethod
    def read(cls, text: str) -> "Refused | None":
        """Read what `str` wrote. A part of a page asks with it when it is fetched again."""
        id, _, rest = text.partition(".")
        version, _, code = rest.partition(".")
        if code not in REFUSALS or not (version.isdecimal() and version.isascii()):
            return None
        try:
            return cls(UUID(id), int(version[:9]), code)
        except ValueError:
            return None

    def __str__(self) -> str:
        """Write what is to be told, for an address."""
        return f"{self.task_id}.{self.version}.{self.code}"

    @property
    def words(self) -> str:
        """Why, in few words."""
        return REFUSALS.get(self.code, self.message)


@dataclass(frozen=True)
class Card:
    """A task on its board."""

    detail: TaskDetail
    questions: Sequence[ApprovalDetail]  # about this task, waiting for an answer
    holder: AgentCard | None  # who has it, and how that agent stands
    refused: Refused | None

    @property
    def task(self) -> Task:
        """The task itself."""
        return self.detail.task

    @property
    def is_movable(self) -> bool:
        """Whether the card can be dragged. What waits stays; what is done can be taken up again."""
        return not self.detail.is_blocked

    @property
    def version(self) -> str:
        """What changes whenever the card does."""
        return f"{self.task.version}.{self.detail.comments_count}.{len(self.questions)}"


@dataclass(frozen=True)
class CardColumn:
    """A column of cards. Review has parts, each with a heading."""

    status: Status
    total: int
    cards: Sequence[Card]

    @property
    def parts(self) -> Sequence[tuple[str, Sequence[Card]]]:
        """The cards, under the headings that they stand under."""
        if self.status is not Status.REVIEW:
            return [("", self.cards)]
        asked = [card for card in self.cards if card.questions]
        quiet = [card for card in self.cards if not card.questions]
        parts = [
            ("Waiting for you", asked),
            ("Waiting for the lead", [card for card in quiet if not card.detail.is_blocked]),
            ("Blocked", [card for card in quiet if card.detail.is_blocked]),
        ]
        return [(heading, cards) for heading, cards in parts if cards] or [("", [])]

    @property
    def teaching(self) -> str:
        """What the column says while it is empty."""
        return TEACHING[self.status]

    @property
    def unseen(self) -> int:
        """How many cards are too many to be shown."""
        return self.total - len(self.cards)


def in_columns(
    columns: Sequence[Column],
    questions: Sequence[ApprovalDetail],
    crew: Sequence[AgentCard],
    refused: Refused | None,
) -> list[CardColumn]:
    """Make the cards of a board's columns."""
    holders = {one.agent.id: one for one in crew}
    asked = by_task(questions)
    return [
        CardColumn(
            column.status,
            column.total,
            [_card(detail, asked, holders, refused) for detail in column.cards],
        )
        for column in columns
    ]


def by_task(questions: Sequence[ApprovalDetail]) -> dict[UUID, list[ApprovalDetail]]:
    """Return the questions about each task."""
    asked: dict[UUID, list[ApprovalDetail]] = {}
    for question in questions:
        for task_id in question.task_ids:
            asked.setdefault(task_id, []).append(question)
    return asked


def in_groups(columns: Sequence[CardColumn], sort: str) -> list[tuple[CardColumn, list[Card]]]:
    """Return the columns in the order of the list, each with its cards sorted."""
    by_status = {column.status: column for column in columns}
    key = KEYS[sort.lstrip("-")]
    groups = [by_status[status] for status in LIST_ORDER if by_status[status].cards]
    return [
        (column, sorted(column.cards, key=key, reverse=sort.startswith("-"))) for column in groups
    ]


def counts(columns: Sequence[CardColumn]) -> Mapping[Status, int]:
    """Return how many tasks each column has."""
    return Counter({column.status: column.total for column in columns})


def column_to_show(columns: Sequence[CardColumn], wanted: str) -> Status:
    """Return the column that a phone shows first: the one that was asked for, or needs people."""
    if wanted:
        return Status(wanted)
    by_status = {column.status: column for column in columns}
    if any(card.questions for card in by_status[Status.REVIEW].cards):
        return Status.REVIEW
    order = (Status.IN_PROGRESS, Status.INBOX, Status.REVIEW)
    return next((status for status in order if by_status[status].total), Status.INBOX)


def _card(
    detail: TaskDetail,
    asked: Mapping[UUID, Sequence[ApprovalDetail]],
    holders: Mapping[UUID, AgentCard],
    refused: Refused | None,
) -> Card:
    task = detail.task
    told = refused and (refused.task_id, refused.version) == (task.id, task.version)
    return Card(
        detail=detail,
        questions=asked.get(task.id, ()),
        holder=holders.get(task.assigned_agent_id) if task.assigned_agent_id else None,
        refused=refused if told else None,
    )


KEYS = {
    "title": lambda card: card.task.title.casefold(),
    "priority": lambda card: -RANKS.get(card.task.priority, -1),
    "assignee": lambda card: (
        card.detail.assignee is None,
        card.detail.assignee.name.casefold() if card.detail.assignee else "",
    ),
    "due": lambda card: card.task.due_at or FAR,
}
"""How the list is sorted, by the name of the column."""
