"""Create the notifications of a change in its transaction, and tell the pages of their users."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from enum import StrEnum
from typing import Any, cast
from uuid import UUID

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.listen import CHANNEL, PostgresListener
from core.db.transactions import Write, send_pending_changes
from models import (
    Actor,
    Agent,
    Approval,
    Board,
    BoardGroup,
    Gateway,
    NotificationKind,
    Role,
    Task,
    User,
)

MAX_EXCERPT = 300  # characters
USER_TOPIC = "notifications"  # of the event channel, with the id of a user
DELIVERY_TOPIC = "notification deliveries"  # wakes the workers
ESCALATED_PREFIX = "escalated:"  # of the key of what a second user is notified of


class Audience(StrEnum):
    """Who is notified, among those who may read the board or the group."""

    USERS = "users"  # only those in `user_ids`
    WRITERS = "writers"  # members who may change the board
    ADMINS = "admins"
    MEMBERS = "members"
    ADDRESS = "address"  # the user with the e-mail address `email`, who need not be a member


@dataclass(frozen=True)
class NewNotification:
    """A notification to create. Related objects can be given as objects or ids.

    A user gets only one of a kind and key. With `merges`, further ones are counted there until it
    is read or resolved; without, they are ignored. Members who may not read the board or the group,
    and the actor, are not notified.
    """

    kind: NotificationKind
    organization_id: UUID
    key: str
    _: KW_ONLY
    audience: Audience = Audience.USERS
    user_ids: Sequence[UUID] = ()  # if there are any, nobody else is notified
    roles: Sequence[Role] = ()  # the same
    excluded_user_ids: Sequence[UUID] = ()
    email: str | None = None
    board: Board | UUID | None = None
    group: BoardGroup | UUID | None = None
    task: Task | UUID | None = None
    approval: Approval | UUID | None = None
    agent: Agent | UUID | None = None
    gateway: Gateway | UUID | None = None
    actor: Actor | None = None
    data: Mapping[str, object] = field(default_factory=dict)
    merges: bool = False

    def to_row(self) -> dict[str, Any]:
        """Return the parameters of the statement."""
        actor = self.actor
        return {
            "kind": self.kind,
            "organization_id": self.organization_id,
            "key": self.key,
            "merges": self.merges,
            "audience": self.audience,
            "user_ids": list(self.user_ids),
            "roles": list(self.roles),
            "excluded_user_ids": list(self.excluded_user_ids),
            "email": self.email,
            "board_id": _id(self.board),
            "board_group_id": _id(self.group),
            "task_id": _id(self.task),
            "approval_id": _id(self.approval),
            "agent_id": _id(self.agent),
            "gateway_id": _id(self.gateway),
            "actor_user_id": actor.id if isinstance(actor, User) else None,
            "actor_agent_id": actor.id if isinstance(actor, Agent) else None,
            "data": dict(self.data),
        }


def cut_excerpt(text: str) -> str:
    """Return the beginning of a text, for the data of a notification."""
    return text if len(text) <= MAX_EXCERPT else f"{text[: MAX_EXCERPT - 1]}…"


def _id(value: object) -> UUID | None:
    return value if value is None or isinstance(value, UUID) else cast("Any", value).id


_INSERT_NOTIFICATIONS = Write(
    text("""
    with given as (
        select * from jsonb_to_recordset(:rows) as one (
            kind varchar, organization_id uuid, key varchar, merges boolean, audience varchar,
            user_ids uuid[], roles varchar[], excluded_user_ids uuid[], email varchar,
            board_id uuid, board_group_id uuid, task_id uuid, approval_id uuid, agent_id uuid,
            gateway_id uuid, actor_user_id uuid, actor_agent_id uuid, data jsonb
        )
    ),
    recipients as (
        select given.*, member.user_id
        from given
        join organization_members as member
            on member.organization_id = given.organization_id
            and member.user_id is distinct from given.actor_user_id
            and (given.user_ids = '{}' or member.user_id = any(given.user_ids))
            and (given.roles = '{}' or member.role = any(given.roles))
            and member.user_id <> all(given.excluded_user_ids)
        left join organization_board_access as access
            on access.organization_member_id = member.id and access.board_id = given.board_id
        where case given.audience
            when 'users' then given.user_ids <> '{}'
            when 'writers' then member.all_boards_write or access.can_write is true
            when 'admins' then member.role in ('owner', 'admin')
            else given.audience = 'members'
        end
        and (
            given.board_id is null or member.all_boards_read or member.all_boards_write
            or access.can_read is true or access.can_write is true
        )
        and (
            given.board_group_id is null or member.all_boards_read or member.all_boards_write
            or exists (
                select from boards join organization_board_access as of_group
                    on of_group.board_id = boards.id and (of_group.can_read or of_group.can_write)
                where boards.board_group_id = given.board_group_id
                and of_group.organization_member_id = member.id
            )
        )
        union all
        select given.*, users.id
        from given join users on lower(users.email) = given.email
        where given.audience = 'address'
    ),
    wanted as (
        select recipients.*, coalesce((
            select is_enabled from notification_preferences as preference
            where preference.user_id = recipients.user_id
            and preference.organization_id = recipients.organization_id
            and preference.kind = recipients.kind and preference.channel_id is null
            and coalesce(preference.board_id = recipients.board_id, preference.board_id is null)
            order by preference.board_id nulls last limit 1
        ), true) as is_shown
        from recipients
    ),
    stored as (
        insert into notifications as known (
            id, organization_id, user_id, kind, key, merges, board_id, board_group_id, task_id,
            approval_id, agent_id, gateway_id, actor_user_id, actor_agent_id, data, count, created_at,
            updated_at, read_at
        )
        select distinct on (user_id, kind, key)
            gen_random_uuid(), organization_id, user_id, kind,
            case when is_shown or not merges then key end, merges, board_id, board_group_id,
            task_id, approval_id, agent_id, gateway_id, actor_user_id, actor_agent_id, data, 1, :at, :at,
            case when not is_shown then cast(:at as timestamptz) end
        from wanted order by user_id, kind, key
        on conflict (user_id, kind, key) do update set
            count = known.count + 1, updated_at = excluded.updated_at, data = excluded.data,
            actor_user_id = excluded.actor_user_id, actor_agent_id = excluded.actor_agent_id
        where known.merges
        returning user_id
    )
    select
        (select count(pg_notify(:channel, :user_topic || user_id))
            from (select distinct user_id from stored) as notified),
        (select count(pg_notify(:channel, :delivery_topic)) from (select 1 from stored limit 1) as one)
""").bindparams(bindparam("rows", type_=JSONB))  # noqa: E501
)


async def notify(session: AsyncSession, new: Sequence[NewNotification]) -> None:
    """Create notifications; pages and workers learn of them at the commit."""
    if not new:
        return
    await send_pending_changes(session)
    await _INSERT_NOTIFICATIONS.execute(
        session,
        rows=[one.to_row() for one in new],
        at=now(),
        channel=CHANNEL,
        user_topic=f"{USER_TOPIC}:",
        delivery_topic=DELIVERY_TOPIC,
    )


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
