"""Add, change and delete packs, and add and delete single skills. Nothing is fetched here."""

import itertools
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, AliasChoices, Field, StringConstraints
from sqlalchemy import delete, func, literal, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from core.errors import Conflict, Invalid
from core.fields import FieldKind, Fields, Label, ShortText, ShownName
from core.text import N_, is_storable_json
from models import (
    Actor,
    EventType,
    Member,
    Organization,
    Skill,
    SkillPack,
    SkillPackUpdate,
    SkillVersion,
)
from services import events, organizations, rows
from services.skills.queries import list_packs, pack_not_found, skill_not_found
from services.skills.sources import (
    DEFAULT_BRANCH,
    MAX_ADDRESS_SIZE,
    MAX_SKILL_ADDRESS_SIZE,
    build_folder_name,
    build_upload_url,
    check_skill_url,
    infer_name,
    is_upload,
    normalize_branch,
    normalize_pack_url,
)

MAX_PACKS = 50  # of an organization
MAX_STORED_SKILLS = 10_000  # of an organization
MAX_STORED_MEGABYTES = 256  # of the files of all skills, as the database compresses them
MEGABYTE = 1024 * 1024  # bytes

DEFAULT_PACKS = (
    "https://github.com/sickn33/antigravity-awesome-skills",
    "https://github.com/BrianRWagner/ai-marketing-skills",
)
"""Packs that every new organization has. Their content is not fetched."""


def _check_metadata(value: dict[str, Any]) -> dict[str, Any]:
    if not is_storable_json(value, max_length=20_000):
        reason = N_("This is too large, or not valid JSON.")
        raise Invalid("not_storable", reason, field="metadata")
    return value


Address = Annotated[str, Label(N_("Address"), FieldKind.LINE)]
ShortDescription = Annotated[str, StringConstraints(strip_whitespace=True, max_length=2_000)]


class SkillPackCreate(Fields):
    """A pack. On a change all fields are replaced: a missing name is that of the address."""

    example = {"source_url": "https://github.com/owner/name", "branch": "main"}

    source_url: Annotated[
        Address,
        Field(
            max_length=MAX_ADDRESS_SIZE,
            description="A repository https://github.com/owner/name, or an https address that ends "
            "with .zip or .tar.gz.",
        ),
    ]
    name: Annotated[ShownName | None, Label(N_("Name"), FieldKind.LINE)] = None
    description: Annotated[ShortDescription | None, Label(N_("Description"), FieldKind.TEXT)] = None
    branch: Annotated[
        ShortText | None,
        Label(N_("Branch, tag or commit"), FieldKind.LINE),
        Field(description="A branch, a tag or a commit; `main` if it is not valid."),
    ] = DEFAULT_BRANCH
    metadata: Annotated[
        dict[str, Any],
        AfterValidator(_check_metadata),
        Field(validation_alias=AliasChoices("metadata", "metadata_"), default_factory=dict),
    ]


class SkillPackUpload(Fields):
    """A pack whose archive is uploaded."""

    pack_name: Annotated[ShownName, Label(N_("Name"), FieldKind.LINE)]


class SkillCreate(Fields):
    """A skill at an address."""

    component = "MarketplaceSkillCreate"
    example = {"source_url": "https://github.com/owner/name/tree/main/skills/reports"}

    source_url: Annotated[Address, Field(max_length=MAX_SKILL_ADDRESS_SIZE)]
    name: Annotated[ShownName | None, Label(N_("Name"), FieldKind.LINE)] = None
    description: ShortDescription | None = None


async def save_pack(session: AsyncSession, member: Member, fields: SkillPackCreate) -> SkillPack:
    """Add a pack, or change the one of the same address.

    Raises Forbidden, BadRequest about the address, and Conflict for too many packs.
    """
    organizations.require_admin(member)
    values = _build_pack_values(fields)
    await organizations.lock_organization(session, member)
    existing = await _find_pack(session, member, values["source_url"])
    if existing is not None:
        await _change_pack(session, member, existing, values)
        return existing
    return await _insert_pack(session, member, values)


def _build_pack_values(fields: SkillPackCreate, present_url: str = "") -> dict[str, Any]:
    """Return the values to store. Raises BadRequest about the address.

    An uploaded pack can keep its address, which cannot be given to another one.
    """
    is_kept = is_upload(present_url) and fields.source_url.strip() == present_url
    url = present_url if is_kept else normalize_pack_url(fields.source_url)
    return {
        "source_url": url,
        "name": fields.name or infer_name(url),
        "description": fields.description or None,
        "branch": normalize_branch(fields.branch),
        "extra": fields.metadata,
    }


def find_uploaded_pack(packs: Sequence[SkillPack], name: str) -> SkillPack | None:
    """Return the uploaded pack with this name, or None.

    The name decides, because the address does not change with it: packs that were renamed, or that
    an earlier version has stored, have other addresses.
    """
    url = build_upload_url(name)
    same = [
        pack for pack in packs if is_upload(pack.source_url) and build_upload_url(pack.name) == url
    ]
    return min(same, key=lambda one: one.source_url != url, default=None)


def choose_upload_url(packs: Sequence[SkillPack], name: str) -> str:
    """Return the address of the uploaded pack with this name, or a free one."""
    found = find_uploaded_pack(packs, name)
    if found is not None:
        return found.source_url
    url, taken = build_upload_url(name), {pack.source_url for pack in packs}
    addresses = itertools.chain([url], (f"{url}-{number}" for number in itertools.count(2)))
    return next(one for one in addresses if one not in taken)


async def save_uploaded_pack(
    session: AsyncSession, member: Member, name: str, url: str
) -> SkillPack:
    """Return the uploaded pack with this name, which is added if there is none.

    Raises Forbidden, and Conflict if `url` is not the address of the name any more.
    """
    organizations.require_admin(member)
    await organizations.lock_organization(session, member)
    packs = [one.pack for one in await list_packs(session, member)]
    if choose_upload_url(packs, name) != url:
        raise changed_meanwhile()
    found = find_uploaded_pack(packs, name)
    if found is not None:
        return await lock_pack(session, member, found.id)
    values = {"source_url": url, "name": name, "description": None, "branch": DEFAULT_BRANCH}
    return await _insert_pack(session, member, {**values, "extra": {}})


async def update_pack(
    session: AsyncSession, member: Member, pack_id: UUID, fields: SkillPackCreate
) -> SkillPack:
    """Replace the fields of a pack. An uploaded pack keeps its address.

    Raises Forbidden, NotFound, BadRequest, and Conflict for the address of another pack.
    """
    await organizations.lock_organization(session, member)
    pack = await lock_pack(session, member, pack_id)
    values = _build_pack_values(fields, pack.source_url)
    existing = await _find_pack(session, member, values["source_url"])
    if existing is not None and existing.id != pack.id:
        raise Conflict(
            "skill_pack_exists", N_("Another pack has that address."), field="source_url"
        )
    await _change_pack(session, member, pack, values)
    return pack


async def delete_pack(session: AsyncSession, member: Member, pack_id: UUID) -> None:
    """Delete a pack. Its skills stay. Raises Forbidden and NotFound."""
    if not await delete_packs(session, member, [pack_id]):
        raise pack_not_found()


async def delete_packs(session: AsyncSession, member: Member, ids: Collection[UUID]) -> int:
    """Delete those of the packs that exist, as `delete_pack`, and return their number.

    The organization is locked, because skills can be added to the packs.
    """
    organizations.require_admin(member)
    await organizations.lock_organization(session, member)
    query = select(SkillPack).where(
        SkillPack.id.in_(ids), SkillPack.organization_id == member.organization_id
    )
    found = list(await session.scalars(query.order_by(SkillPack.id).with_for_update()))
    kept = Skill.pack_id.in_([pack.id for pack in found])
    await session.execute(update(Skill).where(kept).values(pack_id=None))
    for pack in found:
        await session.delete(pack)
    await session.flush()
    deleted = [pack_event(EventType.SKILL_PACK_DELETED, member.user, pack) for pack in found]
    await events.record_events(session, deleted)
    return len(found)


async def lock_pack(session: AsyncSession, member: Member, pack_id: UUID) -> SkillPack:
    """Lock a pack for a change and return it. Raises Forbidden and NotFound."""
    organizations.require_admin(member)
    query = select(SkillPack).where(
        SkillPack.id == pack_id, SkillPack.organization_id == member.organization_id
    )
    locked = query.with_for_update().execution_options(populate_existing=True)
    pack = await session.scalar(locked)
    if pack is None:
        raise pack_not_found()
    return pack


def changed_meanwhile() -> Conflict:
    """Return the error for a pack that is not as it was shown or read."""
    return Conflict("stale", N_("This was changed meanwhile. Look at it again, then change it."))


async def _find_pack(session: AsyncSession, member: Member, url: str) -> SkillPack | None:
    query = select(SkillPack).where(
        SkillPack.organization_id == member.organization_id, SkillPack.source_url == url
    )
    found: SkillPack | None = await session.scalar(query.with_for_update())
    return found


async def _insert_pack(
    session: AsyncSession, member: Member, values: Mapping[str, Any]
) -> SkillPack:
    pack = _build_pack(member.organization_id, values)
    session.add(pack)
    await session.flush()
    query = select(func.count()).where(SkillPack.organization_id == member.organization_id)
    if (await session.scalar(query) or 0) > MAX_PACKS:
        reason = N_("An organization has at most %(max_count)s skill packs.")
        raise Conflict("too_many_skill_packs", reason, max_count=MAX_PACKS)
    created = pack_event(EventType.SKILL_PACK_CREATED, member.user, pack, url=pack.source_url)
    await events.record_events(session, [created])
    return pack


async def add_default_packs(session: AsyncSession, organization: Organization) -> None:
    """Add the packs of a new organization to the session, without content."""
    for url in DEFAULT_PACKS:
        values = _build_pack_values(SkillPackCreate.parse({"source_url": url}))
        session.add(_build_pack(organization.id, values))


def _build_pack(organization_id: UUID, values: Mapping[str, Any]) -> SkillPack:
    """Build a pack without content."""
    return rows.build_row(SkillPack, organization_id=organization_id, warnings=[], **values)


async def _change_pack(
    session: AsyncSession, member: Member, pack: SkillPack, values: Mapping[str, Any]
) -> None:
    """Change the fields that differ. An update of another address or branch is discarded."""
    differences = await rows.update_row(session, pack, values)
    if not differences:
        return
    if differences.keys() & {"source_url", "branch"}:
        waiting = delete(SkillPackUpdate).where(SkillPackUpdate.pack_id == pack.id)
        await session.execute(waiting)
    changed = sorted("metadata" if name == "extra" else name for name in differences)
    updated = pack_event(EventType.SKILL_PACK_UPDATED, member.user, pack, changed=changed)
    await events.record_events(session, [updated])


async def save_skill(session: AsyncSession, member: Member, fields: SkillCreate) -> Skill:
    """Add a skill by its address, without files, or change the one of the same address.

    Without a name it is that of the address. Raises Forbidden, Invalid, and
    Conflict for too many skills.
    """
    organizations.require_admin(member)
    url = check_skill_url(fields.source_url)
    await organizations.lock_organization(session, member)
    query = select(Skill).where(
        Skill.organization_id == member.organization_id, Skill.source_url == url
    )
    skill = await session.scalar(query.with_for_update())
    if skill is not None:
        given = {"name": fields.name, "description": fields.description}
        # What is missing stays, and a blank description becomes null.
        values = {name: value or None for name, value in given.items() if value is not None}
        if differences := await rows.update_row(session, skill, values):
            changed = sorted(differences)
            updated = skill_event(EventType.SKILL_UPDATED, member.user, skill, changed=changed)
            await events.record_events(session, [updated])
        return skill
    inferred = infer_name(url)
    skill = rows.build_row(
        Skill,
        organization_id=member.organization_id,
        name=fields.name or inferred,
        description=fields.description or None,
        source_url=url,
        folder=build_folder_name(inferred),
        extra={},
    )
    pack_of_address = select(SkillPack.id).where(
        SkillPack.organization_id == member.organization_id,
        func.starts_with(literal(url), SkillPack.source_url + "/tree/"),
    )
    skill.pack_id = await session.scalar(pack_of_address.limit(1))
    session.add(skill)
    await session.flush()
    await _check_skill_count(session, member.organization_id)
    created = skill_event(EventType.SKILL_CREATED, member.user, skill, url=url)
    await events.record_events(session, [created])
    return skill


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


def pack_event(
    type: EventType, actor: Actor | None, pack: SkillPack, **more: object
) -> events.NewEvent:
    """Build an event of a pack. `more` is added to its data."""
    return events.NewEvent(
        type,
        actor,
        organization_id=pack.organization_id,
        data={"pack_id": str(pack.id), "name": pack.name, **more},
    )


def skill_event(
    type: EventType, actor: Actor | None, skill: Skill, **more: object
) -> events.NewEvent:
    """Build an event of a skill. `more` is added to its data."""
    return events.NewEvent(
        type,
        actor,
        organization_id=skill.organization_id,
        data={"skill_id": str(skill.id), "name": skill.name, **more},
    )


async def check_storage(session: AsyncSession, organization_id: UUID) -> None:
    """Raise Conflict if an organization has too many skills, or too large ones.

    The caller has locked the organization and has stored what it adds; the error undoes it.
    """
    await _check_skill_count(session, organization_id)
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


async def _check_skill_count(session: AsyncSession, organization_id: UUID) -> None:
    """Raise Conflict if an organization has too many skills."""
    query = select(func.count()).where(Skill.organization_id == organization_id)
    if (await session.scalar(query) or 0) > MAX_STORED_SKILLS:
        reason = N_(
            "An organization has at most %(max_count)s skills. Delete skills that you do not need."
        )
        raise Conflict("too_many_skills", reason, max_count=MAX_STORED_SKILLS)
