"""Change requests for tasks: the fields a caller may send, and the facts for the rules."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, auto
from typing import Any, TypeAlias
from uuid import UUID

from core.errors import Invalid
from core.validation import (
    MAX_TEXT_LENGTH,
    FieldCheck,
    nonblank_text,
    optional,
    text_of_length,
    timestamp_value,
    trimmed_text,
)
from models import Actor, Agent, ApprovalStatus, Board, Priority, Status, Task
from services.custom_fields import BoundField

MAX_TITLE_LENGTH = 500  # characters
MAX_IDS = 500  # in one list
ASSIGNMENT_FIELDS = ("assigned_agent_id", "assigned_user_id")
"""The assignee of a task: an agent or a person, never both."""
IGNORED = object()  # the result of a check for a value that counts as not sent


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

    @property
    def is_granted(self) -> bool:
        """Whether the task may be moved to done."""
        return self.approval is not None


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
    policy_tag_ids: Collection[UUID] = ()  # named by policies; loaded if an agent sends tags
    creates_cycle: bool = False
    assignee: Agent | None = None  # the requested one, if such an agent exists
    can_user_read: bool = False  # whether the requested person can read the board
    lead_id: UUID | None = None  # of the board
    last_worker_id: UUID | None = None  # who moved it to review, if still a worker here
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


@dataclass(frozen=True, kw_only=True)
class TaskDraft:
    """The fields of a new task. Its creator is always the actor."""

    title: str
    description: str | None = None
    status: Status | str = Status.INBOX
    priority: str = Priority.MEDIUM
    due_at: datetime | None = None
    assigned_agent_id: UUID | None = None
    assigned_user_id: UUID | None = None
    depends_on_task_ids: Iterable[UUID] = ()
    tag_ids: Iterable[UUID] = ()
    custom_field_values: Mapping[str, object] = field(default_factory=dict)
    created_by_user_id: UUID | None = None  # in the contract, but ignored

    def as_changes(self) -> dict[str, object]:
        """Return the fields in the form of a change of an empty task."""
        changes: dict[str, object] = {
            "title": self.title,
            "description": self.description,
            "status": self.status,
            "priority": self.priority,
            "due_at": self.due_at,
            "depends_on_task_ids": self.depends_on_task_ids,
            "tag_ids": self.tag_ids,
            "custom_field_values": self.custom_field_values,
        }
        assignees = {name: getattr(self, name) for name in ASSIGNMENT_FIELDS}
        return changes | {name: id for name, id in assignees.items() if id is not None}


def validate_changes(changes: Mapping[str, object]) -> dict[str, Any]:
    """Validate the known fields and return them in the form in which they are stored.

    Unknown fields, a blank comment, and null for a list are ignored, as in the contract. Null for
    the custom field values means no change of any value. Raises Invalid with the field's name.
    """
    checked = {
        name: check(changes[name]) for name, check in FIELD_CHECKS.items() if name in changes
    }
    return {name: value for name, value in checked.items() if value is not IGNORED}


def validate_comment(message: object) -> str:
    """Return the trimmed comment. Raises Invalid if it is blank."""
    return str(nonblank_text(MAX_TEXT_LENGTH)(message, "message"))


def _bind_check(name: str, check: FieldCheck) -> Callable[[object], object]:
    return lambda value: check(value, name)


def _check_comment(value: object) -> object:
    return optional(trimmed_text(MAX_TEXT_LENGTH))(value, "comment") or IGNORED


def _check_status(value: object) -> Status:
    if isinstance(value, str) and value in set(Status):
        return Status(value)
    names = ", ".join(Status)
    raise Invalid("unknown_status", f"The status is one of: {names}.", field="status")


def _check_priority(value: object) -> str:
    if isinstance(value, str) and value in set(Priority):
        return Priority(value).value
    names = ", ".join(Priority)
    raise Invalid("unknown_priority", f"The priority is one of: {names}.", field="priority")


def _check_id(name: str, value: object) -> UUID:
    if isinstance(value, UUID):
        return value
    try:
        return UUID(str(value))
    except ValueError:
        raise Invalid("id_required", f"An id in {name} is no UUID.", field=name) from None


def _assignee_check(name: str) -> Callable[[object], UUID | None]:
    return lambda value: None if value is None else _check_id(name, value)


def _id_list_check(name: str) -> Callable[[object], object]:
    def check(value: object) -> object:
        if value is None:
            return IGNORED
        if isinstance(value, str) or not isinstance(value, Iterable):
            raise Invalid("list_required", f"{name} is a list of ids.", field=name)
        ids = list(dict.fromkeys(_check_id(name, one) for one in value))
        if len(ids) > MAX_IDS:
            raise Invalid("too_many", f"{name} holds {MAX_IDS} ids at most.", field=name)
        return ids

    return check


def _check_custom_fields(value: object) -> object:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        name = "custom_field_values"
        raise Invalid("object_required", f"{name} holds a value for each key.", field=name)
    return dict(value)


FIELD_CHECKS: Mapping[str, Callable[[object], object]] = {
    "title": _bind_check("title", nonblank_text(MAX_TITLE_LENGTH)),
    "description": _bind_check("description", optional(text_of_length(MAX_TEXT_LENGTH))),
    "status": _check_status,
    "priority": _check_priority,
    "due_at": _bind_check("due_at", optional(timestamp_value)),
    **{name: _assignee_check(name) for name in ASSIGNMENT_FIELDS},
    "depends_on_task_ids": _id_list_check("depends_on_task_ids"),
    "tag_ids": _id_list_check("tag_ids"),
    "custom_field_values": _check_custom_fields,
    "comment": _check_comment,
}
"""The writable fields of a task, each with its check."""
