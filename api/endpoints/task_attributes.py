"""Custom fields of tasks (contract, people-and-boards 3.5)."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any
from uuid import UUID

from pydantic import BeforeValidator, Field, StringConstraints

from api.framework.dependencies import (
    active_membership,
    admin_membership,
    custom_field_for_update,
)
from api.framework.fields import (
    NOT_SENT,
    AnyJson,
    Name,
    NonEmptyPatchModel,
    Ok,
    RequestModel,
    ResponseModel,
    Text,
    Timestamp,
)
from api.framework.operation import USER, Operation, error_responses, reads_only
from api.framework.request_context import RequestContext
from core.json_responses import Encoded, json_id, json_ids, json_time
from models import CustomField, FieldType, Member, Visibility
from services import custom_fields


def _accept_aliases(names: Mapping[str, Any]) -> BeforeValidator:
    """Accept a name in any case, and its aliases."""
    return BeforeValidator(
        lambda given: names.get(given.strip().lower(), given) if isinstance(given, str) else given
    )


RequestFieldType = Annotated[FieldType, _accept_aliases(custom_fields.TYPE_NAMES)]
RequestVisibility = Annotated[Visibility, _accept_aliases(custom_fields.VISIBILITY_NAMES)]
Regex = Annotated[str, StringConstraints(max_length=custom_fields.MAX_REGEX_LENGTH)]
BoardIds = Annotated[list[UUID], Field(min_length=1, max_length=custom_fields.MAX_BOARDS)]

REGEX_DESCRIPTION = "In RE2 syntax. The whole value must match. For `text`, `text_long`, `date`, \
`date_time` and `url`."
BOARDS_DESCRIPTION = "The boards whose tasks have the field. Values of tasks on other boards are \
deleted."


class CustomFieldRead(ResponseModel):
    """A custom field of tasks on some boards."""

    id: UUID
    organization_id: UUID
    field_key: str = Field(description="Its key in `custom_field_values` of tasks.")
    label: str
    field_type: FieldType
    ui_visibility: Visibility = Field(description="When pages show it. The API always returns it.")
    validation_regex: str | None
    description: str | None
    required: bool
    default_value: AnyJson = Field(description="The value of tasks without a value of their own.")
    board_ids: list[UUID]
    created_at: Timestamp
    updated_at: Timestamp


def _build_custom_field_fields(definition: custom_fields.CustomFieldDetail) -> dict[str, Any]:
    """Return the fields of a CustomFieldRead, in the order of the model."""
    field = definition.field
    return {
        "id": json_id(field.id),
        "organization_id": json_id(field.organization_id),
        "field_key": field.field_key,
        "label": field.label,
        "field_type": field.field_type,
        "ui_visibility": field.ui_visibility,
        "validation_regex": field.validation_regex,
        "description": field.description,
        "required": field.required,
        "default_value": field.default_value,
        "board_ids": json_ids(definition.board_ids),
        "created_at": json_time(field.created_at),
        "updated_at": json_time(field.updated_at),
    }


class CustomFieldCreate(RequestModel):
    """A new custom field. Aliases of types such as `long_text` and `datetime` are accepted."""

    example = {
        "field_key": "effort",
        "label": "Effort in hours",
        "field_type": "decimal",
        "board_ids": ["0193a5c2-7d1e-7c63-9a58-2f1d8f0b6a11"],
    }

    field_key: Name = Field(description="Unique in the organization. It cannot be changed.")
    label: Name | None = Field(default=None, description="Default: the key.")
    field_type: RequestFieldType = FieldType.TEXT
    ui_visibility: RequestVisibility = Visibility.ALWAYS
    validation_regex: Regex | None = Field(default=None, description=REGEX_DESCRIPTION)
    description: Text | None = None
    required: bool = Field(default=False, description="A blank text does not count as a value.")
    default_value: AnyJson = None
    board_ids: BoardIds = Field(description="The boards whose tasks have the field.")


class CustomFieldUpdate(NonEmptyPatchModel):
    """Changes of a custom field: at least one field. Its key cannot change."""

    example = {"required": True, "default_value": 1}

    @staticmethod
    def _document(schema: dict[str, Any], model: type[RequestModel]) -> None:
        del schema["properties"]["field_key"]
        NonEmptyPatchModel._document(schema, model)

    model_config = {"json_schema_extra": _document}

    field_key: Any = NOT_SENT
    label: Name = NOT_SENT
    field_type: RequestFieldType = NOT_SENT
    ui_visibility: RequestVisibility = NOT_SENT
    validation_regex: Regex | None = Field(default=None, description=REGEX_DESCRIPTION)
    description: Text | None = None
    required: bool = NOT_SENT
    default_value: AnyJson = None
    board_ids: BoardIds = Field(default=NOT_SENT, description=BOARDS_DESCRIPTION)


@reads_only
async def list_custom_fields(
    context: RequestContext, member: Member
) -> Encoded[Sequence[CustomFieldRead]]:
    """List the custom fields of the active organization, by label."""
    found = await custom_fields.list_custom_fields(context.source, member)
    return Encoded(list(map(_build_custom_field_fields, found)))


@error_responses(409)
async def create_custom_field(
    context: RequestContext, member: Member, body: CustomFieldCreate
) -> Encoded[CustomFieldRead]:
    """Create a custom field for tasks of some boards. Keys are unique."""
    draft = custom_fields.CustomFieldDraft(**dict(body))
    created = await custom_fields.create_custom_field(context.session, member, draft)
    return Encoded(_build_custom_field_fields(created))


@error_responses(409)
async def update_custom_field(
    context: RequestContext, member: Member, field: CustomField, body: CustomFieldUpdate
) -> Encoded[CustomFieldRead]:
    """Change a custom field. Only the fields in the request change.

    The change is rejected with 409 while tasks have values that do not match the new type or
    regular expression. If a board loses the field, its tasks lose their values.
    """
    changed = await custom_fields.update_custom_field(
        context.session, member, field, body.changes()
    )
    return Encoded(_build_custom_field_fields(changed))


@error_responses(409)
async def delete_custom_field(context: RequestContext, member: Member, field: CustomField) -> Ok:
    """Delete a custom field. Rejected with 409 while a task has a value for it."""
    await custom_fields.delete_custom_field(context.session, member, field)
    return Ok()


FIELDS = "/organizations/me/custom-fields"
FIELD = "/organizations/me/custom-fields/{task_custom_field_definition_id}"
TAGS = ["custom fields"]

OPERATIONS = [
    Operation("GET", FIELDS, list_custom_fields, USER, TAGS, active_membership),
    Operation("POST", FIELDS, create_custom_field, USER, TAGS, admin_membership),
    Operation("PATCH", FIELD, update_custom_field, USER, TAGS, custom_field_for_update),
    Operation("DELETE", FIELD, delete_custom_field, USER, TAGS, custom_field_for_update),
]
