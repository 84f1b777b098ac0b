"""Rows of organizations, members, and what users and agents sign in with."""

from datetime import timedelta
from typing import Any

from core.clock import now
from core.security.secrets import hash_token, token_prefix
from models import (
    Agent,
    AgentToken,
    ApiToken,
    Board,
    BoardAccess,
    Invite,
    Member,
    Organization,
    Role,
    SignIn,
    User,
    new_id,
)


def cookie_secret(user: User) -> str:
    """Return the secret in the session cookie of a user."""
    return f"the cookie of {user.id}"


def token_secret(caller: User | Agent) -> str:
    """Return the API token of a user or an agent."""
    kind = "agent" if isinstance(caller, Agent) else "user"
    name = str(caller.name).replace(" ", "-")
    return f"mc_{kind}_{name}-the-token-of"  # a token is found by its first characters


def make_organization(name: str) -> Organization:
    return Organization(id=new_id(), name=name, created_at=now(), updated_at=now())


def make_user(name: str, active: Organization | None = None, **fields: Any) -> User:
    return User(
        id=new_id(),
        clerk_user_id=f"user-{name.lower()}",
        name=name,
        email=f"{name.lower()}@example.com",
        active_organization_id=active.id if active else None,
        created_at=now(),
        updated_at=now(),
        **fields,
    )


def make_member(organization: Organization, user: User, **fields: Any) -> Member:
    return Member(
        id=new_id(),
        **({"organization": organization, "user": user, "role": Role.MEMBER} | fields),
        created_at=now(),
        updated_at=now(),
    )


def make_board_access(member: Member, board: Board, *, can_write: bool = False) -> BoardAccess:
    return BoardAccess(
        member=member,
        organization_member_id=member.id,
        board_id=board.id,
        can_read=True,
        can_write=can_write,
        created_at=now(),
        updated_at=now(),
    )


def make_invite(organization: Organization, email: str, token: str = "", **fields: Any) -> Invite:
    defaults = {"id": new_id(), "role": Role.MEMBER, "expires_at": now() + timedelta(days=14)}
    return Invite(
        organization_id=organization.id,
        invited_email=email,
        token_hash=hash_token(token or f"the invitation of {email}"),
        created_at=now(),
        updated_at=now(),
        **(defaults | fields),
    )


def make_sign_in(user: User) -> SignIn:
    return SignIn(
        id=new_id(),
        user=user,
        secret_hash=hash_token(cookie_secret(user)),
        created_at=now(),
        authenticated_at=now(),
        last_seen_at=now(),
        expires_at=now().replace(year=now().year + 1, day=1),
    )


def make_api_token(user: User) -> ApiToken:
    token = token_secret(user)
    return ApiToken(
        user=user,
        name="script",
        prefix=token_prefix(token),
        secret_hash=hash_token(token),
        created_at=now(),
    )


def make_agent_token(agent: Agent, token: str | None = None) -> AgentToken:
    token = token or token_secret(agent)
    return AgentToken(
        agent_id=agent.id,
        prefix=token_prefix(token),
        secret_hash=hash_token(token),
        created_at=now(),
        first_used_at=now(),
    )
