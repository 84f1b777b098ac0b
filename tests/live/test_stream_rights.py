"""No stream sends an event that was committed after the right to it was removed."""

import asyncio
from collections.abc import AsyncGenerator, Collection
from contextlib import asynccontextmanager
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import select

from core.db.engine import TransactionFactory
from models import Board, Event, EventType
from tests.support.page_stream import PageStream, open_page, server_url
from tests.support.people_rows import token_secret
from tests.support.rounds import ROUNDS
from tests.support.world import World

__all__ = ["server_url"]

WRITERS = 4  # comments that race with the removal
COMMENTS = "/api/v1/activity/task-comments/stream"


class RacingSite:
    """A site whose owner takes a board away from Bob while others write on it."""

    def __init__(self, client: httpx2.AsyncClient, world: World) -> None:
        self.client = client
        self.world = world
        self.tasks: dict[UUID, str] = {}

    async def call(self, method: str, path: str, **json: object) -> dict:
        answer = await self.client.request(method, f"/api/v1{path}", json=json)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def create_tasks(self) -> None:
        for board in (self.world.board, self.world.garden):
            made = await self.call("POST", f"/boards/{board.id}/tasks", title="Raced")
            self.tasks[board.id] = made["id"]

    async def let_bob_read(self, *boards: Board) -> None:
        rows = [{"board_id": str(board.id), "can_read": True} for board in boards]
        path = f"/organizations/me/members/{self.world.bob_member.id}/access"
        await self.call("PUT", path, board_access=rows)

    async def comment(self, board: Board) -> str:
        path = f"/boards/{board.id}/tasks/{self.tasks[board.id]}/comments"
        return (await self.call("POST", path, message="Raced"))["id"]

    async def remove_and_comment(self) -> tuple[list[str], str]:
        """Take the board away while comments are written; comment on the other one at the end.

        Return the ids of the comments on the board, and of the last one.
        """
        garden, board = self.world.garden, self.world.board
        racing = asyncio.gather(*(self.comment(board) for _ in range(WRITERS)))
        await self.let_bob_read(garden)
        ids = await racing
        ids.append(await self.comment(board))
        return ids, await self.comment(garden)


@pytest.fixture
async def site(url: str, isolated_world: World) -> AsyncGenerator[RacingSite]:
    headers = {"Authorization": f"Bearer {token_secret(isolated_world.alice)}"}
    async with httpx2.AsyncClient(base_url=url, headers=headers, timeout=30) as client:
        site = RacingSite(client, isolated_world)
        await site.create_tasks()
        await site.let_bob_read(isolated_world.garden)
        yield site


class NumberedStream(PageStream):
    """A stream of the API: the numbers of its messages."""

    async def read(self, response: httpx2.Response) -> None:
        async for line in response.aiter_lines():
            field, _, value = line.partition(": ")
            if field == "id":
                self.names.put_nowait(value)


@asynccontextmanager
async def open_comments(url: str, world: World) -> AsyncGenerator[NumberedStream]:
    """Open the stream of comments on all boards of Bob."""
    stream = NumberedStream()
    headers = {"Authorization": f"Bearer {token_secret(world.bob)}"}
    async with (
        httpx2.AsyncClient(base_url=url, headers=headers, timeout=30) as client,
        client.stream("GET", COMMENTS) as response,
    ):
        assert response.status_code == 200
        reading = asyncio.create_task(stream.read(response))
        yield stream
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


async def load_seqs(transaction: TransactionFactory, ids: Collection[str]) -> dict[str, int]:
    """Return the numbers of the events of comments, and of the last change of rights."""
    async with transaction() as session:
        query = select(Event.id, Event.seq).where(Event.id.in_([UUID(id) for id in ids]))
        seqs = {str(id): seq for id, seq in await session.execute(query)}
        changed = select(Event.seq).where(Event.type == EventType.MEMBER_UPDATED)
        last = await session.scalar(changed.order_by(Event.seq.desc()).limit(1))
    assert last is not None
    return seqs | {"removal": last}


async def test_no_stream_of_the_api_sends_what_happened_after_the_removal(
    url: str, site: RacingSite, isolated_transaction: TransactionFactory
) -> None:
    world = site.world
    async with open_comments(url, world) as stream:
        for _ in range(ROUNDS):
            await site.let_bob_read(world.garden, world.board)
            before = await site.comment(world.board)
            raced, marker = await site.remove_and_comment()
            seqs = await load_seqs(isolated_transaction, [before, *raced, marker])
            received = await receive_until(stream, seqs[marker])
            late = {seqs[id] for id in raced if seqs[id] > seqs["removal"]}
            assert late
            assert not late & received


async def receive_until(stream: NumberedStream, seq: int) -> set[int]:
    """Return the numbers of the messages up to this one."""
    received: set[int] = set()
    async with asyncio.timeout(10):
        while seq not in received:
            received.add(int(await stream.names.get()))
    return received


async def test_no_page_gets_updates_of_changes_after_the_removal(
    url: str, site: RacingSite, isolated_transaction: TransactionFactory
) -> None:
    world = site.world
    for _ in range(ROUNDS):
        await site.let_bob_read(world.garden, world.board)
        async with open_page(url, world.bob) as page:
            await site.comment(world.board)
            await page.wait_for(f"comments-{site.tasks[world.board.id]}")
            await site.let_bob_read(world.garden)
            await site.comment(world.board)
            async with open_page(url, world.bob) as later:
                await site.comment(world.board)
                await site.comment(world.garden)
                for one in (page, later):
                    names = await names_until(one, f"comments-{site.tasks[world.garden.id]}")
                    assert f"comments-{site.tasks[world.board.id]}" not in names


async def names_until(page: PageStream, last: str) -> list[str]:
    """Return the names of the updates up to this one."""
    names: list[str] = []
    async with asyncio.timeout(10):
        while last not in names:
            names.append(await page.names.get())
    return names
