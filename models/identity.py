"""Accounts of users at an OpenID Connect provider, and sign-ins in progress."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from models.base import Base
from models.user import User


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
