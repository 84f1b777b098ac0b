"""Add single skills by their address, and delete skills."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import Select, func, literal, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.validation import MAX_NAME_LENGTH, nonblank_text, optional, trimmed_text
from models import EventType, Member, Skill, SkillPack, new_id
from services import events, organizations
from services.skills.events import skill_event
from services.skills.packs import MAX_DESCRIPTION_LENGTH
from services.skills.queries import skill_not_found
from services.skills.quotas import check_skill_count
from services.skills.sources import build_folder_name, check_skill_url, infer_name

_name = optional(nonblank_text(MAX_NAME_LENGTH))
_description = optional(trimmed_text(MAX_DESCRIPTION_LENGTH))


async def save_skill(
    session: AsyncSession,
    member: Member,
    source_url: str,
    *,
    name: str | None = None,
    description: str | None = None,
) -> Skill:
    """Add a skill by its address, without files, or change the one of the same address.

    Without a name it is that of the address (contract, agents 12). Raises Forbidden, Invalid, and
    Conflict for too many skills.
    """
    organizations.require_admin(member)
    url = check_skill_url(source_url)
    given = {"name": _name(name, "name"), "description": _description(description, "description")}
    await organizations.lock_organization(session, member)
    query = select(Skill).where(
        Skill.organization_id == member.organization_id, Skill.source_url == url
    )
    skill = await session.scalar(query.with_for_update())
    if skill is not None:
        await _update(session, member, skill, given)
        return skill
    skill = _build(member, url, given)
    skill.pack_id = await session.scalar(_pack_of_address(member, url))
    session.add(skill)
    await session.flush()
    await check_skill_count(session, member.organization_id)
    created = skill_event(EventType.SKILL_CREATED, member.user, skill, url=url)
    await events.record_events(session, [created])
    return skill


def _build(member: Member, url: str, given: dict[str, str | None]) -> Skill:
    """Build a skill without files."""
    at, inferred = now(), infer_name(url)
    return Skill(
        id=new_id(),
        organization_id=member.organization_id,
        name=given["name"] or inferred,
        description=given["description"] or None,
        source_url=url,
        folder=build_folder_name(inferred),
        extra={},
        created_at=at,
        updated_at=at,
    )


async def delete_skill(session: AsyncSession, member: Member, skill_id: UUID) -> None:
    """Delete a skill, with what is known of it on gateways. The gateways keep it.

    Raises Forbidden and NotFound.
    """
    if not await delete_skills(session, member, [skill_id]):
        raise skill_not_found()


async def delete_skills(session: AsyncSession, member: Member, ids: Collection[UUID]) -> int:
    """Delete those of the skills that exist, as `delete_skill`, and return their number.

    The organization is locked, because an update of a pack changes its skills in another order.
    """
    organizations.require_admin(member)
    await organizations.lock_organization(session, member)
    query = select(Skill).where(Skill.id.in_(ids), Skill.organization_id == member.organization_id)
    found = list(await session.scalars(query.order_by(Skill.id).with_for_update()))
    for skill in found:
        await session.delete(skill)
    await session.flush()
    deleted = [skill_event(EventType.SKILL_DELETED, member.user, skill) for skill in found]
    await events.record_events(session, deleted)
    return len(found)


async def _update(
    session: AsyncSession, member: Member, skill: Skill, given: dict[str, str | None]
) -> None:
    new = {
        name: value
        for name, value in given.items()
        if value is not None and value != (getattr(skill, name) or "")
    }
    if not new:
        return
    for name, value in new.items():
        setattr(skill, name, value or None)
    skill.updated_at = now()
    updated = skill_event(EventType.SKILL_UPDATED, member.user, skill, changed=sorted(new))
    await events.record_events(session, [updated])


def _pack_of_address(member: Member, url: str) -> Select[UUID]:
    """Select the id of the pack in whose repository an address is."""
    tree = SkillPack.source_url + "/tree/"
    is_inside = func.starts_with(literal(url), tree)
    query = select(SkillPack.id).where(
        SkillPack.organization_id == member.organization_id, is_inside
    )
    return query.limit(1)
