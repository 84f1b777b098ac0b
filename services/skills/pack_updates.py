"""Fetch the archive of a pack, and make its skills the current ones.

On the pages an archive waits until a person has seen what it changes; the API applies it at once.
No transaction is open while an archive is downloaded and read.
"""

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import delete, exists, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.engine import TransactionFactory
from core.errors import Conflict, Invalid, UpstreamError
from core.http.outbound import OutboundClient
from core.text import N_
from models import (
    EventType,
    GatewaySkill,
    Member,
    Skill,
    SkillPack,
    SkillPackUpdate,
    SkillVersion,
    new_id,
)
from services import audit, events, organizations
from services.skills.archives import REASONS, InvalidArchive
from services.skills.commands import (
    SkillPackUpload,
    changed_meanwhile,
    check_storage,
    choose_upload_url,
    lock_pack,
    pack_event,
    save_uploaded_pack,
)
from services.skills.discovery import WARNINGS, FoundSkill, PackContents, read_pack
from services.skills.downloads import DownloadedArchive, download_archive, take_download_slot
from services.skills.queries import list_packs
from services.skills.sources import (
    DEFAULT_BRANCH,
    build_archive_url,
    build_folder_name,
    build_skill_url,
    is_upload,
)

MAX_LISTED_CHANGES = 2_000  # of one kind
VERSION_BATCH = 100  # rows of files in one statement

READERS = ThreadPoolExecutor(2, "skill-pack")
"""Threads of their own: an archive that takes seconds must not delay passwords and files."""


@dataclass(frozen=True)
class PackChanges:
    """What an archive changes: skills that are added, changed, and no longer in the pack."""

    added: Sequence[FoundSkill]
    changed: Sequence[tuple[Skill, FoundSkill]]
    removed: Sequence[Skill]
    unchanged_count: int = 0

    @property
    def count(self) -> int:
        """The number of changes."""
        return len(self.added) + len(self.changed) + len(self.removed)

    def to_json(self, warnings: Sequence[Sequence[str]]) -> dict[str, Any]:
        """Return the changes as they are stored with an update."""
        return {
            "added": [_describe(one.name, one.path) for one in self.added][:MAX_LISTED_CHANGES],
            "changed": [
                _describe(found.name, found.path, str(skill.id), found.digest != skill.digest)
                for skill, found in self.changed
            ][:MAX_LISTED_CHANGES],
            "removed": [_describe(one.name, one.source or "", str(one.id)) for one in self.removed][
                :MAX_LISTED_CHANGES
            ],
            "unchanged": self.unchanged_count,
            "warnings": [list(one) for one in warnings],
        }


def _describe(
    name: str, path: str, id: str | None = None, has_new_files: bool = True
) -> dict[str, Any]:
    return {"name": name, "path": path, "id": id, "has_new_files": has_new_files}


@dataclass(frozen=True)
class SyncResult:
    """What became of the skills of an archive."""

    found: int
    created: int
    updated: int
    removed: int
    warnings: Sequence[Sequence[str]]

    def describe_warnings(self) -> list[str]:
        """Return the warnings as sentences for programs."""
        return [
            f"{path}: {WARNINGS[code]}" if path else WARNINGS[code] for code, path in self.warnings
        ]


async def sync_pack(
    transaction: TransactionFactory, client: OutboundClient, member: Member, pack_id: UUID
) -> SyncResult:
    """Fetch a pack, and apply what has changed. Raises NotFound, Conflict and UpstreamError."""
    pack, archive, contents = await _fetch(transaction, client, member, pack_id)
    async with transaction() as session:
        locked = await _lock_same(session, member, pack)
        return await _apply(session, member, locked, archive.digest, contents)


async def fetch_update(
    transaction: TransactionFactory, client: OutboundClient, member: Member, pack_id: UUID
) -> bool:
    """Fetch a pack, and keep its archive until somebody accepts it. Raises as `sync_pack`.

    Returns whether it changes anything.
    """
    pack, archive, contents = await _fetch(transaction, client, member, pack_id)
    async with transaction() as session:
        locked = await _lock_same(session, member, pack)
        return await _store(session, member, locked, archive, contents)


async def upload_pack(
    transaction: TransactionFactory, member: Member, fields: SkillPackUpload, data: bytes
) -> SkillPack:
    """Keep an uploaded archive until somebody accepts it. A pack of the same name gets it.

    Raises Forbidden, Invalid and Conflict.
    """
    organizations.require_admin(member)
    name = fields.pack_name
    async with transaction() as session:
        packs = [one.pack for one in await list_packs(session, member)]
    url = choose_upload_url(packs, name)
    contents = await _read(data, url, DEFAULT_BRANCH)
    async with transaction() as session:
        pack = await save_uploaded_pack(session, member, name, url)
        await organizations.lock_organization_as_admin(session, member)
        await _store(session, member, pack, DownloadedArchive.of(data), contents)
        return pack


async def accept_update(
    transaction: TransactionFactory, member: Member, pack_id: UUID, digest: str
) -> SyncResult:
    """Apply the archive that was shown. Raises NotFound, and Conflict if another one waits now."""
    async with transaction() as session:
        pack = await lock_pack(session, member, pack_id)
        waiting = await _get_waiting(session, pack, digest)
    contents = await _read(waiting.archive, pack.source_url, pack.branch)
    async with transaction() as session:
        locked = await _lock_same(session, member, pack)
        await _get_waiting(session, locked, digest)
        return await _apply(session, member, locked, digest, contents)


async def discard_update(session: AsyncSession, member: Member, pack_id: UUID) -> None:
    """Delete the archive that waits to be accepted."""
    pack = await lock_pack(session, member, pack_id)
    await _delete_waiting(session, pack)
    discarded = pack_event(EventType.SKILL_PACK_UPDATED, member.user, pack, changed=["update"])
    await events.record_events(session, [discarded])


async def _fetch(
    transaction: TransactionFactory, client: OutboundClient, member: Member, pack_id: UUID
) -> tuple[SkillPack, DownloadedArchive, PackContents]:
    async with transaction() as session:
        pack = await lock_pack(session, member, pack_id)
        first_id = await audit.find_first_organization_id(session)
    if is_upload(pack.source_url):
        reason = N_("This pack was uploaded. Upload a new archive to update it.")
        raise Conflict("skill_pack_uploaded", reason)
    url = build_archive_url(pack.source_url, pack.branch)
    is_first = first_id == member.organization_id
    with take_download_slot(member.organization_id):
        archive = await download_archive(client, url, allows_private=is_first)
        try:
            contents = await _read(archive.data, pack.source_url, pack.branch)
        except Invalid as error:
            raise UpstreamError(error.code, error.text, path=error.details["path"]) from None
    return pack, archive, contents


async def _read(data: bytes, source_url: str, branch: str) -> PackContents:
    """Read an archive in a thread. Raises Invalid."""
    loop = asyncio.get_running_loop()
    try:
        return await loop.run_in_executor(READERS, read_pack, data, source_url, branch)
    except InvalidArchive as error:
        reason = REASONS[error.cause]
        raise Invalid("skill_archive_invalid", reason, field="archive", path=error.path) from None


async def _lock_same(session: AsyncSession, member: Member, pack: SkillPack) -> SkillPack:
    """Lock a pack again. Raises Conflict if its address or branch has changed meanwhile.

    The organization is locked too, because skills of the same addresses can be added one by one.
    Raises Forbidden and NotFound if the member is no longer an admin.
    """
    before = (pack.source_url, pack.branch)
    await organizations.lock_organization(session, member)
    await organizations.lock_organization_as_admin(session, member)
    locked = await lock_pack(session, member, pack.id)
    if (locked.source_url, locked.branch) != before:
        raise changed_meanwhile()
    return locked


async def _get_waiting(session: AsyncSession, pack: SkillPack, digest: str) -> SkillPackUpdate:
    query = select(SkillPackUpdate).where(SkillPackUpdate.pack_id == pack.id)
    waiting: SkillPackUpdate | None = await session.scalar(query)
    if waiting is None or waiting.archive_digest != digest:
        raise changed_meanwhile()
    return waiting


async def _delete_waiting(session: AsyncSession, pack: SkillPack) -> None:
    await session.execute(delete(SkillPackUpdate).where(SkillPackUpdate.pack_id == pack.id))


async def _store(
    session: AsyncSession,
    member: Member,
    pack: SkillPack,
    archive: DownloadedArchive,
    contents: PackContents,
) -> bool:
    """Keep an archive that changes something; of one that changes nothing keep the time."""
    changes = await _load_changes(session, pack, contents)
    await _delete_waiting(session, pack)
    if not changes.count:
        await _record_sync(session, member, pack, archive.digest, contents, changes)
        return False
    waiting = SkillPackUpdate(
        id=new_id(),
        pack_id=pack.id,
        archive=archive.data,
        archive_digest=archive.digest,
        revision=contents.revision,
        changes=changes.to_json(contents.warnings),
        fetched_at=now(),
    )
    session.add(waiting)
    await session.flush()
    fetched = pack_event(
        EventType.SKILL_PACK_FETCHED, member.user, pack, revision=contents.revision
    )
    await events.record_events(session, [fetched])
    return True


async def _apply(
    session: AsyncSession,
    member: Member,
    pack: SkillPack,
    archive_digest: str,
    contents: PackContents,
) -> SyncResult:
    changes = await _load_changes(session, pack, contents)
    await _apply_changes(session, pack, changes, contents.revision)
    if changes.added or changes.changed:
        await check_storage(session, pack.organization_id)
    await _delete_waiting(session, pack)
    await _record_sync(session, member, pack, archive_digest, contents, changes)
    return SyncResult(
        len(contents.skills),
        len(changes.added),
        len(changes.changed),
        len(changes.removed),
        contents.warnings,
    )


async def _record_sync(
    session: AsyncSession,
    member: Member,
    pack: SkillPack,
    archive_digest: str,
    contents: PackContents,
    changes: PackChanges,
) -> None:
    """Record that the skills of a pack are those of an archive now."""
    pack.revision, pack.archive_digest = contents.revision, archive_digest
    pack.warnings = [list(one) for one in contents.warnings]
    pack.fetched_at = pack.updated_at = now()
    synced = pack_event(
        EventType.SKILL_PACK_SYNCED,
        member.user,
        pack,
        revision=pack.revision,
        digest=pack.archive_digest,
        added=len(changes.added),
        updated=len(changes.changed),
        removed=len(changes.removed),
    )
    await events.record_events(session, [synced])


async def _load_changes(
    session: AsyncSession, pack: SkillPack, contents: PackContents
) -> PackChanges:
    """Return what an archive changes in a locked pack. The skills are locked."""
    urls = [one.source_url for one in contents.skills]
    query = select(Skill).where(
        Skill.organization_id == pack.organization_id,
        or_(Skill.pack_id == pack.id, Skill.source_url.in_(urls)),
    )
    locked = query.order_by(Skill.id).with_for_update()
    rows = list(await session.scalars(locked.execution_options(populate_existing=True)))
    pairs = _match(pack, rows, contents.skills)
    matched = {skill.id for skill, _found in pairs}
    paired_paths = {found.path for _skill, found in pairs}
    changed = [
        (skill, one)
        for skill, one in pairs
        if any(getattr(skill, name) != value for name, value in _values(pack, one).items())
    ]
    return PackChanges(
        [one for one in contents.skills if one.path not in paired_paths],
        changed,
        [one for one in rows if one.id not in matched and _is_of_archive(one)],
        len(pairs) - len(changed),
    )


def _match(
    pack: SkillPack, skills: Sequence[Skill], found: Sequence[FoundSkill]
) -> list[tuple[Skill, FoundSkill]]:
    """Return the stored skills, each with what was found of it.

    It is at the same address, or else at the same path, if the pack has another branch now.
    """
    by_url = {one.source_url: one for one in skills}
    at_url = [(by_url[one.source_url], one) for one in found if one.source_url in by_url]
    matched = {skill.id for skill, _found in at_url}
    by_path = {
        one.source: one
        for one in skills
        if one.pack_id == pack.id and _is_of_archive(one) and one.id not in matched
    }
    rest = [one for one in found if one.source_url not in by_url]
    return at_url + [
        (by_path[one.path or None], one) for one in rest if (one.path or None) in by_path
    ]


def _is_of_archive(skill: Skill) -> bool:
    """Return whether a skill came with an archive, and not by its address, and is still there."""
    return skill.digest is not None and skill.removed_at is None


def _values(pack: SkillPack, found: FoundSkill) -> dict[str, Any]:
    folder = found.path.rpartition("/")[2] or found.name
    return {
        "pack_id": pack.id,
        "source_url": found.source_url,
        "name": found.name,
        "description": found.description,
        "category": found.category,
        "risk": found.risk,
        "source": found.path or None,
        "folder": build_folder_name(folder),
        "extra": dict(found.extra),
        "digest": found.digest,
        "removed_at": None,
    }


async def _apply_changes(
    session: AsyncSession, pack: SkillPack, changes: PackChanges, revision: str
) -> None:
    """Store what an archive changes, with the files of its skills.

    A skill that is no longer in the pack is deleted, unless a gateway has it. Files that are
    neither current nor on a gateway are deleted.
    """
    at = now()
    files: list[tuple[UUID, FoundSkill]] = []
    for found in changes.added:
        skill = Skill(
            id=new_id(),
            organization_id=pack.organization_id,
            revision=revision,
            created_at=at,
            updated_at=at,
            **_values(pack, found),
        )
        session.add(skill)
        files.append((skill.id, found))
    for skill, found in changes.changed:
        if skill.digest != found.digest:
            skill.revision = revision
            files.append((skill.id, found))
        for name, value in _values(pack, found).items():
            setattr(skill, name, value)
        skill.updated_at = at
    if changes.removed:
        is_removed = Skill.id.in_([skill.id for skill in changes.removed])
        is_used = exists().where(GatewaySkill.skill_id == Skill.id)
        await session.execute(delete(Skill).where(is_removed, ~is_used))
        for skill in await session.scalars(select(Skill).where(is_removed)):
            skill.removed_at = skill.updated_at = at
    await session.flush()
    await _store_versions(session, pack, files, revision)
    digest = SkillVersion.digest
    is_current = exists().where(Skill.id == SkillVersion.skill_id, Skill.digest == digest)
    is_on_gateway = exists().where(
        GatewaySkill.skill_id == SkillVersion.skill_id,
        or_(GatewaySkill.digest == digest, GatewaySkill.installed_digest == digest),
    )
    is_changed = SkillVersion.skill_id.in_([skill.id for skill, _found in changes.changed])
    unused = delete(SkillVersion).where(is_changed, ~is_current, ~is_on_gateway)
    await session.execute(unused)


async def _store_versions(
    session: AsyncSession,
    pack: SkillPack,
    files: Sequence[tuple[UUID, FoundSkill]],
    revision: str,
) -> None:
    at = now()
    rows: list[Mapping[str, Any]] = [
        {
            "id": new_id(),
            "skill_id": skill_id,
            "digest": found.digest,
            "revision": revision,
            "source_url": build_skill_url(pack.source_url, revision, found.path),
            "files": list(found.files),
            "created_at": at,
        }
        for skill_id, found in files
    ]
    statement = insert(SkillVersion).on_conflict_do_nothing(index_elements=["skill_id", "digest"])
    for start in range(0, len(rows), VERSION_BATCH):
        await session.execute(statement, rows[start : start + VERSION_BATCH])
