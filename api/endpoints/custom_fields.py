"""Custom fields of tasks."""

from collections.abc import Sequence
from uuid import UUID

from pydantic import Field

from api.framework.dependencies import active_membership, admin_membership, locks
from api.framework.fields import Ok, ResponseModel, Timestamp
from api.framework.operation import USER, Operation, error_responses, reads_only
from api.framework.request_context import RequestContext
from core.fields import AnyJson
from core.json_responses import Encoded, build_encoder
from models import CustomField, FieldType, Member, Visibility
from services import custom_fields
from services.custom_fields import CustomFieldCreate, CustomFieldUpdate


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


encode_field = build_encoder(CustomFieldRead, "field", board_ids="board_ids")


@reads_only
async def list_custom_fields(
    context: RequestContext, member: Member
) -> Encoded[Sequence[CustomFieldRead]]:
    """List the custom fields of the active organization, by label."""
    found = await custom_fields.list_custom_fields(context.source, member)
    return Encoded(list(map(encode_field, found)))


@error_responses(409)
async def create_custom_field(
    context: RequestContext, member: Member, body: CustomFieldCreate
) -> Encoded[CustomFieldRead]:
    """Create a custom field for tasks of some boards. Keys are unique."""
    created = await custom_fields.create_custom_field(context.session, member, body)
    return Encoded(encode_field(created))


@error_responses(409)
async def update_custom_field(
    context: RequestContext, member: Member, found: CustomField, body: CustomFieldUpdate
) -> Encoded[CustomFieldRead]:
    """Change a custom field. Only the fields in the request change.

    The change is rejected with 409 while tasks have values that do not match the new type or
    regular expression. If a board loses the field, its tasks lose their values.
    """
    changed = await custom_fields.update_custom_field(context.session, member, found, body)
    return Encoded(encode_field(changed))


@error_responses(409)
async def delete_custom_field(context: RequestContext, member: Member, found: CustomField) -> Ok:
    """Delete a custom field. Rejected with 409 while a task has a value for it."""
    await custom_fields.delete_custom_field(context.session, member, found)
    return Ok()


FIELDS = "/organizations/me/custom-fields"
FIELD = f"{FIELDS}/{{task_custom_field_definition_id}}"
TAGS = ["custom fields"]
LOCKED = locks(custom_fields.lock_custom_field, "task_custom_field_definition_id")

OPERATIONS = [
    Operation("GET", FIELDS, list_custom_fields, USER, TAGS, active_membership),
    Operation("POST", FIELDS, create_custom_field, USER, TAGS, admin_membership),
    Operation("PATCH", FIELD, update_custom_field, USER, TAGS, LOCKED),
    Operation("DELETE", FIELD, delete_custom_field, USER, TAGS, LOCKED),
]
