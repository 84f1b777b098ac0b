"""Search and read souls: the bundled library, and the cache of the remote directory.

The cache is updated from the directory if it is outdated. No transaction is open while the
directory is asked.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Select,
    String,
    Uuid,
    case,
    column,
    delete,
    func,
    literal,
    or_,
    select,
    tuple_,
    union,
)
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.ext.asyncio import AsyncSession

from core.accents import remove_accents
from core.clock import now
from core.config.settings import Settings
from core.db.engine import TransactionFactory
from core.db.full_text import build_rank, build_tsquery, split_words
from core.errors import NotFound, UpstreamError
from core.text import N_
from models import Soul, SoulDirectory, new_id
from models.soul import LIBRARY
from services.souls.directory_client import (
    FETCH_INTERVAL,
    DirectoryEntry,
    FetchResult,
    RemoteDirectory,
    fetch_listing,
    fetch_soul,
    is_outdated,
)

UNIQUE_COLUMNS = ("directory_id", "handle", "slug")
BUNDLED_FOLDER = Path(__file__).parent / "library"

IS_BUNDLED = SoulDirectory.address == LIBRARY
SEARCH_VECTOR = Soul.__table__.c.words


@dataclass(frozen=True)
class CachedSoul:
    """A soul with the data that is cached of it."""

    handle: str
    slug: str
    title: str = ""
    description: str = ""
    content: str | None = None  # None: not fetched yet
    fetched_at: datetime | None = None
    is_bundled: bool = False  # in the library of the product
    is_deleted: bool = False  # the directory returned "not found"

    def is_stale(self, at: datetime) -> bool:
        """Return whether the cached content may be out of date. Bundled souls never are."""
        return not self.is_bundled and is_outdated(self.fetched_at, at)

    def needs_fetch(self, remote: RemoteDirectory, at: datetime) -> bool:
        """Return whether to fetch it from the directory now."""
        return bool(remote.address) and self.is_stale(at) and not remote.is_backing_off(at)


class BundledSoul(NamedTuple):
    """A soul of the bundled library."""

    slug: str
    title: str
    description: str
    content: str


class SoulEntry(NamedTuple):
    """A soul in a search result."""

    handle: str
    slug: str
    title: str
    description: str
    is_bundled: bool


class SoulSearchResult(NamedTuple):
    """The souls that were found, and the state of the directory."""

    entries: Sequence[SoulEntry]
    remote: RemoteDirectory


async def search_directory(
    transaction: TransactionFactory, settings: Settings, text: str, limit: int
) -> SoulSearchResult:
    """Search the library and the directory. Raises UpstreamError, as `search_souls`."""
    async with transaction() as session:
        remote = await load_directory(session, settings.souls_directory_url)
        is_due = await claim_fetch(session, remote)
    if is_due:
        listed = await fetch_listing(remote, settings.services_allow_private)
        async with transaction() as session:
            remote = await save_listing(session, remote, listed)
    async with transaction() as session:
        return SoulSearchResult(await search_souls(session, remote, text, limit), remote)


async def read_soul(
    transaction: TransactionFactory, settings: Settings, handle: str, slug: str
) -> tuple[CachedSoul, RemoteDirectory]:
    """Return a soul, fetched if it is outdated, and the state of the directory.

    Its content is None if it does not exist or could not be fetched: see `require_content`.
    """
    async with transaction() as session:
        remote = await load_directory(session, settings.souls_directory_url)
        found = await find_soul(session, remote, handle, slug)
    if found.needs_fetch(remote, now()):
        fetched = await fetch_soul(remote, handle, slug, settings.services_allow_private)
        async with transaction() as session:
            found = await save_soul(session, remote, found, fetched)
    return found, remote


def require_content(soul: CachedSoul, remote: RemoteDirectory) -> CachedSoul:
    """Return a soul if its content is cached.

    Raises NotFound if the soul does not exist, UpstreamError if the directory could not be reached.
    """
    if soul.content is not None:
        return soul
    if remote.address and not soul.is_deleted:
        raise directory_unavailable()
    raise NotFound("soul_not_found", N_("There is no such soul."))


def directory_unavailable() -> UpstreamError:
    """Return the error for data that is not cached and cannot be fetched. The log has the cause."""
    reason = N_("The directory of souls does not answer.")
    return UpstreamError("souls_directory_unavailable", reason)


async def load_directory(session: AsyncSession, address: str) -> RemoteDirectory:
    """Load the state of the remote directory, and save the bundled library if it has changed."""
    query = select(SoulDirectory).where(SoulDirectory.address.in_((LIBRARY, address)))
    known = {row.address: row for row in await session.scalars(query)}
    if LIBRARY not in known or known[LIBRARY].edition != get_bundled_edition():
        await _save_library(session)
    if address not in known:
        return RemoteDirectory(address)
    return RemoteDirectory(address, known[address].fetched_at, known[address].failed_at)


async def claim_fetch(session: AsyncSession, remote: RemoteDirectory) -> bool:
    """Return whether the caller has to fetch the listing. Only one process gets true."""
    at = now()
    if not remote.is_stale(at):
        return False
    tried_at = SoulDirectory.tried_at
    claim = insert(SoulDirectory).values(id=new_id(), address=remote.address, tried_at=at)
    claim = claim.on_conflict_do_update(
        index_elements=["address"],
        set_={"tried_at": at},
        where=or_(tried_at.is_(None), tried_at < at - FETCH_INTERVAL),
    )
    return await session.scalar(claim.returning(SoulDirectory.id)) is not None


async def save_listing(
    session: AsyncSession, remote: RemoteDirectory, listing: Sequence[DirectoryEntry] | None
) -> RemoteDirectory:
    """Save a fetched listing, or a failure if it is None. Return the new state."""
    at = now()
    if listing is None:
        await _save_directory(session, remote.address, failed_at=at)
        return replace(remote, failed_at=at)
    directory_id = await _save_directory(session, remote.address, fetched_at=at, failed_at=None)
    rows = _listing_table(listing)
    is_listed = tuple_(Soul.handle, Soul.slug).in_(select(rows.c.handle, rows.c.slug))
    await session.execute(delete(Soul).where(Soul.directory_id == directory_id, ~is_listed))
    new = select(
        rows.c.id, literal(directory_id), rows.c.handle, rows.c.slug, rows.c.title, literal("")
    )
    fields = ["id", *UNIQUE_COLUMNS, "title", "description"]
    await session.execute(insert(Soul).from_select(fields, new).on_conflict_do_nothing())
    return RemoteDirectory(remote.address, fetched_at=at)


async def save_soul(
    session: AsyncSession, remote: RemoteDirectory, known: CachedSoul, fetched: FetchResult
) -> CachedSoul:
    """Save the result of fetching a soul. Return the soul as it is cached then."""
    at = now()
    if fetched.content is None and not fetched.is_deleted:
        await _save_directory(session, remote.address, failed_at=at)
        return known
    directory_id = await _save_directory(session, remote.address, failed_at=None)
    if fetched.content is None:
        conditions = (Soul.directory_id == directory_id, Soul.slug == known.slug)
        await session.execute(delete(Soul).where(*conditions, Soul.handle == known.handle))
        return CachedSoul(known.handle, known.slug, is_deleted=True)
    row = _soul_row(directory_id, known.handle, known.slug, fetched.content, at)
    await _upsert_souls(session, [row])
    fields = ("title", "description", "content", "fetched_at")
    return replace(known, **{name: row[name] for name in fields})


async def _save_library(session: AsyncSession) -> None:
    """Save the bundled library, unless another process has just saved the same edition."""
    row = insert(SoulDirectory).values(id=new_id(), address=LIBRARY, edition=get_bundled_edition())
    row = row.on_conflict_do_update(
        index_elements=["address"],
        set_={"edition": get_bundled_edition()},
        where=SoulDirectory.edition.is_distinct_from(get_bundled_edition()),
    )
    directory_id = await session.scalar(row.returning(SoulDirectory.id))
    if directory_id is None:
        return
    souls = load_bundled_souls()
    slugs = [soul.slug for soul in souls]
    removed = delete(Soul).where(Soul.directory_id == directory_id, Soul.slug.not_in(slugs))
    await session.execute(removed)
    await _upsert_souls(
        session,
        [
            _soul_row(directory_id, "mission-control", soul.slug, soul.content, None)
            for soul in souls
        ],
    )


async def _save_directory(session: AsyncSession, address: str, **times: datetime | None) -> UUID:
    """Insert or update a directory with the times of its last fetch or failure. Return its id."""
    row = insert(SoulDirectory).values(id=new_id(), address=address, **times)
    row = row.on_conflict_do_update(index_elements=["address"], set_=times)
    return (await session.execute(row.returning(SoulDirectory.id))).scalar_one()


async def _upsert_souls(session: AsyncSession, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert souls, and overwrite those that exist."""
    souls = insert(Soul)
    new = {name: souls.excluded[name] for name in rows[0] if name not in ("id", *UNIQUE_COLUMNS)}
    souls = souls.on_conflict_do_update(index_elements=UNIQUE_COLUMNS, set_=new)
    await session.execute(souls.values(list(rows)))


def _soul_row(
    directory_id: UUID, handle: str, slug: str, content: str, at: datetime | None
) -> dict[str, Any]:
    title, description = extract_summary(content, slug)
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


def _listing_table(listing: Sequence[DirectoryEntry]) -> Any:
    """Build a table expression of a listing, as a single JSON parameter."""
    rows = [
        {
            "id": str(new_id()),
            "handle": soul.handle,
            "slug": soul.slug,
            "title": title_from_slug(soul.slug),
        }
        for soul in listing
    ]
    columns = (column("handle", String), column("slug", String), column("title", String))
    table = func.jsonb_to_recordset(literal(rows, JSONB)).table_valued(
        column("id", Uuid), *columns, name="listed"
    )
    return table.render_derived(with_types=True)


@cache
def load_bundled_souls() -> Sequence[BundledSoul]:
    """Load the souls that are part of the product, ordered by slug."""
    files = sorted(BUNDLED_FOLDER.glob("*.md"))
    contents = [(file.stem, file.read_text(encoding="utf-8")) for file in files]
    return [
        BundledSoul(slug, *extract_summary(content, slug), content) for slug, content in contents
    ]


@cache
def get_bundled_edition() -> str:
    """Return a hash of the bundled library."""
    return hashlib.sha256(repr(load_bundled_souls()).encode()).hexdigest()


def extract_summary(content: str, slug: str) -> tuple[str, str]:
    """Return the title (the first heading) and the description (the first paragraph) of a soul."""
    title, paragraph = "", list[str]()
    for line in content.splitlines():
        line = line.strip()
        if not title and not paragraph and line.startswith("# "):
            title = line.removeprefix("# ").strip()
        elif line and not line.startswith("#"):
            paragraph.append(line)
        elif paragraph:
            break
    description = " ".join(paragraph)[:400]
    return (title or title_from_slug(slug))[:200], description


def title_from_slug(slug: str) -> str:
    """Return a title for a soul whose content is not fetched yet."""
    return slug.replace("-", " ").replace("_", " ").strip().capitalize()


async def search_souls(
    session: AsyncSession, remote: RemoteDirectory, text: str, limit: int
) -> Sequence[SoulEntry]:
    """Return the souls that contain all words of a text, or the text in their name; best first.

    An empty text matches all. Raises UpstreamError if nothing matches and the listing of the
    directory was never fetched.
    """
    rows = (await session.execute(search_query(remote, text.strip()).limit(limit))).all()
    if not rows and remote.address and remote.fetched_at is None:
        raise directory_unavailable()
    return [SoulEntry(*row) for row in rows]


def search_query(remote: RemoteDirectory, text: str) -> Select[*tuple[Any, ...]]:
    """Build the search, best match first. It is a union, so that each part can use an index."""
    order: list[Any] = [IS_BUNDLED.desc(), Soul.handle, Soul.slug]
    entries = select(Soul.handle, Soul.slug, Soul.title, Soul.description, IS_BUNDLED)
    entries = entries.join(Soul.directory).where(_directory_condition(remote))
    if text:
        # one query for each way to match the text
        is_name_match = (Soul.handle + "/" + Soul.slug).icontains(
            remove_accents(text), autoescape=True
        )
        matches = [select(Soul.id).where(is_name_match)]
        score = case((is_name_match, 1.0), else_=0.0)  # a word in the title scores 0.6
        words = split_words(text)
        if words:
            query = build_tsquery(words)
            matches.append(select(Soul.id).where(SEARCH_VECTOR.bool_op("@@")(query)))
            score = score + build_rank(SEARCH_VECTOR, query)
        entries = entries.where(Soul.id.in_(union(*matches)))
        order.insert(0, score.desc())
    return entries.order_by(*order)


async def find_soul(
    session: AsyncSession, remote: RemoteDirectory, handle: str, slug: str
) -> CachedSoul:
    """Load a soul; the library takes precedence. A soul that is not cached has only its name."""
    query = select(Soul, IS_BUNDLED).join(Soul.directory).where(_directory_condition(remote))
    query = query.where(Soul.handle == handle, Soul.slug == slug)
    row = (await session.execute(query.order_by(IS_BUNDLED.desc()).limit(1))).one_or_none()
    if row is None:
        return CachedSoul(handle, slug)
    soul, is_bundled = row
    return CachedSoul(
        handle, slug, soul.title, soul.description, soul.content, soul.fetched_at, is_bundled
    )


def _directory_condition(remote: RemoteDirectory) -> ColumnElement[bool]:
    return SoulDirectory.address.in_((LIBRARY, remote.address or LIBRARY))
