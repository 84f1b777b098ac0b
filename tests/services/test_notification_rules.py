"""Rules of notifications: defaults, urgent kinds, and which preference counts."""

from uuid import uuid4

import pytest

from models import NotificationKind
from services.notifications import (
    KINDS_BY_GROUP,
    KINDS_WITHOUT_BOARD,
    URGENT_KINDS,
    Choice,
    is_enabled,
    is_enabled_by_default,
)

Kind = NotificationKind
BOARD, CHANNEL = uuid4(), uuid4()


def test_every_kind_is_in_one_group() -> None:
    listed = [kind for kinds in KINDS_BY_GROUP.values() for kind in kinds]
    assert sorted(listed) == sorted(Kind)


def test_urgent_kinds_are_sent_by_default() -> None:
    assert all(map(is_enabled_by_default, URGENT_KINDS))
    assert not URGENT_KINDS & {Kind.TASK_CHANGED, Kind.MENTION}


@pytest.mark.parametrize(
    ("kind", "channel_id", "expected"),
    [
        (Kind.MENTION, None, True),
        (Kind.MENTION, CHANNEL, True),
        (Kind.TASK_CHANGED, None, True),
        (Kind.TASK_CHANGED, CHANNEL, False),
        (Kind.AGENT_OFFLINE, CHANNEL, False),
    ],
)
def test_without_a_preference_the_default_counts(
    kind: Kind, channel_id: None, expected: bool
) -> None:
    assert is_enabled({}, Choice(kind, BOARD, channel_id)) is expected


def test_a_preference_for_the_board_precedes_the_one_for_all_boards() -> None:
    choice = Choice(Kind.MENTION, BOARD, CHANNEL)
    for_all = choice._replace(board_id=None)
    assert not is_enabled({for_all: False}, choice)
    assert is_enabled({for_all: False, choice: True}, choice)
    assert not is_enabled({for_all: True, choice: False}, choice)


def test_a_preference_counts_only_in_its_place() -> None:
    elsewhere = {
        Choice(Kind.MENTION, BOARD, None): False,
        Choice(Kind.MENTION, uuid4(), CHANNEL): False,
        Choice(Kind.ASSIGNED, BOARD, CHANNEL): False,
    }
    assert is_enabled(elsewhere, Choice(Kind.MENTION, BOARD, CHANNEL))


def test_nothing_about_tasks_is_without_a_board() -> None:
    assert not KINDS_WITHOUT_BOARD & {Kind.MENTION, Kind.APPROVAL_PENDING, Kind.AGENT_STUCK}
