"""Users, how they sign in, and the tokens of their scripts."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import ForeignKey, Index, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from models.base import Base


class User(Base):
    """A user. Their memberships (models/organization.py) define what they may see and do."""

    __tablename__ = "users"
    __table_args__ = (Index("uq_users_lower_email", text("lower(email)"), unique=True),)

    clerk_user_id: Mapped[str] = mapped_column(
        unique=True
    )  # the contract's name for an id at a provider
    email: Mapped[str | None]
    email_verified_at: Mapped[datetime | None]  # when it was verified that it is theirs
    name: Mapped[str | None]
    preferred_name: Mapped[str | None]
    pronouns: Mapped[str | None]
    timezone: Mapped[str | None]
    language: Mapped[str | None]  # of pages; None: as the browser asks for
    notes: Mapped[str | None]
    context: Mapped[str | None]
    is_super_admin: Mapped[bool] = mapped_column(default=False)
    password_hash: Mapped[str | None]  # argon2id
    # Whether the user has collapsed these sections of the sidebar.
    pinned_boards_collapsed: Mapped[bool] = mapped_column(default=False, server_default="false")
    recent_boards_collapsed: Mapped[bool] = mapped_column(default=False, server_default="false")
    active_organization_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("organizations.id", ondelete="SET NULL"), index=True
    )
    # The removal that moved them to another organization, until a page has said so.
    unread_removal_event_id: Mapped[UUID | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    @property
    def display_name(self) -> str:
        """The name that other users see."""
        return self.preferred_name or self.name or "User"


USER_NAME_COLUMNS = ("id", "name", "preferred_name")
"""The columns that are needed for the display name of a user, in statements that choose columns."""

USER_NAME = func.coalesce(func.nullif(User.preferred_name, ""), func.nullif(User.name, ""), "User")
"""Selects the display name of a user."""


class SignIn(Base):
    """A session of a user in a browser."""

    __tablename__ = "sign_ins"

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    user: Mapped[User] = relationship(lazy="raise")
    secret_hash: Mapped[str] = mapped_column(unique=True)  # SHA-256 of the cookie, in hex
    user_agent: Mapped[str | None]
    ip: Mapped[str | None]
    created_at: Mapped[datetime]
    authenticated_at: Mapped[datetime]  # when the user last proved who they are
    last_seen_at: Mapped[datetime]
    expires_at: Mapped[datetime]


class TokenScope(StrEnum):
    """What a token of a user may do. The values are part of the API."""

    READ = "read"
    NO_DECISIONS = "no_decisions"  # everything but decisions, policies, and who may decide
    WRITE = "write"  # includes reading


class ApiToken(Base):
    """A token with which a user's script calls the API as that user."""

    __tablename__ = "api_tokens"

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    user: Mapped[User] = relationship(lazy="raise")
    name: Mapped[str]
    prefix: Mapped[str] = mapped_column(index=True)
    secret_hash: Mapped[str]  # SHA-256 of the token, in hex
    scope: Mapped[TokenScope] = mapped_column(default=TokenScope.WRITE)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]  # None: it does not expire
    last_used_at: Mapped[datetime | None]


class RevokedApiToken(Base):
    """A token that was revoked; kept for a time, so that its use can be explained."""

    __tablename__ = "revoked_api_tokens"

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    secret_hash: Mapped[str] = mapped_column(unique=True)  # SHA-256 of the token, in hex
    expires_at: Mapped[datetime] = mapped_column(index=True)


class PasswordLink(Base):
    """The link by which a user who cannot sign in sets another password; one for each user."""

    __tablename__ = "password_links"

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), unique=True)
    secret_hash: Mapped[str] = mapped_column(unique=True)  # SHA-256, in hex
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)


class FirstRunLink(Base):
    """The link by which the first owner registers. Once it is used, no other is created."""

    __tablename__ = "first_run_links"

    secret_hash: Mapped[str] = mapped_column(unique=True)  # SHA-256, in hex
    created_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class ExternalIdentity(Base):
    """An account at a provider. Issuer and subject together identify one user for ever."""

    __tablename__ = "external_identities"
    __table_args__ = (UniqueConstraint("issuer", "subject"),)

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    user: Mapped[User] = relationship(lazy="raise")
    issuer: Mapped[str]
    subject: Mapped[str]
    created_at: Mapped[datetime]


class PendingSignIn(Base):
    """A sign-in in progress: the browser was redirected to the provider and may come back once.

    If the provider's account must not be connected to an existing user yet, issuer, subject and
    e-mail are stored here until that user enters their password.
    """

    __tablename__ = "pending_sign_ins"

    state_hash: Mapped[str] = mapped_column(unique=True)  # SHA-256, in hex
    browser_hash: Mapped[str] = mapped_column(index=True)  # SHA-256 of the browser's cookie, in hex
    nonce: Mapped[str]
    code_verifier: Mapped[str]
    next: Mapped[str]  # the path to redirect to afterwards
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    used_at: Mapped[datetime | None]
    issuer: Mapped[str | None]
    subject: Mapped[str | None]
    email: Mapped[str | None]


class FailedAttempts(Base):
    """The failed attempts of one account, credential, device or network.

    The table is not logged: after a crash of the database the counts are empty, which does no harm.
    """

    __tablename__ = "failed_attempts"
    __table_args__ = ({"prefixes": ["UNLOGGED"]},)

    key_hash: Mapped[str] = mapped_column(unique=True)  # SHA-256 of what is counted, in hex
    level: Mapped[float]  # failures; it decreases over time
    updated_at: Mapped[datetime] = mapped_column(index=True)
    next_at: Mapped[datetime]  # when the next attempt above the limit may be verified
