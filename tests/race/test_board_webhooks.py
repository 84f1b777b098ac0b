"""Concurrent requests to a webhook, and concurrent changes of it."""

import json
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.db.engine import TransactionFactory
from core.errors import Gone, NotFound
from models import BoardWebhook, Message, Note, Task, TaskLink, WebhookAction, WebhookPayload
from services import board_webhooks, boards
from services.board_webhooks import BoardWebhookUpdate, WebhookRequest
from tests.support.board_rows import make_webhook
from tests.support.forge_payloads import github_headers, github_issue
from tests.support.rounds import ROUNDS, run_concurrently, run_rounds
from tests.support.secret_key import CIPHER
from tests.support.world import World

BASE_URL = "http://mission.test"


async def receive(hook: BoardWebhook, delivery_id: str, session: AsyncSession) -> UUID:
    request = WebhookRequest({"x-github-delivery": delivery_id}, b"{}", "192.0.2.7", is_signed=True)
    return await board_webhooks.receive_request(session, hook, request, base_url=BASE_URL)


async def test_two_identical_deliveries_at_once_are_one_payload(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    """W-17."""
    hook = await add_webhook(isolated_transaction, isolated_world)

    async def race(number: int) -> None:
        one = partial(receive, hook, f"delivery {number}")
        ids = await run_concurrently(isolated_transaction, one, one, one)
        assert len(set(ids)) == 1
        assert isinstance(ids[0], UUID)

    await run_rounds(range(ROUNDS), race)
    async with isolated_transaction() as session:
        for model in (WebhookPayload, Note):
            assert await session.scalar(select(func.count(model.id))) == ROUNDS
        queued = await session.scalar(select(func.count()).where(WebhookPayload.is_queued)) or 0
        sent = await session.scalar(select(func.count(Message.id))) or 0
        assert sent + queued == ROUNDS


async def test_a_webhook_that_is_deleted_or_disabled_receives_nothing_afterwards(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    world = isolated_world

    async def race(number: int) -> None:
        hook = await add_webhook(isolated_transaction, world)

        async def change(session: AsyncSession) -> None:
            board = await boards.lock_board(session, world.bob, world.board.id)
            place = (session, world.bob, board, hook.id)
            if number % 2:
                await board_webhooks.delete_webhook(*place)
            else:
                fields = BoardWebhookUpdate.of(enabled=False)
                await board_webhooks.update_webhook(*place, fields, CIPHER)

        result, changed = await run_concurrently(
            isolated_transaction, partial(receive, hook, "one"), change
        )
        assert changed is None
        assert isinstance(result, UUID | NotFound | Gone)
        async with isolated_transaction() as session:
            count = select(func.count(WebhookPayload.id)).where(
                WebhookPayload.webhook_id == hook.id
            )
            expected = isinstance(result, UUID) and not number % 2
            assert await session.scalar(count) == int(expected)

    await run_rounds(range(ROUNDS), race)


async def test_an_issue_that_two_webhooks_report_at_once_is_one_task(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    hooks = [
        await add_webhook(isolated_transaction, isolated_world, action=WebhookAction.FORGE)
        for _ in range(2)
    ]

    async def report(hook: BoardWebhook, number: int, session: AsyncSession) -> UUID:
        headers = github_headers("issues") | {"x-github-delivery": f"delivery {number}"}
        body = json.dumps(github_issue(number=number)).encode()
        request = WebhookRequest(headers, body, "192.0.2.7", is_signed=True)
        return await board_webhooks.receive_request(session, hook, request, base_url=BASE_URL)

    async def race(number: int) -> None:
        calls = [partial(report, hook, number + 1) for hook in hooks]
        ids = await run_concurrently(isolated_transaction, *calls)
        assert all(isinstance(one, UUID) for one in ids)

    await run_rounds(range(ROUNDS), race)
    async with isolated_transaction() as session:
        for model in (Task, TaskLink):
            assert await session.scalar(select(func.count(model.id))) == ROUNDS


async def add_webhook(transaction: TransactionFactory, world: World, **fields: Any) -> BoardWebhook:
    async with transaction() as session:
        hook = make_webhook(world.board, **fields)
        session.add(hook)
    return hook
