"""Concurrent requests with the same idempotency key."""

import asyncio

import pytest
from sqlalchemy import func, select

from core.config.settings import Settings
from core.errors import Conflict
from core.security.encryption import SecretCipher
from models import Event, EventType, IdempotencyKey, Task
from services import idempotency
from services.idempotency import IdempotentRequest, StoredResponse
from tests.support.api_fixtures import create_client
from tests.support.app_on_transactions import build_app_on

SEAL = SecretCipher(Settings(secret_key="k" * 40))
ANSWER = StoredResponse(200, {}, "{}")


async def test_of_twenty_concurrent_requests_one_is_executed(
    isolated_settings, isolated_transaction, isolated_world
) -> None:
    settings = isolated_settings.model_copy(update={"secret_key": "k" * 40})
    alice = create_client(build_app_on(settings, isolated_transaction), isolated_world.alice)
    path, headers = f"/boards/{isolated_world.board.id}/tasks", {"Idempotency-Key": "a-key"}

    async def post():
        return await alice.post(path, json={"title": "Once"}, headers=headers)

    responses = await asyncio.gather(*[post() for _ in range(20)])
    again = await post()

    done = [response for response in responses if response.status_code == 200]
    busy = [response for response in responses if response.status_code != 200]
    assert len({response.content for response in [*done, again]}) == 1
    assert sum("Idempotency-Replayed" not in response.headers for response in done) == 1
    assert {(one.status_code, one.json()["code"]) for one in busy} <= {
        (409, "idempotency_key_in_use")
    }
    async with isolated_transaction() as session:
        for model in (Task, IdempotencyKey):
            assert await session.scalar(select(func.count()).select_from(model)) == 1
        created = select(func.count()).where(Event.type == EventType.TASK_CREATED)
        assert await session.scalar(created) == 1


async def test_a_key_in_use_is_an_immediate_conflict(isolated_transaction, isolated_world) -> None:
    requested = IdempotentRequest(isolated_world.alice.id, "a-key", "f")
    async with isolated_transaction() as first:
        assert await idempotency.claim_key(first, requested, SEAL) is None
        with pytest.raises(Conflict, match="not answered yet"):
            async with isolated_transaction() as second:
                await asyncio.wait_for(idempotency.claim_key(second, requested, SEAL), 5)
        await idempotency.store_response(first, requested, ANSWER, SEAL)
    async with isolated_transaction() as third:
        assert await idempotency.claim_key(third, requested, SEAL) == ANSWER


async def test_a_claim_is_rolled_back_with_its_transaction(
    isolated_transaction, isolated_world
) -> None:
    """A process that is killed in the middle has changed nothing, and left no claim."""
    requested = IdempotentRequest(isolated_world.alice.id, "a-key", "f")
    async with isolated_transaction() as session:
        assert await idempotency.claim_key(session, requested, SEAL) is None
        await session.rollback()
    async with isolated_transaction() as session:
        assert await idempotency.claim_key(session, requested, SEAL) is None
