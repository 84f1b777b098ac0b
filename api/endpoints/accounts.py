"""The user's own account."""

from uuid import UUID

from api.framework.dependencies import active_membership
from api.framework.fields import Ok, ResponseModel
from api.framework.operation import USER, Operation, error_responses, reads_only
from api.framework.request_context import RequestContext
from core.json_responses import Encoded, build_encoder
from models import Member
from services import identity
from services.identity import UserUpdate


class UserRead(ResponseModel):
    """A user, as returned to that user."""

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


encode_user = build_encoder(UserRead)


async def bootstrap_user(context: RequestContext, member: Member) -> Encoded[UserRead]:
    """Return the calling user. Creates the user's first organization if there is none yet."""
    return Encoded(encode_user(member.user))


@reads_only
async def get_me(context: RequestContext, member: Member) -> Encoded[UserRead]:
    """Return the calling user."""
    return Encoded(encode_user(member.user))


async def update_me(context: RequestContext, body: UserUpdate) -> Encoded[UserRead]:
    """Change the calling user's profile."""
    changed = await identity.update_profile(context.session, context.user, body)
    return Encoded(encode_user(changed))


@error_responses(403, 409)
async def delete_me(context: RequestContext) -> Ok:
    """Delete the calling user's account: sign-ins, tokens, memberships and unshared data.

    Organizations without other members are deleted with everything in them. One that has boards
    must be deleted on its page first: 403 `recent_sign_in_required`. The only owner of an
    organization with other members must first make another member an owner, or delete it.
    """
    await identity.delete_account(context.session, context.user, may_delete_boards=False)
    return Ok()


OPERATIONS = [
    Operation("POST", "/auth/bootstrap", bootstrap_user, USER, ["auth"], active_membership),
    Operation("GET", "/users/me", get_me, USER, ["users"], active_membership),
    Operation("PATCH", "/users/me", update_me, USER, ["users"]),
    Operation("DELETE", "/users/me", delete_me, USER, ["users"]),
]
