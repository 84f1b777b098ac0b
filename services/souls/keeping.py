"""Keeping the table of souls up to date: with the library, and what was heard from elsewhere."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import String, Uuid, column, delete, func, literal, or_, select, tuple_
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from models import Soul, SoulDirectory, new_id
from models.soul import LIBRARY
from services.souls.asking import Heard
from services.souls.reading import Listed, described, named
from services.souls.rules import ONE_ASKS, Remote, SoulFound
from services.souls.shipped import HANDLE, edition, written

NAME = ("directory_id", "handle", "slug")


async def look(session: AsyncSession, address: str) -> Remote:
    """Return what is known of the directory elsewhere, and bring in the library if it is new."""
    query = select(SoulDirectory).where(SoulDirectory.address.in_((LIBRARY, address)))
    known = {row.address: row for row in await session.scalars(query)}
    if LIBRARY not in known or known[LIBRARY].edition != edition():
        await _bring_in_library(session)
    if address not in known:
        return Remote(address)
    return Remote(address, known[address].fetched_at, known[address].failed_at)


async def is_first_to_ask(session: AsyncSession, remote: Remote) -> bool:
    """Say whether the caller is to ask a directory what it has: of all processes, only one is."""
    at = now()
    if not remote.is_stale(at):
        return False
    tried_at = SoulDirectory.tried_at
    asked = insert(SoulDirectory).values(id=new_id(), address=remote.address, tried_at=at)
    asked = asked.on_conflict_do_update(
        index_elements=["address"],
        set_={"tried_at": at},
        where=or_(tried_at.is_(None), tried_at < at - ONE_ASKS),
    )
    return await session.scalar(asked.returning(SoulDirectory.id)) is not None


async def keep_list(
    session: AsyncSession, remote: Remote, listed: Sequence[Listed] | None
) -> Remote:
    """Keep what a directory has listed, or that it did not answer; return what is known now."""
    at = now()
    if listed is None:
        await _write_down(session, remote.address, failed_at=at)
        return replace(remote, failed_at=at)
    directory_id = await _write_down(session, remote.address, fetched_at=at, failed_at=None)
    rows = _rows(listed)
    is_listed = tuple_(Soul.handle, Soul.slug).in_(select(rows.c.handle, rows.c.slug))
    await session.execute(delete(Soul).where(Soul.directory_id == directory_id, ~is_listed))
    new = select(
        rows.c.id, literal(directory_id), rows.c.handle, rows.c.slug, rows.c.title, literal("")
    )
    fields = ["id", *NAME, "title", "description"]
    await session.execute(insert(Soul).from_select(fields, new).on_conflict_do_nothing())
    return Remote(remote.address, fetched_at=at)


async def keep_soul(
    session: AsyncSession, remote: Remote, known: SoulFound, heard: Heard
) -> SoulFound:
    """Keep what a directory has said of a soul; return what is known of it now."""
    at = now()
    if heard.content is None and not heard.is_gone:
        await _write_down(session, remote.address, failed_at=at)
        return known
    directory_id = await _write_down(session, remote.address, failed_at=None)
    if heard.content is None:
        its = (Soul.directory_id == directory_id, Soul.slug == known.slug)
        await session.execute(delete(Soul).where(*its, Soul.handle == known.handle))
        return SoulFound(known.handle, known.slug, is_gone=True)
    row = _row(directory_id, known.handle, known.slug, heard.content, at)
    await _write(session, [row])
    fields = ("title", "description", "content", "fetched_at")
    return replace(known, **{name: row[name] for name in fields})


async def _bring_in_library(session: AsyncSession) -> None:
    """Write the library into the table, unless somebody else has done it just before."""
    mine = insert(SoulDirectory).values(id=new_id(), address=LIBRARY, edition=edition())
    mine = mine.on_conflict_do_update(
        index_elements=["address"],
        set_={"edition": edition()},
        where=SoulDirectory.edition.is_distinct_from(edition()),
    )
    directory_id = await session.scalar(mine.returning(SoulDirectory.id))
    if directory_id is None:
        return
    souls = written()
    slugs = [soul.slug for soul in souls]
    gone = delete(Soul).where(Soul.directory_id == directory_id, Soul.slug.not_in(slugs))
    await session.execute(gone)
    await _write(
        session, [_row(directory_id, HANDLE, soul.slug, soul.content, None) for soul in souls]
    )


async def _write_down(session: AsyncSession, address: str, **known: datetime | None) -> UUID:
    """Write down how a directory answered, and return its id."""
    row = insert(SoulDirectory).values(id=new_id(), address=address, **known)
    row = row.on_conflict_do_update(index_elements=["address"], set_=known)
    return (await session.execute(row.returning(SoulDirectory.id))).scalar_one()


async def _write(session: AsyncSession, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write souls, new ones and others over what was there."""
    souls = insert(Soul)
    new = {name: souls.excluded[name] for name in rows[0] if name not in ("id", *NAME)}
    souls = souls.on_conflict_do_update(index_elements=NAME, set_=new)
    await session.execute(souls.values(list(rows)))


def _row(
    directory_id: UUID, handle: str, slug: str, content: str, at: datetime | None
) -> dict[str, Any]:
    title, description = described(content, slug)
    return {
        "id": new_id(),
        "directory_id": directory_id,
        "handle": handle,
        "slug": slug,
        "title": title,
        "description": description,
        "content": content,
        "fetched_at": at,
    }


def _rows(listed: Sequence[Listed]) -> Any:
    """Make a table of what was listed, in one parameter however much that is."""
    rows = [
        {"id": str(new_id()), "handle": soul.handle, "slug": soul.slug, "title": named(soul.slug)}
        for soul in listed
    ]
    columns = (column("handle", String), column("slug", String), column("title", String))
    table = func.jsonb_to_recordset(literal(rows, JSONB)).table_valued(
        column("id", Uuid), *columns, name="listed"
    )
    return table.render_derived(with_types=True)
