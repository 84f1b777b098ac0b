"""Tags: an organization's labels for tasks."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import String, bindparam, delete, func, insert, inspect, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.engine import violates_constraint
from core.db.reads import Query, Source
from core.db.transactions import Write
from core.errors import Conflict, Invalid, NotFound
from core.paging import Page, PagedQuery, Paging
from core.text import escape_pattern, slugify
from core.validation import (
    MAX_NAME_LENGTH,
    FieldCheck,
    nonblank_text,
    optional,
    text_of_length,
    trimmed_text,
    validate_fields,
)
from models import Board, EventType, Member, Tag, TagAssignment, Task, new_id
from services import boards, events, organizations

DEFAULT_COLOR = "9e9e9e"  # grey
MAX_DESCRIPTION_LENGTH = 20_000  # characters

HEX_COLOR = re.compile("[0-9a-f]{6}")
NAME_ORDER = (func.lower(Tag.name), Tag.created_at, Tag.id)


@dataclass(frozen=True, kw_only=True)
class TagDraft:
    """The fields of a new tag. Without a slug, it is derived from the name."""

    name: str
    slug: str | None = None
    color: str = DEFAULT_COLOR
    description: str | None = None


class CountedTag(NamedTuple):
    """A tag with the number of tasks that have it."""

    tag: Tag
    task_count: int


class TaggedBoard(NamedTuple):
    """A board with the number of its tasks that have a tag."""

    board_id: UUID
    board_name: str
    task_count: int


def check_color(value: object, field: str) -> str:
    """Validate a colour and return it as six lower-case hex digits."""
    given: str = text_of_length(MAX_NAME_LENGTH)(value, field)
    digits = given.strip().lower().removeprefix("#")
    if not HEX_COLOR.fullmatch(digits):
        raise Invalid("color_invalid", "A colour is six hex digits, as in 9e9e9e.", field=field)
    return digits


def build_slug(name: str) -> str:
    """Convert a name to lower-case letters, digits and hyphens (contract 3.4)."""
    return slugify(name, max_length=MAX_NAME_LENGTH) or "tag"


FIELD_CHECKS: Mapping[str, FieldCheck] = {
    "name": nonblank_text(MAX_NAME_LENGTH),
    "slug": optional(trimmed_text(MAX_NAME_LENGTH)),
    "color": check_color,
    "description": optional(text_of_length(MAX_DESCRIPTION_LENGTH)),
}


async def list_board_tags(source: Source, board: Board) -> Sequence[Tag]:
    """Return the tags of the board's organization, by name."""
    return await TAGS.fetch(source, organization_id=board.organization_id)


async def list_tags(source: Source, member: Member, paging: Paging) -> Page[CountedTag]:
    """Return the tags of the member's organization, by name."""
    organization_id = member.organization_id
    return await COUNTED_TAGS.fetch_page(source, paging, organization_id=organization_id)


async def find_tags(source: Source, member: Member, text: str) -> Sequence[CountedTag]:
    """Return the tags of the member's organization whose name contains a text, by name."""
    parameters = {"organization_id": member.organization_id, "text": escape_pattern(text)}
    return await NAMED_TAGS.fetch(source, **parameters)


async def list_tagged_boards(source: Source, member: Member, tag: Tag) -> Sequence[TaggedBoard]:
    """Return the boards with tasks that have a tag, of those that the member may read, by name."""
    parameters = boards.access_parameters(member) | {"tag_id": tag.id}
    return await _build_tagged_boards_query().fetch(source, **parameters)


@cache  # the packages import each other, so names of `boards` are used at call time
def _build_tagged_boards_query() -> Query[TaggedBoard]:
    query = select(Board.id, Board.name, func.count()).join(Task, Task.board_id == Board.id)
    query = query.join(TagAssignment, TagAssignment.task_id == Task.id)
    query = query.where(
        TagAssignment.tag_id == bindparam("tag_id"), Board.id.in_(boards.READABLE_BOARD_IDS)
    )
    grouped = query.group_by(Board.id).order_by(func.lower(Board.name), Board.id)
    return Query(grouped, TaggedBoard._make)


async def get_tag(source: Source, member: Member, tag_id: UUID) -> CountedTag:
    """Return a tag of the member's organization. Raises NotFound."""
    return await _get_counted_tag(source, COUNTED_TAG, member, tag_id)


async def lock_tag(session: AsyncSession, member: Member, tag_id: UUID) -> CountedTag:
    """Lock a tag until the commit, so that it cannot be changed or added to a task, and return it.

    Raises NotFound, and Forbidden unless the member is an admin.
    """
    organizations.require_admin(member)
    return await _get_counted_tag(session, LOCKED_TAG, member, tag_id)


async def _get_counted_tag(
    source: Source, query: Query[CountedTag], member: Member, tag_id: UUID
) -> CountedTag:
    parameters = {"organization_id": member.organization_id, "tag_id": tag_id}
    found = await query.first(source, **parameters)
    if found is None:
        raise NotFound("tag_not_found", "There is no such tag.")
    return found


IN_ORGANIZATION = Tag.organization_id == bindparam("organization_id")
TAGS: Query[Tag] = Query(
    select(Tag).where(IN_ORGANIZATION).order_by(*NAME_ORDER), lambda row: row[0]
)
TASK_COUNT = (
    select(func.count())
    .select_from(TagAssignment)
    .where(TagAssignment.tag_id == Tag.id)
    .correlate(Tag)
    .scalar_subquery()
)
WITH_COUNT = select(Tag, TASK_COUNT).where(IN_ORGANIZATION)
ONE_WITH_COUNT = WITH_COUNT.where(Tag.id == bindparam("tag_id"))
COUNTED_TAGS = PagedQuery(WITH_COUNT.order_by(*NAME_ORDER), CountedTag._make)
NAMED_TAGS = Query(
    WITH_COUNT.where(Tag.name.icontains(bindparam("text", type_=String), escape="/")).order_by(
        *NAME_ORDER
    ),
    CountedTag._make,
)
COUNTED_TAG = Query(ONE_WITH_COUNT, CountedTag._make)
LOCKED_TAG = Query(
    ONE_WITH_COUNT.with_for_update(of=Tag).execution_options(populate_existing=True),
    CountedTag._make,
)


async def create_tag(session: AsyncSession, member: Member, draft: TagDraft) -> CountedTag:
    """Create a tag in the member's organization.

    Raises Forbidden unless the member is an admin, Invalid with the field's name, and Conflict if
    the slug is taken.
    """
    organizations.require_admin(member)
    fields = validate_fields(FIELD_CHECKS, vars(draft))
    fields["slug"] = build_slug(fields["slug"] or fields["name"])
    at = now()
    ids = {"id": new_id(), "organization_id": member.organization_id}
    tag = Tag(**ids, created_at=at, updated_at=at, **fields)
    session.add(tag)
    await _flush_tag(session)
    await _record_tag_event(session, EventType.TAG_CREATED, member, tag)
    return CountedTag(tag, 0)


async def update_tag(
    session: AsyncSession, member: Member, tag: Tag, changes: Mapping[str, object]
) -> Tag:
    """Update the given fields of a locked tag.

    An empty slug is derived from the name; without a slug in `changes` it stays. An update without
    a difference is not recorded. Raises Invalid with the field's name, and Conflict if the slug is
    taken.
    """
    given = validate_fields(FIELD_CHECKS, changes)
    if not given:
        raise Invalid("nothing_to_change", "Say at least one thing that is to change.")
    if "slug" in given:
        given["slug"] = build_slug(given["slug"] or given.get("name", tag.name))
    new = {name: value for name, value in given.items() if value != getattr(tag, name)}
    if not new:
        return tag
    recorded = {name: [getattr(tag, name), value] for name, value in new.items()}
    for name, value in new.items():
        setattr(tag, name, value)
    tag.updated_at = now()
    await _flush_tag(session)
    await _record_tag_event(session, EventType.TAG_UPDATED, member, tag, changes=recorded)
    return tag


async def delete_tag(session: AsyncSession, member: Member, tag: Tag) -> None:
    """Delete a locked tag and remove it from its tasks, which do not change otherwise."""
    await session.delete(tag)
    await session.flush()
    await _record_tag_event(session, EventType.TAG_DELETED, member, tag)


async def _flush_tag(session: AsyncSession) -> None:
    """Flush the session; raise Conflict if the unique constraint on the slug is violated."""
    try:
        await session.flush()
    except IntegrityError as error:
        if not violates_constraint(error, "uq_tags_organization_id_slug"):
            raise
        raise Conflict("tag_slug_taken", "There is a tag with this slug.", field="slug") from error


async def _record_tag_event(
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
    rows = [
        {
            "id": new_id(),
            "task_id": task.id,
            "tag_id": id,
            "position": position,
            "created_at": now(),
        }
        for position, id in enumerate(ids)
    ]
    await INSERT_TASK_TAGS.execute_many(session, rows)
