"""Tell the streams of a user's pages that the notifications of this user have changed."""

from collections import defaultdict
from collections.abc import Callable
from uuid import UUID

from core.db.listen import PostgresListener
from services.notifications.creation import USER_TOPIC


class NotificationChanges:
    """Whether the notifications of a user have changed since a stream has last said so."""

    __slots__ = ("_wake", "has_change")

    def __init__(self, wake: Callable[[], None], *, has_change: bool) -> None:
        self.has_change = has_change
        self._wake = wake

    def notify(self) -> None:
        """Note a change, and wake the stream."""
        self.has_change = True
        self._wake()


class NotificationStreams:
    """All streams of this process, by user. It costs nothing while nothing happens."""

    def __init__(self, listener: PostgresListener) -> None:
        self._by_user: defaultdict[UUID, set[NotificationChanges]] = defaultdict(set)
        listener.add_handler(USER_TOPIC, self._on_notification)

    def join(
        self, user_id: UUID, wake: Callable[[], None], *, may_have_missed: bool
    ) -> NotificationChanges:
        """Add a stream, which may have missed a change before."""
        changes = NotificationChanges(wake, has_change=may_have_missed)
        self._by_user[user_id].add(changes)
        return changes

    def leave(self, user_id: UUID, changes: NotificationChanges) -> None:
        """Remove a stream."""
        self._by_user[user_id].discard(changes)
        if not self._by_user[user_id]:
            del self._by_user[user_id]

    def _on_notification(self, user_id: str | None) -> None:
        if user_id is None:  # notifications may have been missed
            concerned = [one for streams in self._by_user.values() for one in streams]
        else:
            concerned = list(self._by_user.get(UUID(user_id), ()))
        for changes in concerned:
            changes.notify()
