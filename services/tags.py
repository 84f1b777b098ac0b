"""Tags: an organization's labels for tasks."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Select, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from kit.database import breaks
from kit.errors import Conflict, Invalid, NotFound
from kit.paging import Page, Paging, paged_rows
from kit.text import slugged
from kit.values import Check, checked, optional, text, trimmed, words
from models import Board, EventType, Member, Tag, TagAssignment, new_id
from services import events, organizations

GREY = "9e9e9e"  # of a tag that nobody gave a colour
LONGEST_NAME = 200  # characters, of a slug too
LONGEST_TEXT = 20_000  # characters of a description

HEX = re.compile("[0-9a-f]{6}")
BY_NAME = (func.lower(Tag.name), Tag.created_at, Tag.id)


@dataclass(frozen=True, kw_only=True)
class TagDraft:
    """A tag to be. Without a slug, it is made of the name."""

    name: str
    slug: str | None = None
    color: str = GREY
    description: str | None = None


class CountedTag(NamedTuple):
    """A tag, and how many tasks have it now."""

    tag: Tag
    task_count: int


def color(value: object, field: str) -> str:
    """Check a colour, and return it as six small hex digits."""
    given: str = text(LONGEST_NAME)(value, field)
    plain = given.strip().lower().removeprefix("#")
    if not HEX.fullmatch(plain):
        raise Invalid("color_invalid", "A colour is six hex digits, as in 9e9e9e.", field=field)
    return plain


def slug_of(name: str) -> str:
    """Return a name in small letters and digits, with hyphens for all the rest (contract, 3.4)."""
    return slugged(name, most=LONGEST_NAME) or "tag"


CHECKS: Mapping[str, Check] = {
    "name": words(LONGEST_NAME),
    "slug": optional(trimmed(LONGEST_NAME)),
    "color": color,
    "description": optional(text(LONGEST_TEXT)),
}


async def of_board(session: AsyncSession, board: Board) -> Sequence[Tag]:
    """Return the tags that tasks of a board may have, by name: those of its organization."""
    query = select(Tag).where(Tag.organization_id == board.organization_id)
    return (await session.scalars(query.order_by(*BY_NAME))).all()


async def listed(session: AsyncSession, member: Member, paging: Paging) -> Page[CountedTag]:
    """Return the tags of the member's organization, by name."""
    page = await paged_rows(session, _counted(member).order_by(*BY_NAME), paging)
    return page.map(lambda row: CountedTag(*row))


async def get(session: AsyncSession, member: Member, tag_id: UUID) -> CountedTag:
    """Return a tag of the member's organization. Raises NotFound."""
    return await _one(session, _counted(member).where(Tag.id == tag_id))


async def hold(session: AsyncSession, member: Member, tag_id: UUID) -> CountedTag:
    """Return a tag that nobody else can change or put on a task until the commit.

    Raises NotFound, and Forbidden unless the member is an admin.
    """
    organizations.require_admin(member)
    query = _counted(member).where(Tag.id == tag_id).with_for_update(of=Tag)
    return await _one(session, query.execution_options(populate_existing=True))


async def create(session: AsyncSession, member: Member, draft: TagDraft) -> CountedTag:
    """Make a tag in the member's organization.

    Raises Forbidden unless the member is an admin, Invalid with the field, and Conflict if there
    is a tag with this slug.
    """
    organizations.require_admin(member)
    fields = checked(CHECKS, vars(draft))
    fields["slug"] = slug_of(fields["slug"] or fields["name"])
    at = now()
    place = {"id": new_id(), "organization_id": member.organization_id}
    tag = Tag(**place, created_at=at, updated_at=at, **fields)
    session.add(tag)
    await _store(session)
    await _record(session, EventType.TAG_CREATED, member, tag)
    return CountedTag(tag, 0)


async def change(
    session: AsyncSession, member: Member, tag: Tag, changes: Mapping[str, object]
) -> Tag:
    """Change a tag that is held; only the fields that are given count.

    The slug follows the name only where it is asked for. A change of nothing is not recorded.
    Raises Invalid with the field, and Conflict if another tag has the slug.
    """
    given = checked(CHECKS, changes)
    if not given:
        raise Invalid("nothing_to_change", "Say at least one thing that is to change.")
    if "slug" in given:
        given["slug"] = slug_of(given["slug"] or given.get("name", tag.name))
    new = {name: value for name, value in given.items() if value != getattr(tag, name)}
    if not new:
        return tag
    told = {name: [getattr(tag, name), value] for name, value in new.items()}
    for name, value in new.items():
        setattr(tag, name, value)
    tag.updated_at = now()
    await _store(session)
    await _record(session, EventType.TAG_UPDATED, member, tag, changes=told)
    return tag


async def delete(session: AsyncSession, member: Member, tag: Tag) -> None:
    """Delete a tag that is held, and take it off every task. The tasks stay as they are else."""
    await session.delete(tag)
    await session.flush()
    await _record(session, EventType.TAG_DELETED, member, tag)


def _counted(member: Member) -> Select[*tuple[Any, ...]]:
    on = select(func.count()).select_from(TagAssignment).where(TagAssignment.tag_id == Tag.id)
    count = on.correlate(Tag).scalar_subquery()
    return select(Tag, count).where(Tag.organization_id == member.organization_id)


async def _one(session: AsyncSession, query: Select[*tuple[Any, ...]]) -> CountedTag:
    row = (await session.execute(query)).one_or_none()
    if row is None:
        raise NotFound("tag_not_found", "There is no such tag.")
    return CountedTag(*row)


async def _store(session: AsyncSession) -> None:
    """Write a tag down. Whether its slug is free, only the database knows for sure."""
    try:
        await session.flush()
    except IntegrityError as error:
        if not breaks(error, "uq_tags_organization_id_slug"):
            raise
        raise Conflict("tag_slug_taken", "There is a tag with this slug.", field="slug") from error


async def _record(
    session: AsyncSession, type: EventType, member: Member, tag: Tag, **data: Any
) -> None:
    told: dict[str, object] = {"tag_id": str(tag.id), "name": tag.name, **data}
    await events.record(session, type, member.user, organization_id=tag.organization_id, data=told)
