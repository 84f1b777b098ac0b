"""How many packs, skills and files an organization stores.

The callers have locked the organization, and have stored what they add; the error undoes it.
"""

from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.errors import Conflict
from core.text import N_
from models import Skill, SkillPack, SkillVersion

MAX_PACKS = 50  # of an organization
MAX_STORED_SKILLS = 10_000  # of an organization
MAX_STORED_MEGABYTES = 256  # of the files of all skills, as the database compresses them
MEGABYTE = 1024 * 1024  # bytes
REMEDY = "Delete skills that you do not need."


async def check_storage(session: AsyncSession, organization_id: UUID) -> None:
    """Raise Conflict if an organization has too many skills, or too large ones."""
    await check_skill_count(session, organization_id)
    size = func.sum(func.pg_column_size(SkillVersion.files))  # does not decompress them
    query = select(size).join(Skill, Skill.id == SkillVersion.skill_id)
    stored = await session.scalar(query.where(Skill.organization_id == organization_id)) or 0
    if stored > MAX_STORED_MEGABYTES * MEGABYTE:
        raise Conflict(
            "skill_files_too_large",
            N_(
                "The files of all skills have at most %(max_size)s MB. Delete skills that you"
                " do not need."
            ),
            max_size=MAX_STORED_MEGABYTES,
        )


async def check_pack_count(session: AsyncSession, organization_id: UUID) -> None:
    """Raise Conflict if an organization has too many packs."""
    query = select(func.count()).where(SkillPack.organization_id == organization_id)
    if (await session.scalar(query) or 0) > MAX_PACKS:
        reason = N_("An organization has at most %(max_count)s skill packs.")
        raise Conflict("too_many_skill_packs", reason, max_count=MAX_PACKS)


async def check_skill_count(session: AsyncSession, organization_id: UUID) -> None:
    """Raise Conflict if an organization has too many skills."""
    query = select(func.count()).where(Skill.organization_id == organization_id)
    if (await session.scalar(query) or 0) > MAX_STORED_SKILLS:
        reason = N_(
            "An organization has at most %(max_count)s skills. Delete skills that you do not need."
        )
        raise Conflict("too_many_skills", reason, max_count=MAX_STORED_SKILLS)
