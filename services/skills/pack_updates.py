"""Fetch the archive of a pack, and make its skills the current ones.

On the pages an archive waits until a person has seen what it changes; the API applies it at once
(contract, agents 12). No transaction is open while an archive is downloaded and read.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.engine import TransactionFactory
from core.errors import Conflict, Invalid, UpstreamError
from core.http.outbound import OutboundClient
from core.text import N_
from core.validation import MAX_NAME_LENGTH, nonblank_text
from models import EventType, Member, SkillPack, SkillPackUpdate, new_id
from services import audit, events, organizations
from services.skills.archive_rules import InvalidArchive
from services.skills.discovery import WARNINGS, PackContents, read_pack
from services.skills.downloads import DownloadedArchive, download_archive, take_download_slot
from services.skills.events import pack_event
from services.skills.pack_contents import PackChanges, apply_changes, load_changes
from services.skills.packs import (
    changed_meanwhile,
    choose_upload_url,
    lock_pack,
    save_uploaded_pack,
)
from services.skills.queries import list_packs
from services.skills.quotas import check_storage
from services.skills.sources import (
    DEFAULT_BRANCH,
    build_archive_url,
    is_upload,
)

READERS = ThreadPoolExecutor(2, "skill-pack")
"""Threads of their own: an archive that takes seconds must not delay passwords and files."""


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
    transaction: TransactionFactory, member: Member, name: str, data: bytes
) -> SkillPack:
    """Keep an uploaded archive until somebody accepts it. A pack of the same name gets it.

    Raises Forbidden, Invalid and Conflict.
    """
    organizations.require_admin(member)
    name = nonblank_text(MAX_NAME_LENGTH)(name, "name")
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
            raise UpstreamError(error.code, error.message, cause=error.cause) from None
    return pack, archive, contents


async def _read(data: bytes, source_url: str, branch: str) -> PackContents:
    """Read an archive in a thread. Raises Invalid."""
    loop = asyncio.get_running_loop()
    try:
        return await loop.run_in_executor(READERS, read_pack, data, source_url, branch)
    except InvalidArchive as error:
        path = f" ({error.path})" if error.path else ""
        reason = f"The archive cannot be used: {error.cause}{path}."
        raise Invalid(
            "skill_archive_invalid", reason, field="archive", cause=error.cause, path=error.path
        ) from None


async def _lock_same(session: AsyncSession, member: Member, pack: SkillPack) -> SkillPack:
    """Lock a pack again. Raises Conflict if its address or branch has changed meanwhile.

    The organization is locked too, because skills of the same addresses can be added one by one.
    Raises Forbidden and NotFound if the member is no admin any more.
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
    changes = await load_changes(session, pack, contents)
    await _delete_waiting(session, pack)
    if not changes.count:
        _record_archive(pack, archive.digest, contents)
        await _record_sync(session, member, pack, changes)
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
    changes = await load_changes(session, pack, contents)
    await apply_changes(session, pack, changes, contents.revision)
    if changes.added or changes.changed:
        await check_storage(session, pack.organization_id)
    await _delete_waiting(session, pack)
    _record_archive(pack, archive_digest, contents)
    await _record_sync(session, member, pack, changes)
    return SyncResult(
        len(contents.skills),
        len(changes.added),
        len(changes.changed),
        len(changes.removed),
        contents.warnings,
    )


def _record_archive(pack: SkillPack, archive_digest: str, contents: PackContents) -> None:
    pack.revision, pack.archive_digest = contents.revision, archive_digest
    pack.warnings = [list(one) for one in contents.warnings]
    pack.fetched_at = pack.updated_at = now()


async def _record_sync(
    session: AsyncSession, member: Member, pack: SkillPack, changes: PackChanges
) -> None:
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
