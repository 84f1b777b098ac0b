"""Load what every page shows beside its content, in two statements."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    Boolean,
    ColumnElement,
    DateTime,
    ScalarSelect,
    Uuid,
    bindparam,
    case,
    func,
    select,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by

from core.clock import now
from core.db.reads import CombinedQuery, Query, Source
from models import (
    Agent,
    Board,
    BoardGroup,
    Event,
    EventType,
    Gateway,
    Member,
    Organization,
    ReadKind,
    ReadMarker,
)
from services import (
    agents,
    approvals,
    boards,
    gateway_status,
    notifications,
    presence,
    waiting_counts,
)
from services.waiting_counts import WaitingCounts

ORGANIZATION_ID = bindparam("organization_id", type_=Uuid())
USER_ID = bindparam("user_id", type_=Uuid())
UNREAD_SINCE = bindparam("unread_since", type_=DateTime(timezone=True))
IS_ADMIN = bindparam("is_admin", type_=Boolean())


class SidebarBoard(NamedTuple):
    """A board that the user may read, with the numbers that the sidebar shows."""

    id: UUID
    name: str
    is_paused: bool
    can_write: bool
    own_first_approval_count: int  # undecided approvals that the user approved as the first of two
    online_agent_count: int
    agent_count: int
    has_unread: bool  # unread comments of others
    group_name: str | None


class OrganizationRef(NamedTuple):
    """An organization of the user."""

    id: UUID
    name: str


@dataclass(frozen=True)
class SidebarData:
    """What the sidebar shows. `last_seq` is the number of the organization's last event."""

    last_seq: int
    boards: Sequence[SidebarBoard]
    organizations: Sequence[OrganizationRef]
    gateway_count: int
    failed_gateway_count: int
    unread_count: int  # notifications
    waiting: WaitingCounts


async def load_sidebar(
    source: Source, member: Member, *, offline_after: timedelta = agents.OFFLINE_AFTER
) -> SidebarData:
    """Load the sidebar of a member. Events after `last_seq` are not included.

    Runs two statements, and a third one if there are open onboardings.
    """
    parameters: dict[str, Any] = {
        "organization_id": member.organization_id,
        "user_id": member.user_id,
    }
    row = await TOTALS.first(source, is_admin=member.is_admin, **parameters)
    assert row is not None
    last_seq, organizations, gateway_count, failed_gateway_count, unread_count = row
    at = now()
    since = max(member.created_at, at - presence.MAX_UNREAD_AGE)
    parameters |= {"agents_at": at, "offline_after": offline_after}
    query = _build_boards_query(is_admin=member.is_admin)
    shown, *counts = await query.fetch(source, unread_since=since, **parameters)
    return SidebarData(
        last_seq or 0,
        shown,
        [OrganizationRef(UUID(id), name) for id, name in organizations],
        gateway_count,
        failed_gateway_count,
        unread_count,
        await waiting_counts.build_waiting_counts(source, counts),
    )


def _count(model: type[Any], *conditions: ColumnElement[bool]) -> ScalarSelect[int]:
    return select(func.count()).select_from(model).where(*conditions).scalar_subquery()


def _has_unread_comments() -> ColumnElement[bool]:
    """Select whether the board has comments of others after the user's markers.

    A comment is read if the board as a whole or its task was marked as read after it.
    """
    of_user = (ReadMarker.user_id == USER_ID) & (ReadMarker.kind == ReadKind.COMMENTS)

    def seen_seq(task: ColumnElement[bool]) -> ColumnElement[int]:
        marker = select(ReadMarker.seen_seq).where(of_user, ReadMarker.board_id == Board.id, task)
        return func.coalesce(marker.correlate(Board, Event).scalar_subquery(), 0)

    unread = select(Event.id).where(
        Event.board_id == Board.id,
        Event.type == EventType.TASK_COMMENT,
        Event.user_id.is_distinct_from(USER_ID),
        Event.created_at >= UNREAD_SINCE,
        Event.seq > seen_seq(ReadMarker.task_id.is_(None)),
        Event.seq > seen_seq(ReadMarker.task_id == Event.task_id),
    )
    return unread.correlate(Board).exists()


@cache
def _build_boards_query(*, is_admin: bool) -> CombinedQuery:
    visible = boards.MEMBER_BOARDS.subquery()
    query = (
        select(
            Board.id,
            Board.name,
            Board.paused_at.is_not(None),
            visible.c.writes,
            approvals.count_own_first_approvals(Board.id),
            agents.build_online_count(),
            _count(Agent, Agent.board_id == Board.id),
            _has_unread_comments(),
            BoardGroup.name,
        )
        .join(visible, visible.c.id == Board.id)
        .outerjoin(BoardGroup, BoardGroup.id == Board.board_group_id)
        .where(visible.c.reads)
        .order_by(*boards.BY_NAME)
    )
    listed = Query(query, SidebarBoard._make)
    return CombinedQuery(listed, *waiting_counts.list_count_queries(is_admin=is_admin))


def _build_totals_query() -> Query[Sequence[Any]]:
    own_gateways = Gateway.organization_id == ORGANIZATION_ID
    is_down = Gateway.checks.contains([{"state": gateway_status.CHECK_FAILED}])
    last_seq = select(func.max(Event.seq)).where(Event.organization_id == ORGANIZATION_ID)
    pair = func.jsonb_build_array(Organization.id, Organization.name)
    by_name = aggregate_order_by(pair, func.lower(Organization.name), Member.id)
    memberships = select(func.jsonb_agg(by_name)).select_from(Member).join(Member.organization)
    query = select(
        last_seq.scalar_subquery(),
        memberships.where(Member.user_id == USER_ID).scalar_subquery(),
        case((IS_ADMIN, _count(Gateway, own_gateways)), else_=0),
        case((IS_ADMIN, _count(Gateway, own_gateways, is_down)), else_=0),
        notifications.unread_count_query(),
    )
    return Query(query)


TOTALS = _build_totals_query()
