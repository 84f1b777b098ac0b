"""Slugs: a board's name in an address, once in each organization."""

import re
import unicodedata
from collections.abc import Iterator
from itertools import count
from uuid import UUID

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from kit.errors import NotFound
from models import Board, Organization

LONGEST_SLUG = 200  # characters
RESERVED = {"new"}  # what stands for something else in an address


def slug_of(name: str) -> str:
    """Return a name in small letters and digits, with hyphens for all the rest."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[: LONGEST_SLUG - 20] or "board"


async def free_slug(
    session: AsyncSession, organization_id: UUID, wanted: str, *, board_id: UUID | None = None
) -> str:
    """Return `wanted`, or `wanted-2` and so on, whichever no other board of the organization has.

    Nobody else can take a slug in this organization until the commit. Raises NotFound when the
    organization is gone.
    """
    held = select(Organization.id).where(Organization.id == organization_id)
    if await session.scalar(held.with_for_update(key_share=True)) is None:
        raise NotFound("organization_not_found", "There is no such organization.")
    alike = select(Board.slug).where(
        Board.organization_id == organization_id,
        or_(Board.slug == wanted, Board.slug.startswith(f"{wanted}-", autoescape=True)),
    )
    if board_id is not None:
        alike = alike.where(Board.id != board_id)
    taken = set((await session.scalars(alike)).all())
    return next(slug for slug in _choices(wanted) if slug not in taken | RESERVED)


def _choices(wanted: str) -> Iterator[str]:
    yield wanted
    for number in count(2):
        yield f"{wanted}-{number}"
