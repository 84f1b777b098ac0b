"""Finding souls, in the library and in what is known of the directory elsewhere."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, case, select, union
from sqlalchemy.ext.asyncio import AsyncSession

from kit.words import query_of, rank, words
from models import Soul, SoulDirectory
from models.soul import LIBRARY
from services.souls.rules import Remote, SoulFound, unreachable

LIKE_A_NAME = 1.0  # what a name with all that was typed counts for; a word of a title has 0.6
IS_OURS = SoulDirectory.address == LIBRARY
NAME = Soul.handle + "/" + Soul.slug
WORDS = Soul.__table__.c.words


class SoulEntry(NamedTuple):
    """A soul in a list."""

    handle: str
    slug: str
    title: str
    description: str
    is_ours: bool  # of the library


async def search(
    session: AsyncSession, remote: Remote, typed: str, limit: int
) -> Sequence[SoulEntry]:
    """Return the souls with all the words, or with what was typed in their name; best first.

    Blanks find all. Raises OutsideFailed if nothing is found and the directory was never heard.
    """
    rows = (await session.execute(found_in(remote, typed.strip()).limit(limit))).all()
    if not rows and remote.address and remote.fetched_at is None:
        raise unreachable()
    return [SoulEntry(*row) for row in rows]


def found_in(remote: Remote, typed: str) -> Select[*tuple[Any, ...]]:
    """Select what is found, best first; each way to find something can use its own index."""
    order: list[Any] = [IS_OURS.desc(), Soul.handle, Soul.slug]
    entries = select(Soul.handle, Soul.slug, Soul.title, Soul.description, IS_OURS)
    entries = entries.join(Soul.directory).where(_is_open(remote))
    if typed:
        ways, score = _ways(typed)
        entries = entries.where(Soul.id.in_(union(*ways)))
        order.insert(0, score.desc())
    return entries.order_by(*order)


async def find(session: AsyncSession, remote: Remote, handle: str, slug: str) -> SoulFound:
    """Return what is known of a soul; one of the library goes before one from elsewhere."""
    its = (Soul.handle == handle, Soul.slug == slug)
    query = select(Soul, IS_OURS).join(Soul.directory).where(_is_open(remote), *its)
    row = (await session.execute(query.order_by(IS_OURS.desc()).limit(1))).one_or_none()
    if row is None:
        return SoulFound(handle, slug)
    soul, is_ours = row
    return SoulFound(
        handle, slug, soul.title, soul.description, soul.content, soul.fetched_at, is_ours
    )


def _ways(typed: str) -> tuple[list[Select[Any]], ColumnElement[Any]]:
    """Return the ways to find what was typed, and how well it was found."""
    named_so = NAME.icontains(typed, autoescape=True)
    ways, score = [select(Soul.id).where(named_so)], case((named_so, LIKE_A_NAME), else_=0.0)
    wanted = words(typed)
    if wanted:
        query = query_of(wanted)
        ways.append(select(Soul.id).where(WORDS.bool_op("@@")(query)))
        score = score + rank(WORDS, query)
    return ways, score


def _is_open(remote: Remote) -> ColumnElement[bool]:
    return SoulDirectory.address.in_((LIBRARY, remote.address or LIBRARY))
