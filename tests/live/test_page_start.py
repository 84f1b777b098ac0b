"""The beginning of a page arrives before its content is loaded."""

import asyncio

import httpx2
from sqlalchemy import text

from core.db.engine import TransactionFactory
from tests.live.test_page_stream import TIMEOUT
from tests.support.page_stream import server_url
from tests.support.people_rows import cookie_secret
from tests.support.world import World
from web.auth.viewer import SESSION_COOKIE

__all__ = ["server_url"]


async def test_the_head_and_the_sidebar_arrive_before_the_tasks(
    url: str, isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    cookies = {SESSION_COOKIE: cookie_secret(isolated_world.alice)}
    path = f"/boards/{isolated_world.board.id}"
    async with (
        asyncio.timeout(TIMEOUT),
        httpx2.AsyncClient(base_url=url, cookies=cookies, timeout=TIMEOUT) as client,
        isolated_transaction() as session,
    ):
        await session.execute(text("LOCK TABLE saved_views IN ACCESS EXCLUSIVE MODE"))
        async with client.stream("GET", path) as response:
            pieces = response.aiter_text()
            page = await anext(pieces)
            assert "app.css" in page
            assert page.rstrip().endswith("</aside>")
            await session.rollback()
            async for piece in pieces:
                page += piece
    assert page.count('<section class="col"') == 3
    assert page.rstrip().endswith("</html>")
