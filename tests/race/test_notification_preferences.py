"""Choices of what a user is notified of, while what they are about is deleted."""

import asyncio

import pytest
from sqlalchemy import delete

from core.db.engine import TransactionFactory
from core.errors import AppError
from models import Board, NotificationChannel, NotificationKind
from services import notifications
from services.notifications import NotificationPreferencesUpdate
from tests.support.api_objects import make_channel
from tests.support.board_rows import make_board
from tests.support.lock_waiter import wait_for_lock_waiter
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
