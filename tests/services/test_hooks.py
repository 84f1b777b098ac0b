"""Hooks: domains take part in changes of those below them, in the same transaction."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

import services.subscriptions
from models import Board
from services import boards
from services.hooks import Hook
from tests.support.world import World

ROOT = Path(__file__).parent.parent.parent


def test_every_hook_is_in_the_list() -> None:
    listed = Path(services.subscriptions.__file__).read_text()
    sources = [file.read_text() for file in (ROOT / "services").rglob("*.py")]
    declared = [name for source in sources for name in re.findall(r'= Hook\("(\w+)"\)', source)]
    subscribed = re.findall(r"^\w+\.(\w+)\.subscribe\($", listed, re.MULTILINE)
    assert sorted(subscribed) == sorted(declared)


def test_only_the_list_subscribes() -> None:
    places = [
        str(file.relative_to(ROOT))
        for folder in ("services", "web", "api", "worker", "cli")
        for file in (ROOT / folder).rglob("*.py")
        if ".subscribe(\n" in file.read_text()
    ]
    assert places == ["services/subscriptions.py"]


async def test_handlers_run_and_contribute_in_order(session: AsyncSession) -> None:
    hook: Hook[str, str] = Hook("TEST")

    async def first(session: AsyncSession, occasion: str) -> list[str]:
        return [f"first {occasion}"]

    async def silent(session: AsyncSession, occasion: str) -> None:
        return None

    async def second(session: AsyncSession, occasion: str) -> list[str]:
        return [f"second {occasion}"]

    with pytest.raises(RuntimeError, match=r"services\.subscriptions"):
        await hook.run(session, "x")
    hook.subscribe(first, silent, second)
    assert await hook.run(session, "x") == ["first x", "second x"]
    with pytest.raises(RuntimeError, match="set already"):
        hook.subscribe(first)


async def test_an_exception_of_a_handler_ends_the_change(
    session: AsyncSession, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(session: AsyncSession, deletion: boards.BoardDeletion) -> None:
        raise ValueError("not now")

    monkeypatch.setattr(boards.BOARD_DELETION, "handlers", (fail,))
    board_id = world.board.id
    board = await boards.lock_board(session, world.alice, board_id)
    with pytest.raises(ValueError, match="not now"):
        await boards.delete_board(session, world.alice, board)
    assert await session.scalar(select(Board.id).where(Board.id == board_id)) == board_id


def test_a_process_without_the_list_fails_at_the_first_hook() -> None:
    script = (
        "import asyncio\n"
        "from services import boards\n"
        "asyncio.run(boards.BOARD_DELETION.run(None, None))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert "import services.subscriptions" in result.stderr
