"""Stop and resume all agents of an organization (docs/decisions/stopping-agents.md)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import Annotated
from uuid import UUID

from pydantic import StringConstraints
from sqlalchemy import ColumnElement, bindparam, select, true
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.reads import Query
from core.errors import Conflict, NotFound
from core.fields import FieldKind, Fields, Label
from core.text import N_
from models import Agent, EventType, Member, Organization, User
from services import desired_state, events, messages
from services.organizations.locks import lock_organization_row
from services.organizations.rules import require_admin

COMMAND_LINE = "the command line"


class AgentStopCreate(Fields):
    """A stop of all agents."""

    example = {"reason": "The importer deletes the wrong rows."}

    reason: Annotated[
        Annotated[str, StringConstraints(max_length=500)] | None,
        Label(N_("Reason"), FieldKind.LINE),
    ] = None


@dataclass(frozen=True)
class AgentStop:
    """Since when the agents of an organization are stopped, by whom, and why."""

    stopped_at: datetime
    user_id: UUID | None  # None: by the command line
    stopped_by: str
    reason: str | None

    @classmethod
    def find_in(cls, organization: Organization) -> "AgentStop | None":
        """Return the stop of a loaded organization; None if its agents may work."""
        if organization.stopped_at is None:
            return None
        user_id, name = organization.stopped_by_user_id, organization.stopped_by
        return cls(organization.stopped_at, user_id, name or COMMAND_LINE, organization.stop_reason)

    @property
    def error(self) -> Conflict:
        """The error for work that has to wait until the agents are resumed."""
        return Conflict(
            "organization_stopped",
            N_("All agents were stopped by %(stopped_by)s. Wait until a person resumes them."),
            stopped_by=self.stopped_by,
            stopped_at=self.stopped_at,
            reason=self.reason,
            sent_as="object",
        )


SHARED_ORGANIZATION: Query[Organization] = Query(
    select(Organization)
    .where(Organization.id == bindparam("organization_id"))
    .with_for_update(read=True)
    .execution_options(populate_existing=True),
    itemgetter(0),
)


async def require_not_stopped(session: AsyncSession, organization_id: UUID) -> None:
    """Raise Conflict if the agents of an organization are stopped; otherwise prevent a stop.

    No stop can begin before the commit.
    """
    organization = await SHARED_ORGANIZATION.first(session, organization_id=organization_id)
    assert organization is not None
    stop = AgentStop.find_in(organization)
    if stop is not None:
        raise stop.error


async def stop_agents(session: AsyncSession, member: Member, fields: AgentStopCreate) -> AgentStop:
    """Stop all agents of the member's organization. A stop that exists is returned unchanged.

    Raises Forbidden unless the member is an admin.
    """
    require_admin(member)
    await _lock_agents(session, Organization.id == member.organization_id)
    organization = await lock_organization_row(session, member.organization_id)
    await _stop(session, organization, member.user, fields.reason)
    stop = AgentStop.find_in(organization)
    assert stop is not None
    return stop


async def resume_agents(session: AsyncSession, member: Member) -> None:
    """Resume the agents of the member's organization. Messages that were held are delivered.

    Raises Forbidden unless the member is an admin.
    """
    require_admin(member)
    await _lock_agents(session, Organization.id == member.organization_id)
    organization = await lock_organization_row(session, member.organization_id)
    await _resume(session, organization, member.user)


async def stop_all_agents(
    session: AsyncSession, fields: AgentStopCreate, *, name: str | None
) -> list[str]:
    """Stop the agents of all organizations, or of those with this name, without a member.

    Returns the names of the organizations. Raises NotFound if there is none.
    """
    found = await _lock_all(session, name)
    for organization in found:
        await _stop(session, organization, None, fields.reason)
    return [organization.name for organization in found]


async def resume_all_agents(session: AsyncSession, *, name: str | None) -> list[str]:
    """Resume the agents of all organizations, or of those with this name, without a member.

    Returns the names of the organizations that were stopped. Raises NotFound if there is none.
    """
    found = await _lock_all(session, name)
    stopped = [one for one in found if one.stopped_at is not None]
    for organization in stopped:
        await _resume(session, organization, None)
    return [organization.name for organization in stopped]


async def _stop(
    session: AsyncSession, organization: Organization, user: User | None, reason: str | None
) -> None:
    if organization.stopped_at is not None:
        return
    organization.stopped_at = organization.updated_at = now()
    organization.stopped_by_user_id = user.id if user else None
    organization.stopped_by = user.display_name if user else COMMAND_LINE
    organization.stop_reason = reason
    await session.flush()
    await desired_state.request_sync(session, Agent.organization_id == organization.id)
    data: dict[str, object] = {
        "name": organization.name,
        "by": organization.stopped_by,
        "reason": reason or "",
    }
    await events.record_event(
        session, EventType.ORGANIZATION_STOPPED, user, organization_id=organization.id, data=data
    )


async def _resume(session: AsyncSession, organization: Organization, user: User | None) -> None:
    if organization.stopped_at is None:
        return
    since = organization.stopped_at
    organization.stopped_at = organization.stopped_by_user_id = None
    organization.stopped_by = organization.stop_reason = None
    organization.updated_at = now()
    await session.flush()
    await desired_state.request_sync(session, Agent.organization_id == organization.id)
    data = {"name": organization.name, "by": user.display_name if user else COMMAND_LINE}
    resumed = events.NewEvent(
        EventType.ORGANIZATION_RESUMED, user, organization_id=organization.id, data=data
    )
    is_free = (Agent.organization_id == organization.id) & Agent.held_at.is_(None)
    held = await messages.release_messages(session, is_free, since)
    await events.record_events(session, [resumed, *held])


async def _lock_all(session: AsyncSession, name: str | None) -> Sequence[Organization]:
    has_name = Organization.name == name if name is not None else true()
    await _lock_agents(session, has_name)
    query = select(Organization).where(has_name).order_by(Organization.id)
    query = query.with_for_update(key_share=True).execution_options(populate_existing=True)
    found = (await session.scalars(query)).all()
    if not found:
        raise NotFound("organization_not_found", N_("There is no such organization."))
    return found


async def _lock_agents(session: AsyncSession, where: ColumnElement[bool]) -> None:
    """Lock the agents that are synced, before their organizations."""
    is_inside = Agent.organization_id.in_(select(Organization.id).where(where))
    await desired_state.lock_agents(session, desired_state.IS_RUNNING & is_inside)
