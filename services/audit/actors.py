"""Who acts, for the audit context, and who may read the audit of the installation."""

from uuid import UUID

from sqlalchemy import select

from core.audit_context import update_audit_context
from core.db.reads import Query, Source
from core.errors import Forbidden
from core.text import N_
from models import Actor, Agent, Member, Organization, Role, User


def identify_actor(actor: Actor | None) -> None:
    """Set the actor of the changes in this task. None: a caller without an account."""
    if actor is None:
        update_audit_context(actor_kind="anonymous", actor_id=None, actor_name=None)
    elif isinstance(actor, Agent):
        update_audit_context(
            actor_kind="agent",
            actor_id=actor.id,
            actor_name=actor.name,
            organization_id=actor.organization_id,
        )
    else:
        _identify_user(actor)


def use_credential(kind: str, id: UUID | str | None = None) -> None:
    """Set the credential with which the caller was authenticated: see `AuditContext`."""
    update_audit_context(credential=kind, credential_id=None if id is None else str(id))


def _identify_user(user: User) -> None:
    update_audit_context(
        actor_kind="user",
        actor_id=user.id,
        actor_name=user.display_name,
        organization_id=user.active_organization_id,
    )


async def find_first_organization_id(source: Source) -> UUID | None:
    """Return the oldest organization, whose owners operate the installation."""
    found = await FIRST_ORGANIZATION_ID.first(source)
    return found[0] if found else None


FIRST_ORGANIZATION_ID: Query[tuple[UUID]] = Query(
    select(Organization.id)
    .where(Organization.is_demo.is_(False))
    .order_by(Organization.created_at, Organization.id)
    .limit(1)
)


async def may_read_installation(source: Source, member: Member) -> bool:
    """Return whether a member may read the audit of the installation."""
    is_owner = member.role is Role.OWNER
    return is_owner and member.organization_id == await find_first_organization_id(source)


async def require_installation_reader(source: Source, member: Member) -> None:
    """Raise Forbidden unless the member is an owner of the first organization."""
    if not await may_read_installation(source, member):
        reason = N_(
            "Only an owner of the first organization can read the audit of the installation."
        )
        raise Forbidden("installation_owner_required", reason)
