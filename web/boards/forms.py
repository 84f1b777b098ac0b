"""Forms about boards, and about the tasks that are selected on one."""

import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, tzinfo
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from models import Board, Priority, Status
from services.boards import BoardDraft
from services.tasks import MAX_BULK_TASKS, BulkChange, TaskUpdate
from web.boards.assignees import AssigneeValue, parse_assignee
from web.ui.edited_fields import EditedField, FieldKind
from web.ui.forms import BlankAsNone, Form, Line, OptionalLine, OptionalText, Switch, Text, parse_id
from web.ui.time_format import combine_local
from web.ui.translation import N_

MIDNIGHT = time()
BLANK_ROWS = 2  # for new metrics
MAX_AGENTS = 1_000
FollowUpMinutes = Annotated[Annotated[int, Field(ge=5, le=43_200)] | None, BlankAsNone]
"""Empty: never."""

BoardChanges = dict[str, object]

BOARD_RULES = (
    (
        "require_approval_for_done",
        N_("Approval before Done"),
        N_("A task can be done only after a person has approved it."),
    ),
    (
        "require_review_before_done",
        N_("Review before Done"),
        N_("A task goes from In progress to Review before it is done."),
    ),
    (
        "comment_required_for_review",
        N_("Comment before Review"),
        N_("Moving a task to Review requires a comment that says what was done."),
    ),
    (
        "block_status_changes_with_pending_approval",
        N_("Lock tasks with pending approvals"),
        N_("A task cannot be moved while an approval for it is pending."),
    ),
    (
        "only_lead_can_change_status",
        N_("Only the lead moves tasks"),
        N_("Other agents ask the lead. People can always move tasks."),
    ),
    (
        "workers_may_ask_people",
        N_("Workers may ask people"),
        N_("A question of a worker appears under “Needs you”. Otherwise only the lead asks."),
    ),
)
"""Each rule: field name, label, description."""


BOARD_KINDS = (
    ("goal", N_("Ends when its objective is reached")),
    ("general", N_("Ongoing work")),
)
"""The types of a board that people choose, and their labels."""

END_OF_DAY = time(23, 59)


class BoardRuleFields(BaseModel):
    """The rule switches. A rule that was not submitted is off."""

    require_approval_for_done: Switch = False
    require_review_before_done: Switch = False
    comment_required_for_review: Switch = False
    block_status_changes_with_pending_approval: Switch = False
    only_lead_can_change_status: Switch = False
    workers_may_ask_people: Switch = False


class NewBoardForm(BoardRuleFields):
    """A new board with its gateway and group."""

    name: Line
    gateway_id: Annotated[UUID | None, BlankAsNone] = None
    board_group_id: Annotated[UUID | None, BlankAsNone] = None
    objective: OptionalText = None
    description: Text

    def to_draft(self) -> BoardDraft:
        """Return the board to create. Without an objective it is a board for general work."""
        kind = "goal" if self.objective else "general"
        return BoardDraft(board_type=kind, **self.model_dump())


class BoardAboutForm(BaseModel):
    """Name, address, description and group of a board."""

    name: Line
    slug: OptionalLine = None
    description: Text
    board_group_id: Annotated[UUID | None, BlankAsNone] = None

    def to_changes(self, _board: Board, _zone: tzinfo) -> BoardChanges:
        """Return the changed columns. A blank slug is derived from the name.

        A group that was not submitted stays.
        """
        return self.model_dump(exclude_unset=True) | {"slug": self.slug or ""}


class BoardGoalForm(BaseModel):
    """Goal of a board, its metrics and target date."""

    board_type: Literal["goal", "general"]
    objective: OptionalText = None
    measure: list[str] = []
    target: list[str] = []
    target_date: Annotated[date | None, BlankAsNone] = None
    goal_confirmed: Switch = False

    def to_changes(self, board: Board, zone: tzinfo) -> BoardChanges:
        """Return the changed columns. The type is included only if it changes."""
        kind: BoardChanges = (
            {"board_type": self.board_type} if self.board_type != board.board_type else {}
        )
        return kind | {
            "objective": self.objective,
            "success_metrics": parse_metrics(
                self.measure, self.target, board.success_metrics or {}
            ),
            "target_date": combine_local(self.target_date, MIDNIGHT, zone),
            "goal_confirmed": self.goal_confirmed,
        }


class BoardRulesForm(BoardRuleFields):
    """Rules of a board."""

    def to_changes(self, _board: Board, _zone: tzinfo) -> BoardChanges:
        """Return the changed columns."""
        return self.model_dump()


class BoardAgentsForm(BaseModel):
    """Agent limit and gateway of a board."""

    max_agents: int = Field(ge=0, le=MAX_AGENTS)
    gateway_id: Annotated[UUID | None, BlankAsNone] = None

    def to_changes(self, _board: Board, _zone: tzinfo) -> BoardChanges:
        """Return the changed columns. A gateway that was not submitted stays."""
        return self.model_dump(exclude_unset=True)


class BoardFollowUpForm(BaseModel):
    """After how many minutes a board asks what has become of tasks and approvals."""

    stale_after_minutes: FollowUpMinutes = None
    remind_after_minutes: FollowUpMinutes = None

    def to_changes(self, _board: Board, _zone: tzinfo) -> BoardChanges:
        """Return the changed columns."""
        return self.model_dump()


SETTINGS_FORMS: dict[
    str,
    type[BoardAboutForm | BoardGoalForm | BoardRulesForm | BoardFollowUpForm | BoardAgentsForm],
] = {
    "about": BoardAboutForm,
    "goal": BoardGoalForm,
    "rules": BoardRulesForm,
    "follow-up": BoardFollowUpForm,
    "agents": BoardAgentsForm,
}
"""The form of each section of a board's settings."""


def list_edited_fields(section: str, board: Board, zone: tzinfo) -> list[EditedField]:
    """Return the current values of a board as the form of a section shows them."""
    return {
        "about": [
            EditedField("name", N_("Name"), board.name, FieldKind.LINE),
            EditedField("slug", N_("Short name"), board.slug, FieldKind.LINE),
            EditedField("description", N_("Description"), board.description, FieldKind.TEXT),
            EditedField("board_group_id", N_("Group"), board.board_group_id),
        ],
        "goal": [
            EditedField("board_type", N_("Kind of board"), get_board_kind(board)),
            EditedField("objective", N_("Objective"), board.objective, FieldKind.TEXT),
            EditedField(
                "success_metrics",
                N_("Measures"),
                join_metrics(metric_rows(board)),
                submitted=lambda form: join_metrics(read_metric_rows(form)),
            ),
            EditedField(
                "target_date", N_("Target date"), format_date_field(board.target_date, zone)
            ),
            EditedField("goal_confirmed", N_("Confirmed"), board.goal_confirmed),
        ],
        "rules": [EditedField(name, label, getattr(board, name)) for name, label, _ in BOARD_RULES],
        "follow-up": [
            EditedField("stale_after_minutes", N_("Stale after"), board.stale_after_minutes),
            EditedField("remind_after_minutes", N_("Remind after"), board.remind_after_minutes),
        ],
        "agents": [
            EditedField("max_agents", N_("Maximum workers"), board.max_agents),
            EditedField("gateway_id", N_("Gateway"), board.gateway_id),
        ],
    }[section]


def get_board_kind(board: Board) -> str:
    """Return the kind that the form shows: a board that has another type is for general work."""
    return "goal" if board.board_type == "goal" else "general"


def read_metric_rows(form: Form) -> list[tuple[str, str]]:
    """Return the submitted metrics with their targets."""
    return list(zip(form.selected("measure"), form.selected("target"), strict=False))


def join_metrics(rows: Sequence[tuple[str, str]]) -> str:
    """Return the metrics that have a name, one in each line."""
    return "\n".join(f"{name.strip()}: {target.strip()}" for name, target in rows if name.strip())


def metric_rows(board: Board) -> list[tuple[str, str]]:
    """Return the metrics of a board as form rows, with blank rows at the end."""
    known = [(name, format_metric(value)) for name, value in (board.success_metrics or {}).items()]
    return known + [("", "")] * BLANK_ROWS


def parse_metrics(
    measure: Sequence[str], target: Sequence[str], before: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Return the metrics that have a name.

    A stored value that is not text keeps its type unless its text was changed.
    """
    typed = {
        name.strip(): target.strip()
        for name, target in zip(measure, target, strict=False)
        if name.strip()
    }
    kept = {
        name: value for name, value in before.items() if typed.get(name) == format_metric(value)
    }
    return typed | kept or None


def format_date_field(moment: datetime | None, zone: tzinfo) -> str:
    """Format the local date of a moment for a date field."""
    return moment.astimezone(zone).date().isoformat() if moment else ""


def format_metric(value: object) -> str:
    """Format the target of a metric as text."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


class BulkChangeForm(BaseModel):
    """A change of several tasks. Only submitted fields are changed."""

    ids: list[UUID] = Field(default=[], max_length=MAX_BULK_TASKS)
    status: Status | None = None
    priority: Priority | None = None
    assignee: AssigneeValue = ""
    due_at: Annotated[date | None, BlankAsNone] = None
    add_tag: list[UUID] = []
    remove_tag: list[UUID] = []
    delete: Switch = False

    def to_change(self, form: Form, zone: tzinfo) -> BulkChange:
        """Return the submitted change."""
        names = {"status", "priority", "due_at"} & set(form.values)
        fields: dict[str, Any] = self.model_dump(include=names)
        if "assignee" in form.values:
            fields |= parse_assignee(self.assignee)
        if "due_at" in fields:
            fields["due_at"] = combine_local(self.due_at, END_OF_DAY, zone)
        return BulkChange(
            fields=TaskUpdate.of(**fields),
            added_tag_ids=self.add_tag,
            removed_tag_ids=self.remove_tag,
        )

    def has_change(self, form: Form) -> bool:
        """Return whether the form says what to change."""
        return bool(set(form.values) - {"ids"} & set(type(self).model_fields))


def parse_task_ids(text: str) -> list[UUID]:
    """Parse ids separated by commas; what is not an id is left out."""
    found = map(parse_id, text.split(",")[:MAX_BULK_TASKS])
    return list(dict.fromkeys(id for id in found if id is not None))
