"""What custom fields hold for tasks: reading it with them, checking a change, and keeping it."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, func, null, select
from sqlalchemy import delete as delete_rows
from sqlalchemy.dialects.postgresql import aggregate_order_by, insert
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from kit.errors import Invalid
from models import BoardCustomField, CustomField, CustomFieldValue, FieldType, Task, new_id
from services.custom_fields.rules import LONGEST_NAME
from services.custom_fields.values import fault, is_blank

WHERE = "custom_field_values"
MOST_NAMED = 50  # unknown keys that are told


@dataclass(frozen=True)
class BoundField:
    """A field that the tasks of a board have, and what one of them holds for it."""

    id: UUID
    key: str
    type: FieldType
    regex: str | None
    required: bool
    default: Any
    stored: Any = None  # None: nothing is stored, and what is read is the default

    def after(self, given: Mapping[str, object]) -> Any:
        """Return what is read once these values are given; a null makes it the default again."""
        value = given.get(self.key, self.stored)
        return self.default if value is None else value


def shown() -> ColumnElement[Any]:
    """Select what the fields hold for a task of the enclosing query, or their defaults, by key."""
    value = func.coalesce(CustomFieldValue.value, CustomField.default_value)
    values = func.jsonb_object_agg(CustomField.field_key, value)
    query = _bound(select(func.coalesce(values, func.jsonb_build_object())), of_tasks=True)
    return query.where(BoardCustomField.board_id == Task.board_id).correlate(Task).scalar_subquery()


def bound(board_id: UUID, *, of_tasks: bool) -> ColumnElement[Any]:
    """Select the fields of a board's tasks, for `bound_fields`.

    With `of_tasks`, each comes with what it holds for a task of the enclosing query.
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
    query = _bound(select(func.coalesce(fields, func.jsonb_build_array())), of_tasks=of_tasks)
    query = query.where(BoardCustomField.board_id == board_id)
    return query.correlate(Task).scalar_subquery() if of_tasks else query.scalar_subquery()


def bound_fields(rows: Iterable[Sequence[Any]]) -> list[BoundField]:
    """Make fields of what `bound` selected."""
    return [BoundField(UUID(id), key, FieldType(type), *rest) for id, key, type, *rest in rows]


def check(fields: Collection[BoundField], given: Mapping[str, object]) -> None:
    """Raise Invalid if a task of these fields may not hold what is given (contract, 3.5)."""
    known = {field.key: field for field in fields}
    unknown = [key[:LONGEST_NAME] for key in sorted(given.keys() - known)[:MOST_NAMED]]
    if unknown:
        reason = "This board has no such custom fields."
        raise Invalid("unknown_custom_fields", reason, field=WHERE, unknown_field_keys=unknown)
    for key, value in given.items():
        _check_value(known[key], value)
    missing = sorted(f.key for f in fields if f.required and is_blank(f.after(given)))
    if missing:
        raise Invalid(
            "custom_fields_required",
            f"On this board every task says this: {', '.join(missing)}.",
            field=WHERE,
            missing_field_keys=missing,
        )


def changes_of(fields: Iterable[BoundField], given: Mapping[str, object]) -> dict[str, list[Any]]:
    """Return by key what is read before and after, where that is not the same."""
    moved = {field.key: [field.after({}), field.after(given)] for field in fields}
    return {key: [before, after] for key, (before, after) in moved.items() if before != after}


async def begin(
    session: AsyncSession, task: Task, fields: Iterable[BoundField], given: Mapping[str, object]
) -> None:
    """Keep the first values of a new task: what is given, and the defaults as they are today."""
    first = {field.id: field.after(given) for field in fields}
    await _keep(session, task, {id: value for id, value in first.items() if value is not None})


async def keep(
    session: AsyncSession, task: Task, fields: Iterable[BoundField], given: Mapping[str, object]
) -> None:
    """Keep what is given for a task, in one statement; a null takes away what was kept."""
    await _keep(
        session, task, {field.id: given[field.key] for field in fields if field.key in given}
    )


async def _keep(session: AsyncSession, task: Task, values: Mapping[UUID, object]) -> None:
    at = now()
    own = {"task_id": task.id, "created_at": at, "updated_at": at}
    rows = [
        {"id": new_id(), "task_custom_field_definition_id": id, "value": value, **own}
        for id, value in values.items()
        if value is not None
    ]
    emptied = [id for id, value in values.items() if value is None]
    statement: Any = delete_rows(CustomFieldValue).where(
        CustomFieldValue.task_id == task.id,
        CustomFieldValue.task_custom_field_definition_id.in_(emptied),
    )
    if rows:
        kept = insert(CustomFieldValue).values(rows)
        kept = kept.on_conflict_do_update(
            constraint="uq_task_custom_field_values_pair",
            set_={"value": kept.excluded.value, "updated_at": at},
        )
        statement = kept.add_cte(statement.cte("emptied")) if emptied else kept
    if values:
        await session.execute(statement.execution_options(synchronize_session=False))


def _bound(query: Select[Any], *, of_tasks: bool) -> Select[Any]:
    """Let a query choose from the fields of boards, and what they hold for a task."""
    binding, value = BoardCustomField, CustomFieldValue
    query = query.select_from(binding).join(
        CustomField, CustomField.id == binding.task_custom_field_definition_id
    )
    if not of_tasks:
        return query
    own = and_(value.task_custom_field_definition_id == CustomField.id, value.task_id == Task.id)
    return query.outerjoin(value, own)


def _check_value(field: BoundField, value: object) -> None:
    reason = fault(field.type, field.regex, value)
    if reason is not None:
        raise Invalid(
            "custom_field_value_invalid",
            f"{field.key} {reason}.",
            field=WHERE,
            field_key=field.key,
            field_type=field.type.value,
            reason=f"The value {reason}.",
        )
