"""Idempotency-Key: a repeated POST has no effect and the same response."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete, func, select, update

from api.framework.idempotency import IDEMPOTENCY_KEY_HEADER, REPLAYED_HEADER
from core.clock import now
from core.db.engine import TransactionFactory
from models import (
    Agent,
    AgentToken,
    BoardAccess,
    Comment,
    IdempotencyKey,
    Member,
    Role,
    Task,
)
from services import idempotency
from tests.support.api_fixtures import Client, ClientFactory
from tests.support.world import World

KEY = "8e03978e-40d5-43e8-bc93-6894a57f9324"


async def post(client: Client, path: str, body: Any, key: str | None = KEY, **more: Any) -> Any:
    headers = {} if key is None else {IDEMPOTENCY_KEY_HEADER: key}
    return await client.post(path, json=body, headers=headers, **more)


async def count_tasks(transaction: TransactionFactory, model: type) -> int:
    async with transaction() as session:
        return await session.scalar(select(func.count()).select_from(model)) or 0


@pytest.fixture
def tasks(world: World) -> str:
    return f"/boards/{world.board.id}/tasks"


async def test_a_repeated_request_does_nothing_and_has_the_same_response(
    alice: Client, tasks: str, transaction: TransactionFactory
) -> None:
    first = await post(alice, tasks, {"title": "Once", "priority": "high"})
    again = await post(alice, tasks, {"priority": "high", "title": "Once"})
    assert (first.status_code, first.json()["title"]) == (200, "Once")
    assert REPLAYED_HEADER not in first.headers
    assert again.headers[REPLAYED_HEADER] == "true"
    assert again.status_code == first.status_code
    assert again.content == first.content
    assert again.headers["Content-Type"] == first.headers["Content-Type"]
    assert again.headers["ETag"] == first.headers["ETag"]
    assert again.headers["X-Request-Id"] != first.headers["X-Request-Id"]
    assert await count_tasks(transaction, Task) == 1


async def test_quotes_are_not_part_of_a_key(
    alice: Client, tasks: str, transaction: TransactionFactory
) -> None:
    """The draft requires quotes, but many clients omit them."""
    await post(alice, tasks, {"title": "Once"}, f'"{KEY}"')
    assert (await post(alice, tasks, {"title": "Once"}, KEY)).headers[REPLAYED_HEADER]


async def test_a_key_belongs_to_one_request(
    alice: Client, world: World, tasks: str, transaction: TransactionFactory
) -> None:
    await post(alice, tasks, {"title": "Once"})
    elsewhere = f"/boards/{world.garden.id}/tasks"
    for path, body in [(tasks, {"title": "Twice"}), (elsewhere, {"title": "Once"})]:
        refused = await post(alice, path, body)
        assert refused.status_code == 422
        assert refused.json()["code"] == "idempotency_key_reused"
    assert await count_tasks(transaction, Task) == 1


async def test_a_key_belongs_to_one_caller(
    alice: Client, bob: Client, tasks: str, transaction: TransactionFactory
) -> None:
    first, other = [await post(who, tasks, {"title": "Once"}) for who in (alice, bob)]
    assert first.json()["id"] != other.json()["id"]
    assert await count_tasks(transaction, Task) == 2


@pytest.mark.parametrize("key", ["", "  ", '""', "x" * 256, "schlüssel", "a\tb"])
async def test_an_invalid_key_is_rejected(
    alice: Client, tasks: str, transaction: TransactionFactory, key: str
) -> None:
    headers = [(IDEMPOTENCY_KEY_HEADER.encode(), key.encode())]
    refused = await alice.post(tasks, json={"title": "Once"}, headers=headers)
    assert refused.status_code == 422
    assert refused.json()["code"] == "idempotency_key_invalid"
    assert await count_tasks(transaction, Task) == 0


async def test_two_keys_in_a_request_are_rejected(alice: Client, tasks: str) -> None:
    headers = [(IDEMPOTENCY_KEY_HEADER.encode(), b"one"), (IDEMPOTENCY_KEY_HEADER.encode(), b"two")]
    refused = await alice.post(tasks, json={"title": "Once"}, headers=headers)
    assert refused.json()["code"] == "idempotency_key_invalid"


async def test_requests_without_a_key_are_executed_each_time(
    alice: Client, tasks: str, transaction: TransactionFactory
) -> None:
    for _ in range(2):
        assert (await post(alice, tasks, {"title": "Each"}, None)).status_code == 200
    assert await count_tasks(transaction, Task) == 2
    assert await count_tasks(transaction, IdempotencyKey) == 0


async def test_the_key_is_ignored_for_other_methods_than_post(
    alice: Client, world: World, transaction: TransactionFactory
) -> None:
    for name in ("One", "Another"):
        answer = await alice.patch(
            f"/boards/{world.board.id}", json={"name": name}, headers={IDEMPOTENCY_KEY_HEADER: KEY}
        )
        assert answer.json()["name"] == name
    assert await count_tasks(transaction, IdempotencyKey) == 0


async def test_a_rejected_request_can_be_repeated_with_its_key(
    lead: Client, world: World, transaction: TransactionFactory
) -> None:
    """Nothing was changed, so nothing is stored: the second response is new."""
    async with transaction() as session:
        task = world.make_task()
        session.add(task)
    comments = f"/boards/{world.board.id}/tasks/{task.id}/comments"
    assert (await post(lead, comments, {"message": "Well done."})).status_code == 403
    async with transaction() as session:
        await session.execute(update(Task).values(status="review"))
    comment = await post(lead, comments, {"message": "Well done."})
    assert comment.status_code == 200
    assert REPLAYED_HEADER not in comment.headers
    assert await count_tasks(transaction, Comment) == 1


async def test_a_response_is_not_repeated_after_a_right_is_lost(
    bob: Client, alice: Client, tasks: str, world: World, transaction: TransactionFactory
) -> None:
    agent = {"name": "Ada", "board_id": str(world.board.id)}
    assert (await post(bob, tasks, {"title": "Once"})).status_code == 200
    assert (await post(alice, "/agents", agent)).status_code == 200
    async with transaction() as session:
        await session.execute(delete(BoardAccess))
        await session.execute(update(Member).values(role=Role.MEMBER))
    for client, path, body in ((bob, tasks, {"title": "Once"}), (alice, "/agents", agent)):
        refused = await post(client, path, body)
        assert refused.status_code in (403, 404), path
        assert REPLAYED_HEADER not in refused.headers


async def test_an_unauthenticated_caller_has_no_keys(anonymous: Client, tasks: str) -> None:
    assert (await post(anonymous, tasks, {"title": "Once"}, "")).status_code == 401


async def test_a_stored_response_with_a_token_is_encrypted(
    alice: Client, world: World, transaction: TransactionFactory
) -> None:
    name = "Ada Lovelace of the Analytical Engine"  # too long to occur by chance
    body = {"name": name, "board_id": str(world.board.id)}
    first, again = [await post(alice, "/agents", body) for _ in range(2)]
    token = first.json()["token"]
    assert again.json()["token"] == token
    assert await count_tasks(transaction, AgentToken) == 6
    async with transaction() as session:
        stored = await session.scalar(select(IdempotencyKey.encrypted_response))
        assert await session.scalar(select(func.count()).where(Agent.name == name)) == 1
    assert stored is not None
    assert token not in stored
    assert name not in stored


async def test_a_key_expires_after_a_day(
    alice: Client, tasks: str, transaction: TransactionFactory
) -> None:
    await post(alice, tasks, {"title": "Once"})
    async with transaction() as session:
        await idempotency.delete_expired_responses(session)
    assert await count_tasks(transaction, IdempotencyKey) == 1
    async with transaction() as session:
        yesterday = now() - timedelta(hours=24, seconds=1)
        await session.execute(update(IdempotencyKey).values(created_at=yesterday))
        await idempotency.delete_expired_responses(session)
    assert REPLAYED_HEADER not in (await post(alice, tasks, {"title": "Another"})).headers
    assert await count_tasks(transaction, Task) == 2


async def test_an_unreadable_stored_response_is_reported_as_done(
    client_for: ClientFactory,
    alice: Client,
    world: World,
    tasks: str,
    transaction: TransactionFactory,
) -> None:
    """SECRET_KEY has changed meanwhile. A second execution would be worse than no response."""
    await post(alice, tasks, {"title": "Once"})
    async with transaction() as session:
        await session.execute(update(IdempotencyKey).values(encrypted_response="v1.AAAA"))
    again = await post(alice, tasks, {"title": "Once"})
    assert (again.status_code, again.json()["code"]) == (409, "idempotency_response_unreadable")
    assert await count_tasks(transaction, Task) == 1
