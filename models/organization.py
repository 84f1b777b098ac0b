"""Organizations, their members, and what each member may do."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from models.base import Base
from models.user import User


class Role(StrEnum):
    """The role of a member, from the most rights to the fewest."""

    OWNER = "owner"
    ADMIN = "admin"
    MEMBER = "member"


class Organization(Base):
    """A tenant: nothing in one organization is ever visible in another."""

    __tablename__ = "organizations"

    name: Mapped[str] = mapped_column(index=True)
    is_demo: Mapped[bool] = mapped_column(default=False)
    only_owners_appoint_admins: Mapped[bool] = mapped_column(default=False, server_default="false")
    stopped_at: Mapped[datetime | None]  # no agent of it works while this is set
    stopped_by_user_id: Mapped[UUID | None]  # None: by the command line
    stopped_by: Mapped[str | None]  # the name at that time
    stop_reason: Mapped[str | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class Member(Base):
    """A user in an organization. Write includes read; a role alone gives access to no board."""

    __tablename__ = "organization_members"
    __table_args__ = (UniqueConstraint("organization_id", "user_id"),)

    organization_id: Mapped[UUID] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE"), index=True
    )
    organization: Mapped[Organization] = relationship(lazy="raise")
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    user: Mapped[User] = relationship(lazy="raise")
    role: Mapped[Role] = mapped_column(default=Role.MEMBER, index=True)
    all_boards_read: Mapped[bool] = mapped_column(default=False)
    all_boards_write: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    @property
    def is_admin(self) -> bool:
        """Whether this member administers the organization: its boards, agents and members."""
        return self.role in (Role.OWNER, Role.ADMIN)

    @property
    def reads_all_boards(self) -> bool:
        """Whether this member may read all boards, and needs no rights on single ones for that."""
        return self.all_boards_read or self.all_boards_write


class BoardAccess(Base):
    """What a member without rights on all boards may do on one of them."""

    __tablename__ = "organization_board_access"
    __table_args__ = (UniqueConstraint("organization_member_id", "board_id"),)

    organization_member_id: Mapped[UUID] = mapped_column(
        ForeignKey("organization_members.id", ondelete="CASCADE"), index=True
    )
    member: Mapped[Member] = relationship(lazy="raise")
    board_id: Mapped[UUID] = mapped_column(ForeignKey("boards.id", ondelete="CASCADE"), index=True)
    can_read: Mapped[bool] = mapped_column(default=True)
    can_write: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
