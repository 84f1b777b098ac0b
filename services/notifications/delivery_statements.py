"""Statements of deliveries: what is due, with the names that its message needs."""

from datetime import UTC, datetime
from functools import cache
from operator import itemgetter
from typing import NamedTuple

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    DateTime,
    Integer,
    String,
    Uuid,
    bindparam,
    exists,
    func,
    literal,
    or_,
    select,
    type_coerce,
)
from sqlalchemy.orm import aliased

from core.db.listen import CHANNEL
from core.db.reads import Query
from models import (
    Agent,
    Board,
    BoardAccess,
    DeliveryState,
    Member,
    Notification,
    NotificationChannel,
    NotificationDelivery,
    NotificationKind,
    Organization,
    Role,
    User,
)
from services.notifications.creation import DELIVERY_TOPIC
from services.notifications.escalations import next_escalation_query
from services.notifications.queries import IS_ABOUT_ALL, IS_FOR_ADMINS

OPEN_STATES = (DeliveryState.QUEUED, DeliveryState.SENDING)


def _is_visible() -> ColumnElement[bool]:
    """Match notifications that their user may still see."""
    member, access, of_group = aliased(Member), aliased(BoardAccess), aliased(BoardAccess)
    in_group = (
        select(of_group.id)
        .join(Board, Board.id == of_group.board_id)
        .where(
            Board.board_group_id == Notification.board_group_id,
            of_group.organization_member_id == member.id,
            or_(of_group.can_read, of_group.can_write),
        )
    )
    reads = or_(
        IS_ABOUT_ALL,
        member.all_boards_read,
        member.all_boards_write,
        access.can_read,
        access.can_write,
        exists(in_group.correlate(Notification, member)),
    )
    membership = (
        select(member.id)
        .outerjoin(
            access,
            (access.organization_member_id == member.id)
            & (access.board_id == Notification.board_id),
        )
        .where(
            member.user_id == Notification.user_id,
            member.organization_id == Notification.organization_id,
            reads,
            or_(member.role.in_((Role.OWNER, Role.ADMIN)), ~IS_FOR_ADMINS),
        )
    )
    return or_(
        Notification.kind == NotificationKind.INVITATION,
        exists(membership.correlate(Notification)),
    )


_IS_NEEDED = or_(
    Notification.id.is_(None),
    Notification.resolved_at.is_(None)
    & or_(Notification.read_at.is_(None), Notification.read_at <= Notification.created_at)
    & _is_visible(),
) & NotificationChannel.paused_at.is_(None)
"""Nobody has read or resolved it. What is switched off in the application is read at once."""


def _is_of_admin() -> ColumnElement[bool]:
    """Match the channels of admins."""
    admin = select(Member.id).where(
        Member.user_id == NotificationChannel.user_id,
        Member.organization_id == NotificationChannel.organization_id,
        Member.role.in_((Role.OWNER, Role.ADMIN)),
    )
    return exists(admin.correlate(NotificationChannel))


class DueRow(NamedTuple):
    """A delivery that is due, with what its message needs."""

    delivery: NotificationDelivery
    channel: NotificationChannel
    user: User
    notification: Notification | None
    organization_name: str | None
    board_name: str | None
    actor_name: str | None
    is_needed: bool
    is_admin: bool  # the user, in the organization of the channel


def _due_query() -> Query[DueRow]:
    actor = aliased(User)
    query = (
        select(
            NotificationDelivery,
            NotificationChannel,
            User,
            Notification,
            Organization.name,
            Board.name,
            func.coalesce(actor.preferred_name, actor.name, Agent.name),
            _IS_NEEDED,
            _is_of_admin(),
        )
        .join(NotificationChannel, NotificationChannel.id == NotificationDelivery.channel_id)
        .join(User, User.id == NotificationChannel.user_id)
        .outerjoin(Notification, Notification.id == NotificationDelivery.notification_id)
        .outerjoin(Organization, Organization.id == Notification.organization_id)
        .outerjoin(Board, Board.id == Notification.board_id)
        .outerjoin(actor, actor.id == Notification.actor_user_id)
        .outerjoin(Agent, Agent.id == Notification.actor_agent_id)
        .where(
            NotificationDelivery.state.in_(OPEN_STATES),
            NotificationDelivery.next_attempt_at <= bindparam("at", type_=DateTime(timezone=True)),
            NotificationDelivery.id != func.all(bindparam("busy", type_=ARRAY(Uuid()))),
            User.id != func.all(bindparam("busy_users", type_=ARRAY(Uuid()))),
            NotificationChannel.organization_id
            != func.all(bindparam("busy_organizations", type_=ARRAY(Uuid()))),
            type_coerce(NotificationChannel.kind, String)
            != func.all(bindparam("busy_kinds", type_=ARRAY(String()))),
        )
        .order_by(NotificationDelivery.next_attempt_at, NotificationDelivery.id)
        .limit(bindparam("limit", type_=Integer()))
        .with_for_update(of=NotificationDelivery, skip_locked=True)
        .execution_options(populate_existing=True)
    )
    return Query(query, DueRow._make)


DUE_DELIVERIES = _due_query()

_LONG_AGO = literal(datetime(2000, 1, 1, tzinfo=UTC))  # due at once, whatever the clocks say


@cache
def build_next_due_query() -> Query[datetime | None]:
    """Build the query of when a notification has to be planned, sent or escalated next."""
    planned = select(_LONG_AGO).where(exists().where(Notification.planned_at.is_(None)))
    attempts = select(func.min(NotificationDelivery.next_attempt_at))
    attempts = attempts.where(NotificationDelivery.state.in_(OPEN_STATES))
    due = (planned.scalar_subquery(), attempts.scalar_subquery(), next_escalation_query())
    return Query(select(func.least(*due)), itemgetter(0))


LOCKED_DELIVERIES: Query[NotificationDelivery] = Query(
    select(NotificationDelivery)
    .where(NotificationDelivery.id == func.any(bindparam("ids", type_=ARRAY(Uuid()))))
    .order_by(NotificationDelivery.id)
    .with_for_update()
    .execution_options(populate_existing=True),
    itemgetter(0),
)

LOCKED_CHANNEL: Query[NotificationChannel] = Query(
    select(NotificationChannel)
    .where(NotificationChannel.id == bindparam("channel_id"))
    .with_for_update()
    .execution_options(populate_existing=True),
    itemgetter(0),
)

WAKE_WORKERS: Query[object] = Query(select(func.pg_notify(CHANNEL, literal(DELIVERY_TOPIC))))
