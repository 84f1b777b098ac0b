"""Read skills with their state on gateways, their files, and packs. For admins."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, String, Uuid, bindparam, func, or_, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession

from core.accents import build_pattern
from core.db.reads import AnySelect, Query, Source
from core.errors import NotFound
from core.paging import Page, PagedQuery, Paging
from core.text import N_
from models import (
    Agent,
    Gateway,
    GatewaySkill,
    Member,
    Message,
    Skill,
    SkillAction,
    SkillPack,
    SkillPackUpdate,
    SkillVersion,
)
from services import organizations, rows
from services.skills.rules import Installation

UNCATEGORIZED = "uncategorized"  # skills without a category or a risk
NO_LIMIT = Paging(limit=2**31 - 1)


@dataclass(frozen=True)
class SkillFilter:
    """Which skills to list; empty values do not restrict."""

    search: str = ""
    category: str = ""
    risk: str = ""
    pack_id: UUID | None = None

    def to_parameters(self) -> dict[str, object]:
        """Return the parameters of the list."""
        choices = {"category": self.category.strip().lower(), "risk": self.risk.strip().lower()}
        return {"search": build_pattern(self.search), "pack_id": self.pack_id, **choices}


@dataclass(frozen=True)
class SkillCard:
    """A skill in a list, with its pack, and its state on the gateway that was asked for."""

    skill: Skill
    pack_name: str | None
    installation: Installation | None = None

    @classmethod
    def from_row(cls, row: Sequence[Any]) -> "SkillCard":
        """Build a card of the columns of `_select_cards`."""
        skill, pack_name, *installation = row
        has_row = bool(installation) and installation[0] is not None
        return cls(skill, pack_name, Installation(*installation) if has_row else None)


@dataclass(frozen=True)
class PackSummary:
    """A pack with the number of its skills, and its update that waits to be accepted."""

    pack: SkillPack
    skill_count: int
    update_digest: str | None  # of the archive
    update_revision: str | None
    update_changes: dict[str, Any] | None


_IN_ORGANIZATION = Skill.organization_id == bindparam("organization_id")


def _matches_choice(column: Any, name: str) -> ColumnElement[bool]:
    given: ColumnElement[str] = bindparam(name, type_=String)
    value = func.coalesce(func.nullif(func.lower(func.trim(column)), ""), UNCATEGORIZED)
    return or_(given == "", value == given)


def _filter_skills(statement: AnySelect) -> AnySelect:
    pack_id: ColumnElement[UUID] = bindparam("pack_id", type_=Uuid)
    search: ColumnElement[str] = bindparam("search", type_=String)
    searched = (Skill.name, Skill.description, Skill.category, Skill.risk, Skill.source)
    searched = (*searched, Skill.source_url)
    return statement.where(
        _IN_ORGANIZATION,
        or_(search == "", *(column.regexp_match(search) for column in searched)),
        _matches_choice(Skill.category, "category"),
        _matches_choice(Skill.risk, "risk"),
        or_(pack_id.is_(None), Skill.pack_id == pack_id),
    ).order_by(Skill.created_at.desc(), Skill.id.desc())


_SKILLS = select(Skill, SkillPack.name).outerjoin(SkillPack, SkillPack.id == Skill.pack_id)
_ON_GATEWAY = (
    select(Skill, SkillPack.name, GatewaySkill, Message.state, Message.last_error)
    .outerjoin(SkillPack, SkillPack.id == Skill.pack_id)
    .outerjoin(
        GatewaySkill,
        (GatewaySkill.skill_id == Skill.id)
        & (GatewaySkill.gateway_id == bindparam("gateway_id", type_=Uuid)),
    )
    .outerjoin(Message, Message.id == GatewaySkill.message_id)
)
_ALL_SKILLS = PagedQuery(_filter_skills(_SKILLS), SkillCard.from_row)
_SKILLS_ON_GATEWAY = PagedQuery(_filter_skills(_ON_GATEWAY), SkillCard.from_row)
_SKILL = Query(
    _SKILLS.where(_IN_ORGANIZATION, Skill.id == bindparam("skill_id")), SkillCard.from_row
)
_SELECTED_SKILLS = Query(
    _SKILLS.where(
        _IN_ORGANIZATION, Skill.id == func.any(bindparam("skill_ids", type_=ARRAY(Uuid())))
    ).order_by(func.lower(Skill.name), Skill.id),
    SkillCard.from_row,
)
_INSTALLATIONS: Query[Installation] = Query(
    select(GatewaySkill, Message.state, Message.last_error, Gateway.name)
    .join(Gateway, Gateway.id == GatewaySkill.gateway_id)
    .outerjoin(Message, Message.id == GatewaySkill.message_id)
    .where(GatewaySkill.skill_id == func.any(bindparam("skill_ids", type_=ARRAY(Uuid()))))
    .order_by(func.lower(Gateway.name), Gateway.id),
    lambda row: Installation(*row),
)
_VERSION: Query[SkillVersion] = Query(
    select(SkillVersion).where(
        SkillVersion.skill_id == bindparam("skill_id"), SkillVersion.digest == bindparam("digest")
    ),
    itemgetter(0),
)
_REQUESTED_FILES: Query[tuple[Skill, SkillVersion, str]] = Query(
    select(Skill, SkillVersion, GatewaySkill.folder)
    .join(SkillVersion, SkillVersion.skill_id == Skill.id)
    .join(GatewaySkill, GatewaySkill.skill_id == Skill.id)
    .where(
        Skill.id == bindparam("skill_id"),
        SkillVersion.digest == bindparam("digest"),
        GatewaySkill.digest == SkillVersion.digest,
        GatewaySkill.gateway_id == bindparam("gateway_id"),
        GatewaySkill.action == SkillAction.INSTALL,
    )
)
_CHOICES: Query[tuple[str | None, str | None]] = Query(
    select(Skill.category, Skill.risk).where(_IN_ORGANIZATION).distinct()
)
_PACKS = (
    select(
        SkillPack,
        select(func.count())
        .where(Skill.pack_id == SkillPack.id, Skill.removed_at.is_(None))
        .scalar_subquery(),
        SkillPackUpdate.archive_digest,
        SkillPackUpdate.revision,
        SkillPackUpdate.changes,
    )
    .outerjoin(SkillPackUpdate, SkillPackUpdate.pack_id == SkillPack.id)
    .where(SkillPack.organization_id == bindparam("organization_id"))
)
_ALL_PACKS: Query[PackSummary] = Query(
    _PACKS.order_by(SkillPack.created_at.desc(), SkillPack.id.desc()),
    lambda row: PackSummary(*row),
)
_PACK: Query[PackSummary] = Query(
    _PACKS.where(SkillPack.id == bindparam("pack_id")), lambda row: PackSummary(*row)
)


async def list_skills(
    source: Source, member: Member, chosen: SkillFilter, paging: Paging = NO_LIMIT
) -> Page[SkillCard]:
    """Return the skills of the member's organization, newest first. Raises Forbidden."""
    organizations.require_admin(member)
    ids = {"organization_id": member.organization_id}
    return await _ALL_SKILLS.fetch_page(source, paging, **ids, **chosen.to_parameters())


async def list_gateway_skills(
    source: Source,
    member: Member,
    gateway: Gateway,
    chosen: SkillFilter,
    paging: Paging = NO_LIMIT,
) -> Page[SkillCard]:
    """Return the skills as `list_skills`, with their state on a gateway. Raises NotFound."""
    organizations.require_admin(member)
    if chosen.pack_id is not None:
        await get_pack(source, member, chosen.pack_id)
    ids = {"organization_id": member.organization_id, "gateway_id": gateway.id}
    return await _SKILLS_ON_GATEWAY.fetch_page(source, paging, **ids, **chosen.to_parameters())


async def list_filter_choices(source: Source, member: Member) -> tuple[list[str], list[str]]:
    """Return the categories and the risks of the skills, sorted, each once."""
    rows = await _CHOICES.fetch(source, organization_id=member.organization_id)
    columns = ({one.strip().lower() for one in column if one} for column in zip(*rows, strict=True))
    categories, risks = [sorted(filter(None, names)) for names in columns] or ([], [])
    return categories, risks


async def get_skill(source: Source, member: Member, skill_id: UUID) -> SkillCard:
    """Return a skill of the member's organization. Raises Forbidden and NotFound."""
    organizations.require_admin(member)
    ids = {"organization_id": member.organization_id, "skill_id": skill_id}
    return await rows.get_one(source, _SKILL, skill_not_found, **ids)


async def list_selected_skills(
    source: Source, member: Member, ids: Collection[UUID]
) -> Sequence[SkillCard]:
    """Return those of the skills that exist, by name. Raises Forbidden."""
    organizations.require_admin(member)
    return await _SELECTED_SKILLS.fetch(
        source, organization_id=member.organization_id, skill_ids=[*ids]
    )


async def lock_skill(session: AsyncSession, member: Member, skill_id: UUID) -> Skill:
    """Lock a skill for a change and return it. Raises Forbidden and NotFound."""
    organizations.require_admin(member)
    query = select(Skill).where(
        Skill.id == skill_id, Skill.organization_id == member.organization_id
    )
    locked = query.with_for_update().execution_options(populate_existing=True)
    skill = await session.scalar(locked)
    if skill is None:
        raise skill_not_found()
    return skill


def skill_not_found() -> NotFound:
    """Return the error for a skill that does not exist, or is of another organization."""
    return NotFound("skill_not_found", N_("There is no such skill."))


async def list_installations(source: Source, skill_ids: Collection[UUID]) -> Sequence[Installation]:
    """Return what gateways were asked to do with skills, by the name of the gateway."""
    return await _INSTALLATIONS.fetch(source, skill_ids=[*skill_ids]) if skill_ids else []


async def find_version(source: Source, skill: Skill, digest: str | None) -> SkillVersion | None:
    """Return the files of a skill with a digest, if they are stored."""
    if digest is None:
        return None
    return await _VERSION.first(source, skill_id=skill.id, digest=digest)


async def get_requested_files(
    source: Source, agent: Agent, skill_id: UUID, digest: str
) -> tuple[Skill, SkillVersion, str]:
    """Return the files of a skill that the agent of a gateway was asked to install, and the folder.

    Raises NotFound for all others.
    """
    found = None
    if agent.board_id is None and agent.gateway_id is not None:
        ids = {"gateway_id": agent.gateway_id, "skill_id": skill_id}
        found = await _REQUESTED_FILES.first(source, **ids, digest=digest)
    if found is None:
        raise NotFound("skill_files_not_found", "Nobody has asked you to install these files.")
    return found


async def list_packs(source: Source, member: Member) -> Sequence[PackSummary]:
    """Return the packs of the member's organization, newest first. Raises Forbidden."""
    organizations.require_admin(member)
    return await _ALL_PACKS.fetch(source, organization_id=member.organization_id)


async def get_pack(source: Source, member: Member, pack_id: UUID) -> PackSummary:
    """Return a pack of the member's organization. Raises Forbidden and NotFound."""
    organizations.require_admin(member)
    ids = {"organization_id": member.organization_id, "pack_id": pack_id}
    return await rows.get_one(source, _PACK, pack_not_found, **ids)


def pack_not_found() -> NotFound:
    """Return the error for a pack that does not exist, or is of another organization."""
    return NotFound("skill_pack_not_found", N_("There is no such skill pack."))
