"""Change requests for tasks: the fields a caller may send, and the facts for the rules."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Annotated, Any, TypeAlias
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints

from core.errors import Invalid
from core.fields import (
    ONE_LINE,
    FieldKind,
    Fields,
    Label,
    Moment,
    Patch,
    ShortText,
    Text,
    build_line_constraints,
)
from core.text import N_
from models import Actor, Agent, ApprovalStatus, Board, Priority, Status, Task
from services.custom_fields import BoundField

ASSIGNMENT_FIELDS = ("assigned_agent_id", "assigned_user_id")
"""The assignee of a task: an agent or a person, never both."""

CLAIM_FIELDS = ("expected_status", "run_id", "expected_run_id")
"""What a change expects of the task, and the run that changes it."""

MAX_RUN_LENGTH = 200  # characters
RUN_SILENCE = timedelta(minutes=30)
"""Another run may claim a task if the run that has it has not named itself for so long."""


def _check_priority(given: str) -> str:
    if given in set(Priority):
        return Priority(given).value
    names = ", ".join(Priority)
    raise Invalid("unknown_priority", f"The priority is one of: {names}.", field="priority")


Ids = Annotated[
    list[UUID],
    Field(max_length=500),
    AfterValidator(lambda given: list(dict.fromkeys(given))),
]


class TaskFields(Fields):
    """What is the same in a new task and in changes."""

    title: Annotated[str, build_line_constraints(500), ONE_LINE, Label(N_("Title"), FieldKind.LINE)]
    description: Annotated[Text | None, Label(N_("Description"), FieldKind.TEXT)] = None
    status: Status = Status.INBOX
    priority: Annotated[
        ShortText,
        AfterValidator(_check_priority),
        Field(description="`low`, `medium` or `high`."),
        Label(N_("Priority")),
    ] = Priority.MEDIUM.value
    due_at: Annotated[Moment | None, Label(N_("Due"))] = None
    assigned_agent_id: UUID | None = None
    assigned_user_id: UUID | None = Field(
        default=None,
        description="A person who can read the board. An agent that has the task then loses it.",
    )


class TaskCreate(TaskFields):
    """A new task. `created_by_user_id` is accepted and ignored: it is the caller."""

    example = {"title": "Write the release notes", "priority": "high"}

    depends_on_task_ids: Ids = []
    tag_ids: Annotated[Ids, Label(N_("Tags"))] = []
    custom_field_values: dict[str, Any] = Field(
        default={},
        description="By key of the board's custom fields. Omitted fields have their default.",
    )
    created_by_user_id: UUID | None = None

    def as_changes(self) -> dict[str, Any]:
        """Return the fields in the form of a change of an empty task."""
        given = dict(self)
        del given["created_by_user_id"]
        for name in ASSIGNMENT_FIELDS:
            if given[name] is None:
                del given[name]
        return given


class TaskUpdate(TaskFields, Patch):
    """Changes of a task. The guide for agents says who may change what."""

    example = {"status": "review", "comment": "The draft is in the wiki."}
    may_be_empty = True
    descriptions = {"priority": None}

    status: Annotated[Status, Label(N_("Status"))] = Status.INBOX
    expected_status: Status | None = Field(
        default=None,
        description="Nothing changes if the task has another status: 409 `status_changed`.",
    )
    run_id: Annotated[str, build_line_constraints(MAX_RUN_LENGTH)] | None = Field(
        default=None,
        description="Your name for the run of your program that works on the task. While it has "
        "the task, other runs that name themselves do not: 409 `claimed_by_other_run`.",
    )
    expected_run_id: Annotated[str, build_line_constraints(MAX_RUN_LENGTH)] | None = Field(
        default=None, description="The run from which this one takes the task, as after a crash."
    )
    depends_on_task_ids: Ids | None = None
    tag_ids: Annotated[Ids | None, Label(N_("Tags"))] = None
    custom_field_values: dict[str, Any] | None = Field(
        default=None, description="Only the keys in the request change; null removes a value."
    )
    comment: Annotated[Text, StringConstraints(strip_whitespace=True)] | None = Field(
        default=None, description="Is added to the task with the change."
    )

    def changes(self) -> dict[str, Any]:
        """Return the given fields.

        A blank comment, and null for a list or a claim, count as not given, as in the contract.
        Null for the custom field values means no change of any value.
        """
        given = super().changes()
        if "custom_field_values" in given:
            given["custom_field_values"] = given["custom_field_values"] or {}
        for name in ("depends_on_task_ids", "tag_ids", *CLAIM_FIELDS):
            if given.get(name, ()) is None:
                del given[name]
        if not given.get("comment", True):
            del given["comment"]
        return given


class ActorRole(Enum):
    """Select the rules for an actor; the contract distinguishes these roles."""

    USER = auto()
    LEAD = auto()
    WORKER = auto()  # also the main agents of gateways, which have no board


@dataclass(frozen=True)
class LinkedApproval:
    """A decided approval that is linked to a task, with the reviewed content of that task."""

    id: UUID
    status: ApprovalStatus
    kind: str
    completes_tasks: bool
    resolved_at: datetime
    expires_at: datetime | None
    link_id: UUID | None  # none for old rows, which name only their first task
    content: Mapping[str, Any] | None
    content_hash: str | None
    used_at: datetime | None


@dataclass(frozen=True)
class DonePermission:
    """Whether an approval allows a task to be moved to done, and if not, why."""

    approval: LinkedApproval | None = None  # the one that allows it
    reason: str = "none"  # a key of `done_approvals.REASONS`, if none allows it
    kind: str = ""  # of the approval that does not allow it
    changed: Sequence[str] = ()  # the fields that differ from what was approved
    changed_by_request: bool = False  # whether the same change makes the difference


@dataclass(frozen=True, kw_only=True)
class TaskChange:
    """A requested change of a task, with all facts that the rules need.

    `task` is in its state before the change. For a creation it is an empty task in the inbox.
    """

    actor: Actor | None  # None: a webhook
    board: Board
    task: Task
    values: Mapping[str, Any]  # the validated fields that were sent
    current_dependency_ids: Sequence[UUID] = ()  # before the change
    current_tag_ids: Sequence[UUID] = ()  # before the change
    watcher_ids: Sequence[UUID] | None = None  # of people, before the change; None: not loaded
    open_dependency_ids: Sequence[UUID] = ()  # after the change; only tasks that are not done
    missing_task_ids: Sequence[UUID] = ()
    missing_tag_ids: Sequence[UUID] = ()
    policy_tag_ids: Collection[UUID] = ()  # that the actor may not change: policies name them
    creates_cycle: bool = False
    assignee: Agent | None = None  # the requested one, if such an agent exists
    can_user_read: bool = False  # whether the requested person can read the board
    lead_id: UUID | None = None  # of the board
    last_worker_id: UUID | None = None  # who moved it to review, if still a worker here
    is_run_silent: bool = False  # whether the run that has the task has not named itself lately
    is_creation: bool = False
    approval_pending: bool = False  # whether an approval of the task waits for a decision
    done_permission: DonePermission = field(default_factory=DonePermission)
    # Of the board; loaded if field values are sent.
    bound_fields: Sequence[BoundField] = ()
    lead_feedback: str | None = None  # the lead's last comment, if it returns the task to the inbox
    has_assignee_comment: bool = False  # since the task has been in progress

    @property
    def actor_id(self) -> UUID | None:
        """The id of the user or agent."""
        return None if self.actor is None else self.actor.id

    @property
    def role(self) -> ActorRole:
        """The role of the actor on this board."""
        if not isinstance(self.actor, Agent):
            return ActorRole.USER
        is_lead = self.actor.is_board_lead and self.actor.board_id == self.board.id
        return ActorRole.LEAD if is_lead else ActorRole.WORKER

    @property
    def is_agent_work(self) -> bool:
        """Whether an agent takes, moves or assigns the task, which a pause forbids."""
        is_agent = isinstance(self.actor, Agent)
        return is_agent and not self.values.keys().isdisjoint(("status", *ASSIGNMENT_FIELDS))

    @property
    def requested_status(self) -> Status | None:
        """The status that was sent, if any."""
        return self.values.get("status")

    @property
    def new_status(self) -> Status:
        """The status after the change. A task in progress that is unassigned enters the inbox."""
        status = self.requested_status or self.task.status
        if status is self.task.status is Status.IN_PROGRESS and self.is_unassigning:
            return Status.INBOX
        return status

    @property
    def is_assigning(self) -> bool:
        """Whether the change assigns the task to another agent than now."""
        agent_id = self.values.get("assigned_agent_id")
        return agent_id is not None and agent_id != self.task.assigned_agent_id

    @property
    def is_unassigning(self) -> bool:
        """Whether the change removes the current assignee, and names no other."""
        is_cleared = any(
            name in self.values and getattr(self.task, name) is not None
            for name in ASSIGNMENT_FIELDS
        )
        return is_cleared and not any(self.values.get(name) for name in ASSIGNMENT_FIELDS)

    @property
    def is_claimed_by_gateway_agent(self) -> bool:
        """Whether the agent of a gateway changes a task that it was not given."""
        is_gateway_agent = isinstance(self.actor, Agent) and self.actor.board_id is None
        return is_gateway_agent and self.task.assigned_agent_id != self.actor.id

    @property
    def is_assigned_to_other(self) -> bool:
        """Whether the task is assigned to a person, or to an agent other than the actor."""
        is_of_other_agent = self.task.assigned_agent_id not in (None, self.actor_id)
        return is_of_other_agent or self.task.assigned_user_id is not None

    @property
    def needs_approval(self) -> bool:
        """Whether the board requires an approval for this move to done."""
        return self.board.require_approval_for_done and self.enters(Status.DONE)

    @property
    def needs_comment(self) -> bool:
        """Whether the board requires a comment for this move to review and none was sent."""
        enters = self.enters(Status.REVIEW) and "comment" not in self.values
        return enters and self.board.comment_required_for_review

    def enters(self, status: Status) -> bool:
        """Say whether the change moves the task into this status."""
        return self.new_status is status and self.task.status is not status


Rule: TypeAlias = Callable[[TaskChange], None]
"""Raises an AppError if the change violates the rule."""
