"""Skills of an organization, the packs that they are from, and what gateways were asked to have."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from models.base import Base


class SkillAction(StrEnum):
    """What a gateway was asked to do with a skill."""

    INSTALL = "install"
    REMOVE = "remove"


class SkillPack(Base):
    """A pack of skills: a repository or an archive at an address, or an uploaded archive.

    `revision` and `archive_digest` identify the archive whose skills are stored.
    """

    __tablename__ = "skill_packs"
    __table_args__ = (UniqueConstraint("organization_id", "source_url"),)

    organization_id: Mapped[UUID] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE")
    )
    name: Mapped[str]
    description: Mapped[str | None]
    source_url: Mapped[str]
    branch: Mapped[str]
    extra: Mapped[dict[str, Any]]
    revision: Mapped[str | None]  # the commit, or the digest of the archive
    archive_digest: Mapped[str | None]  # SHA-256
    warnings: Mapped[list[Any]]  # of the last archive: pairs of a code and a path
    fetched_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class SkillPackUpdate(Base):
    """A fetched archive of a pack that nobody has accepted yet; a pack has at most one.

    `changes` has the names of the skills that it adds, changes and removes.
    """

    __tablename__ = "skill_pack_updates"

    pack_id: Mapped[UUID] = mapped_column(
        ForeignKey("skill_packs.id", ondelete="CASCADE"), unique=True
    )
    pack: Mapped[SkillPack] = relationship(lazy="raise")
    archive: Mapped[bytes]
    archive_digest: Mapped[str]
    revision: Mapped[str]
    changes: Mapped[dict[str, Any]]
    fetched_at: Mapped[datetime]


class Skill(Base):
    """A skill. `digest` identifies its current files; without one it is only an address."""

    __tablename__ = "marketplace_skills"
    __table_args__ = (
        UniqueConstraint("organization_id", "source_url"),
        Index(None, "organization_id", "created_at"),
    )

    organization_id: Mapped[UUID] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE")
    )
    pack_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("skill_packs.id", ondelete="SET NULL"), index=True
    )
    pack: Mapped[SkillPack | None] = relationship(lazy="raise")
    name: Mapped[str]
    description: Mapped[str | None]
    category: Mapped[str | None]
    risk: Mapped[str | None]
    source: Mapped[str | None]  # its folder in the pack
    source_url: Mapped[str]
    folder: Mapped[str]  # its folder on a gateway
    extra: Mapped[dict[str, Any]]
    digest: Mapped[str | None]  # of the files; see services/skills/discovery.py
    revision: Mapped[str | None]  # of the pack that the files are from
    removed_at: Mapped[datetime | None]  # from its pack, while a gateway still has it
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class SkillVersion(Base):
    """The files of a skill that is current, or that a gateway has."""

    __tablename__ = "skill_versions"
    __table_args__ = (UniqueConstraint("skill_id", "digest"),)

    skill_id: Mapped[UUID] = mapped_column(ForeignKey("marketplace_skills.id", ondelete="CASCADE"))
    skill: Mapped[Skill] = relationship(lazy="raise")
    digest: Mapped[str]
    revision: Mapped[str]
    source_url: Mapped[str]  # of these files, at their revision
    files: Mapped[list[Any]]  # objects with path, size, and text or base64
    created_at: Mapped[datetime]


class GatewaySkill(Base):
    """What a gateway was last asked to do with a skill, and what is known of the result.

    The message tells how far the request is. `is_listed` is what the gateway itself says after the
    request was handled: whether it has the skill.
    """

    __tablename__ = "gateway_installed_skills"
    __table_args__ = (UniqueConstraint("gateway_id", "skill_id"),)

    gateway_id: Mapped[UUID] = mapped_column(ForeignKey("gateways.id", ondelete="CASCADE"))
    skill_id: Mapped[UUID] = mapped_column(
        ForeignKey("marketplace_skills.id", ondelete="CASCADE"), index=True
    )
    skill: Mapped[Skill] = relationship(lazy="raise")
    action: Mapped[SkillAction]
    folder: Mapped[str]  # that it was installed in, also if the skill has another one now
    digest: Mapped[str | None]  # of the files that were requested
    installed_digest: Mapped[str | None]  # of the files that it had before the request
    message_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("agent_messages.id", ondelete="SET NULL"), index=True
    )
    is_listed: Mapped[bool | None]
    requested_at: Mapped[datetime]
    checked_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
