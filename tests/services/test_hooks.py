"""Hooks: domains take part in changes of those below them, in the same transaction."""

import re
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from models import Board
from services import boards
from services.hooks import Hook
from tests.support.world import World

SERVICES = Path(__file__).parent.parent.parent / "services"


def test_every_hook_is_in_the_list() -> None:
    sources = [file.read_text() for file in SERVICES.rglob("*.py")]
    declared = [name for source in sources for name in re.findall(r"^(\w+): Hook\[", source, re.M)]
    listed = (SERVICES / "subscriptions.py").read_text()
    assert sorted(re.findall(r"^\w+\.(\w+)\.handler = ", listed, re.M)) == sorted(declared)


async def test_a_process_without_the_list_fails_at_the_first_hook(session: AsyncSession) -> None:
    hook: Hook[str, None] = Hook()
    with pytest.raises(RuntimeError, match=r"import services\.subscriptions"):
        await hook.run(session, "x")


async def test_an_exception_of_a_handler_ends_the_change(
    session: AsyncSession, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(session: AsyncSession, deletion: boards.BoardDeletion) -> None:
        raise ValueError("not now")

    monkeypatch.setattr(boards.BOARD_DELETION, "handler", fail)
    board_id = world.board.id
    board = await boards.lock_board(session, world.alice, board_id)
    with pytest.raises(ValueError, match="not now"):
        await boards.delete_board(session, world.alice, board)
    assert await session.scalar(select(Board.id).where(Board.id == board_id)) == board_id
