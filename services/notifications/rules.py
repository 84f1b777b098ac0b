"""Rules of notifications: which kinds are urgent, and what is delivered without a preference."""

from collections.abc import Collection, Mapping
from datetime import time
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from models import NotificationKind

Kind = NotificationKind


class KindGroup(StrEnum):
    """Kinds of notifications that are listed together. The values are part of the API."""

    DECISIONS = "decisions"
    TASKS = "tasks"
    AGENTS = "agents"
    ACCOUNT = "account"


KINDS_BY_GROUP: Mapping[KindGroup, Collection[NotificationKind]] = {
    KindGroup.DECISIONS: (
        *(Kind.APPROVAL_PENDING, Kind.APPROVAL_UNDECIDED, Kind.QUESTION, Kind.DECIDED),
    ),
    KindGroup.TASKS: (
        *(Kind.MENTION, Kind.ASSIGNED, Kind.DUE_SOON, Kind.TASK_CHANGED, Kind.TASK_STALE),
    ),
    KindGroup.AGENTS: (
        *(Kind.AGENTS_STOPPED, Kind.AGENT_UNGATED, Kind.AGENT_HELD, Kind.AGENT_STUCK),
        *(Kind.AGENT_OFFLINE, Kind.GATEWAY_AWAY, Kind.GATEWAY_CONFIG_INVALID),
    ),
    KindGroup.ACCOUNT: (Kind.INVITATION, Kind.WEBHOOK_DISABLED, Kind.CHANNEL_FAILING),
}

URGENT_KINDS = frozenset(
    [
        Kind.APPROVAL_PENDING,
        Kind.APPROVAL_UNDECIDED,
        Kind.QUESTION,
        Kind.AGENTS_STOPPED,
        Kind.AGENT_UNGATED,
        Kind.AGENT_HELD,
    ]
)
"""Kinds that are never held back for a digest, and in quiet hours only if the user wants that."""

KINDS_OFF_BY_DEFAULT = frozenset([Kind.TASK_CHANGED, Kind.AGENT_OFFLINE])
"""Kinds that are frequent, and seldom need an action at once. They are shown in the application."""

KINDS_WITHOUT_BOARD = frozenset(
    [
        *(Kind.AGENTS_STOPPED, Kind.GATEWAY_AWAY, Kind.GATEWAY_CONFIG_INVALID),
        *(Kind.INVITATION, Kind.WEBHOOK_DISABLED, Kind.CHANNEL_FAILING),
    ]
)
"""Kinds that never concern one board, so that boards have no preference for them."""

CONFIGURABLE_KINDS = tuple(
    kind for kinds in KINDS_BY_GROUP.values() for kind in kinds if kind is not Kind.INVITATION
)
"""Kinds that a user can choose. An invitation is from an organization without preferences yet."""

ADMIN_KINDS = frozenset(
    [
        *(Kind.APPROVAL_PENDING, Kind.AGENT_STUCK, Kind.AGENT_OFFLINE, Kind.AGENT_HELD),
        *(
            Kind.AGENT_UNGATED,
            Kind.GATEWAY_AWAY,
            Kind.GATEWAY_CONFIG_INVALID,
            Kind.WEBHOOK_DISABLED,
        ),
    ]
)
"""Kinds that are only for admins if they concern no board and no group."""


DIGEST_TIME = time(8)  # of a daily digest, unless the user chooses another one


class Choice(NamedTuple):
    """What a preference is for; without a board for all boards, without a channel in the pages."""

    kind: NotificationKind
    board_id: UUID | None = None
    channel_id: UUID | None = None


def is_enabled_by_default(kind: NotificationKind) -> bool:
    """Return whether a kind is sent on channels if the user has not chosen."""
    return kind not in KINDS_OFF_BY_DEFAULT


def is_enabled(preferences: Mapping[Choice, bool], choice: Choice) -> bool:
    """Return whether a user wants a notification in one place.

    A preference for the board precedes the one for all boards, which precedes the default. In the
    application everything is shown by default.
    """
    for_all_boards = choice._replace(board_id=None)
    default = choice.channel_id is None or is_enabled_by_default(choice.kind)
    return preferences.get(choice, preferences.get(for_all_boards, default))
