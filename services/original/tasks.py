"""Tasks of the original with their tags, custom fields and dependencies, and its approvals."""

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID, uuid5

import re2
from sqlalchemy import func, select
from sqlalchemy.orm import aliased

from core.clock import now
from core.errors import Invalid
from core.fields import MAX_TEXT_LENGTH
from models import (
    DEFAULT_STALE_MINUTES,
    Approval,
    ApprovalStatus,
    ApprovalTask,
    BoardCustomField,
    CustomField,
    CustomFieldValue,
    FieldType,
    Priority,
    Status,
    Tag,
    TagAssignment,
    Task,
    TaskDependency,
    Visibility,
    rank_at,
)
from services import custom_fields
from services.original.boards import choose_slug
from services.original.source import (
    APPROVAL_LINKS,
    APPROVALS,
    BOARD_FIELDS,
    DEPENDENCIES,
    EVENTS,
    FIELD_VALUES,
    FIELDS,
    FINGERPRINTS,
    LARGE_BATCH_SIZE,
    TAG_ASSIGNMENTS,
    TAGS,
    TASKS,
    YEARS,
    is_any_of,
    is_of_boards,
    select_rows,
)
from services.original.transfer import NewRow, Transfer
from services.original.values import FreeNames, OriginalRow

COLOR = re.compile(r"[0-9a-f]{6}")
GREY = "9e9e9e"
MOVED_TO = "Task moved to {}:%"  # how the event of a move begins
MAX_REGEX_LENGTH = 1_000  # characters
STALE_AFTER = timedelta(minutes=DEFAULT_STALE_MINUTES)
MAX_APPROVAL_JSON = 256 * 1024  # characters


class FieldDefinition(NamedTuple):
    """What the values of a custom field have to be."""

    organization_id: UUID
    type: FieldType
    regex: str | None


async def import_tags(transfer: Transfer) -> None:
    """Import the tags."""
    slugs = FreeNames()

    def plan(row: OriginalRow) -> Iterable[NewRow]:
        organization_id = transfer.tags[row.id] = row["organization_id"]
        name = row.line("name", "Tag")
        color = (row["color"] or "").strip().lower().removeprefix("#")
        if not COLOR.fullmatch(color):
            row.note("color: an invalid colour becomes grey")
            color = GREY
        values = {
            "id": row.id,
            "organization_id": organization_id,
            "name": name,
            "slug": choose_slug(row, slugs, organization_id, name),
            "color": color,
            "description": row.text("description", max_length=20_000),
            "created_at": row.moment(),
            "updated_at": row.moment("updated_at"),
        }
        yield NewRow(Tag, values)

    query = select_rows(TAGS).where(is_any_of(TAGS.c.organization_id, transfer.organization_ids))
    await transfer.copy("tags", query.order_by(TAGS.c.created_at, TAGS.c.id), plan)


async def import_custom_fields(transfer: Transfer) -> None:
    """Import the definitions of custom fields, and the boards that have them."""
    keys = FreeNames()

    def plan(row: OriginalRow) -> Iterable[NewRow]:
        organization_id = row["organization_id"]
        type = row.choice("field_type", FieldType, FieldType.TEXT)
        values: dict[str, Any] = {
            "id": row.id,
            "organization_id": organization_id,
            "field_key": keys.take(organization_id, row.line("field_key", "field"), join="_"),
            "label": row.line("label", row.line("field_key", "Field")),
            "field_type": type,
            "ui_visibility": row.choice("ui_visibility", Visibility, Visibility.ALWAYS),
            "validation_regex": _read_regex(row),
            "description": row.text("description", max_length=20_000),
            "required": row["required"],
            "default_value": row.json("default_value", max_length=64 * 1024),
            "created_at": row.moment(),
            "updated_at": row.moment("updated_at"),
        }
        for _ in ("validation_regex", "default_value"):  # either of them, or both, can be wrong
            try:
                custom_fields.check_definition(values)
            except Invalid as error:
                wrong = str(error.field)
                row.note(f"{wrong}: left out: {error.message}")
                values[wrong] = None
        definition = FieldDefinition(organization_id, type, values["validation_regex"])
        transfer.fields[row.id] = definition
        yield NewRow(CustomField, values)

    ids = transfer.organization_ids
    query = select_rows(FIELDS).where(is_any_of(FIELDS.c.organization_id, ids))
    await transfer.copy("custom fields", query.order_by(FIELDS.c.created_at, FIELDS.c.id), plan)

    def plan_board(row: OriginalRow) -> Iterable[NewRow]:
        field_id = row["task_custom_field_definition_id"]
        definition = transfer.fields.get(field_id)
        if definition is None or definition.organization_id != transfer.boards[row["board_id"]]:
            row.leave("its field belongs to another organization")
            return
        values = {
            **{name: row[name] for name in ("id", "board_id", "task_custom_field_definition_id")},
            "created_at": row.moment(),
        }
        yield NewRow(BoardCustomField, values)

    query = select_rows(BOARD_FIELDS).where(is_of_boards(BOARD_FIELDS.c.board_id, ids))
    await transfer.copy("fields of boards", query.order_by(BOARD_FIELDS.c.id), plan_board)


def _read_regex(row: OriginalRow) -> str | None:
    regex = (row["validation_regex"] or "").strip()
    if not regex:
        return None
    try:
        if len(regex) <= MAX_REGEX_LENGTH and custom_fields.compile_regex(regex):
            return regex
    except re2.error:
        pass
    row.note("validation_regex: left out: it is too long, or not in the RE2 syntax")
    return None


async def import_tasks(transfer: Transfer) -> None:
    """Import the tasks of boards. When a task was started and done follows from its events."""

    def plan(row: OriginalRow) -> Iterable[NewRow]:
        board_id, agent_id = row["board_id"], row["assigned_agent_id"]
        place = transfer.agents.get(agent_id) if agent_id else None
        if agent_id and (place is None or place.board_id != board_id):
            row.note("assigned_agent_id: an agent that is not on the board is left out")
            agent_id = None
        status = row.choice("status", Status, Status.INBOX)
        created_at, updated_at = row.moment(), row.moment("updated_at")
        is_done = status is Status.DONE
        # what waits for long already is shown, but wakes no agent and notifies nobody
        is_stale = status is Status.IN_PROGRESS and updated_at < now() - STALE_AFTER
        stale_since = now() if is_stale else None
        values = {
            "id": row.id,
            "board_id": board_id,
            "title": row.line("title", "Untitled", max_length=500),
            "description": row.text("description"),
            "status": status,
            "rank": rank_at(created_at),
            "priority": row.choice("priority", Priority, Priority.MEDIUM),
            "due_at": row.time("due_at"),
            "in_progress_at": row.time("in_progress_at"),
            "previous_in_progress_at": row.time("previous_in_progress_at"),
            "started_at": row.time("started_at") or row.time("in_progress_at"),
            "done_at": (row.time("done_at") or updated_at) if is_done else None,
            "stale_since": stale_since,
            "stale_notified_at": stale_since,
            "created_by_user_id": transfer.users.get(row["created_by_user_id"]),
            "assigned_agent_id": agent_id,
            "auto_created": row["auto_created"],
            "auto_reason": row.text("auto_reason", max_length=2_000),
            "created_at": created_at,
            "updated_at": updated_at,
        }
        yield NewRow(Task, values)

    move = EVENTS.c.message.like
    moves = (
        select(
            EVENTS.c.task_id,
            func.min(EVENTS.c.created_at)
            .filter(move(MOVED_TO.format(Status.IN_PROGRESS)))
            .label("started_at"),
            func.max(EVENTS.c.created_at)
            .filter(move(MOVED_TO.format(Status.DONE)))
            .label("done_at"),
        )
        .where(EVENTS.c.event_type == "task.status_changed", EVENTS.c.created_at.between(*YEARS))
        .group_by(EVENTS.c.task_id)
        .subquery("moves")
    )
    query = (
        select_rows(TASKS, moves.c.started_at, moves.c.done_at)
        .outerjoin(moves, moves.c.task_id == TASKS.c.id)
        .where(is_of_boards(TASKS.c.board_id, transfer.organization_ids))
    )
    await transfer.copy("tasks", query.order_by(TASKS.c.created_at, TASKS.c.id), plan)
    if transfer.options.organization is None:
        await transfer.leave("tasks", TASKS, TASKS.c.board_id.is_(None), "on no board")


async def import_task_details(transfer: Transfer) -> None:
    """Import the dependencies, the tags and the values of custom fields of tasks."""
    ids = transfer.organization_ids
    await _import_dependencies(transfer)

    def plan_tag(row: OriginalRow) -> Iterable[NewRow]:
        if transfer.tags.get(row["tag_id"]) != transfer.boards[row["board_id"]]:
            row.leave("its tag belongs to another organization")
            return
        values = {name: row[name] for name in ("id", "task_id", "tag_id", "position")}
        yield NewRow(TagAssignment, {**values, "created_at": row.moment()})

    position = func.row_number().over(
        partition_by=TAG_ASSIGNMENTS.c.task_id,
        order_by=(TAG_ASSIGNMENTS.c.created_at, TAG_ASSIGNMENTS.c.id),
    )
    query = select_rows(TAG_ASSIGNMENTS, (position - 1).label("position"), TASKS.c.board_id)
    query = query.join(TASKS, TASKS.c.id == TAG_ASSIGNMENTS.c.task_id)
    query = query.where(is_of_boards(TASKS.c.board_id, ids)).order_by(TAG_ASSIGNMENTS.c.id)
    await transfer.copy("tags of tasks", query, plan_tag)

    def plan_value(row: OriginalRow) -> Iterable[NewRow]:
        field_id = row["task_custom_field_definition_id"]
        definition = transfer.fields.get(field_id)
        if definition is None or definition.organization_id != transfer.boards[row["board_id"]]:
            row.leave("its field belongs to another organization")
            return
        value = row.json("value", max_length=MAX_TEXT_LENGTH * 2)
        if custom_fields.find_value_error(definition.type, definition.regex, value):
            row.leave("the value does not have the type of its field")
            return
        values = {
            **{name: row[name] for name in ("id", "task_id", "task_custom_field_definition_id")},
            "value": value,
            "created_at": row.moment(),
            "updated_at": row.moment("updated_at"),
        }
        yield NewRow(CustomFieldValue, values)

    query = select_rows(FIELD_VALUES, TASKS.c.board_id)
    query = query.join(TASKS, TASKS.c.id == FIELD_VALUES.c.task_id)
    query = query.where(is_of_boards(TASKS.c.board_id, ids)).order_by(FIELD_VALUES.c.id)
    await transfer.copy("values of fields", query, plan_value)
    reason = "nothing uses them, in the original or here"
    condition = is_of_boards(FINGERPRINTS.c.board_id, ids)
    await transfer.leave("fingerprints of tasks", FINGERPRINTS, condition, reason)


async def _import_dependencies(transfer: Transfer) -> None:
    """Import the dependencies between tasks of one board, without those that close a cycle."""
    graph = _DependencyGraph()

    def plan(row: OriginalRow) -> Iterable[NewRow]:
        if row["task_board_id"] != row["other_board_id"]:
            row.leave("its tasks are on different boards")
            return
        if not graph.add(row["task_id"], row["depends_on_task_id"]):
            row.leave("it would create a cycle")
            return
        values = {name: row[name] for name in ("id", "task_id", "depends_on_task_id", "position")}
        values |= {"board_id": row["task_board_id"], "created_at": row.moment()}
        yield NewRow(TaskDependency, values)

    task, other = aliased(TASKS), aliased(TASKS)
    position = func.row_number().over(
        partition_by=DEPENDENCIES.c.task_id,
        order_by=(DEPENDENCIES.c.created_at, DEPENDENCIES.c.id),
    )
    query = select_rows(
        DEPENDENCIES,
        (position - 1).label("position"),
        task.c.board_id.label("task_board_id"),
        other.c.board_id.label("other_board_id"),
    )
    query = query.join(task, task.c.id == DEPENDENCIES.c.task_id)
    query = query.join(other, other.c.id == DEPENDENCIES.c.depends_on_task_id)
    query = query.where(is_of_boards(task.c.board_id, transfer.organization_ids))
    query = query.order_by(DEPENDENCIES.c.created_at, DEPENDENCIES.c.id)
    await transfer.copy("dependencies", query, plan)


class _DependencyGraph:
    """The dependencies so far, in both directions."""

    def __init__(self) -> None:
        self._targets: defaultdict[UUID, list[UUID]] = defaultdict(list)
        self._dependents: defaultdict[UUID, list[UUID]] = defaultdict(list)

    def add(self, task_id: UUID, other_id: UUID) -> bool:
        """Add a dependency; return False if the other task depends on this one already.

        The search goes from both tasks in turn and ends with the shorter one, so that a long chain
        is not walked for each of its tasks.
        """
        forward, backward = _walk(self._targets, other_id), _walk(self._dependents, task_id)
        for one, other in zip(forward, backward, strict=False):
            if one == task_id or other == other_id:
                return False
        self._targets[task_id].append(other_id)
        self._dependents[other_id].append(task_id)
        return True


def _walk(graph: Mapping[UUID, Sequence[UUID]], start: UUID) -> Iterator[UUID]:
    """Yield what can be reached from a task, with the task itself first."""
    waiting, seen = [start], {start}
    while waiting:
        one = waiting.pop()
        yield one
        new = [found for found in graph.get(one, ()) if found not in seen]
        seen.update(new)
        waiting += new


async def import_approvals(transfer: Transfer) -> None:
    """Import the approvals. The content that was reviewed is unknown, so they allow nothing.

    Decided ones complete no task, because their content has no hash. An open one is bound to the
    content that its decider sees here.
    """

    def plan(row: OriginalRow) -> Iterable[NewRow]:
        status = row.choice("status", ApprovalStatus, ApprovalStatus.REJECTED)
        created_at = row.moment()
        resolved_at = row.time("resolved_at") or created_at
        agent_id = row["agent_id"]
        place = transfer.agents.get(agent_id) if agent_id else None
        if agent_id and (
            place is None or place.organization_id != transfer.boards[row["board_id"]]
        ):
            row.note("agent_id: its agent is not imported")
            agent_id = None
        scores = row.object("rubric_scores", max_length=MAX_APPROVAL_JSON)
        if status is not ApprovalStatus.PENDING:
            row.note("decided: what was reviewed is unknown, so it does not complete tasks")
        values = {
            "id": row.id,
            "board_id": row["board_id"],
            "task_id": row["task_id"] if row["has_task"] else None,
            "agent_id": agent_id,
            "action_type": row.line("action_type", "action"),
            "payload": row.object("payload", max_length=MAX_APPROVAL_JSON),
            "confidence": _read_confidence(row),
            "rubric_scores": scores,
            "status": status,
            "reminded_at": now() if status is ApprovalStatus.PENDING else None,
            "created_at": created_at,
            "resolved_at": None if status is ApprovalStatus.PENDING else resolved_at,
        }
        yield NewRow(Approval, values)
        if row["lacks_link"]:  # from before approvals had several tasks
            link = {"id": uuid5(row.id, str(row["task_id"])), "approval_id": row.id}
            values = {"task_id": row["task_id"], "position": 0, "created_at": created_at}
            yield NewRow(ApprovalTask, {**link, **values})

    ids = transfer.organization_ids
    has_task = func.coalesce(TASKS.c.board_id == APPROVALS.c.board_id, False)
    is_linked = (
        select(APPROVAL_LINKS.c.id)
        .where(
            APPROVAL_LINKS.c.approval_id == APPROVALS.c.id,
            APPROVAL_LINKS.c.task_id == APPROVALS.c.task_id,
        )
        .exists()
    )
    query = select_rows(
        APPROVALS, has_task.label("has_task"), (has_task & ~is_linked).label("lacks_link")
    )
    query = query.outerjoin(TASKS, TASKS.c.id == APPROVALS.c.task_id)
    query = query.where(is_of_boards(APPROVALS.c.board_id, ids))
    order = (APPROVALS.c.created_at, APPROVALS.c.id)
    await transfer.copy("approvals", query.order_by(*order), plan, batch_size=LARGE_BATCH_SIZE)

    def plan_link(row: OriginalRow) -> Iterable[NewRow]:
        if row["board_id"] != row["task_board_id"]:
            row.leave("its task is on another board than its approval")
            return
        values = {name: row[name] for name in ("id", "approval_id", "task_id", "position")}
        yield NewRow(ApprovalTask, {**values, "created_at": row.moment()})

    position = func.row_number().over(
        partition_by=APPROVAL_LINKS.c.approval_id,
        order_by=(APPROVAL_LINKS.c.created_at, APPROVAL_LINKS.c.id),
    )
    query = select_rows(
        APPROVAL_LINKS,
        (position - 1).label("position"),
        APPROVALS.c.board_id,
        TASKS.c.board_id.label("task_board_id"),
    )
    query = query.join(APPROVALS, APPROVALS.c.id == APPROVAL_LINKS.c.approval_id)
    query = query.join(TASKS, TASKS.c.id == APPROVAL_LINKS.c.task_id)
    query = query.where(is_of_boards(APPROVALS.c.board_id, ids)).order_by(APPROVAL_LINKS.c.id)
    await transfer.copy("tasks of approvals", query, plan_link)


def _read_confidence(row: OriginalRow) -> float:
    given = row["confidence"]
    if math.isfinite(given) and 0 <= given <= 100:
        return float(given)
    row.note("confidence: values that are not from 0 to 100 become 0")
    return 0.0
