"""The values of custom fields on tasks: query, check and store them."""

import asyncio
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Select,
    String,
    Uuid,
    and_,
    bindparam,
    case,
    cast,
    func,
    literal_column,
    null,
    select,
)
from sqlalchemy import delete as delete_rows
from sqlalchemy.dialects.postgresql import JSONB, aggregate_order_by, insert
from sqlalchemy.ext.asyncio import AsyncSession

from core.accents import build_pattern
from core.clock import now
from core.db.reads import Query, Source
from core.errors import Invalid
from core.fields import MAX_NAME_LENGTH
from core.text import N_, replace_unstorable
from models import Board, BoardCustomField, CustomField, CustomFieldValue, FieldType, Task, new_id
from services.custom_fields.rules import find_value_error, is_blank

FIELD_NAME = "custom_field_values"
Result = TypeVar("Result")
Patterned = Iterable[tuple[str | None, object]]
"""Values with the regular expressions of their fields."""

COMPARED_TYPES = (FieldType.INTEGER, FieldType.DECIMAL, FieldType.BOOLEAN)
COMPARED_TEXT = re.compile(r"-?(0|[1-9]\d{0,17})(\.\d{1,17})?|true|false", re.ASCII)


@dataclass(frozen=True)
class BoundField:
    """A custom field of a board, with the stored value of one task."""

    id: UUID
    key: str
    type: FieldType
    regex: str | None
    required: bool
    default: Any
    stored: Any = None  # None: the default applies

    def value_after(self, given: Mapping[str, object]) -> Any:
        """Return the effective value after a change; null resets it to the default."""
        value = given.get(self.key, self.stored)
        return self.default if value is None else value


def task_values_query(*, only_set: bool = False) -> ColumnElement[Any]:
    """Select the effective values by key for a task of the enclosing query.

    With `only_set`, fields without a value are left out.
    """
    value = func.coalesce(CustomFieldValue.value, CustomField.default_value)
    values: Any = func.jsonb_object_agg(CustomField.field_key, value)
    if only_set:
        values = values.filter(value.is_not(None))
    query = _join_fields(select(func.coalesce(values, func.jsonb_build_object())), of_tasks=True)
    return query.where(BoardCustomField.board_id == Task.board_id).correlate(Task).scalar_subquery()


def value_filter() -> ColumnElement[bool]:
    """Match the tasks of the enclosing query by `build_filter_parameters`."""
    value = func.coalesce(CustomFieldValue.value, CustomField.default_value)
    contains = value.op("#>>")(literal_column("'{}'::text[]")).cast(String)
    contains = contains.regexp_match(bindparam("field_text", type_=String))
    equals = value == cast(bindparam("field_json", type_=String), JSONB)
    query = _join_fields(select(BoardCustomField.id), of_tasks=True).where(
        BoardCustomField.board_id == Task.board_id,
        CustomField.field_key == bindparam("field_key", type_=String),
        case((CustomField.field_type.in_(COMPARED_TYPES), equals), else_=contains),
    )
    return query.correlate(Task).exists()


def build_filter_parameters(key: str, text: str) -> dict[str, str]:
    """Return the parameters of `value_filter`.

    Numbers and true or false must be equal to the text; values of other types contain it.
    """
    return {
        "field_key": replace_unstorable(key),
        "field_text": build_pattern(replace_unstorable(text)),
        "field_json": text.lower() if COMPARED_TEXT.fullmatch(text.lower()) else "null",
    }


def bound_fields_query(board_id: Any, *, of_tasks: bool) -> ColumnElement[Any]:
    """Select the fields of a board in the form that `build_bound_fields` expects.

    With `of_tasks`, they include the stored values of a task of the enclosing query.
    """
    stored = CustomFieldValue.value if of_tasks else null()
    columns = (
        CustomField.id,
        CustomField.field_key,
        CustomField.field_type,
        CustomField.validation_regex,
        CustomField.required,
        CustomField.default_value,
        stored,
    )
    fields = func.jsonb_agg(
        aggregate_order_by(func.jsonb_build_array(*columns), CustomField.field_key)
    )
    query = _join_fields(select(func.coalesce(fields, func.jsonb_build_array())), of_tasks=of_tasks)
    query = query.where(BoardCustomField.board_id == board_id)
    return query.correlate(Task).scalar_subquery() if of_tasks else query.scalar_subquery()


def build_bound_fields(rows: Iterable[Sequence[Any]]) -> list[BoundField]:
    """Build the fields from a result of `bound_fields_query`."""
    return [BoundField(UUID(id), key, FieldType(type), *rest) for id, key, type, *rest in rows]


async def list_bound_fields(source: Source, board: Board) -> list[BoundField]:
    """Return the fields of a board, without values."""
    return build_bound_fields(await BOUND_FIELDS.first(source, board_id=board.id) or [])


def find_missing_keys(fields: Iterable[BoundField], given: Mapping[str, object]) -> list[str]:
    """Return the keys of the required fields that have no value after a change."""
    return sorted(f.key for f in fields if f.required and is_blank(f.value_after(given)))


def check_values(fields: Collection[BoundField], given: Mapping[str, object]) -> None:
    """Raise Invalid if the given values are not valid for these fields."""
    known = {field.key: field for field in fields}
    unknown = [key[:MAX_NAME_LENGTH] for key in sorted(given.keys() - known)[:50]]
    if unknown:
        reason = "This board has no such custom fields."
        raise Invalid(
            "unknown_custom_fields",
            reason,
            field=FIELD_NAME,
            unknown_field_keys=unknown,
            sent_as="object",
        )
    for key, value in given.items():
        field = known[key]
        if reason := find_value_error(field.type, field.regex, value):
            raise Invalid(
                "custom_field_value_invalid",
                reason,
                hint=f"The field is {key}.",
                field=FIELD_NAME,
                field_key=key,
                field_type=field.type.value,
                reason=reason,
                sent_as="object",
            )
    missing = find_missing_keys(fields, given)
    if missing:
        raise Invalid(
            "custom_fields_required",
            N_("On this board every task needs values for these fields: %(missing_field_keys)s."),
            field=FIELD_NAME,
            missing_field_keys=missing,
            sent_as="object",
        )


async def run_check(check: Callable[[], Result], values: Patterned) -> Result:
    """Run a check of these values, in a thread if regular expressions have to read long texts.

    Some need half a second for 100,000 characters; RE2 lets the event loop run meanwhile.
    """
    length = sum(len(value) for regex, value in values if regex and isinstance(value, str))
    return await asyncio.to_thread(check) if length > 2_000 else check()


def list_patterned(fields: Iterable[BoundField], given: Mapping[str, object]) -> Patterned:
    """Return the given values of these fields with their regular expressions."""
    return [(field.regex, given.get(field.key)) for field in fields]


def diff_values(fields: Iterable[BoundField], given: Mapping[str, object]) -> dict[str, list[Any]]:
    """Return the effective values before and after, by key, where they differ."""
    values = {field.key: [field.value_after({}), field.value_after(given)] for field in fields}
    return {key: [before, after] for key, (before, after) in values.items() if before != after}


async def store_initial_values(
    session: AsyncSession, task: Task, fields: Iterable[BoundField], given: Mapping[str, object]
) -> None:
    """Store the given values of a new task, and the current defaults for the others."""
    initial = {field.id: field.value_after(given) for field in fields}
    await _write_values(
        session, task, {id: value for id, value in initial.items() if value is not None}
    )


async def store_values(
    session: AsyncSession, task: Task, fields: Iterable[BoundField], given: Mapping[str, object]
) -> None:
    """Store the given values of a task in one statement; null deletes a stored value."""
    await _write_values(
        session, task, {field.id: given[field.key] for field in fields if field.key in given}
    )


async def _write_values(session: AsyncSession, task: Task, values: Mapping[UUID, object]) -> None:
    if not values:
        return
    at = now()
    shared = {"task_id": task.id, "created_at": at, "updated_at": at}
    rows = [
        {"id": new_id(), "task_custom_field_definition_id": id, "value": value, **shared}
        for id, value in values.items()
        if value is not None
    ]
    cleared_ids = [id for id, value in values.items() if value is None]
    statement: Any = delete_rows(CustomFieldValue).where(
        CustomFieldValue.task_id == task.id,
        CustomFieldValue.task_custom_field_definition_id.in_(cleared_ids),
    )
    if rows:
        upsert = insert(CustomFieldValue).values(rows)
        upsert = upsert.on_conflict_do_update(
            constraint="uq_task_custom_field_values_pair",
            set_={"value": upsert.excluded.value, "updated_at": at},
        )
        statement = upsert.add_cte(statement.cte("cleared")) if cleared_ids else upsert
    await session.execute(statement.execution_options(synchronize_session=False))


def _join_fields(query: Select[Any], *, of_tasks: bool) -> Select[Any]:
    """Join the fields of boards and, with `of_tasks`, the values of the enclosing query's task."""
    binding, value = BoardCustomField, CustomFieldValue
    query = query.select_from(binding).join(
        CustomField, CustomField.id == binding.task_custom_field_definition_id
    )
    if not of_tasks:
        return query
    is_own_value = and_(
        value.task_custom_field_definition_id == CustomField.id, value.task_id == Task.id
    )
    return query.outerjoin(value, is_own_value)


async def filter_valid_rows(
    session: AsyncSession, board: Board, rows: Sequence[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """Return the rows whose values are still valid for the fields of a locked board."""
    if not rows:
        return []
    fields = {str(field.id): field for field in await list_bound_fields(session, board)}
    found = [
        (field, row)
        for row in rows
        if (field := fields.get(row["task_custom_field_definition_id"]))
    ]

    def select_valid() -> list[Mapping[str, Any]]:
        return [
            row
            for field, row in found
            if find_value_error(field.type, field.regex, row["value"]) is None
        ]

    return await run_check(select_valid, ((field.regex, row["value"]) for field, row in found))


BOUND_FIELDS: Query[Any] = Query(
    select(bound_fields_query(bindparam("board_id", type_=Uuid()), of_tasks=False)), itemgetter(0)
)
