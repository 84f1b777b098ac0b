"""Compare the skills of an archive with those that are stored, and store them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import delete, exists, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from models import GatewaySkill, Skill, SkillPack, SkillVersion, new_id
from services.skills.discovery import FoundSkill, PackContents
from services.skills.sources import build_folder_name, build_skill_url

MAX_LISTED_CHANGES = 2_000  # of one kind
VERSION_BATCH = 100  # rows of files in one statement


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


async def load_changes(
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
    changed = [(skill, one) for skill, one in pairs if _differs(pack, skill, one)]
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


def _differs(pack: SkillPack, skill: Skill, found: FoundSkill) -> bool:
    return any(getattr(skill, name) != one for name, one in _values(pack, found).items())


async def apply_changes(
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
    await _remove(session, [skill.id for skill in changes.removed])
    await session.flush()
    await _store_versions(session, pack, files, revision)
    await _delete_unused_versions(session, [skill.id for skill, _found in changes.changed])


async def _remove(session: AsyncSession, skill_ids: Sequence[UUID]) -> None:
    """Delete skills, and mark those that a gateway has."""
    if not skill_ids:
        return
    is_used = exists().where(GatewaySkill.skill_id == Skill.id)
    await session.execute(delete(Skill).where(Skill.id.in_(skill_ids), ~is_used))
    at = now()
    for skill in await session.scalars(select(Skill).where(Skill.id.in_(skill_ids))):
        skill.removed_at = skill.updated_at = at


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


async def _delete_unused_versions(session: AsyncSession, skill_ids: Sequence[UUID]) -> None:
    """Delete the files that are neither current nor on a gateway."""
    digest = SkillVersion.digest
    is_current = exists().where(Skill.id == SkillVersion.skill_id, Skill.digest == digest)
    is_on_gateway = exists().where(
        GatewaySkill.skill_id == SkillVersion.skill_id,
        or_(GatewaySkill.digest == digest, GatewaySkill.installed_digest == digest),
    )
    unused = delete(SkillVersion).where(
        SkillVersion.skill_id.in_(skill_ids), ~is_current, ~is_on_gateway
    )
    await session.execute(unused)
