"""Tags of tasks."""

from uuid import UUID

from pydantic import Field

from api.framework.dependencies import active_membership, admin_membership, loads, locks
from api.framework.fields import Ok, PageQuery, ResponseModel, Timestamp
from api.framework.operation import USER, Operation, changes_decisions, error_responses, reads_only
from api.framework.request_context import RequestContext
from core.json_responses import Encoded, build_encoder, encode_page
from core.paging import Page
from models import Member
from services import tags
from services.tags import CountedTag, TagCreate, TagUpdate


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


encode_tag = build_encoder(TagRead, "tag", task_count="task_count")


@reads_only
async def list_tags(
    context: RequestContext, member: Member, query: PageQuery
) -> Encoded[Page[TagRead]]:
    """List the tags of the active organization, by name."""
    return encode_page(await tags.list_tags(context.source, member, query.paging), encode_tag)


@error_responses(409)
async def create_tag(context: RequestContext, member: Member, body: TagCreate) -> Encoded[TagRead]:
    """Create a tag for tasks of all boards of the organization. Slugs are unique."""
    return Encoded(encode_tag(await tags.create_tag(context.session, member, body)))


@reads_only
async def get_tag(context: RequestContext, found: CountedTag) -> Encoded[TagRead]:
    """Return a tag."""
    return Encoded(encode_tag(found))


@error_responses(409)
async def update_tag(
    context: RequestContext, member: Member, found: CountedTag, body: TagUpdate
) -> Encoded[TagRead]:
    """Change a tag. Only the fields in the request change."""
    await tags.update_tag(context.session, member, found.tag, body)
    return Encoded(encode_tag(found))


@changes_decisions
async def delete_tag(context: RequestContext, member: Member, found: CountedTag) -> Ok:
    """Delete a tag, and remove it from all tasks."""
    await tags.delete_tag(context.session, member, found.tag)
    return Ok()


TAG = "/tags/{tag_id}"

OPERATIONS = [
    Operation("GET", "/tags", list_tags, USER, ["tags"], active_membership),
    Operation("POST", "/tags", create_tag, USER, ["tags"], admin_membership),
    Operation("GET", TAG, get_tag, USER, ["tags"], loads(tags.get_tag, "tag_id")),
    Operation("PATCH", TAG, update_tag, USER, ["tags"], locks(tags.lock_tag, "tag_id")),
    Operation("DELETE", TAG, delete_tag, USER, ["tags"], locks(tags.lock_tag, "tag_id")),
]
