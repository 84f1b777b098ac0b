"""Plan the deliveries of new notifications, by the preferences of their users."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from operator import itemgetter
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import ARRAY, DateTime, Uuid, bindparam, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.reads import Query
from models import (
    ChannelKind,
    DeliveryState,
    Digest,
    Notification,
    NotificationChannel,
    NotificationDelivery,
    NotificationKind,
    NotificationPreference,
    NotificationSettings,
    User,
    new_id,
)
from services.notifications.rules import DIGEST_TIME, URGENT_KINDS, Choice, is_enabled


@dataclass(frozen=True)
class SendTime:
    """When to send, and whether together with others."""

    at: datetime
    is_digest: bool = False


@dataclass(frozen=True)
class NotificationSchedule:
    """The times at which a user wants to be notified.

    `quiet_from` may be later than `quiet_until`; then the quiet hours include midnight.
    """

    zone: ZoneInfo
    quiet_from: time | None = None
    quiet_until: time | None = None
    wakes_for_urgent: bool = False
    digest: Digest = Digest.OFF
    digest_at: time = DIGEST_TIME

    def find_send_time(self, at: datetime, *, is_urgent: bool, may_collect: bool) -> SendTime:
        """Return when to send what has happened at a time.

        What is urgent is never collected, and, if the user wants that, sent in quiet hours too.
        """
        if is_urgent and self.wakes_for_urgent:
            return SendTime(at)
        is_digest = may_collect and not is_urgent and self.digest is not Digest.OFF
        if is_digest and self.digest is Digest.HOURLY:
            at = at.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
        elif is_digest:
            at = find_next_local_time(at, self.digest_at, self.zone)
        return SendTime(self._leave_quiet_hours(at), is_digest)

    def _leave_quiet_hours(self, at: datetime) -> datetime:
        first, last = self.quiet_from, self.quiet_until
        if first is None or last is None:
            return at
        local = at.astimezone(self.zone).time()
        is_quiet = first <= local < last if first <= last else local >= first or local < last
        return find_next_local_time(at, last, self.zone) if is_quiet else at


def find_next_local_time(after: datetime, local: time, zone: ZoneInfo) -> datetime:
    """Return the first time after `after` at which the clocks of a zone show a time, in UTC.

    A time that does not exist on a day, because the clocks are set forward, is as much later as
    the clocks jump. When they are set back, both times with the same name count.
    """
    today = after.astimezone(zone).date()
    candidates = (
        datetime.combine(today + timedelta(days=days), local, zone).replace(fold=fold)
        for days in (-1, 0, 1, 2)
        for fold in (0, 1)
    )
    return min(one for one in (it.astimezone(UTC) for it in candidates) if one > after)


def find_zone(name: str | None) -> ZoneInfo:
    """Return a time zone; UTC if there is none of this name."""
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")


BATCH_SIZE = 200  # notifications in one transaction
MAX_SINGLE = 60  # messages of a channel in PERIOD; then what is not urgent is collected
PERIOD = timedelta(hours=1)

_USER_IDS = bindparam("user_ids", type_=ARRAY(Uuid()))

UNPLANNED: Query[Notification] = Query(
    select(Notification)
    .where(Notification.planned_at.is_(None))
    .order_by(Notification.created_at, Notification.id)
    .limit(BATCH_SIZE)
    .with_for_update(skip_locked=True),
    itemgetter(0),
)

ACTIVE_CHANNELS: Query[NotificationChannel] = Query(
    select(NotificationChannel).where(
        NotificationChannel.user_id == func.any(_USER_IDS),
        NotificationChannel.paused_at.is_(None),
        NotificationChannel.confirmed_at.is_not(None),
    ),
    itemgetter(0),
)

CHANNEL_PREFERENCES: Query[NotificationPreference] = Query(
    select(NotificationPreference).where(
        NotificationPreference.user_id == func.any(_USER_IDS),
        NotificationPreference.channel_id.is_not(None),
    ),
    itemgetter(0),
)

SETTINGS: Query[tuple[NotificationSettings, str | None]] = Query(
    select(NotificationSettings, User.timezone)
    .join(User, User.id == NotificationSettings.user_id)
    .where(NotificationSettings.user_id == func.any(_USER_IDS))
)

RECENT_COUNTS: Query[tuple[UUID, int]] = Query(
    select(NotificationDelivery.channel_id, func.count())
    .where(
        NotificationDelivery.channel_id == func.any(bindparam("channel_ids", type_=ARRAY(Uuid()))),
        NotificationDelivery.created_at > bindparam("since", type_=DateTime(timezone=True)),
    )
    .group_by(NotificationDelivery.channel_id)
)

Place = tuple[UUID, UUID]  # a user in an organization


@dataclass
class _Choices:
    """What the users of a batch have chosen, and how much their channels got in PERIOD."""

    channels: Mapping[UUID, Sequence[NotificationChannel]]  # by user
    preferences: Mapping[Choice, bool]
    schedules: Mapping[Place, NotificationSchedule] = field(default_factory=dict)
    counts: Counter[UUID] = field(default_factory=Counter)

    def wants(self, notification: Notification, channel: NotificationChannel) -> bool:
        """Return whether the user wants a notification on a channel."""
        if notification.data.get("channel_id") == str(channel.id):
            return False  # it is about this channel
        if notification.kind is NotificationKind.INVITATION:  # to another organization
            return True
        choice = Choice(notification.kind, notification.board_id, channel.id)
        is_same = channel.organization_id == notification.organization_id
        return is_same and is_enabled(self.preferences, choice)

    def plan(self, notification: Notification, at: datetime) -> Iterator[dict[str, Any]]:
        """Yield the rows of the deliveries of a notification."""
        place = (notification.user_id, notification.organization_id)
        schedule = self.schedules.get(place, NotificationSchedule(find_zone(None)))
        for channel in self.channels.get(notification.user_id, ()):
            if self.wants(notification, channel):
                send_time = self._find_send_time(notification, channel, schedule, at)
                yield {
                    "id": new_id(),
                    "notification_id": notification.id,
                    "channel_id": channel.id,
                    "state": DeliveryState.QUEUED,
                    "is_digest": send_time.is_digest,
                    "attempts": 0,
                    "next_attempt_at": send_time.at,
                    "created_at": at,
                }

    def _find_send_time(
        self,
        notification: Notification,
        channel: NotificationChannel,
        schedule: NotificationSchedule,
        at: datetime,
    ) -> SendTime:
        """Return when to send; an agent that causes very many notifications sends few messages."""
        self.counts[channel.id] += 1
        is_urgent = notification.kind in URGENT_KINDS
        is_flooded = not is_urgent and self.counts[channel.id] > MAX_SINGLE
        if is_flooded:  # sent at each tenth minute, together with all until then
            begin = at.replace(minute=at.minute // 10 * 10, second=0, microsecond=0)
            at = begin + timedelta(minutes=10)
        is_mail = channel.kind is ChannelKind.EMAIL
        send_time = schedule.find_send_time(at, is_urgent=is_urgent, may_collect=is_mail)
        return SendTime(send_time.at, is_digest=True) if is_flooded else send_time


async def plan_deliveries(session: AsyncSession) -> int:
    """Create the deliveries of the oldest new notifications, and count these.

    Any number of workers may call this at the same time.
    """
    new = await UNPLANNED.fetch(session)
    if not new:
        return 0
    at = now()
    choices = await _load_choices(session, list({one.user_id for one in new}))
    rows = [row for notification in new for row in choices.plan(notification, at)]
    if rows:
        # Not in one statement: it could have more parameters than PostgreSQL allows.
        await session.execute(insert(NotificationDelivery).on_conflict_do_nothing(), rows)
    planned = update(Notification).where(Notification.id.in_([one.id for one in new]))
    planned = planned.execution_options(synchronize_session=False)
    await session.execute(planned.values(planned_at=at))
    return len(new)


async def _load_choices(session: AsyncSession, user_ids: list[UUID]) -> _Choices:
    channels: defaultdict[UUID, list[NotificationChannel]] = defaultdict(list)
    for channel in await ACTIVE_CHANNELS.fetch(session, user_ids=user_ids):
        channels[channel.user_id].append(channel)
    if not channels:
        return _Choices({}, {})
    preferences = {
        Choice(one.kind, one.board_id, one.channel_id): one.is_enabled
        for one in await CHANNEL_PREFERENCES.fetch(session, user_ids=user_ids)
    }
    schedules = {
        (settings.user_id, settings.organization_id): NotificationSchedule(
            find_zone(timezone),
            settings.quiet_from,
            settings.quiet_until,
            settings.wakes_for_urgent,
            settings.digest,
            settings.digest_at,
        )
        for settings, timezone in await SETTINGS.fetch(session, user_ids=user_ids)
    }
    channel_ids = [one.id for of_user in channels.values() for one in of_user]
    counts = await RECENT_COUNTS.fetch(session, channel_ids=channel_ids, since=now() - PERIOD)
    return _Choices(channels, preferences, schedules, Counter(dict(counts)))
