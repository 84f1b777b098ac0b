"""Custom fields of tasks, as JSON (contract, people-and-boards 3.5)."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any
from uuid import UUID

from pydantic import BeforeValidator, Field, StringConstraints

from api.fields import UNSENT, Answer, AnyJson, Body, Moment, Name, Ok, SomeChanges, Text
from api.operations import Call, may_answer
from models import CustomField, FieldType, Member, Visibility
from services import custom_fields


def _called(names: Mapping[str, Any]) -> BeforeValidator:
    """Take a name in any case, and the other names that a thing has."""
    return BeforeValidator(
        lambda given: names.get(given.strip().lower(), given) if isinstance(given, str) else given
    )


Type = Annotated[FieldType, _called(custom_fields.TYPES)]
Shown = Annotated[Visibility, _called(custom_fields.VISIBILITIES)]
Regex = Annotated[str, StringConstraints(max_length=custom_fields.LONGEST_REGEX)]
BoardIds = Annotated[list[UUID], Field(min_length=1, max_length=custom_fields.MOST_BOARDS)]

WHOLE = "In RE2's syntax. The whole value must match. For `text`, `text_long`, `date`, \
`date_time` and `url`."
NO_LONGER = "The boards whose tasks have the field. What tasks of other boards have for it is \
deleted."


class CustomFieldRead(Answer):
    """A field that tasks of some boards have."""

    id: UUID
    organization_id: UUID
    field_key: str = Field(description="Its key in `custom_field_values` of tasks.")
    label: str
    field_type: FieldType
    ui_visibility: Visibility = Field(description="When pages show it. The API always does.")
    validation_regex: str | None
    description: str | None
    required: bool
    default_value: AnyJson = Field(description="What a task holds that was given nothing.")
    board_ids: list[UUID]
    created_at: Moment
    updated_at: Moment

    @classmethod
    def of(cls, definition: custom_fields.Definition) -> "CustomFieldRead":
        """Make one of what the services know of a field."""
        names = cls.model_fields.keys() - {"board_ids"}
        of_the_row = {name: getattr(definition.field, name) for name in names}
        return cls(**of_the_row, board_ids=list(definition.board_ids))


class CustomFieldCreate(Body):
    """A field to be. `long_text`, `datetime` and such are taken for types, too."""

    example = {
        "field_key": "effort",
        "label": "Effort in hours",
        "field_type": "decimal",
        "board_ids": ["0193a5c2-7d1e-7c63-9a58-2f1d8f0b6a11"],
    }

    field_key: Name = Field(description="Once in the organization. It never changes.")
    label: Name | None = Field(default=None, description="The key, if it is left out.")
    field_type: Type = FieldType.TEXT
    ui_visibility: Shown = Visibility.ALWAYS
    validation_regex: Regex | None = Field(default=None, description=WHOLE)
    description: Text | None = None
    required: bool = Field(default=False, description="A blank text is not enough.")
    default_value: AnyJson = None
    board_ids: BoardIds = Field(description="The boards whose tasks have the field.")


class CustomFieldUpdate(SomeChanges):
    """What may be changed of a field: at least one thing, and never its key."""

    example = {"required": True, "default_value": 1}

    @staticmethod
    def _document(schema: dict[str, Any], model: type[Body]) -> None:
        del schema["properties"]["field_key"]
        SomeChanges._document(schema, model)
        schema["not"] = {"required": ["field_key"]}

    model_config = {"json_schema_extra": _document}

    field_key: Any = UNSENT
    label: Name = UNSENT
    field_type: Type = UNSENT
    ui_visibility: Shown = UNSENT
    validation_regex: Regex | None = Field(default=None, description=WHOLE)
    description: Text | None = None
    required: bool = UNSENT
    default_value: AnyJson = None
    board_ids: BoardIds = Field(default=UNSENT, description=NO_LONGER)


async def list_custom_fields(call: Call, member: Member) -> Sequence[CustomFieldRead]:
    """List the custom fields of the active organization, by their labels."""
    found = await custom_fields.listed(call.session, member)
    return [CustomFieldRead.of(definition) for definition in found]


@may_answer(409)
async def create_custom_field(
    call: Call, member: Member, body: CustomFieldCreate
) -> CustomFieldRead:
    """Define a field for tasks of some boards. No two fields have the same key."""
    draft = custom_fields.FieldDraft(**dict(body))
    return CustomFieldRead.of(await custom_fields.create(call.session, member, draft))


@may_answer(409)
async def update_custom_field(
    call: Call, member: Member, field: CustomField, body: CustomFieldUpdate
) -> CustomFieldRead:
    """Change a field. Only what is sent counts.

    While tasks have values that would no longer fit the type or the regular expression, it is
    refused with 409. Where a board loses the field, its tasks lose what they have for it.
    """
    changed = await custom_fields.change(call.session, member, field, body.changes())
    return CustomFieldRead.of(changed)


@may_answer(409)
async def delete_custom_field(call: Call, member: Member, field: CustomField) -> Ok:
    """Delete a field. While a task has a value for it, that is refused with 409."""
    await custom_fields.delete(call.session, member, field)
    return Ok()
