"""A claim names the status that it expects and the run that works, so that runs do not mix."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from core.clock import now
from core.db.engine import TransactionFactory
from models import Status, Task
from tests.support.api_fixtures import Client, ClientFactory
from tests.support.world import World


async def create_task(world: World, transaction: TransactionFactory, **fields: Any) -> str:
    """Store a task and return its path, for agents without a prefix."""
    async with transaction() as session:
        session.add(task := world.make_task(**fields))
        return f"/boards/{world.board.id}/tasks/{task.id}"


async def change(client: Client, path: str, **fields: Any) -> tuple[int, Any]:
    """Change a task; return the status, and the run that has the task or the details."""
    answer = await client.patch(path, json=fields)
    content = answer.json()
    return answer.status_code, content["claimed_run"] if answer.is_success else content["detail"]


START = {"status": "in_progress"}


async def test_a_task_without_the_expected_status_is_not_claimed(
    worker: Client, alice: Client, world: World, transaction: TransactionFactory
) -> None:
    path = await create_task(world, transaction)
    expected = {"status": "in_progress", "expected_status": "inbox"}
    assert await change(worker, path, **expected) == (200, None)
    for client in (worker, alice):
        status, detail = await change(client, path, **expected, comment="Again.")
        assert (status, detail["code"], detail["status"]) == (409, "status_changed", "in_progress")
    assert (await alice.get(f"{path}/comments")).json()["total"] == 0
    assert (await change(alice, path, status="inbox", expected_status=None))[0] == 200


async def test_another_run_of_the_agent_does_not_get_its_task(
    worker: Client, alice: Client, world: World, transaction: TransactionFactory
) -> None:
    path = await create_task(world, transaction)
    assert await change(worker, path, **START, run_id="first") == (200, "first")
    assert await change(worker, path, **START, run_id="first") == (200, "first")
    for fields in (START, {"status": "review"}, {}):
        status, detail = await change(worker, path, **fields, run_id="second")
        assert (status, detail["code"]) == (409, "claimed_by_other_run")
        assert detail["run_id"] == "first"
    wrong = await change(worker, path, **START, run_id="second", expected_run_id="third")
    assert wrong[0] == 409
    taken = await change(worker, path, **START, run_id="second", expected_run_id="first")
    assert taken == (200, "second")
    assert (await change(worker, path, status="review", run_id="first"))[0] == 409
    assert (await alice.get(path)).json()["claimed_run"] == "second"
    assert await change(worker, path, custom_field_values={}) == (200, "second")  # names no run
    assert await change(worker, path, status="inbox", run_id="second") == (200, None)
    assert await change(worker, path, **START, run_id="third") == (200, "third")


async def test_a_comment_of_a_run_takes_no_task_of_another_agent(
    worker: Client, other_worker: Client, world: World, transaction: TransactionFactory
) -> None:
    path = await create_task(world, transaction)
    await change(worker, path, **START, run_id="first")
    assert await change(other_worker, path, comment="Why?", run_id="second") == (200, "first")
    assert await change(worker, path, status="review", run_id="first") == (200, None)


async def test_a_run_that_is_silent_for_long_loses_its_task(
    worker: Client, world: World, transaction: TransactionFactory
) -> None:
    path = await create_task(world, transaction)
    await change(worker, path, **START, run_id="first")
    for minutes, status in ((29, 409), (31, 200)):
        at = now() - timedelta(minutes=minutes)
        async with transaction() as session:
            await session.execute(update(Task).values(claimed_run_at=at))
        assert (await change(worker, path, run_id="second"))[0] == status


async def test_a_run_has_a_task_until_somebody_else_gets_it(
    worker: Client, alice: Client, world: World, transaction: TransactionFactory
) -> None:
    other = {"assigned_agent_id": str(world.other_worker.id)}
    for fields in (other, {"assigned_user_id": str(world.bob.id)}, {"status": "review"}):
        path = await create_task(world, transaction)
        await change(worker, path, **START, run_id="first")
        assert await change(alice, path, title="Write another report") == (200, "first")
        assert await change(alice, path, **fields) == (200, None)


async def test_only_workers_have_runs(
    alice: Client, lead: Client, world: World, transaction: TransactionFactory
) -> None:
    path = await create_task(world, transaction, status=Status.REVIEW)
    for client in (alice, lead):
        assert (await change(client, path, status="done", run_id="first"))[0] == 403
    assert await change(lead, path, status="inbox", expected_status="review") == (200, None)


@pytest.mark.parametrize("text", ["", " ", "x" * 201, "a\x00b", 7, ["x"]])
async def test_a_run_has_a_short_name(
    worker: Client, world: World, transaction: TransactionFactory, text: Any
) -> None:
    path = await create_task(world, transaction)
    for name in ("run_id", "expected_run_id"):
        assert (await worker.patch(path, json={**START, name: text})).status_code == 422


async def test_one_of_several_runs_claims_a_task(
    committing_client_for: ClientFactory,
    isolated_world: World,
    isolated_transaction: TransactionFactory,
) -> None:
    path = await create_task(isolated_world, isolated_transaction)
    worker = committing_client_for(isolated_world.worker)
    answers = await asyncio.gather(
        *(change(worker, path, **START, run_id=f"run {n}") for n in range(8))
    )
    won = [run for status, run in answers if status == 200]
    assert len(won) == 1
    assert {detail["run_id"] for status, detail in answers if status == 409} == {*won}
    assert len(answers) == 8
