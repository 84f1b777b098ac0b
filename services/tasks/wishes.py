"""What somebody wants to do to a task, and the facts that decide whether they may."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, auto
from typing import Any, TypeAlias
from uuid import UUID

from models import Actor, Agent, Board, Status, Task
from services.custom_fields import BoundField


class Kind(Enum):
    """The kinds of actor that the contract tells apart."""

    PERSON = auto()
    LEAD = auto()
    WORKER = auto()  # and the agents without a board, who look after a gateway


@dataclass(frozen=True)
class Approvals:
    """Where the approvals about a task stand: is one open, and when was it last decided, and how.

    An approval opens the way to done as long as nobody has said no since, and as long as the task
    has not been taken up again since, from done or from review: then it is about other work.
    """

    pending: bool = False
    approved_at: datetime | None = None
    rejected_at: datetime | None = None
    taken_up_at: datetime | None = None

    @property
    def open_done(self) -> bool:
        """Whether the task may be done as far as approvals go."""
        if self.approved_at is None:
            return False
        refused = self.rejected_at is not None and self.rejected_at > self.approved_at
        used_up = self.taken_up_at is not None and self.taken_up_at >= self.approved_at
        return not (refused or used_up)


@dataclass(frozen=True, kw_only=True)
class Wish:
    """A change that somebody wants, and all that the rules may look at.

    `task` is as it stands before; of a new task, that is an empty one in the inbox.
    """

    actor: Actor
    board: Board
    task: Task
    changes: Mapping[str, Any]  # the fields that were sent, checked
    depends_on: Sequence[UUID] = ()  # before the change
    tagged: Sequence[UUID] = ()  # before the change
    waits_for: Sequence[UUID] = ()  # what it would depend on after the change that is not done
    missing_task_ids: Sequence[UUID] = ()
    missing_tag_ids: Sequence[UUID] = ()
    closes_a_circle: bool = False
    assignee: Agent | None = None  # who shall have it, if there is such an agent
    lead_id: UUID | None = None  # of the board
    last_worker_id: UUID | None = None  # who brought it to review, if still a worker here
    approvals: Approvals = field(default_factory=Approvals)
    fields: Sequence[BoundField] = ()  # of the board's tasks, where values are given for them
    last_word: str | None = None  # of the lead about the task, where it sends it back
    commented: bool = False  # whether whoever holds it commented since they began

    @property
    def kind(self) -> Kind:
        """Which rules are for this actor."""
        if not isinstance(self.actor, Agent):
            return Kind.PERSON
        leads = self.actor.is_board_lead and self.actor.board_id == self.board.id
        return Kind.LEAD if leads else Kind.WORKER

    @property
    def asked(self) -> Status | None:
        """The status that was asked for, if any was."""
        return self.changes.get("status")

    @property
    def to(self) -> Status:
        """The status in which the task would end. What nobody holds any more isn't in progress."""
        status = self.asked or self.task.status
        if status is self.task.status is Status.IN_PROGRESS and self.unassigns:
            return Status.INBOX
        return status

    @property
    def assigns(self) -> bool:
        """Whether somebody shall have the task who does not have it now."""
        agent_id = self.changes.get("assigned_agent_id")
        return agent_id is not None and agent_id != self.task.assigned_agent_id

    @property
    def unassigns(self) -> bool:
        """Whether the task is taken away from whoever holds it."""
        taken = "assigned_agent_id" in self.changes and self.changes["assigned_agent_id"] is None
        return taken and self.task.assigned_agent_id is not None

    @property
    def held_by_another(self) -> bool:
        """Whether the task is assigned to an agent that isn't the actor."""
        return self.task.assigned_agent_id not in (None, self.actor.id)

    @property
    def needs_a_comment(self) -> bool:
        """Whether the board asks for a comment about this, and none came with it."""
        enters = self.enters(Status.REVIEW) and "comment" not in self.changes
        return enters and self.board.comment_required_for_review

    def enters(self, status: Status) -> bool:
        """Say whether the task would come to a status in which it is not now."""
        return self.to is status and self.task.status is not status


Rule: TypeAlias = Callable[[Wish], None]
"""Raises a Refusal if the wish breaks it."""
