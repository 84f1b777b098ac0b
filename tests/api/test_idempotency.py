"""Idempotency-Key: a POST that is sent again does nothing again, and is answered alike."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update

from api.idempotency import HEADER, REPLAYED
from kit.clock import now
from models import Agent, AgentToken, Comment, IdempotencyKey, Task
from services import idempotency
from tests.api.conftest import Caller, Client
from tests.conftest import Transaction
from tests.world import World

KEY = "8e03978e-40d5-43e8-bc93-6894a57f9324"


async def post(client: Client, path: str, body: Any, key: str | None = KEY, **more: Any) -> Any:
    headers = {} if key is None else {HEADER: key}
    return await client.post(path, json=body, headers=headers, **more)


async def how_many(transaction: Transaction, model: type) -> int:
    async with transaction() as session:
        return await session.scalar(select(func.count()).select_from(model)) or 0


@pytest.fixture
def tasks(world: World) -> str:
    return f"/boards/{world.board.id}/tasks"


async def test_the_same_again_does_nothing_and_is_answered_alike(
    alice: Client, tasks: str, transaction: Transaction
) -> None:
    first = await post(alice, tasks, {"title": "Once", "priority": "high"})
    again = await post(alice, tasks, {"priority": "high", "title": "Once"})
    assert (first.status_code, first.json()["title"]) == (200, "Once")
    assert REPLAYED not in first.headers
    assert again.headers[REPLAYED] == "true"
    assert again.status_code == first.status_code
    assert again.content == first.content
    assert again.headers["Content-Type"] == first.headers["Content-Type"]
    assert again.headers["X-Request-Id"] != first.headers["X-Request-Id"]
    assert await how_many(transaction, Task) == 1


async def test_quotes_around_a_key_are_not_part_of_it(
    alice: Client, tasks: str, transaction: Transaction
) -> None:
    """The draft writes keys in quotes, and many clients do not."""
    await post(alice, tasks, {"title": "Once"}, f'"{KEY}"')
    assert (await post(alice, tasks, {"title": "Once"}, KEY)).headers[REPLAYED]


async def test_a_key_is_for_one_request_only(
    alice: Client, world: World, tasks: str, transaction: Transaction
) -> None:
    await post(alice, tasks, {"title": "Once"})
    elsewhere = f"/boards/{world.garden.id}/tasks"
    for path, body in [(tasks, {"title": "Twice"}), (elsewhere, {"title": "Once"})]:
        refused = await post(alice, path, body)
        assert refused.status_code == 422
        assert refused.json()["code"] == "idempotency_key_reused"
    assert await how_many(transaction, Task) == 1


async def test_a_key_is_its_callers_own(
    alice: Client, bob: Client, tasks: str, transaction: Transaction
) -> None:
    first, other = [await post(who, tasks, {"title": "Once"}) for who in (alice, bob)]
    assert first.json()["id"] != other.json()["id"]
    assert await how_many(transaction, Task) == 2


@pytest.mark.parametrize("key", ["", "  ", '""', "x" * 256, "schlüssel", "a\tb"])
async def test_a_key_that_is_none_is_refused(
    alice: Client, tasks: str, transaction: Transaction, key: str
) -> None:
    headers = [(HEADER.encode(), key.encode())]
    refused = await alice.post(tasks, json={"title": "Once"}, headers=headers)
    assert refused.status_code == 422
    assert refused.json()["code"] == "idempotency_key_invalid"
    assert await how_many(transaction, Task) == 0


async def test_two_keys_are_none(alice: Client, tasks: str) -> None:
    headers = [(HEADER.encode(), b"one"), (HEADER.encode(), b"two")]
    refused = await alice.post(tasks, json={"title": "Once"}, headers=headers)
    assert refused.json()["code"] == "idempotency_key_invalid"


async def test_without_a_key_everything_is_as_ever(
    alice: Client, tasks: str, transaction: Transaction
) -> None:
    for _ in range(2):
        assert (await post(alice, tasks, {"title": "Each"}, None)).status_code == 200
    assert await how_many(transaction, Task) == 2
    assert await how_many(transaction, IdempotencyKey) == 0


async def test_what_is_no_post_passes_the_key_over(
    alice: Client, world: World, transaction: Transaction
) -> None:
    for name in ("One", "Another"):
        answer = await alice.patch(
            f"/boards/{world.board.id}", json={"name": name}, headers={HEADER: KEY}
        )
        assert answer.json()["name"] == name
    assert await how_many(transaction, IdempotencyKey) == 0


async def test_what_was_refused_may_be_asked_again(
    lead: Client, world: World, transaction: Transaction
) -> None:
    """Nothing was done, so there is nothing to repeat: the second answer is a new one."""
    async with transaction() as session:
        task = world.task()
        session.add(task)
    comments = f"/boards/{world.board.id}/tasks/{task.id}/comments"
    assert (await post(lead, comments, {"message": "Well done."})).status_code == 403
    async with transaction() as session:
        await session.execute(update(Task).values(status="review"))
    said = await post(lead, comments, {"message": "Well done."})
    assert said.status_code == 200
    assert REPLAYED not in said.headers
    assert await how_many(transaction, Comment) == 1


async def test_who_is_not_known_has_no_keys(nobody: Client, tasks: str) -> None:
    assert (await post(nobody, tasks, {"title": "Once"}, "")).status_code == 401


async def test_a_token_is_told_again_and_lies_nowhere_in_clear(
    alice: Client, world: World, transaction: Transaction
) -> None:
    body = {"name": "Ada", "board_id": str(world.board.id)}
    first, again = [await post(alice, "/agents", body) for _ in range(2)]
    token = first.json()["token"]
    assert again.json()["token"] == token
    assert await how_many(transaction, AgentToken) == 6
    async with transaction() as session:
        kept = await session.scalar(select(IdempotencyKey.answer))
        assert await session.scalar(select(func.count()).where(Agent.name == "Ada")) == 1
    assert kept is not None
    assert token not in kept
    assert "Ada" not in kept


async def test_a_key_is_new_again_after_a_day(
    alice: Client, tasks: str, transaction: Transaction
) -> None:
    await post(alice, tasks, {"title": "Once"})
    async with transaction() as session:
        await idempotency.purge(session)
    assert await how_many(transaction, IdempotencyKey) == 1
    async with transaction() as session:
        yesterday = now() - timedelta(hours=24, seconds=1)
        await session.execute(update(IdempotencyKey).values(created_at=yesterday))
        await idempotency.purge(session)
    assert REPLAYED not in (await post(alice, tasks, {"title": "Another"})).headers
    assert await how_many(transaction, Task) == 2


async def test_what_cannot_be_read_any_more_is_said_to_be_done(
    calling: Caller, alice: Client, world: World, tasks: str, transaction: Transaction
) -> None:
    """SECRET_KEY has changed meanwhile. Doing it again would be worse than not telling."""
    await post(alice, tasks, {"title": "Once"})
    async with transaction() as session:
        await session.execute(update(IdempotencyKey).values(answer="v1.AAAA"))
    again = await post(alice, tasks, {"title": "Once"})
    assert (again.status_code, again.json()["code"]) == (409, "idempotency_answer_lost")
    assert await how_many(transaction, Task) == 1
