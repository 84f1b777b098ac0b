"""Tags: an organization's labels for tasks."""

from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints
from sqlalchemy import String, bindparam, delete, func, insert, inspect, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.accents import remove_accents
from core.clock import now
from core.db.full_text import without_accents
from core.db.reads import Query, Source
from core.db.transactions import Write
from core.errors import Conflict, NotFound
from core.fields import MAX_NAME_LENGTH, Description, FieldKind, Fields, Label, Patch, ShownName
from core.paging import Page, PagedQuery, Paging
from core.text import N_, escape_pattern, slugify
from models import Board, EventType, Member, Tag, TagAssignment, TagCount, Task, new_id
from services import boards, events, organizations, rows

NAME_ORDER = (func.lower(Tag.name), Tag.created_at, Tag.id)


class TagCreate(Fields):
    """A new tag."""

    example = {"name": "Needs words", "color": "#3B82F6"}

    name: Annotated[ShownName, Label(N_("Name"), FieldKind.LINE)]
    slug: Annotated[
        Annotated[str, StringConstraints(strip_whitespace=True, max_length=MAX_NAME_LENGTH)] | None,
        Label(N_("Slug"), FieldKind.LINE),
        Field(description="Small letters, digits and hyphens; made from the name if blank."),
    ] = None
    color: Annotated[
        str,
        StringConstraints(strip_whitespace=True, pattern="^#?[0-9A-Fa-f]{6}$"),
        AfterValidator(lambda given: given.lower().removeprefix("#")),
        Label(N_("Colour"), error=N_("Write six hexadecimal digits, such as 2f6f6a.")),
        Field(
            description="Six hex digits. A leading # and capital letters are accepted and"
            " normalized."
        ),
    ] = "9e9e9e"  # grey
    description: Annotated[Description | None, Label(N_("Description"), FieldKind.TEXT)] = None


class TagUpdate(TagCreate, Patch):
    """Changes of a tag: at least one field. Tasks with the tag show the change at once."""

    example = {"color": "3b82f6"}
    descriptions = {
        "slug": "Does not change with the name. A blank slug is made from the name.",
    }


class CountedTag(NamedTuple):
    """A tag with the number of tasks that have it."""

    tag: Tag
    task_count: int


class TaggedBoard(NamedTuple):
    """A board with the number of its tasks that have a tag."""

    board_id: UUID
    board_name: str
    task_count: int


def build_slug(name: str) -> str:
    """Convert a name to lower-case letters, digits and hyphens."""
    return slugify(name, max_length=MAX_NAME_LENGTH) or "tag"


async def list_board_tags(source: Source, board: Board) -> Sequence[Tag]:
    """Return the tags of the board's organization, by name."""
    return await TAGS.fetch(source, organization_id=board.organization_id)


async def list_tags(source: Source, member: Member, paging: Paging) -> Page[CountedTag]:
    """Return the tags of the member's organization, by name."""
    organization_id = member.organization_id
    return await COUNTED_TAGS.fetch_page(source, paging, organization_id=organization_id)


async def find_tags(source: Source, member: Member, text: str) -> Sequence[CountedTag]:
    """Return the tags of the member's organization whose name contains a text, by name."""
    parameters = {
        "organization_id": member.organization_id,
        "text": escape_pattern(remove_accents(text)),
    }
    return await NAMED_TAGS.fetch(source, **parameters)


async def list_tagged_boards(source: Source, member: Member, tag: Tag) -> Sequence[TaggedBoard]:
    """Return the boards with tasks that have a tag, of those that the member may read, by name."""
    parameters = boards.access_parameters(member) | {"tag_id": tag.id}
    return await TAGGED_BOARDS.fetch(source, **parameters)


TAGGED_BOARDS: Query[TaggedBoard] = Query(
    select(Board.id, Board.name, TagCount.tasks)
    .join(TagCount, TagCount.board_id == Board.id)
    .where(
        TagCount.tag_id == bindparam("tag_id"),
        TagCount.tasks > 0,
        Board.id.in_(boards.READABLE_BOARD_IDS),
    )
    .order_by(func.lower(Board.name), Board.id),
    TaggedBoard._make,
)


async def get_tag(source: Source, member: Member, tag_id: UUID) -> CountedTag:
    """Return a tag of the member's organization. Raises NotFound."""
    ids = {"organization_id": member.organization_id, "tag_id": tag_id}
    return await rows.get_one(source, COUNTED_TAG, _not_found, **ids)


async def lock_tag(session: AsyncSession, member: Member, tag_id: UUID) -> CountedTag:
    """Lock a tag until the commit, so that it cannot be changed or added to a task, and return it.

    Raises NotFound, and Forbidden unless the member is an admin.
    """
    organizations.require_admin(member)
    ids = {"organization_id": member.organization_id, "tag_id": tag_id}
    return await rows.get_one(session, LOCKED_TAG, _not_found, **ids)


def _not_found() -> NotFound:
    return NotFound("tag_not_found", N_("There is no such tag."))


IN_ORGANIZATION = Tag.organization_id == bindparam("organization_id")
TAGS: Query[Tag] = Query(
    select(Tag).where(IN_ORGANIZATION).order_by(*NAME_ORDER), lambda row: row[0]
)
TASK_COUNT = (
    select(func.coalesce(func.sum(TagCount.tasks), 0))
    .where(TagCount.tag_id == Tag.id)
    .correlate(Tag)
    .scalar_subquery()
)
WITH_COUNT = select(Tag, TASK_COUNT).where(IN_ORGANIZATION)
ONE_WITH_COUNT = WITH_COUNT.where(Tag.id == bindparam("tag_id"))
COUNTED_TAGS = PagedQuery(WITH_COUNT.order_by(*NAME_ORDER), CountedTag._make)
NAMED_TAGS = Query(
    WITH_COUNT.where(
        without_accents(Tag.name).icontains(bindparam("text", type_=String), escape="/")
    ).order_by(*NAME_ORDER),
    CountedTag._make,
)
COUNTED_TAG = Query(ONE_WITH_COUNT, CountedTag._make)
LOCKED_TAG = Query(
    ONE_WITH_COUNT.with_for_update(of=Tag).execution_options(populate_existing=True),
    CountedTag._make,
)


UNIQUE_ERRORS: rows.UniqueErrors = {
    "uq_tags_organization_id_slug": lambda: Conflict(
        "tag_slug_taken", N_("Another tag has this slug. Choose another one."), field="slug"
    )
}


async def create_tag(session: AsyncSession, member: Member, fields: TagCreate) -> CountedTag:
    """Create a tag in the member's organization.

    Without a slug, it is derived from the name. Raises Forbidden unless the member is an admin, and
    Conflict if the slug is taken.
    """
    organizations.require_admin(member)
    tag = rows.build_row(Tag, organization_id=member.organization_id, **dict(fields))
    tag.slug = build_slug(fields.slug or fields.name)
    session.add(tag)
    await rows.flush(session, UNIQUE_ERRORS)
    await _record_event(session, EventType.TAG_CREATED, member, tag)
    return CountedTag(tag, 0)


async def update_tag(session: AsyncSession, member: Member, tag: Tag, fields: TagUpdate) -> None:
    """Update the given fields of a locked tag.

    An empty slug is derived from the name; without a slug in `fields` it stays. An update without
    a difference is not recorded. Raises Invalid without a field, and Conflict if the slug is taken.
    """
    values = fields.changes()
    if "slug" in values:
        values["slug"] = build_slug(values["slug"] or values.get("name", tag.name))
    if differences := await rows.update_row(session, tag, values, UNIQUE_ERRORS):
        await _record_event(session, EventType.TAG_UPDATED, member, tag, changes=differences)


async def delete_tag(session: AsyncSession, member: Member, tag: Tag) -> None:
    """Delete a locked tag and remove it from its tasks, which do not change otherwise."""
    await session.delete(tag)
    await session.flush()
    await _record_event(session, EventType.TAG_DELETED, member, tag)


async def _record_event(
    session: AsyncSession, type: EventType, member: Member, tag: Tag, **data: Any
) -> None:
    event_data: dict[str, object] = {"tag_id": str(tag.id), "name": tag.name, **data}
    await events.record_event(
        session, type, member.user, organization_id=tag.organization_id, data=event_data
    )


INSERT_TASK_TAGS = Write(
    insert(TagAssignment).inline(), [one.key for one in inspect(TagAssignment).column_attrs]
)
DELETE_TASK_TAGS = Write(delete(TagAssignment).where(TagAssignment.task_id == bindparam("task_id")))


async def replace_task_tags(session: AsyncSession, task: Task, ids: Sequence[UUID]) -> None:
    """Replace the tags of a task, in this order."""
    await DELETE_TASK_TAGS.execute(session, task_id=task.id)
    await add_task_tags(session, task, ids)


async def add_task_tags(session: AsyncSession, task: Task, ids: Sequence[UUID]) -> None:
    """Add tags to a task that has none yet, in this order."""
    assignments = [
        {
            "id": new_id(),
            "task_id": task.id,
            "tag_id": id,
            "position": position,
            "created_at": now(),
        }
        for position, id in enumerate(ids)
    ]
    await INSERT_TASK_TAGS.execute_many(session, assignments)
