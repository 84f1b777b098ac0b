"""A form that is sent several times at once is executed once."""

import asyncio
from uuid import uuid4

import httpx2
from sqlalchemy import func, select

from core.config.settings import Settings
from core.db.engine import TransactionFactory
from models import Comment
from tests.support.live_server import run_server
from tests.support.people_rows import cookie_secret
from tests.support.tiers import IS_COMPLETE_RUN
from tests.support.world import World
from web.auth.viewer import SESSION_COOKIE

TIMES = 5  # at once
FORMS = 10 if IS_COMPLETE_RUN else 3


async def test_a_double_click_writes_one_comment(
    isolated_settings: Settings, isolated_world: World, isolated_transaction: TransactionFactory
) -> None:
    world = isolated_world
    task = world.make_task("Write the notes")
    async with isolated_transaction() as session:
        session.add(task)
    path = f"/boards/{world.board.id}/tasks/{task.id}/comments"
    cookies = {SESSION_COOKIE: cookie_secret(world.alice)}
    headers = {"Sec-Fetch-Site": "same-origin"}
    async with (
        run_server(isolated_settings) as url,
        httpx2.AsyncClient(base_url=url, cookies=cookies, headers=headers, timeout=20) as client,
    ):
        for number in range(FORMS):
            form = {"message": f"Comment {number}", "form_id": uuid4().hex}
            sent = [client.post(path, data=form) for _ in range(TIMES)]
            answers = await asyncio.gather(*sent)
            assert {answer.status_code for answer in answers} == {303}
            assert len({answer.headers["Location"] for answer in answers}) == 1
    async with isolated_transaction() as session:
        assert await session.scalar(select(func.count()).select_from(Comment)) == FORMS
