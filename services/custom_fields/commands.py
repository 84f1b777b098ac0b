"""Create, update and delete custom fields.

Lock order: the field first, then its boards by id. No task of a locked board is written, so stored
values always match their field.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, false, func, insert, select
from sqlalchemy import delete as delete_rows
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.engine import violates_constraint
from core.errors import Conflict, Invalid
from core.validation import validate_fields
from models import (
    Board,
    BoardCustomField,
    CustomField,
    CustomFieldValue,
    EventType,
    Member,
    Task,
    new_id,
)
from services import events, organizations
from services.custom_fields.queries import CustomFieldDetail
from services.custom_fields.validation import (
    CREATION_CHECKS,
    FIELD_CHECKS,
    CustomFieldDraft,
    check_definition,
    find_value_error,
)

VALUE_CONSTRAINTS = {"field_type", "validation_regex"}  # determine whether a value is valid
DEPENDENT_COLUMNS = ("field_type", "validation_regex", "default_value")
NO_LABEL = ("label", None)  # the label is then the key


async def create_custom_field(
    session: AsyncSession, member: Member, draft: CustomFieldDraft
) -> CustomFieldDetail:
    """Create a field for the tasks of some boards of the member's organization.

    Raises Forbidden unless the member is an admin, Invalid, and Conflict if the key is taken.
    """
    organizations.require_admin(member)
    given = {name: value for name, value in vars(draft).items() if (name, value) != NO_LABEL}
    fields = validate_fields(CREATION_CHECKS, given)
    fields.setdefault("label", fields["field_key"])
    check_definition(fields)
    board_ids = fields.pop("board_ids")
    await _lock_boards(session, member.organization_id, board_ids)
    at = now()
    ids = {"id": new_id(), "organization_id": member.organization_id}
    field = CustomField(**ids, created_at=at, updated_at=at, **fields)
    session.add(field)
    await _flush_field(session)
    await session.execute(insert(BoardCustomField), _binding_rows(field, board_ids))
    await _record_field_event(session, EventType.CUSTOM_FIELD_CREATED, member, field)
    return CustomFieldDetail(field, sorted(board_ids))


async def update_custom_field(
    session: AsyncSession, member: Member, field: CustomField, changes: Mapping[str, object]
) -> CustomFieldDetail:
    """Update the given fields of a locked custom field.

    On boards that lose the field, the values of tasks are deleted. An update without a difference
    is not recorded. Raises Invalid, and Conflict if stored values would become invalid.
    """
    given = _validate_changes(field, changes)
    requested_ids = given.pop("board_ids", None)
    new = {name: value for name, value in given.items() if value != getattr(field, name)}
    check_definition({name: new.get(name, getattr(field, name)) for name in DEPENDENT_COLUMNS})
    before = await _lock_boards(session, field.organization_id, requested_ids or (), field)
    after = sorted(before if requested_ids is None else requested_ids)
    if new.keys() & VALUE_CONSTRAINTS:
        await _check_stored_values(session, field, new, after)
    recorded = {name: [getattr(field, name), value] for name, value in new.items()}
    if after != sorted(before):
        recorded["board_ids"] = [_sorted_texts(before), _sorted_texts(after)]
        await _replace_boards(session, field, set(before), set(after))
    if not recorded:
        return CustomFieldDetail(field, after)
    for name, value in new.items():
        setattr(field, name, value)
    field.updated_at = now()
    await session.flush()
    await _record_field_event(
        session, EventType.CUSTOM_FIELD_UPDATED, member, field, changes=recorded
    )
    return CustomFieldDetail(field, after)


async def delete_custom_field(session: AsyncSession, member: Member, field: CustomField) -> None:
    """Delete a locked field. Raises Conflict if a task has a value for it."""
    await _lock_boards(session, field.organization_id, (), field)
    count = select(func.count()).select_from(CustomFieldValue).where(_is_value_of(field))
    in_use = await session.scalar(count)
    if in_use:
        reason = f"Tasks have values for this field: {in_use:,}. Clear them first."
        raise Conflict("custom_field_in_use", reason)
    await session.delete(field)
    await session.flush()
    await _record_field_event(session, EventType.CUSTOM_FIELD_DELETED, member, field)


def _validate_changes(field: CustomField, changes: Mapping[str, object]) -> dict[str, Any]:
    if changes.get("field_key", field.field_key) != field.field_key:
        reason = "The key of a field never changes: agents know it."
        raise Invalid("field_key_fixed", reason, field="field_key")
    given = validate_fields(
        FIELD_CHECKS, {name: value for name, value in changes.items() if name != "field_key"}
    )
    if not given:
        raise Invalid("nothing_to_change", "Say at least one thing that is to change.")
    return given


async def _lock_boards(
    session: AsyncSession,
    organization_id: UUID,
    requested_ids: Collection[UUID],
    field: CustomField | None = None,
) -> Sequence[UUID]:
    """Lock the requested boards and the field's boards, and return the ids of the field's boards.

    Raises Invalid if a requested board is not in the organization.
    """
    has_field = _board_has_field(field) if field else false()
    query = select(Board.id, has_field).where(
        Board.organization_id == organization_id, Board.id.in_(requested_ids) | has_field
    )
    query = query.order_by(Board.id).with_for_update(key_share=True, of=Board)
    found = {id: bound for id, bound in await session.execute(query)}
    unknown = [id for id in requested_ids if id not in found]
    if unknown:
        raise Invalid(
            "board_not_found",
            "Some of the boards are not in this organization.",
            field="board_ids",
            invalid_board_ids=_sorted_texts(unknown),
        )
    return [id for id, bound in found.items() if bound]


async def _check_stored_values(
    session: AsyncSession, field: CustomField, new: Mapping[str, Any], board_ids: Sequence[UUID]
) -> None:
    """Raise Conflict if tasks of these boards have values that would become invalid."""
    query = select(CustomFieldValue.value, func.count()).join(CustomFieldValue.task)
    query = query.where(_is_value_of(field), Task.board_id.in_(board_ids)).group_by(
        CustomFieldValue.value
    )
    type, regex = (new.get(name, getattr(field, name)) for name in DEPENDENT_COLUMNS[:2])
    rows = await session.execute(query)
    invalid = sum(
        count for value, count in rows if find_value_error(type, regex, value) is not None
    )
    if invalid:
        reason = f"Values of tasks would no longer fit: {invalid:,}. Change or clear them first."
        raise Conflict("custom_field_values_unfit", reason)


async def _replace_boards(
    session: AsyncSession, field: CustomField, before: set[UUID], after: set[UUID]
) -> None:
    """Replace the boards of a field, in one statement.

    The values of tasks on the removed boards are deleted: they would be invisible, but would still
    prevent changes of the field.
    """
    removed = before - after
    of_binding = BoardCustomField.task_custom_field_definition_id == field.id
    unbound = delete_rows(BoardCustomField).where(
        of_binding, BoardCustomField.board_id.in_(removed)
    )
    task_ids = select(Task.id).where(Task.board_id.in_(removed))
    deleted_values = delete_rows(CustomFieldValue).where(
        _is_value_of(field), CustomFieldValue.task_id.in_(task_ids)
    )
    rows = _binding_rows(field, sorted(after - before))
    statement: Any = unbound
    if rows:
        statement = insert(BoardCustomField).values(rows).add_cte(unbound.cte("unbound"))
    statement = statement.add_cte(deleted_values.cte("deleted_values"))
    await session.execute(statement.execution_options(synchronize_session=False))


def _is_value_of(field: CustomField) -> ColumnElement[bool]:
    return CustomFieldValue.task_custom_field_definition_id == field.id


def _board_has_field(field: CustomField) -> ColumnElement[bool]:
    binding = BoardCustomField
    query = select(binding.id).where(
        binding.board_id == Board.id, binding.task_custom_field_definition_id == field.id
    )
    return query.correlate(Board).exists()


def _binding_rows(field: CustomField, board_ids: Iterable[UUID]) -> list[dict[str, Any]]:
    at = now()
    shared = {"task_custom_field_definition_id": field.id, "created_at": at}
    return [{"id": new_id(), "board_id": board_id, **shared} for board_id in board_ids]


def _sorted_texts(ids: Iterable[UUID]) -> list[str]:
    return sorted(str(id) for id in ids)


async def _flush_field(session: AsyncSession) -> None:
    """Flush the session; raise Conflict if the unique constraint on the key is violated."""
    try:
        await session.flush()
    except IntegrityError as error:
        if not violates_constraint(
            error, "uq_task_custom_field_definitions_organization_id_field_key"
        ):
            raise
        reason = "There is a custom field with this key."
        raise Conflict("custom_field_key_taken", reason, field="field_key") from error


async def _record_field_event(
    session: AsyncSession, type: EventType, member: Member, field: CustomField, **data: Any
) -> None:
    event_data: dict[str, object] = {
        "custom_field_id": str(field.id),
        "name": field.label,
        **data,
    }
    await events.record_event(
        session, type, member.user, organization_id=field.organization_id, data=event_data
    )
