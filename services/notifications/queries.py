"""Read the notifications of a user in the open organization.

Those about boards and groups that the user may no longer read, and those for admins from members,
are hidden. Invitations belong to an organization of which the user is not yet a member, so they are
shown in every one.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    ScalarSelect,
    String,
    Uuid,
    any_,
    bindparam,
    cast,
    exists,
    func,
    or_,
    select,
    type_coerce,
)
from sqlalchemy.orm import aliased

from core.db.reads import AnySelect, Query, Source, choose_columns
from core.errors import NotFound
from core.paging import Page, PagedQuery, Paging
from core.text import N_
from models import (
    AGENT_NAME_COLUMNS,
    USER_NAME_COLUMNS,
    Agent,
    Board,
    Member,
    Notification,
    NotificationCount,
    NotificationKind,
    Organization,
    Role,
    User,
)
from services import boards
from services.notifications.rules import ADMIN_KINDS, KINDS_BY_GROUP, KindGroup

USER_ID = bindparam("user_id", type_=Uuid())
ORGANIZATION_ID = bindparam("organization_id", type_=Uuid())
BOARD_ID = bindparam("board_id", type_=Uuid())
NOTIFICATION_ID = bindparam("notification_id", type_=Uuid())
ActorUser, ActorAgent = aliased(User), aliased(Agent)

IS_UNREAD = Notification.read_at.is_(None) & Notification.resolved_at.is_(None)
"""A notification that is resolved needs nobody, so it does not count as unread."""

IS_OF_INBOX = or_(
    Notification.kind.in_((NotificationKind.APPROVAL_PENDING, NotificationKind.APPROVAL_UNDECIDED)),
    (Notification.kind == NotificationKind.QUESTION) & Notification.data.has_key("question_id"),
)
"""A notification of an item of the inbox. A question in a chat is none."""

Counted: TypeAlias = type[Notification | NotificationCount]
"""What the conditions are about: notifications, or the counters of equal ones."""


def is_about_all(counted: Counted = Notification) -> ColumnElement[bool]:
    """Build the condition for notifications that are about no board and no group."""
    return counted.board_id.is_(None) & counted.board_group_id.is_(None)


def is_for_admins(counted: Counted = Notification) -> ColumnElement[bool]:
    """Build the condition for notifications that only admins see."""
    return is_about_all(counted) & counted.kind.in_(ADMIN_KINDS)


class NotificationFilters(NamedTuple):
    """Which notifications of a user are listed."""

    is_unread: bool = False
    group: KindGroup | None = None
    board_id: UUID | None = None

    def to_parameters(self, member: Member) -> dict[str, object]:
        """Return the parameters of the statements."""
        kinds = KINDS_BY_GROUP[self.group] if self.group else tuple(NotificationKind)
        return {
            **visibility_parameters(member),
            "kinds": [kind.value for kind in kinds],
            "board_id": self.board_id,
        }


class NotificationEntry(NamedTuple):
    """A notification with the names that its line shows."""

    notification: Notification
    board: Board | None
    actor_user: User | None
    actor_agent: Agent | None
    organization_name: str

    @property
    def actor_name(self) -> str | None:
        """The name of the user or agent who caused it; None if nobody did, or it was deleted."""
        if self.actor_agent is not None:
            return self.actor_agent.name
        return self.actor_user.display_name if self.actor_user else None

    @property
    def is_unread(self) -> bool:
        """Whether the user has to see it."""
        return self.notification.read_at is None and self.notification.resolved_at is None


def visibility_parameters(member: Member) -> dict[str, object]:
    """Return the parameters of `is_visible`."""
    return {"user_id": member.user_id, "organization_id": member.organization_id}


def is_visible(counted: Counted = Notification) -> ColumnElement[bool]:
    """Build the condition for notifications that a member can see."""
    is_here = counted.organization_id == ORGANIZATION_ID
    return (
        (counted.user_id == USER_ID)
        & or_(is_here, counted.kind == NotificationKind.INVITATION)
        & or_(counted.board_id.is_(None), counted.board_id.in_(boards.READABLE_BOARD_IDS))
        & or_(
            counted.board_group_id.is_(None),
            counted.board_group_id.in_(boards.READABLE_GROUP_IDS),
        )
        & or_(~is_for_admins(counted), _is_admin())
    )


def _is_admin() -> ColumnElement[bool]:
    member = aliased(Member)
    return exists().where(
        member.user_id == USER_ID,
        member.organization_id == ORGANIZATION_ID,
        member.role.in_((Role.OWNER, Role.ADMIN)),
    )


def is_listed(counted: Counted = Notification) -> ColumnElement[bool]:
    """Build the condition for NotificationFilters without `is_unread`."""
    kinds: Any = any_(bindparam("kinds", type_=ARRAY(String)))
    return (
        is_visible(counted)
        & (type_coerce(counted.kind, String) == kinds)
        & or_(BOARD_ID.is_(None), counted.board_id == BOARD_ID)
    )


def _select_entries(condition: ColumnElement[bool]) -> AnySelect:
    query = (
        select(Notification, Board, ActorUser, ActorAgent, Organization.name)
        .join(Organization, Organization.id == Notification.organization_id)
        .outerjoin(Board, Board.id == Notification.board_id)
        .outerjoin(ActorUser, ActorUser.id == Notification.actor_user_id)
        .outerjoin(ActorAgent, ActorAgent.id == Notification.actor_agent_id)
        .where(condition)
    )
    shown = {
        Board: ("id", "name"),
        ActorUser: USER_NAME_COLUMNS,
        ActorAgent: AGENT_NAME_COLUMNS,
    }
    return choose_columns(query, shown)


def _list_query(condition: ColumnElement[bool], total: AnySelect) -> PagedQuery[NotificationEntry]:
    query = _select_entries(condition)
    query = query.order_by(Notification.updated_at.desc(), Notification.id.desc())
    return PagedQuery(query, NotificationEntry._make, total.scalar_subquery())


ALL_COUNT = func.coalesce(func.sum(NotificationCount.count), 0)
ALL = _list_query(
    is_listed(), select(cast(ALL_COUNT, BigInteger)).where(is_listed(NotificationCount))
)
IS_LISTED_UNREAD = is_listed() & IS_UNREAD  # these are in a small index
UNREAD = _list_query(
    IS_LISTED_UNREAD, select(func.count()).select_from(Notification).where(IS_LISTED_UNREAD)
)


async def list_notifications(
    source: Source, member: Member, paging: Paging, filters: NotificationFilters
) -> Page[NotificationEntry]:
    """Return a page of the member's notifications; those that changed last come first."""
    query = UNREAD if filters.is_unread else ALL
    return await query.fetch_page(source, paging, **filters.to_parameters(member))


ENTRY: Query[NotificationEntry] = Query(
    _select_entries(is_visible() & (Notification.id == NOTIFICATION_ID)), NotificationEntry._make
)


async def get_notification(source: Source, member: Member, id: UUID) -> NotificationEntry:
    """Return a notification of the member. Raises NotFound."""
    found = await ENTRY.first(source, notification_id=id, **visibility_parameters(member))
    if found is None:
        raise NotFound("notification_not_found", N_("You have no such notification."))
    return found


def unread_count_query(*, with_inbox: bool) -> ScalarSelect[int]:
    """Select the number of unread notifications of a member, for a statement with more.

    Without those of items of the inbox: pages have a number of its items beside it.
    """
    counted = is_visible() & IS_UNREAD
    counted = counted if with_inbox else counted & ~IS_OF_INBOX
    return select(func.count()).select_from(Notification).where(counted).scalar_subquery()


UNREAD_COUNTS: Mapping[bool, Query[tuple[int]]] = {
    with_inbox: Query(select(unread_count_query(with_inbox=with_inbox)))
    for with_inbox in (False, True)
}


async def count_unread(source: Source, member: Member, *, with_inbox: bool = True) -> int:
    """Return the number of unread notifications of the member, see `unread_count_query`."""
    row = await UNREAD_COUNTS[with_inbox].first(source, **visibility_parameters(member))
    return row[0] if row else 0
