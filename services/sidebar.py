"""Load what every page shows beside its content, in two statements."""

from collections.abc import Sequence
from dataclasses import dataclass
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
from core.db.reads import Query, Source
from models import (
    Agent,
    Board,
    BoardGroup,
    Event,
    EventType,
    Gateway,
    Member,
    OnboardingSession,
    Organization,
    ReadKind,
    ReadMarker,
)
from services import (
    approvals,
    boards,
    gateways,
    messages,
    notifications,
    onboarding,
    presence,
    waiting_counts,
)

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
    waiting_count: int  # items that wait for the user: see services/waiting_counts.py
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
    other_waiting_count: int  # gateway requests without a board that the user can answer
    held_agent_ids: Sequence[UUID]  # agents that the user can release, the longest held first
    has_open_onboardings: bool
    unread_count: int  # notifications


async def load_sidebar(source: Source, member: Member) -> SidebarData:
    """Load the sidebar of a member. Events after `last_seq` are not included."""
    parameters = {"organization_id": member.organization_id, "user_id": member.user_id}
    row = await TOTALS.first(source, is_admin=member.is_admin, **parameters)
    assert row is not None
    last_seq, organizations, *counts, held_ids, has_open_onboardings, unread_count = row
    since = max(member.created_at, now() - presence.MAX_UNREAD_AGE)
    return SidebarData(
        last_seq or 0,
        await BOARDS.fetch(source, unread_since=since, **parameters),
        [OrganizationRef(UUID(id), name) for id, name in organizations],
        *counts,
        held_ids or (),
        has_open_onboardings,
        unread_count,
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


def _build_boards_query() -> Query[SidebarBoard]:
    visible = boards.MEMBER_BOARDS.subquery()
    query = (
        select(
            Board.id,
            Board.name,
            Board.paused_at.is_not(None),
            visible.c.writes,
            waiting_counts.board_count_query(Board.id, visible.c.writes),
            approvals.count_own_first_approvals(Board.id),
            _count(Agent, Agent.board_id == Board.id, *boards.online_conditions()),
            _count(Agent, Agent.board_id == Board.id),
            _has_unread_comments(),
            BoardGroup.name,
        )
        .join(visible, visible.c.id == Board.id)
        .outerjoin(BoardGroup, BoardGroup.id == Board.board_group_id)
        .where(visible.c.reads)
        .order_by(*boards.BY_NAME)
    )
    return Query(query, SidebarBoard._make)


def _build_totals_query() -> Query[Sequence[Any]]:
    own_gateways = Gateway.organization_id == ORGANIZATION_ID
    is_down = Gateway.checks.contains([{"state": gateways.CHECK_FAILED}])
    last_seq = select(func.max(Event.seq)).where(Event.organization_id == ORGANIZATION_ID)
    pair = func.jsonb_build_array(Organization.id, Organization.name)
    by_name = aggregate_order_by(pair, func.lower(Organization.name), Member.id)
    memberships = select(func.jsonb_agg(by_name)).select_from(Member).join(Member.organization)
    oldest_first = aggregate_order_by(Agent.id, Agent.held_at, Agent.id)
    held = select(func.array_agg(oldest_first)).where(
        Agent.organization_id == ORGANIZATION_ID, messages.IS_HELD_BY_BREAKER
    )
    open_conversations = (
        select(OnboardingSession.id)
        .join(Board, Board.id == OnboardingSession.board_id)
        .where(
            Board.organization_id == ORGANIZATION_ID,
            OnboardingSession.status.in_(onboarding.OPEN_STATUSES),
        )
    )
    query = select(
        last_seq.scalar_subquery(),
        memberships.where(Member.user_id == USER_ID).scalar_subquery(),
        case((IS_ADMIN, _count(Gateway, own_gateways)), else_=0),
        case((IS_ADMIN, _count(Gateway, own_gateways, is_down)), else_=0),
        case((IS_ADMIN, waiting_counts.other_count_query()), else_=0),
        case((IS_ADMIN, held.scalar_subquery())),
        open_conversations.exists(),
        notifications.unread_count_query(),
    )
    return Query(query)


BOARDS = _build_boards_query()
TOTALS = _build_totals_query()
