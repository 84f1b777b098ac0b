"""The same POST under the same key, many times at once."""

import asyncio

import pytest
from sqlalchemy import func, select

from kit.errors import Conflict
from kit.sealing import Seal
from kit.settings import Settings
from models import Event, EventType, IdempotencyKey, Task
from services import idempotency
from services.idempotency import Asked, Given
from tests.api.conftest import client_of, house_on

SEAL = Seal(Settings(secret_key="k" * 40))
ANSWER = Given(200, {}, "{}")


async def test_of_twenty_at_once_one_is_done(own_settings, real_transaction, real_world) -> None:
    settings = own_settings.model_copy(update={"secret_key": "k" * 40})
    alice = client_of(house_on(settings, real_transaction), real_world.alice)
    path, headers = f"/boards/{real_world.board.id}/tasks", {"Idempotency-Key": "a-key"}

    async def post():
        return await alice.post(path, json={"title": "Once"}, headers=headers)

    answers = await asyncio.gather(*[post() for _ in range(20)])
    again = await post()

    done = [answer for answer in answers if answer.status_code == 200]
    busy = [answer for answer in answers if answer.status_code != 200]
    assert len({answer.content for answer in [*done, again]}) == 1
    assert sum("Idempotency-Replayed" not in answer.headers for answer in done) == 1
    assert {(one.status_code, one.json()["code"]) for one in busy} <= {
        (409, "idempotency_key_in_use")
    }
    async with real_transaction() as session:
        for model in (Task, IdempotencyKey):
            assert await session.scalar(select(func.count()).select_from(model)) == 1
        created = select(func.count()).where(Event.type == EventType.TASK_CREATED)
        assert await session.scalar(created) == 1


async def test_nobody_waits_for_a_key_that_is_in_use(real_transaction, real_world) -> None:
    asked = Asked(real_world.alice.id, "a-key", "f")
    async with real_transaction() as first:
        assert await idempotency.claim(first, asked, SEAL) is None
        with pytest.raises(Conflict, match="not answered yet"):
            async with real_transaction() as second:
                await asyncio.wait_for(idempotency.claim(second, asked, SEAL), 5)
        await idempotency.keep(first, asked, ANSWER, SEAL)
    async with real_transaction() as third:
        assert await idempotency.claim(third, asked, SEAL) == ANSWER


async def test_a_claim_goes_with_its_transaction(real_transaction, real_world) -> None:
    """Whoever is killed in the middle of it has done nothing, and left no claim."""
    asked = Asked(real_world.alice.id, "a-key", "f")
    async with real_transaction() as session:
        assert await idempotency.claim(session, asked, SEAL) is None
        await session.rollback()
    async with real_transaction() as session:
        assert await idempotency.claim(session, asked, SEAL) is None
