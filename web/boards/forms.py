"""Forms about boards, and about the tasks that are selected on one."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, time, tzinfo
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from core.errors import Invalid
from core.fields import Label, list_labels
from models import Board
from services.boards import BoardCreate, BoardUpdate
from services.tasks import MAX_BULK_TASKS
from web.boards.assignees import parse_assignee
from web.ui.edited_fields import EditedField
from web.ui.forms import Form, parse_id
from web.ui.object_forms import list_edited_fields
from web.ui.text_display import format_value
from web.ui.time_format import combine_local, parse_day
from web.ui.translation import N_

MIDNIGHT = time()
BLANK_ROWS = 2  # for new metrics

RULE_LABELS = list_labels(BoardCreate)
BOARD_RULES = [
    (name, RULE_LABELS[name].text, about)
    for name, about in (
        (
            "require_approval_for_done",
            N_("A task can be done only after a person has approved it."),
        ),
        (
            "require_review_before_done",
            N_("A task goes from In progress to Review before it is done."),
        ),
        (
            "comment_required_for_review",
            N_("Moving a task to Review requires a comment that says what was done."),
        ),
        (
            "block_status_changes_with_pending_approval",
            N_("A task cannot be moved while an approval for it is pending."),
        ),
        (
            "only_lead_can_change_status",
            N_(
                "Other agents ask the lead. People can always move tasks; without a lead, only they"
                " can."
            ),
        ),
        (
            "workers_may_ask_people",
            N_("A question of a worker appears under “Needs you”. Otherwise only the lead asks."),
        ),
    )
]
"""Each rule: field name, label, description."""

RULE_EXAMPLES = {
    "require_approval_for_done": N_(
        "Example: an agent has written an announcement. You read it before it counts as done."
    ),
    "require_review_before_done": N_(
        "Example: you or the lead look at the result of a worker before the task is done."
    ),
    "comment_required_for_review": N_(
        "Example: “Tests pass on main; the change is in branch fix-login.”"
    ),
    "block_status_changes_with_pending_approval": N_(
        "Example: an agent asks whether it may deploy, and waits with the task until you answer."
    ),
    "only_lead_can_change_status": N_(
        "Example: a lead plans the work of several workers and decides what comes next."
    ),
    "workers_may_ask_people": N_(
        "Example: a coding agent asks which of two libraries it should use."
    ),
}
"""When a rule is useful, for people who create a board."""

BOARD_KINDS = (
    ("goal", N_("Ends when its objective is reached")),
    ("general", N_("Ongoing work")),
)
"""The types of a board that people choose, and their labels."""

SETTINGS_SECTIONS: dict[str, Sequence[str]] = {
    "about": ("name", "slug", "description", "board_group_id"),
    "goal": ("board_type", "objective", "success_metrics", "target_date", "goal_confirmed"),
    "rules": [name for name, _, _ in BOARD_RULES],
    "follow-up": ("stale_after_minutes", "remind_after_minutes"),
    "agents": ("max_agents", "gateway_id"),
}
"""The fields of each section of a board's settings."""


class BoardSettings(BoardUpdate):
    """Changes of a board on pages, which offer two types and fewer agents than the API."""

    board_type: Annotated[Literal["goal", "general"], Label(N_("Kind of board"))]  # ty: ignore[incompatible-mutable-override]
    max_agents: Annotated[int, Field(ge=0, le=1_000), Label(N_("Maximum workers"))]


NEW_BOARD_FIELDS = {
    *("name", "gateway_id", "board_group_id", "objective", "description"),
    *SETTINGS_SECTIONS["rules"],
}
"""The fields of the form for a new board."""


def parse_new_board(form: Form) -> BoardCreate:
    """Parse the form of a new board, which needs only a name.

    Without an objective it is a board for general work. Without a description, the name is what
    agents read.
    """
    kind = "goal" if form.value("objective").strip() else "general"
    others = {
        name: BoardCreate.model_fields[name].get_default()
        for name in RULE_LABELS.keys() - NEW_BOARD_FIELDS
    }
    if not form.value("description").strip():
        others["description"] = form.value("name").strip() or "-"  # one error for a missing name
    return form.parse(BoardCreate, others | {"board_type": kind})


def parse_settings(form: Form, section: str, board: Board, zone: tzinfo) -> BoardUpdate:
    """Parse a section of the settings. The type of the board is included only if it changes."""
    given: dict[str, Any] = {}
    if section == "goal":
        before = board.success_metrics or {}
        given["success_metrics"] = parse_metrics(read_metric_rows(form), before)
        given["target_date"] = read_date(form, "target_date", MIDNIGHT, zone)
    fields = form.parse(BoardSettings, given)
    others = BoardSettings.model_fields.keys() - SETTINGS_SECTIONS[section]
    return fields.without(
        others | ({"board_type"} if fields.board_type == board.board_type else set())
    )


def list_settings(section: str, board: Board, zone: tzinfo) -> list[EditedField]:
    """Return the current values of a board as the form of a section shows them."""
    shown = {
        # A board of another type is for general work.
        "board_type": "goal" if board.board_type == "goal" else "general",
        "success_metrics": join_metrics(metric_rows(board)),
        "target_date": format_date_field(board.target_date, zone),
    }
    edited = {one.name: one for one in list_edited_fields(BoardUpdate, board, shown)}
    edited["success_metrics"] = edited["success_metrics"]._replace(
        submitted=lambda form: join_metrics(read_metric_rows(form))
    )
    return [edited[name] for name in SETTINGS_SECTIONS[section]]


def read_metric_rows(form: Form) -> list[tuple[str, str]]:
    """Return the submitted metrics with their targets."""
    return list(zip(form.selected("measure"), form.selected("target"), strict=False))


def join_metrics(rows: Sequence[tuple[str, str]]) -> str:
    """Return the metrics that have a name, one in each line."""
    return "\n".join(f"{name.strip()}: {target.strip()}" for name, target in rows if name.strip())


def metric_rows(board: Board) -> list[tuple[str, str]]:
    """Return the metrics of a board as form rows, with blank rows at the end."""
    known = [(name, format_value(value)) for name, value in (board.success_metrics or {}).items()]
    return known + [("", "")] * BLANK_ROWS


def parse_metrics(
    rows: Iterable[tuple[str, str]], before: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Return the metrics that have a name.

    A stored value that is not text keeps its type unless its text was changed.
    """
    typed = {name.strip(): target.strip() for name, target in rows if name.strip()}
    kept = {name: value for name, value in before.items() if typed.get(name) == format_value(value)}
    return typed | kept or None


def format_date_field(moment: datetime | None, zone: tzinfo) -> str:
    """Format the local date of a moment for a date field."""
    return moment.astimezone(zone).date().isoformat() if moment else ""


def read_task_values(form: Form, zone: tzinfo) -> dict[str, Any]:
    """Return the submitted fields of a task that its forms show in another way.

    A value that is not valid is the Invalid that says so: `Form.parse` reports it with the others.
    """
    given: dict[str, Any] = {}
    try:
        given |= parse_assignee(form)
    except Invalid as error:
        given["assigned_agent_id"] = error
    if "description" in form.values:  # blanks at its beginning have a meaning in Markdown
        text = form.value("description")
        given["description"] = text if text.strip() else None
    if "due_at" in form.values:
        try:
            given["due_at"] = read_date(form, "due_at", time(23, 59), zone)
        except Invalid as error:
            given["due_at"] = error
    return given


def read_date(form: Form, name: str, clock: time, zone: tzinfo) -> datetime | None:
    """Return the moment of a submitted date, or None for a blank one. Raises Invalid."""
    text = form.value(name).strip()
    day = parse_day(text)
    if text and day is None:
        raise Invalid("date_invalid", N_("Write a date like 2026-12-24."), field=name)
    return combine_local(day, clock, zone)


def parse_task_ids(text: str) -> list[UUID]:
    """Parse ids separated by commas; what is not an id is left out."""
    found = map(parse_id, text.split(",")[:MAX_BULK_TASKS])
    return list(dict.fromkeys(id for id in found if id is not None))
