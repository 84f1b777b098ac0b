"""Create, update and delete custom fields.

Lock order: the field first, then its boards by id. No task of a locked board is written, so stored
values always match their field.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Annotated, Any
from uuid import UUID

import re2
from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints
from pydantic.json_schema import SkipJsonSchema
from sqlalchemy import ColumnElement, false, func, insert, select
from sqlalchemy import delete as delete_rows
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.errors import Conflict, Invalid
from core.fields import AnyJson, Description, FieldKind, Fields, Label, Patch, ShownName
from core.text import N_
from models import (
    Board,
    BoardCustomField,
    CustomField,
    CustomFieldValue,
    EventType,
    FieldType,
    Member,
    Task,
    Visibility,
    new_id,
)
from services import events, organizations, rows
from services.custom_fields.queries import CustomFieldDetail
from services.custom_fields.rules import check_definition, compile_regex, find_value_error
from services.custom_fields.task_values import run_check

TYPE_NAMES: Mapping[str, FieldType] = {
    **{type.value: type for type in FieldType},
    "text (long)": FieldType.TEXT_LONG,
    "long_text": FieldType.TEXT_LONG,
    "true/false": FieldType.BOOLEAN,
    "date & time": FieldType.DATE_TIME,
    "datetime": FieldType.DATE_TIME,
}
"""The accepted names of types, in lower case."""

VISIBILITY_NAMES: Mapping[str, Visibility] = {
    **{visibility.value: visibility for visibility in Visibility},
    "if set": Visibility.IF_SET,
}
"""The accepted names of visibilities, in lower case."""


def _accept_aliases(names: Mapping[str, Any]) -> BeforeValidator:
    """Accept a name in any case, and its aliases."""
    return BeforeValidator(
        lambda given: names.get(given.strip().lower(), given) if isinstance(given, str) else given
    )


def _check_regex(given: str | None) -> str | None:
    """Return the regular expression, or None for a blank one. Raises Invalid."""
    if not given:
        return None
    try:
        compile_regex(given)
    except re2.error as error:
        [detail] = error.args or (b"",)
        fault = detail.decode(errors="replace") if isinstance(detail, bytes) else str(detail)
        message = N_("This is not a regular expression of the RE2 syntax.")
        hint = f"RE2 says: {fault}."
        raise Invalid("regex_invalid", message, field="validation_regex", hint=hint) from error
    return given


class CustomFieldCreate(Fields):
    """A new custom field. Aliases of types such as `long_text` and `datetime` are accepted."""

    component = "TaskCustomFieldDefinitionCreate"
    example = {
        "field_key": "effort",
        "label": "Effort in hours",
        "field_type": "decimal",
        "board_ids": ["0193a5c2-7d1e-7c63-9a58-2f1d8f0b6a11"],
    }

    field_key: Annotated[
        ShownName,
        Label(N_("Key"), FieldKind.LINE),
        Field(description="Unique in the organization. It cannot be changed."),
    ]
    label: Annotated[
        ShownName | None, Label(N_("Name"), FieldKind.LINE), Field(description="Default: the key.")
    ] = None
    field_type: Annotated[
        FieldType,
        _accept_aliases(TYPE_NAMES),
        Label(N_("Type"), error=N_("Choose one of the types.")),
    ] = FieldType.TEXT
    ui_visibility: Annotated[
        Visibility, _accept_aliases(VISIBILITY_NAMES), Label(N_("Visibility on tasks"))
    ] = Visibility.ALWAYS
    validation_regex: Annotated[
        Annotated[str, StringConstraints(strip_whitespace=True, max_length=1_000)] | None,
        AfterValidator(_check_regex),
        Label(N_("Validation pattern"), FieldKind.LINE),
        Field(
            description="In RE2 syntax. The whole value must match. For `text`, `text_long`,"
            " `date`, `date_time` and `url`."
        ),
    ] = None
    description: Annotated[Description | None, Label(N_("Description"), FieldKind.TEXT)] = None
    required: Annotated[
        bool,
        Label(N_("Required")),
        Field(description="A blank text does not count as a value."),
    ] = False
    default_value: Annotated[AnyJson, Label(N_("Default value"), FieldKind.TEXT)] = None
    board_ids: Annotated[
        list[UUID],
        Field(min_length=1, max_length=1_000, description="The boards whose tasks have the field."),
        AfterValidator(lambda ids: list(dict.fromkeys(ids))),
        Label(N_("Boards"), error=N_("Choose at least one board.")),
    ]


class CustomFieldUpdate(CustomFieldCreate, Patch):
    """Changes of a custom field: at least one field. Its key cannot change."""

    component = "TaskCustomFieldDefinitionUpdate"
    example = {"required": True, "default_value": 1}
    descriptions = {
        "required": None,
        "board_ids": "The boards whose tasks have the field. Values of tasks on other boards are"
        " deleted.",
    }

    field_key: SkipJsonSchema[Any]  # may be sent, but not changed
    label: Annotated[ShownName, Label(N_("Name"), FieldKind.LINE)]  # ty: ignore[incompatible-mutable-override]


VALUE_CONSTRAINTS = {"field_type", "validation_regex"}  # determine whether a value is valid
DEPENDENT_COLUMNS = ("field_type", "validation_regex", "default_value")
UNIQUE_ERRORS: rows.UniqueErrors = {
    "uq_task_custom_field_definitions_organization_id_field_key": lambda: Conflict(
        "custom_field_key_taken",
        N_("Another field has this key. Choose another one."),
        field="field_key",
    )
}


async def create_custom_field(
    session: AsyncSession, member: Member, fields: CustomFieldCreate
) -> CustomFieldDetail:
    """Create a field for the tasks of some boards of the member's organization.

    Without a label, the key is the label. Raises Forbidden unless the member is an admin, Invalid,
    and Conflict if the key is taken.
    """
    organizations.require_admin(member)
    values: dict[str, Any] = {**dict(fields), "label": fields.label or fields.field_key}
    await _check_definition(values)
    board_ids = values.pop("board_ids")
    await _lock_boards(session, member.organization_id, board_ids)
    field = rows.build_row(CustomField, organization_id=member.organization_id, **values)
    session.add(field)
    await rows.flush(session, UNIQUE_ERRORS)
    await session.execute(insert(BoardCustomField), _binding_rows(field, board_ids))
    await _record_event(session, EventType.CUSTOM_FIELD_CREATED, member, field)
    return CustomFieldDetail(field, sorted(board_ids))


async def update_custom_field(
    session: AsyncSession, member: Member, field: CustomField, fields: CustomFieldUpdate
) -> CustomFieldDetail:
    """Update the given fields of a locked custom field.

    On boards that lose the field, the values of tasks are deleted. An update without a difference
    is not recorded. Raises Invalid, and Conflict if stored values would become invalid.
    """
    if "field_key" in fields.model_fields_set and fields.field_key != field.field_key:
        reason = "The key of a field never changes: agents know it."
        raise Invalid("field_key_fixed", reason, field="field_key")
    values = fields.without({"field_key"}).changes()
    requested_ids = values.pop("board_ids", None)
    new = {name: value for name, value in values.items() if value != getattr(field, name)}
    await _check_definition(
        {name: new.get(name, getattr(field, name)) for name in DEPENDENT_COLUMNS}
    )
    before = await _lock_boards(session, field.organization_id, requested_ids or (), field)
    after = sorted(before if requested_ids is None else requested_ids)
    if new.keys() & VALUE_CONSTRAINTS:
        await _check_stored_values(session, field, new, after)
    boards: rows.Differences = {}
    if after != sorted(before):
        boards = {"board_ids": [_sorted_texts(before), _sorted_texts(after)]}
        await _replace_boards(session, field, set(before), set(after))
    if differences := await rows.update_row(session, field, new, others=boards):
        event = EventType.CUSTOM_FIELD_UPDATED
        await _record_event(session, event, member, field, changes=differences)
    return CustomFieldDetail(field, after)


async def delete_custom_field(session: AsyncSession, member: Member, field: CustomField) -> None:
    """Delete a locked field. Raises Conflict if a task has a value for it."""
    await _lock_boards(session, field.organization_id, (), field)
    count = select(func.count()).select_from(CustomFieldValue).where(_is_value_of(field))
    in_use = await session.scalar(count)
    if in_use:
        reason = N_("Tasks have values for this field: %(count)s. Clear them first.")
        raise Conflict("custom_field_in_use", reason, count=in_use)
    await session.delete(field)
    await session.flush()
    await _record_event(session, EventType.CUSTOM_FIELD_DELETED, member, field)


async def _lock_boards(
    session: AsyncSession,
    organization_id: UUID,
    requested_ids: Collection[UUID],
    field: CustomField | None = None,
) -> Sequence[UUID]:
    """Lock the requested boards and the field's boards, and return the ids of the field's boards.

    Raises Invalid if a requested board is not in the organization.
    """
    binding = BoardCustomField
    has_field: ColumnElement[bool] = false()
    if field:
        bound = select(binding.id).where(
            binding.board_id == Board.id, binding.task_custom_field_definition_id == field.id
        )
        has_field = bound.correlate(Board).exists()
    query = select(Board.id, has_field).where(
        Board.organization_id == organization_id, Board.id.in_(requested_ids) | has_field
    )
    query = query.order_by(Board.id).with_for_update(key_share=True, of=Board)
    found = {id: bound for id, bound in await session.execute(query)}
    unknown = [id for id in requested_ids if id not in found]
    if unknown:
        raise Invalid(
            "board_not_found",
            N_("Some of these boards no longer exist."),
            field="board_ids",
            invalid_board_ids=_sorted_texts(unknown),
            sent_as="object",
        )
    return [id for id, bound in found.items() if bound]


async def _check_definition(fields: Mapping[str, Any]) -> None:
    patterned = [(fields["validation_regex"], fields["default_value"])]
    await run_check(partial(check_definition, fields), patterned)


async def _check_stored_values(
    session: AsyncSession, field: CustomField, new: Mapping[str, Any], board_ids: Sequence[UUID]
) -> None:
    """Raise Conflict if tasks of these boards have values that would become invalid."""
    query = select(CustomFieldValue.value, func.count()).join(CustomFieldValue.task)
    query = query.where(_is_value_of(field), Task.board_id.in_(board_ids)).group_by(
        CustomFieldValue.value
    )
    type, regex = (new.get(name, getattr(field, name)) for name in DEPENDENT_COLUMNS[:2])
    found = (await session.execute(query)).all()

    def count_invalid() -> int:
        return sum(
            count for value, count in found if find_value_error(type, regex, value) is not None
        )

    invalid = await run_check(count_invalid, ((regex, value) for value, _ in found))
    if invalid:
        reason = N_(
            "Values of tasks would no longer be valid: %(count)s. Change or clear them first."
        )
        raise Conflict("stored_values_invalid", reason, count=invalid)


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
    added = _binding_rows(field, sorted(after - before))
    statement: Any = unbound
    if added:
        statement = insert(BoardCustomField).values(added).add_cte(unbound.cte("unbound"))
    statement = statement.add_cte(deleted_values.cte("deleted_values"))
    await session.execute(statement.execution_options(synchronize_session=False))


def _is_value_of(field: CustomField) -> ColumnElement[bool]:
    return CustomFieldValue.task_custom_field_definition_id == field.id


def _binding_rows(field: CustomField, board_ids: Iterable[UUID]) -> list[dict[str, Any]]:
    at = now()
    shared = {"task_custom_field_definition_id": field.id, "created_at": at}
    return [{"id": new_id(), "board_id": board_id, **shared} for board_id in board_ids]


def _sorted_texts(ids: Iterable[UUID]) -> list[str]:
    return sorted(str(id) for id in ids)


async def _record_event(
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
