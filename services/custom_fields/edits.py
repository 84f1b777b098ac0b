"""Defining custom fields, changing and deleting them.

A field is held first, then its boards in order of their ids: while they are held, no task of theirs
is written, so a stored value always fits its field.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, false, func, insert, select
from sqlalchemy import delete as delete_rows
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from kit.database import breaks
from kit.errors import Conflict, Invalid
from kit.values import checked
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
from services.custom_fields.finding import Definition
from services.custom_fields.rules import CHECKS, FIRST_CHECKS, FieldDraft, check_fit
from services.custom_fields.values import fault

OF_VALUES = {"field_type", "validation_regex"}  # what decides whether a value fits


async def create(session: AsyncSession, member: Member, draft: FieldDraft) -> Definition:
    """Define a field for tasks of some boards of the member's organization.

    Raises Forbidden unless the member is an admin, Invalid, and Conflict if the key is taken.
    """
    organizations.require_admin(member)
    given = {name: value for name, value in vars(draft).items() if (name, value) != UNLABELLED}
    fields = checked(FIRST_CHECKS, given)
    fields.setdefault("label", fields["field_key"])
    check_fit(fields)
    wanted = fields.pop("board_ids")
    await _hold_boards(session, member.organization_id, wanted)
    at = now()
    place = {"id": new_id(), "organization_id": member.organization_id}
    field = CustomField(**place, created_at=at, updated_at=at, **fields)
    session.add(field)
    await _store(session)
    await session.execute(insert(BoardCustomField), _bindings(field, wanted))
    await _record(session, EventType.CUSTOM_FIELD_CREATED, member, field)
    return Definition(field, sorted(wanted))


UNLABELLED = ("label", None)


async def change(
    session: AsyncSession, member: Member, field: CustomField, changes: Mapping[str, object]
) -> Definition:
    """Change a field that is held; only the fields that are given count.

    The values of tasks on boards that lose the field are deleted with it. A change of nothing is
    not recorded. Raises Invalid, and Conflict while stored values would no longer fit.
    """
    given = _given(changes)
    wanted = given.pop("board_ids", None)
    new = {name: value for name, value in given.items() if value != getattr(field, name)}
    check_fit({name: new.get(name, getattr(field, name)) for name in FITTING})
    before = await _hold_boards(session, field.organization_id, wanted or (), field)
    after = sorted(before if wanted is None else wanted)
    if new.keys() & OF_VALUES:
        await _check_stored(session, field, new, after)
    told = {name: [getattr(field, name), value] for name, value in new.items()}
    if after != sorted(before):
        told["board_ids"] = [_texts(before), _texts(after)]
        await _rebind(session, field, set(before), set(after))
    if not told:
        return Definition(field, after)
    for name, value in new.items():
        setattr(field, name, value)
    field.updated_at = now()
    await session.flush()
    await _record(session, EventType.CUSTOM_FIELD_UPDATED, member, field, changes=told)
    return Definition(field, after)


FITTING = ("field_type", "validation_regex", "default_value")


async def delete(session: AsyncSession, member: Member, field: CustomField) -> None:
    """Delete a field that is held. Raises Conflict while a task has a value for it."""
    await _hold_boards(session, field.organization_id, (), field)
    count = select(func.count()).select_from(CustomFieldValue).where(_of(field))
    in_use = await session.scalar(count)
    if in_use:
        reason = f"Tasks have values for this field: {in_use:,}. Clear them first."
        raise Conflict("custom_field_in_use", reason)
    await session.delete(field)
    await session.flush()
    await _record(session, EventType.CUSTOM_FIELD_DELETED, member, field)


def _given(changes: Mapping[str, object]) -> dict[str, Any]:
    if "field_key" in changes:
        reason = "The key of a field never changes: agents know it."
        raise Invalid("field_key_fixed", reason, field="field_key")
    given = checked(CHECKS, changes)
    if not given:
        raise Invalid("nothing_to_change", "Say at least one thing that is to change.")
    return given


async def _hold_boards(
    session: AsyncSession,
    organization_id: UUID,
    wanted: Collection[UUID],
    field: CustomField | None = None,
) -> Sequence[UUID]:
    """Hold the wanted boards and those that have the field, and return those that have it.

    Raises Invalid if there is a wanted one that the organization does not have.
    """
    has_it = _has(field) if field else false()
    query = select(Board.id, has_it).where(
        Board.organization_id == organization_id, Board.id.in_(wanted) | has_it
    )
    query = query.order_by(Board.id).with_for_update(key_share=True, of=Board)
    found = {id: bound for id, bound in await session.execute(query)}
    unknown = [id for id in wanted if id not in found]
    if unknown:
        raise Invalid(
            "board_not_found",
            "Some of the boards are not in this organization.",
            field="board_ids",
            invalid_board_ids=_texts(unknown),
        )
    return [id for id, bound in found.items() if bound]


async def _check_stored(
    session: AsyncSession, field: CustomField, new: Mapping[str, Any], board_ids: Sequence[UUID]
) -> None:
    """Raise Conflict if tasks of these boards have values that would no longer fit."""
    query = select(CustomFieldValue.value, func.count()).join(CustomFieldValue.task)
    query = query.where(_of(field), Task.board_id.in_(board_ids)).group_by(CustomFieldValue.value)
    type, regex = (new.get(name, getattr(field, name)) for name in FITTING[:2])
    rows = await session.execute(query)
    unfit = sum(count for value, count in rows if fault(type, regex, value) is not None)
    if unfit:
        reason = f"Values of tasks would no longer fit: {unfit:,}. Change or clear them first."
        raise Conflict("custom_field_values_unfit", reason)


async def _rebind(
    session: AsyncSession, field: CustomField, before: set[UUID], after: set[UUID]
) -> None:
    """Let these boards have the field instead of those, in one statement.

    What tasks of the others have for it goes: nobody would see it, and it would be in the way.
    """
    left = before - after
    of_binding = BoardCustomField.task_custom_field_definition_id == field.id
    unbound = delete_rows(BoardCustomField).where(of_binding, BoardCustomField.board_id.in_(left))
    there = select(Task.id).where(Task.board_id.in_(left))
    emptied = delete_rows(CustomFieldValue).where(_of(field), CustomFieldValue.task_id.in_(there))
    rows = _bindings(field, sorted(after - before))
    statement: Any = unbound
    if rows:
        statement = insert(BoardCustomField).values(rows).add_cte(unbound.cte("unbound"))
    statement = statement.add_cte(emptied.cte("emptied"))
    await session.execute(statement.execution_options(synchronize_session=False))


def _of(field: CustomField) -> ColumnElement[bool]:
    return CustomFieldValue.task_custom_field_definition_id == field.id


def _has(field: CustomField) -> ColumnElement[bool]:
    binding = BoardCustomField
    query = select(binding.id).where(
        binding.board_id == Board.id, binding.task_custom_field_definition_id == field.id
    )
    return query.correlate(Board).exists()


def _bindings(field: CustomField, board_ids: Iterable[UUID]) -> list[dict[str, Any]]:
    at = now()
    own = {"task_custom_field_definition_id": field.id, "created_at": at}
    return [{"id": new_id(), "board_id": board_id, **own} for board_id in board_ids]


def _texts(ids: Iterable[UUID]) -> list[str]:
    return sorted(str(id) for id in ids)


async def _store(session: AsyncSession) -> None:
    """Write a field down. Whether its key is free, only the database knows for sure."""
    try:
        await session.flush()
    except IntegrityError as error:
        if not breaks(error, "uq_task_custom_field_definitions_organization_id_field_key"):
            raise
        reason = "There is a custom field with this key."
        raise Conflict("custom_field_key_taken", reason, field="field_key") from error


async def _record(
    session: AsyncSession, type: EventType, member: Member, field: CustomField, **data: Any
) -> None:
    told: dict[str, object] = {"custom_field_id": str(field.id), "name": field.label, **data}
    await events.record(
        session, type, member.user, organization_id=field.organization_id, data=told
    )
