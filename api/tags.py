"""Tags, as JSON (contract, people-and-boards 3.4)."""

from typing import Annotated
from uuid import UUID

from pydantic import Field, StringConstraints

from api.fields import UNSENT, Answer, Body, Moment, Name, Ok, Paged, Short, SomeChanges, Text
from api.operations import Call, may_answer
from kit.paging import Page
from models import Member
from services import tags

Color = Annotated[
    str,
    StringConstraints(strip_whitespace=True, pattern="^#?[0-9A-Fa-f]{6}$"),
    Field(description="Six hex digits. A # before them and capitals are taken, and not kept."),
]


class TagRead(Answer):
    """A label for tasks, and how many tasks have it."""

    id: UUID
    organization_id: UUID
    name: str
    slug: str
    color: str = Field(description="Six hex digits.")
    description: str | None
    task_count: int = Field(description="How many tasks have it now.")
    created_at: Moment
    updated_at: Moment

    @classmethod
    def of(cls, counted: tags.CountedTag) -> "TagRead":
        """Make one of what the services know of a tag."""
        names = cls.model_fields.keys() - {"task_count"}
        of_the_row = {name: getattr(counted.tag, name) for name in names}
        return cls(**of_the_row, task_count=counted.task_count)


class TagCreate(Body):
    """A tag to be."""

    example = {"name": "Needs words", "color": "#3B82F6"}

    name: Name
    slug: Short | None = Field(
        default=None, description="Small letters, digits and hyphens; made of the name if blank."
    )
    color: Color = tags.GREY
    description: Text | None = None


class TagUpdate(SomeChanges):
    """What may be changed of a tag: at least one thing. Tasks that have it show it at once."""

    example = {"color": "3b82f6"}

    name: Name = UNSENT
    slug: Short | None = Field(
        default=None, description="Stays when the name changes. A blank one follows the name."
    )
    color: Color = UNSENT
    description: Text | None = None


async def list_tags(call: Call, member: Member, query: Paged) -> Page[TagRead]:
    """List the tags of the active organization, by name."""
    return (await tags.listed(call.session, member, query.paging)).map(TagRead.of)


@may_answer(409)
async def create_tag(call: Call, member: Member, body: TagCreate) -> TagRead:
    """Create a tag, for tasks of all boards of the organization. No two have the same slug."""
    draft = tags.TagDraft(**dict(body))
    return TagRead.of(await tags.create(call.session, member, draft))


async def get_tag(call: Call, tag: tags.CountedTag) -> TagRead:
    """Return a tag."""
    return TagRead.of(tag)


@may_answer(409)
async def update_tag(call: Call, member: Member, tag: tags.CountedTag, body: TagUpdate) -> TagRead:
    """Change a tag. Only the fields that are sent count."""
    await tags.change(call.session, member, tag.tag, body.changes())
    return TagRead.of(tag)


async def delete_tag(call: Call, member: Member, tag: tags.CountedTag) -> Ok:
    """Delete a tag, and take it off every task."""
    await tags.delete(call.session, member, tag.tag)
    return Ok()
