"""Invitations to an organization."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from models.base import Base
from models.board import Board
from models.organization import Organization, Role


class Invite(Base):
    """An invitation, accepted by a user who has the token and the address."""

    __tablename__ = "organization_invites"
    __table_args__ = (
        Index(
            "uq_organization_invites_one_open_per_email",
            "organization_id",
            "invited_email",
            unique=True,
            postgresql_where="accepted_at is null",
        ),
    )

    organization_id: Mapped[UUID] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE"), index=True
    )
    organization: Mapped[Organization] = relationship(lazy="raise")
    invited_email: Mapped[str] = mapped_column(index=True)  # trimmed, in lower case
    token_hash: Mapped[str] = mapped_column(unique=True)  # SHA-256 of the token, in hex
    role: Mapped[Role] = mapped_column(default=Role.MEMBER)
    all_boards_read: Mapped[bool] = mapped_column(default=False)
    all_boards_write: Mapped[bool] = mapped_column(default=False)
    created_by_user_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("users.id", ondelete="SET NULL"), index=True
    )
    accepted_by_user_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("users.id", ondelete="SET NULL"), index=True
    )
    accepted_at: Mapped[datetime | None]
    expires_at: Mapped[datetime]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class InviteBoardAccess(Base):
    """What an invitation permits on one board."""

    __tablename__ = "organization_invite_board_access"
    __table_args__ = (
        UniqueConstraint(
            "organization_invite_id", "board_id", name="uq_organization_invite_board_access_pair"
        ),
    )

    organization_invite_id: Mapped[UUID] = mapped_column(
        ForeignKey("organization_invites.id", ondelete="CASCADE"), index=True
    )
    invite: Mapped[Invite] = relationship(lazy="raise")
    board_id: Mapped[UUID] = mapped_column(ForeignKey("boards.id", ondelete="CASCADE"), index=True)
    board: Mapped[Board] = relationship(lazy="raise")
    can_read: Mapped[bool] = mapped_column(default=True)
    can_write: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
