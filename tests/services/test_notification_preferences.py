"""What users want to be notified of, where and when."""

from collections.abc import Mapping
from datetime import time
from typing import Any

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.errors import Invalid
from models import (
    ChannelKind,
    Digest,
    Member,
    NotificationChannel,
    NotificationKind,
    NotificationPreference,
    NotificationSettings,
    User,
    new_id,
)
from services import notifications
from services.notifications import Choice, NotificationPreferencesUpdate
from tests.support.world import World

Kind = NotificationKind


async def save_choices(
    session: AsyncSession, member: Member, choices: Mapping[Choice, bool | None]
) -> None:
    locked = await notifications.lock_preferences(session, member)
    rows = [
        {**choice._asdict(), "is_enabled": is_enabled} for choice, is_enabled in choices.items()
    ]
    changes = NotificationPreferencesUpdate.of(choices=rows)
    await notifications.update_preferences(session, member, locked, changes)


async def add_channel(session: AsyncSession, world: World, user: User) -> NotificationChannel:
    channel = NotificationChannel(
        id=new_id(),
        user_id=user.id,
        organization_id=world.tern.id,
        kind=ChannelKind.NTFY,
        name="Phone",
        encrypted_config="",
        created_at=now(),
        updated_at=now(),
    )
    session.add(channel)
    await session.flush()
    return channel


async def count_rows(session: AsyncSession) -> int:
    return await session.scalar(select(func.count()).select_from(NotificationPreference)) or 0


async def test_nothing_stored_means_the_defaults(session: AsyncSession, world: World) -> None:
    channel = await add_channel(session, world, world.bob)
    await add_channel(session, world, world.alice)
    found = await notifications.load_preferences(session, world.bob_member)
    assert [one.id for one in found.channels] == [channel.id]
    assert found.is_enabled(Choice(Kind.MENTION, None, channel.id))
    assert not found.is_enabled(Choice(Kind.TASK_CHANGED, None, channel.id))
    assert found.settings.digest is Digest.OFF
    assert (found.settings.quiet_from, found.settings.digest_at) == (None, time(8))


async def test_only_what_differs_from_the_default_is_stored(
    session: AsyncSession, world: World
) -> None:
    member = world.bob_member
    mention, changed = Choice(Kind.MENTION), Choice(Kind.TASK_CHANGED)
    on_board = mention._replace(board_id=world.board.id)
    await save_choices(session, member, {mention: False, changed: True, on_board: True})
    found = await notifications.load_preferences(session, member)
    assert found.stored == {mention: False, on_board: True}
    assert found.list_boards() == {world.board.id}
    await save_choices(session, member, {mention: True, on_board: False})
    found = await notifications.load_preferences(session, member)
    assert found.stored == {on_board: False}
    await save_choices(session, member, {on_board: None})
    assert await count_rows(session) == 0
    assert (await notifications.load_preferences(session, world.alice_member)).stored == {}


async def test_the_channels_of_others_cannot_be_chosen(session: AsyncSession, world: World) -> None:
    channel = await add_channel(session, world, world.alice)
    choice = Choice(Kind.MENTION, None, channel.id)
    with pytest.raises(Invalid):
        await save_choices(session, world.bob_member, {choice: False})
    assert await count_rows(session) == 0


async def save(session: AsyncSession, world: World, **changes: Any) -> NotificationSettings:
    locked = await notifications.lock_preferences(session, world.bob_member)
    fields = NotificationPreferencesUpdate.parse(changes)
    await notifications.update_preferences(session, world.bob_member, locked, fields)
    await session.flush()
    return (await notifications.load_preferences(session, world.bob_member)).settings


async def test_the_schedule_is_stored(session: AsyncSession, world: World) -> None:
    changes: dict[str, Any] = {
        "quiet_from": "22:30",
        "quiet_until": "06:00",
        "wakes_for_urgent": True,
        "digest": Digest.DAILY,
        "digest_at": "09:00",
        "escalate_to_user_id": world.alice.id,
        "escalate_after_minutes": 30,
    }
    settings = await save(session, world, **changes)
    times = {
        name: f"{getattr(settings, name):%H:%M}"
        for name in ("quiet_from", "quiet_until", "digest_at")
    }
    assert {name: getattr(settings, name) for name in changes} | times == changes
    settings = await save(session, world, escalate_to_user_id=None)
    assert settings.escalate_after_minutes is None
    assert settings.version == 3


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"quiet_from": "22:00"}, "quiet_until"),
        ({"quiet_until": "22:00"}, "quiet_from"),
        ({"quiet_from": "22:00", "quiet_until": "22:00"}, "quiet_until"),
        ({"escalate_to_user_id": "alice"}, "escalate_after_minutes"),
        ({"escalate_to_user_id": "alice", "escalate_after_minutes": 0}, "escalate_after_minutes"),
        (
            {"escalate_to_user_id": "alice", "escalate_after_minutes": 10_081},
            "escalate_after_minutes",
        ),
        ({"escalate_to_user_id": "rita", "escalate_after_minutes": 5}, "escalate_to_user_id"),
        ({"escalate_to_user_id": "bob", "escalate_after_minutes": 5}, "escalate_to_user_id"),
        ({"escalate_to_user_id": "charlie", "escalate_after_minutes": 5}, "escalate_to_user_id"),
    ],
)
async def test_a_schedule_that_cannot_work_is_rejected(
    session: AsyncSession, world: World, changes: dict[str, Any], field: str
) -> None:
    person = changes.get("escalate_to_user_id")
    if person:
        changes = {**changes, "escalate_to_user_id": getattr(world, person).id}
    with pytest.raises(Invalid) as caught:
        await save(session, world, **changes)
    assert caught.value.field == field


async def test_a_second_person_who_may_not_decide_any_more_stays(
    session: AsyncSession, world: World
) -> None:
    await save(session, world, escalate_to_user_id=world.alice.id, escalate_after_minutes=5)
    alice = world.alice_member
    await session.execute(
        update(Member).where(Member.id == alice.id).values(all_boards_write=False)
    )
    settings = await save(session, world, wakes_for_urgent=True)
    assert (settings.escalate_to_user_id, settings.wakes_for_urgent) == (world.alice.id, True)


async def test_the_second_person_can_decide(session: AsyncSession, world: World) -> None:
    found = await notifications.list_deciders(session, world.alice_member)
    assert [user.id for user in found] == [world.bob.id]
