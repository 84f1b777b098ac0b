"""Channels and choices of a user, while others are created or deleted."""

import asyncio

import pytest
from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncSession

from core.db.engine import TransactionFactory
from core.errors import AppError, Conflict
from models import Board, ChannelKind, NotificationChannel, NotificationKind
from services import channels, notifications
from services.channels import ChannelForm, store
from services.notifications import NotificationPreferencesUpdate
from tests.support.api_objects import make_channel
from tests.support.board_rows import make_board
from tests.support.lock_waiter import wait_for_lock_waiter
from tests.support.secret_key import CIPHER
from tests.support.world import World


@pytest.mark.parametrize(
    ("model", "field", "code"),
    [
        (Board, "board_id", "board_not_found"),
        (NotificationChannel, "channel_id", "unknown_channel"),
    ],
)
async def test_a_choice_is_refused_while_its_object_is_deleted(
    isolated_transaction: TransactionFactory,
    isolated_world: World,
    model: type[Board] | type[NotificationChannel],
    field: str,
    code: str,
) -> None:
    member = isolated_world.alice_member
    is_board = model is Board
    chosen = make_board("Gone", isolated_world.tern) if is_board else make_channel(isolated_world)
    async with isolated_transaction() as session:
        session.add(chosen)

    async def choose() -> None:
        async with isolated_transaction() as session:
            preferences = await notifications.lock_preferences(session, member)
            choice = {"kind": NotificationKind.MENTION, field: chosen.id, "is_enabled": False}
            changes = NotificationPreferencesUpdate.of(choices=[choice])
            await notifications.update_preferences(session, member, preferences, changes)

    async with isolated_transaction() as session:
        await session.execute(delete(model).where(model.id == chosen.id))
        racing = asyncio.create_task(choose())
        await wait_for_lock_waiter(isolated_transaction)
    with pytest.raises(AppError) as refused:
        await racing
    assert refused.value.code == code


async def test_two_requests_at_once_create_no_channel_above_the_limit(
    isolated_transaction: TransactionFactory,
    isolated_world: World,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(store, "MAX_CHANNELS", 1)

    async def create(session: AsyncSession) -> None:
        fields = ChannelForm(kind=ChannelKind.NTFY, name="Mine", url="https://ntfy.sh/topic")
        await channels.create_channel(session, isolated_world.alice_member, CIPHER, fields)

    async def create_second() -> None:
        async with isolated_transaction() as session:
            await create(session)

    async with isolated_transaction() as session:
        await create(session)
        racing = asyncio.create_task(create_second())
        await wait_for_lock_waiter(isolated_transaction)
    with pytest.raises(Conflict) as refused:
        await racing
    assert refused.value.code == "too_many_channels"
