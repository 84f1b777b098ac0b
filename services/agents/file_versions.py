"""The stored versions of agents' files: record them, and read them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from operator import itemgetter
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Uuid, bindparam, delete, func, select
from sqlalchemy.dialects.postgresql import ARRAY, distinct_on
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.reads import Query, Source
from core.errors import NotFound
from core.fields import MAX_TEXT_LENGTH
from core.security.secrets import hash_token, hide_tokens
from core.text import N_, is_storable
from models import Agent, AgentFileVersion, FileAuthor, User

SHARED_FILE = "AGENTS.md"  # has a part of ours and one of the agent
MAX_FILE_VERSIONS = 50  # of one file; older ones are deleted
MAX_VERSION_LENGTH = MAX_TEXT_LENGTH  # characters; longer contents are not stored


@dataclass(frozen=True)
class FileContent:
    """A content of a file that is to be recorded as a version. It may contain tokens."""

    name: str
    content: str = field(repr=False)
    author: FileAuthor
    user_id: UUID | None = None

    @property
    def digest(self) -> str:
        """The digest by which versions are compared."""
        return hash_token(self.content)

    @property
    def is_storable(self) -> bool:
        """Whether the content can be a version."""
        return len(self.content) <= MAX_VERSION_LENGTH and is_storable(self.content)


class FileVersion(NamedTuple):
    """A version of a file without its content."""

    id: UUID
    name: str
    created_at: datetime
    author: FileAuthor
    digest: str
    length: int  # characters
    user_name: str | None  # of the user who wrote it


@dataclass(frozen=True)
class FileVersionDetail:
    """A version of a file, and the content of the version before it; None if it is the first."""

    version: FileVersion
    content: str
    previous_content: str | None


NEWEST_FIRST = (AgentFileVersion.created_at.desc(), AgentFileVersion.id.desc())
OF_AGENT = AgentFileVersion.agent_id == bindparam("agent_id")
IS_FILE = AgentFileVersion.name == bindparam("name")
ALL_VERSIONS = (
    select(
        AgentFileVersion.id,
        AgentFileVersion.name,
        AgentFileVersion.created_at,
        AgentFileVersion.author,
        AgentFileVersion.digest,
        func.length(AgentFileVersion.content),
        User.name,
    )
    .outerjoin(User, User.id == AgentFileVersion.user_id)
    .where(OF_AGENT)
)
VERSIONS = Query(ALL_VERSIONS.where(IS_FILE).order_by(*NEWEST_FIRST), FileVersion._make)
LATEST_VERSIONS = Query(
    ALL_VERSIONS.order_by(AgentFileVersion.name, *NEWEST_FIRST).ext(
        distinct_on(AgentFileVersion.name)
    ),
    FileVersion._make,
)
CONTENTS: Query[tuple[UUID, str]] = Query(
    select(AgentFileVersion.id, AgentFileVersion.content).where(
        OF_AGENT, AgentFileVersion.id == func.any(bindparam("ids", type_=ARRAY(Uuid())))
    )
)
LATEST_DIGEST: Query[str] = Query(
    select(AgentFileVersion.digest).where(OF_AGENT, IS_FILE).order_by(*NEWEST_FIRST).limit(1),
    itemgetter(0),
)


async def list_file_versions(source: Source, agent: Agent, name: str) -> Sequence[FileVersion]:
    """Return the versions of a file, newest first."""
    return await VERSIONS.fetch(source, agent_id=agent.id, name=name)


async def get_file_version(
    source: Source, agent: Agent, name: str, version_id: UUID
) -> FileVersionDetail:
    """Return one version of a file. Raises NotFound."""
    versions = await list_file_versions(source, agent, name)
    place = next((n for n, one in enumerate(versions) if one.id == version_id), len(versions))
    ids = [one.id for one in versions[place : place + 2]]
    contents = dict(await CONTENTS.fetch(source, agent_id=agent.id, ids=ids)) if ids else {}
    if version_id not in contents:
        raise NotFound("file_version_not_found", N_("This version is not stored any more."))
    previous = contents.get(ids[1]) if len(ids) > 1 else None
    return FileVersionDetail(versions[place], contents[version_id], previous)


async def load_latest_versions(source: Source, agent: Agent) -> dict[str, FileVersion]:
    """Return the latest version of each file of an agent, by file name."""
    return {one.name: one for one in await LATEST_VERSIONS.fetch(source, agent_id=agent.id)}


def build_sync_versions(
    changes: Iterable[tuple[str, str | None, str]],
    written: Mapping[str, Sequence[str]],
    *,
    was_there: bool,
) -> Sequence[FileContent]:
    """Return the versions that provisioning creates, each after the agent's own that it replaces.

    `changes` are the name, the present and the new content of each file, `written` the digests of
    what we wrote before, and `was_there` whether the agent has had its files from us. The agent's
    part of AGENTS.md is kept, and our part has no versions.
    """
    versions = []
    for name, before, after in changes:
        if name == SHARED_FILE:
            continue
        if before and was_there and hash_token(before) not in written.get(name, ()):
            versions.append(FileContent(name, before, FileAuthor.GATEWAY))
        versions.append(FileContent(name, after, FileAuthor.SYNC))
    return versions


async def record_file_versions(
    session: AsyncSession, agent_id: UUID, contents: Sequence[FileContent]
) -> None:
    """Record contents of files in this order, except those that are the latest version already.

    Their tokens are replaced by labels.
    """
    for given in contents:
        one = replace(given, content=hide_tokens(given.content))
        latest = await LATEST_DIGEST.first(session, agent_id=agent_id, name=one.name)
        if one.is_storable and latest != one.digest:
            session.add(
                AgentFileVersion(
                    agent_id=agent_id,
                    name=one.name,
                    content=one.content,
                    digest=one.digest,
                    author=one.author,
                    user_id=one.user_id,
                    created_at=now(),
                )
            )
            await session.flush()
            await _delete_oldest_versions(session, agent_id, one.name)


async def _delete_oldest_versions(session: AsyncSession, agent_id: UUID, name: str) -> None:
    is_file = (AgentFileVersion.agent_id == agent_id) & (AgentFileVersion.name == name)
    kept = (
        select(AgentFileVersion.id).where(is_file).order_by(*NEWEST_FIRST).limit(MAX_FILE_VERSIONS)
    )
    await session.execute(
        delete(AgentFileVersion)
        .where(is_file, AgentFileVersion.id.not_in(kept))
        .execution_options(synchronize_session=False)
    )
