"""Runs of agents on their gateways."""

import re
from datetime import timedelta
from uuid import UUID

import pytest

from core.clock import now
from core.db.engine import TransactionFactory
from models import Agent, Gateway
from tests.support.gateway_rows import make_gateway, make_gateway_request, make_run
from tests.support.statement_counter import count_all_statements
from tests.support.world import World


@pytest.fixture
async def gateway(transaction: TransactionFactory, world: World) -> Gateway:
    gateway = make_gateway(world.tern)
    async with transaction() as session:
        session.add(gateway)
    return gateway


async def test_a_run_is_shown_with_its_request_on_agent_and_task_pages(
    bob, rita, world: World, transaction: TransactionFactory, gateway: Gateway
) -> None:
    gateway_request = make_gateway_request(gateway, world.worker, run_id="run-1")
    task = world.make_task("Publish")
    call = {"id": "c", "name": "exec", "title": "Exec ls", "detail": "ls -l <b>"}
    call |= {"started_at": "2026-11-24T22:28:33+00:00", "status": "failed", "error": "No."}
    run = make_run(gateway, world.worker, run_id="run-1", phase="waiting", tool_calls=[call])
    run.tail = "\nThe <end>"
    async with transaction() as session:
        session.add_all([task, gateway_request])
        await session.flush()
        run.task_id = task.id
        session.add(run)
        (await session.get_one(Agent, world.worker.id)).gateway_id = gateway.id
    at_task = f"/boards/{world.board.id}/tasks/{task.id}"
    at_agent = f"/agents/{world.worker.id}"
    for path in (at_agent, at_task, f"{at_agent}/runs/current", f"{at_task}/runs"):
        page = (await bob.get(path)).text
        for text in ("Waits for a person", "ls -l &lt;b&gt;", "No.", "\n\nThe &lt;end&gt;</pre>"):
            assert text in page, path
        assert f'href="/approvals/requests/{gateway_request.id}"' in page
        assert f'href="/approvals/requests/{gateway_request.id}"' not in (await rita.get(path)).text


async def test_the_requests_of_all_waiting_runs_are_loaded_at_once(
    bob, world: World, transaction: TransactionFactory, gateway: Gateway
) -> None:
    task, ids = world.make_task("Publish"), ("run-1", "run-2", "run-3")
    made = [make_gateway_request(gateway, world.worker, run_id=id) for id in ids]
    made.append(make_gateway_request(gateway, world.worker, run_id="run-1"))
    runs = [make_run(gateway, world.worker, run_id=id, phase="waiting") for id in ids]
    async with transaction() as session:
        session.add_all([task, *made])
        await session.flush()
        session.add_all(runs)
        for run in runs:
            run.task_id = task.id
    path = f"/boards/{world.board.id}/tasks/{task.id}/runs"
    with count_all_statements() as statements:
        page = (await bob.get(path)).text
    assert len([one for one in statements if "FROM gateway_requests" in one]) == 1
    newest = {made[1].id, made[2].id, made[3].id}
    assert {UUID(id) for id in re.findall(r'"/approvals/requests/([\w-]+)"', page)} == newest
    async with transaction() as session:
        for run in runs:
            (await session.merge(run)).phase = "thinking"
    with count_all_statements() as statements:
        await bob.get(path)
    assert not [one for one in statements if "FROM gateway_requests" in one]


@pytest.mark.parametrize(
    ("phase", "words"),
    [("thinking", "Working on its gateway"), ("waiting", "Waiting for an answer")],
)
async def test_an_agent_with_a_run_is_not_idle(
    alice, world: World, transaction: TransactionFactory, gateway: Gateway, phase: str, words: str
) -> None:
    run = make_run(gateway, world.worker, phase=phase)
    async with transaction() as session:
        session.add(run)
        worker = await session.get_one(Agent, world.worker.id)
        worker.gateway_id, worker.status = gateway.id, "online"
        worker.last_seen_at = now() - timedelta(minutes=8)
    page = (await alice.get(f"/agents/{world.worker.id}")).text
    assert "working (reported by its gateway" in page
    assert "Nothing." not in page
    assert "Working" in page
    assert "Idle" not in page
    agents_part = (await alice.get(f"/boards/{world.board.id}/agents-panel")).text
    assert words in agents_part
    assert "(working)" in agents_part


async def test_an_ended_or_lost_run_says_so(
    alice, world: World, transaction: TransactionFactory, gateway: Gateway
) -> None:
    lost = {"status": "lost", "ended_at": now(), "error": "Nothing was heard of it."}
    async with transaction() as session:
        session.add(make_run(gateway, world.worker, **lost))
        (await session.get_one(Agent, world.worker.id)).gateway_id = gateway.id
    page = (await alice.get(f"/agents/{world.worker.id}")).text
    assert "Last run on its gateway" in page
    assert (
        "<b>Lost: the result is unknown.</b>"
        ' <span class="sub" dir="auto">Nothing was heard of it.</span>' in page
    )
