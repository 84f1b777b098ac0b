"""Streams and programs reach the product below a path of its host, through a proxy."""

import sys
from collections.abc import AsyncIterator

import httpx2
import pytest

from core.db.engine import TransactionFactory
from services import tasks
from tests.support.live_server import run_server, run_sh_in
from tests.support.page_stream import open_page
from tests.support.path_proxy import run_path_proxy
from tests.support.people_rows import token_secret
from tests.support.world import World

PATH = "/mc"


@pytest.fixture(params=["keeps", "removes"])
async def address(request: pytest.FixtureRequest, isolated_settings) -> AsyncIterator[str]:
    """Run a server behind a proxy that keeps or removes the path, and return its address."""
    async with run_path_proxy(PATH, 0, removes_path=request.param == "removes") as proxy:
        settings = isolated_settings.model_copy(update={"base_url": proxy.url})
        async with run_server(settings) as url:
            proxy.target = int(url.rpartition(":")[2])
            yield proxy.url
    assert proxy.outside == []


async def test_streams_of_pages_and_agents_are_live_below_the_path(
    address: str, isolated_world: World, isolated_transaction: TransactionFactory
) -> None:
    world = isolated_world
    headers = {"Authorization": f"Bearer {token_secret(world.worker)}"}
    stream = f"{address}/api/v1/boards/{world.board.id}/tasks/stream"
    async with (
        open_page(address, world.alice) as page,
        httpx2.AsyncClient(headers=headers, timeout=30) as client,
        client.stream("GET", stream) as response,
    ):
        assert response.status_code == 200
        async with isolated_transaction() as session:
            fields = tasks.TaskCreate(title="Oil the hinges")
            await tasks.create_task(session, world.alice, world.board, fields)
        await page.wait_for("tasks")
        async for line in response.aiter_lines():
            if "Oil the hinges" in line:
                break


async def test_a_coding_agent_connects_below_the_path(
    address: str, isolated_world: World, tmp_path
) -> None:
    token = token_secret(isolated_world.worker)
    async with httpx2.AsyncClient(timeout=30) as client:
        program = await client.get(f"{address}/client.py")
    (tmp_path / "client.py").write_bytes(program.content)
    printed = await run_sh_in(
        tmp_path,
        f"{sys.executable} client.py connect claude --url {address} --token {token} --yes"
        f" && {sys.executable} client.py check claude",
        HOME=str(tmp_path),
    )
    assert f"asks {address} before it calls a tool" in printed
    assert "FAILED" not in printed
