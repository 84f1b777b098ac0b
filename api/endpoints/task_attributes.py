"""Tags and custom fields of tasks (contract, people-and-boards 3.4 and 3.5)."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any
from uuid import UUID

from pydantic import BeforeValidator, Field, StringConstraints

from api.framework.dependencies import (
    active_membership,
    admin_membership,
    custom_field_for_update,
    tag_for_read,
    tag_for_update,
)
from api.framework.fields import (
    NOT_SENT,
    AnyJson,
    Name,
    NonEmptyPatchModel,
    Ok,
    PageQuery,
    RequestModel,
    ResponseModel,
    ShortText,
    Text,
    Timestamp,
)
from api.framework.operation import USER, Operation, changes_decisions, error_responses, reads_only
from api.framework.request_context import RequestContext
from core.json_responses import Encoded, encode_page, json_id, json_ids, json_time
from core.paging import Page
from models import CustomField, FieldType, Member, Visibility
from services import custom_fields, tags

Color = Annotated[
    str,
    StringConstraints(strip_whitespace=True, pattern="^#?[0-9A-Fa-f]{6}$"),
    Field(
        description="Six hex digits. A leading # and capital letters are accepted and normalized."
    ),
]


class TagRead(ResponseModel):
    """A tag, and the number of tasks with it."""

    id: UUID
    organization_id: UUID
    name: str
    slug: str
    color: str = Field(description="Six hex digits.")
    description: str | None
    task_count: int = Field(description="The number of tasks with this tag.")
    created_at: Timestamp
    updated_at: Timestamp


def _build_tag_fields(counted: tags.CountedTag) -> dict[str, Any]:
    """Return the fields of a TagRead, in the order of the model."""
    tag = counted.tag
    return {
        "id": json_id(tag.id),
        "organization_id": json_id(tag.organization_id),
        "name": tag.name,
        "slug": tag.slug,
        "color": tag.color,
        "description": tag.description,
        "task_count": counted.task_count,
        "created_at": json_time(tag.created_at),
        "updated_at": json_time(tag.updated_at),
    }


class TagCreate(RequestModel):
    """A new tag."""

    example = {"name": "Needs words", "color": "#3B82F6"}

    name: Name
    slug: ShortText | None = Field(
        default=None, description="Small letters, digits and hyphens; made from the name if blank."
    )
    color: Color = tags.DEFAULT_COLOR
    description: Text | None = None


class TagUpdate(NonEmptyPatchModel):
    """Changes of a tag: at least one field. Tasks with the tag show the change at once."""

    example = {"color": "3b82f6"}

    name: Name = NOT_SENT
    slug: ShortText | None = Field(
        default=None,
        description="Does not change with the name. A blank slug is made from the name.",
    )
    color: Color = NOT_SENT
    description: Text | None = None


@reads_only
async def list_tags(
    context: RequestContext, member: Member, query: PageQuery
) -> Encoded[Page[TagRead]]:
    """List the tags of the active organization, by name."""
    found = await tags.list_tags(context.source, member, query.paging)
    return encode_page(found, _build_tag_fields)


@error_responses(409)
async def create_tag(context: RequestContext, member: Member, body: TagCreate) -> Encoded[TagRead]:
    """Create a tag for tasks of all boards of the organization. Slugs are unique."""
    draft = tags.TagDraft(**dict(body))
    return Encoded(_build_tag_fields(await tags.create_tag(context.session, member, draft)))


@reads_only
async def get_tag(context: RequestContext, tag: tags.CountedTag) -> Encoded[TagRead]:
    """Return a tag."""
    return Encoded(_build_tag_fields(tag))


@error_responses(409)
async def update_tag(
    context: RequestContext, member: Member, tag: tags.CountedTag, body: TagUpdate
) -> Encoded[TagRead]:
    """Change a tag. Only the fields in the request change."""
    await tags.update_tag(context.session, member, tag.tag, body.changes())
    return Encoded(_build_tag_fields(tag))


@changes_decisions
async def delete_tag(context: RequestContext, member: Member, tag: tags.CountedTag) -> Ok:
    """Delete a tag, and remove it from all tasks."""
    await tags.delete_tag(context.session, member, tag.tag)
    return Ok()


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


TAG = "/tags/{tag_id}"
FIELDS = "/organizations/me/custom-fields"
FIELD = "/organizations/me/custom-fields/{task_custom_field_definition_id}"
TAGS = ["custom fields"]

OPERATIONS = [
    Operation("GET", "/tags", list_tags, USER, ["tags"], active_membership),
    Operation("POST", "/tags", create_tag, USER, ["tags"], admin_membership),
    Operation("GET", TAG, get_tag, USER, ["tags"], tag_for_read),
    Operation("PATCH", TAG, update_tag, USER, ["tags"], tag_for_update),
    Operation("DELETE", TAG, delete_tag, USER, ["tags"], tag_for_update),
    Operation("GET", FIELDS, list_custom_fields, USER, TAGS, active_membership),
    Operation("POST", FIELDS, create_custom_field, USER, TAGS, admin_membership),
    Operation("PATCH", FIELD, update_custom_field, USER, TAGS, custom_field_for_update),
    Operation("DELETE", FIELD, delete_custom_field, USER, TAGS, custom_field_for_update),
]
