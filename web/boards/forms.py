"""Forms about boards."""

import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, tzinfo
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from models import Board
from services.boards import BoardDraft
from web.ui.forms import BlankAsNone, Line, OptionalLine, OptionalText, Switch, Text
from web.ui.time_format import combine_local

MIDNIGHT = time()
BLANK_ROWS = 2  # for new metrics
MAX_AGENTS = 1_000

BoardChanges = dict[str, object]

BOARD_RULES = (
    (
        "require_approval_for_done",
        "Approval before Done",
        "A task is done only after a person has approved a question about it.",
    ),
    (
        "require_review_before_done",
        "Review before Done",
        "A task passes through Review; nothing jumps from In progress to Done.",
    ),
    (
        "comment_required_for_review",
        "Comment before Review",
        "Whoever moves a task to Review says what was done.",
    ),
    (
        "block_status_changes_with_pending_approval",
        "Open questions hold the task",
        "No task moves while a question about it waits.",
    ),
    (
        "only_lead_can_change_status",
        "Only the lead moves tasks",
        "Other agents ask the lead. People can always move anything.",
    ),
)
"""Each rule: field name, label, description."""


class BoardRuleFields(BaseModel):
    """The rule switches. A rule that was not submitted is off."""

    require_approval_for_done: Switch = False
    require_review_before_done: Switch = False
    comment_required_for_review: Switch = False
    block_status_changes_with_pending_approval: Switch = False
    only_lead_can_change_status: Switch = False


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
    """Name, address and description of a board."""

    name: Line
    slug: OptionalLine = None
    description: Text

    def to_changes(self, _board: Board, _zone: tzinfo) -> BoardChanges:
        """Return the changed columns. A blank slug is derived from the name."""
        return self.model_dump() | {"slug": self.slug or ""}


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
        kind: BoardChanges = {"board_type": self.board_type} if self._changes_type(board) else {}
        return kind | {
            "objective": self.objective,
            "success_metrics": parse_metrics(
                self.measure, self.target, board.success_metrics or {}
            ),
            "target_date": combine_local(self.target_date, MIDNIGHT, zone),
            "goal_confirmed": self.goal_confirmed,
        }

    def _changes_type(self, board: Board) -> bool:
        return self.board_type != board.board_type


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


SETTINGS_FORMS: dict[
    str, type[BoardAboutForm | BoardGoalForm | BoardRulesForm | BoardAgentsForm]
] = {
    "about": BoardAboutForm,
    "goal": BoardGoalForm,
    "rules": BoardRulesForm,
    "agents": BoardAgentsForm,
}
"""The form of each section of a board's settings."""


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
