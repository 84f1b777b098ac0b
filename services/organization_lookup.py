"""In which other organization of a user an object is that the open one does not have.

Only what the user could read there is found, so that an address reveals nothing to others.
"""

from collections.abc import Mapping
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Select, Uuid, and_, bindparam, or_, select

from core.db.reads import Query, Source
from models import Agent, Approval, Gateway, Member, Organization, Role, Task
from services import boards


class OtherOrganization(NamedTuple):
    """An organization to which the user can switch."""

    id: UUID
    name: str


OBJECT_ID = bindparam("object_id", type_=Uuid())
IS_ADMIN = Member.role.in_((Role.OWNER, Role.ADMIN))
READABLE = boards.USER_BOARDS.subquery()
GROUPS = boards.VISIBLE_GROUPS.subquery()


def _of_boards() -> Select[UUID]:
    return select(READABLE.c.organization_id).where(READABLE.c.id == OBJECT_ID, READABLE.c.reads)


def _on_boards(model: type[Task | Approval]) -> Select[UUID]:
    query = select(READABLE.c.organization_id).join(model, model.board_id == READABLE.c.id)
    return query.where(model.id == OBJECT_ID, READABLE.c.reads)


def _of_agents() -> Select[UUID]:
    member = and_(
        Member.organization_id == Agent.organization_id, Member.user_id == bindparam("user_id")
    )
    query = select(Agent.organization_id).join(Member, member)
    query = query.outerjoin(READABLE, READABLE.c.id == Agent.board_id)
    may_read = or_(READABLE.c.reads, Agent.board_id.is_(None) & IS_ADMIN)
    return query.where(Agent.id == OBJECT_ID, may_read)


def _of_gateways() -> Select[UUID]:
    query = select(Gateway.organization_id)
    query = query.join(Member, Member.organization_id == Gateway.organization_id)
    return query.where(Gateway.id == OBJECT_ID, Member.user_id == bindparam("user_id"), IS_ADMIN)


def _build_query(ids: Select[UUID]) -> Query[OtherOrganization]:
    query = select(Organization.id, Organization.name).where(Organization.id.in_(ids))
    return Query(query, OtherOrganization._make)


ORGANIZATIONS: Mapping[str, Query[OtherOrganization]] = {
    "task_id": _build_query(_on_boards(Task)),
    "board_id": _build_query(_of_boards()),
    "approval_id": _build_query(_on_boards(Approval)),
    "agent_id": _build_query(_of_agents()),
    "group_id": _build_query(
        select(GROUPS.c.organization_id).where(GROUPS.c.id == OBJECT_ID, GROUPS.c.reads)
    ),
    "gateway_id": _build_query(_of_gateways()),
}
"""By the parameter of an address: the most precise ones come first."""


async def find_other_organization(
    source: Source, member: Member, parameters: Mapping[str, object]
) -> OtherOrganization | None:
    """Return the user's other organization in which they can read the object of an address."""
    name = next((name for name in ORGANIZATIONS if name in parameters), None)
    if name is None:
        return None
    found = await ORGANIZATIONS[name].first(
        source, object_id=parameters[name], user_id=member.user_id
    )
    return found if found is not None and found.id != member.organization_id else None
