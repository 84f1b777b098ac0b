"""One's own user, as JSON (contract, people-and-boards 3.1 and 3.2)."""

from uuid import UUID

from api.fields import Answer, Changes, Ok, Short, Text
from api.operations import Call, may_answer
from models import Member
from services import accounts, users


class UserRead(Answer):
    """A person, as they see themselves."""

    id: UUID
    clerk_user_id: str
    email: str | None
    name: str | None
    preferred_name: str | None
    pronouns: str | None
    timezone: str | None
    notes: str | None
    context: str | None
    is_super_admin: bool


class UserUpdate(Changes):
    """What one may change of oneself; null empties a field."""

    name: Short | None = None
    preferred_name: Short | None = None
    pronouns: Short | None = None
    timezone: Short | None = None
    notes: Text | None = None
    context: Text | None = None


async def bootstrap_user(call: Call, member: Member) -> UserRead:
    """Say who is calling, and make their first organization if they have none yet."""
    return UserRead.model_validate(member.user)


async def get_me(call: Call, member: Member) -> UserRead:
    """Say who is calling."""
    return UserRead.model_validate(member.user)


async def update_me(call: Call, body: UserUpdate) -> UserRead:
    """Change one's own profile."""
    return UserRead.model_validate(
        await users.change_profile(call.session, call.user, body.changes())
    )


@may_answer(409)
async def delete_me(call: Call) -> Ok:
    """Delete one's own account: sign-ins, tokens, memberships, and what nobody else shares.

    Organizations in which nobody else is are deleted with everything in them. Whoever is the only
    owner of one with other members makes somebody else an owner first, or deletes it.
    """
    await accounts.close(call.session, call.user)
    return Ok()
