"""Database operations of deliveries: claim what is due, and record the results.

Each function is one short transaction; the receiver is called between them. So a delivery can be
interrupted at any point, and the next process repeats it with the same id.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from operator import itemgetter
from typing import NamedTuple
from uuid import UUID

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
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from core.clock import now
from core.db.reads import Query, Source
from models import (
    Agent,
    Board,
    BoardAccess,
    ChannelKind,
    DeliveryState,
    Member,
    Notification,
    NotificationChannel,
    NotificationDelivery,
    NotificationKind,
    Organization,
    Role,
    User,
    build_encryption_context,
)
from services.notifications.creation import DELIVERY_TOPIC, NewNotification, notify
from services.notifications.escalations import next_escalation_query
from services.notifications.queries import is_about_all, is_for_admins
from services.notifications.resolution import resolve
from services.outbox import Outbox, is_outdated, wake_workers

OUTBOX = Outbox(
    NotificationDelivery,
    claim_duration=timedelta(seconds=90),  # longer than an attempt on any channel
    retry_delays=[
        timedelta(seconds=it) for it in (10, 60, 300, 900, 3_600, 4 * 3_600, 6 * 3_600, 12 * 3_600)
    ],
)
MAX_AGE = timedelta(days=1)  # since the first attempt; then a delivery has failed
MAX_OF_USER = 8  # messages to one user at a time, so that slow receivers delay only their user
MAX_OF_ORGANIZATION = 24  # the same for the users of one organization
MAX_MAILS = 16  # at a time: a mail server that is slow delays no other kind of channel


def config_context(channel_id: UUID) -> str:
    """Return the context with which the configuration of a channel is encrypted."""
    return build_encryption_context(NotificationChannel.encrypted_config, id=channel_id)


class DueNotification(NamedTuple):
    """A notification that is sent, with the names of what it is about."""

    notification: Notification
    organization_name: str
    board_name: str | None
    actor_name: str | None


class SendOutcome(StrEnum):
    """What became of an attempt to send."""

    DELIVERED = "delivered"
    RETRY = "retry"  # it may succeed later
    FAILED = "failed"  # it never succeeds unless somebody changes something
    GONE = "gone"  # the receiver does not exist any more, and never returns


class SendReason(StrEnum):
    """Why an attempt has not succeeded. The values are stored, and part of the API."""

    ADDRESS_INVALID = "address_invalid"
    ADDRESS_FORBIDDEN = "address_forbidden"  # a private address
    DNS = "dns"
    UNREACHABLE = "unreachable"
    TLS = "tls"
    TIMEOUT = "timeout"
    INVALID_RESPONSE = "invalid_response"
    REDIRECTED = "redirected"
    RATE_LIMITED = "rate_limited"
    SERVER_ERROR = "server_error"
    UNAUTHORIZED = "unauthorized"
    NOT_FOUND = "not_found"
    TOO_LARGE = "too_large"
    REJECTED = "rejected"
    SUBSCRIPTION_ENDED = "subscription_ended"  # of a browser
    MAIL_NOT_CONFIGURED = "mail_not_configured"
    MAIL_LOGIN = "mail_login"
    RECIPIENT_REJECTED = "recipient_rejected"
    CONFIG_UNREADABLE = "config_unreadable"  # encrypted with another key


@dataclass(frozen=True)
class SendResult:
    """The outcome of an attempt. `request` and `response` are for the log, without secrets."""

    outcome: SendOutcome
    reason: SendReason | None = None
    detail: str = ""  # technical, in the words of the receiver
    retry_after: timedelta | None = None  # the time that the receiver has asked for
    request: str = field(default="", repr=False)
    response: str = field(default="", repr=False)


@dataclass(frozen=True)
class DueDelivery:
    """A message that is due on a channel: a notification, a digest of several, or a test."""

    attempts_by_id: Mapping[UUID, int]  # of the deliveries, with the one that was claimed
    channel: NotificationChannel
    user: User
    items: Sequence[DueNotification]  # none: a test
    is_digest: bool
    is_of_admin: bool  # the channel

    @property
    def id(self) -> UUID:
        """The id that identifies the message in all its attempts."""
        return min(self.attempts_by_id)

    @property
    def attempts(self) -> int:
        """The number of attempts to send it, with this one."""
        return max(self.attempts_by_id.values())


class RunningMessages:
    """What is being sent, and what must wait because as much is being sent as is allowed."""

    def __init__(self, running: Collection[DueDelivery]) -> None:
        self.delivery_ids = [id for due in running for id in due.attempts_by_id]
        self._users: Counter[UUID] = Counter()
        self._organizations: Counter[UUID] = Counter()
        self._mail_count = 0
        for due in running:
            self._count(due.user.id, due.channel)

    def add(self, user_id: UUID, channel: NotificationChannel) -> bool:
        """Add a message to a user if it is allowed now; return whether it is."""
        is_allowed = (
            self._users[user_id] < MAX_OF_USER
            and self._organizations[channel.organization_id] < MAX_OF_ORGANIZATION
            and (channel.kind is not ChannelKind.EMAIL or self._mail_count < MAX_MAILS)
        )
        if is_allowed:
            self._count(user_id, channel)
        return is_allowed

    def to_parameters(self) -> dict[str, object]:
        """Return the parameters of the statement that finds what else is due."""
        organizations = self._organizations.items()
        return {
            "busy": self.delivery_ids,
            "busy_users": [id for id, count in self._users.items() if count >= MAX_OF_USER],
            "busy_organizations": [id for id, n in organizations if n >= MAX_OF_ORGANIZATION],
            "busy_kinds": [ChannelKind.EMAIL.value] if self._mail_count >= MAX_MAILS else [],
        }

    def _count(self, user_id: UUID, channel: NotificationChannel) -> None:
        self._users[user_id] += 1
        self._organizations[channel.organization_id] += 1
        self._mail_count += channel.kind is ChannelKind.EMAIL


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
        is_about_all(),
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
            or_(member.role.in_((Role.OWNER, Role.ADMIN)), ~is_for_admins()),
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


_PLANNED = select(_LONG_AGO).where(exists().where(Notification.planned_at.is_(None)))
_ATTEMPTS = select(func.min(NotificationDelivery.next_attempt_at)).where(
    NotificationDelivery.state.in_(OPEN_STATES)
)
NEXT_DUE: Query[datetime | None] = Query(
    select(
        func.least(_PLANNED.scalar_subquery(), _ATTEMPTS.scalar_subquery(), next_escalation_query())
    ),
    itemgetter(0),
)


LOCKED_CHANNEL: Query[NotificationChannel] = Query(
    select(NotificationChannel)
    .where(NotificationChannel.id == bindparam("channel_id"))
    .with_for_update()
    .execution_options(populate_existing=True),
    itemgetter(0),
)


async def find_next_due_time(source: Source) -> datetime | None:
    """Return when a notification has to be planned, sent or escalated next; maybe in the past."""
    return await NEXT_DUE.first(source)


async def claim_due(
    session: AsyncSession, limit: int, running: RunningMessages
) -> Sequence[DueDelivery]:
    """Claim the deliveries that are due, except `running` ones, and count the attempts.

    What nobody needs any more is skipped. The due deliveries of a digest become one message.
    """
    at = now()
    rows = await DUE_DELIVERIES.fetch(session, at=at, limit=limit, **running.to_parameters())
    groups: defaultdict[UUID, list[DueRow]] = defaultdict(list)
    for row in rows:
        if not row.is_needed:
            row.delivery.state = DeliveryState.SKIPPED
            continue
        key = row.channel.id if row.delivery.is_digest else row.delivery.id
        if key not in groups and not running.add(row.user.id, row.channel):
            continue
        if len(groups[key]) < 50:  # in one message; the others follow in the next one
            row.delivery.state = DeliveryState.SENDING
            if row.delivery.attempts == 0:  # MAX_AGE must not include the wait, as for a digest
                row.delivery.created_at = at
            OUTBOX.claim(row.delivery, at)
            groups[key].append(row)
    return [_to_due_delivery(group) for group in groups.values()]


def _to_due_delivery(group: Sequence[DueRow]) -> DueDelivery:
    first = group[0]
    items = [
        DueNotification(
            row.notification, row.organization_name or "", row.board_name, row.actor_name
        )
        for row in group
        if row.notification is not None
    ]
    return DueDelivery(
        attempts_by_id={row.delivery.id: row.delivery.attempts for row in group},
        channel=first.channel,
        user=first.user,
        items=sorted(items, key=lambda item: item.notification.created_at),
        is_digest=first.delivery.is_digest,
        is_of_admin=first.is_admin,
    )


async def record_result(session: AsyncSession, due: DueDelivery, result: SendResult) -> None:
    """Record the result of an attempt. Three that have failed show that the channel is failing.

    If another worker has made a later attempt, only a success is recorded.
    """
    is_delivered = result.outcome is SendOutcome.DELIVERED
    current = [
        one
        for one in await OUTBOX.lock(session, due.attempts_by_id)
        if one.state is DeliveryState.SENDING
        and not is_outdated(one, due.attempts_by_id[one.id], is_success=is_delivered)
    ]
    if not current:
        return
    retry_at = None  # after a success, and after the last attempt
    if result.outcome is SendOutcome.RETRY:  # what a digest contains for the first time decides
        attempts = min(due.attempts_by_id.values())
        retry_at = OUTBOX.find_retry(attempts, now(), result.retry_after)
    for delivery in current:
        is_in_time = retry_at is not None and retry_at <= delivery.created_at + MAX_AGE
        _apply(delivery, result, retry_at if is_in_time else None)
    is_ended = any(one.state is not DeliveryState.QUEUED for one in current)
    channel = await LOCKED_CHANNEL.first(session, channel_id=due.channel.id)
    if channel is not None and (is_ended or due.attempts >= 3):
        was_failing = channel.failing_since is not None
        await record_channel_state(session, channel, result)
        if channel.failing_since and (is_ended or not was_failing):
            await _report_failing_channel(session, channel)
    await wake_workers(session, DELIVERY_TOPIC)


def _apply(delivery: NotificationDelivery, result: SendResult, retry_at: datetime | None) -> None:
    delivery.request = result.request or delivery.request
    delivery.response = result.response or result.detail or None
    if result.outcome is SendOutcome.DELIVERED:
        delivery.state, delivery.last_error = DeliveryState.DELIVERED, None
        delivery.delivered_at = now()
        return
    delivery.last_error = str(result.reason or result.outcome)
    if retry_at is None:
        delivery.state = DeliveryState.FAILED
    else:
        delivery.state, delivery.next_attempt_at = DeliveryState.QUEUED, retry_at


async def record_channel_state(
    session: AsyncSession, channel: NotificationChannel, result: SendResult
) -> None:
    """Record on a locked channel whether it works, by the result of an attempt or of a test."""
    if result.outcome is SendOutcome.DELIVERED:
        if channel.failing_since is not None:
            channel.failing_since = channel.last_error = None
            await resolve(session, [NotificationKind.CHANNEL_FAILING], [str(channel.id)])
        return
    channel.failing_since = channel.failing_since or now()
    channel.last_error = str(result.reason or result.outcome)
    if result.outcome is SendOutcome.GONE and channel.paused_at is None:
        channel.paused_at = now()
        channel.is_paused_by_user = False  # versions before migration 0068 leave it set


async def _report_failing_channel(session: AsyncSession, channel: NotificationChannel) -> None:
    """Notify the user of a channel that does not work, on the other ones."""
    new = NewNotification(
        NotificationKind.CHANNEL_FAILING,
        channel.organization_id,
        str(channel.id),
        user_ids=[channel.user_id],
        data={
            "channel_id": str(channel.id),
            "name": channel.name,
            "reason": channel.last_error,
            "kind": channel.kind.value,
        },
        merges=True,
    )
    await notify(session, [new])
