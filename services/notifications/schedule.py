"""When a notification is sent on a channel: quiet hours and digests, in a user's time zone."""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from models import Digest

HOUR = timedelta(hours=1)
DEFAULT_DIGEST_TIME = time(8)


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
    digest_at: time = DEFAULT_DIGEST_TIME

    def find_send_time(self, at: datetime, *, is_urgent: bool, may_collect: bool) -> SendTime:
        """Return when to send what has happened at a time.

        What is urgent is never collected, and, if the user wants that, sent in quiet hours too.
        """
        if is_urgent and self.wakes_for_urgent:
            return SendTime(at)
        is_digest = may_collect and not is_urgent and self.digest is not Digest.OFF
        due = self._find_digest(at) if is_digest else at
        return SendTime(self._leave_quiet_hours(due), is_digest)

    def _find_digest(self, at: datetime) -> datetime:
        if self.digest is Digest.HOURLY:
            return at.replace(minute=0, second=0, microsecond=0) + HOUR
        return find_next_local_time(at, self.digest_at, self.zone)

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
