"""What agents do on their gateways, as people see it."""

from datetime import timedelta

import pytest

from kit.clock import now
from models import Agent, Gateway
from tests.conftest import Transaction
from tests.world import World, a_gateway, a_request, a_run


@pytest.fixture
async def gateway(transaction: Transaction, world: World) -> Gateway:
    gateway = a_gateway(world.tern)
    async with transaction() as session:
        session.add(gateway)
    return gateway


async def test_a_run_is_seen_on_the_agents_page_and_on_the_task_with_the_way_to_its_question(
    bob, rita, world: World, transaction: Transaction, gateway: Gateway
) -> None:
    asked = a_request(gateway, world.worker, run_id="run-1")
    task = world.task("Publish")
    call = {"id": "c", "name": "exec", "title": "Exec ls", "detail": "ls -l <b>"}
    call |= {"started_at": "2026-11-24T22:28:33+00:00", "status": "failed", "error": "No."}
    run = a_run(gateway, world.worker, run_id="run-1", phase="waiting", tool_calls=[call])
    run.tail = "\nThe <end>"
    async with transaction() as session:
        session.add_all([task, asked])
        await session.flush()
        run.task_id = task.id
        session.add(run)
        (await session.get_one(Agent, world.worker.id)).gateway_id = gateway.id
    at_task = f"/boards/{world.board.id}/tasks/{task.id}"
    at_agent = f"/agents/{world.worker.id}"
    for path in (at_agent, at_task, f"{at_agent}/runs", f"{at_task}/runs"):
        page = (await bob.get(path)).text
        for text in ("Waits for a person", "ls -l &lt;b&gt;", "No.", "\n\nThe &lt;end&gt;</pre>"):
            assert text in page, path
        assert f'href="/approvals/requests/{asked.id}"' in page
        assert f'href="/approvals/requests/{asked.id}"' not in (await rita.get(path)).text


@pytest.mark.parametrize(
    ("phase", "words"),
    [("thinking", "At work on its gateway"), ("waiting", "Waits for a person&#39;s answer")],
)
async def test_whom_its_gateway_tells_to_be_at_work_is_not_called_idle(
    alice, world: World, transaction: Transaction, gateway: Gateway, phase: str, words: str
) -> None:
    run = a_run(gateway, world.worker, phase=phase)
    async with transaction() as session:
        session.add(run)
        worker = await session.get_one(Agent, world.worker.id)
        worker.gateway_id, worker.status = gateway.id, "online"
        worker.last_seen_at = now() - timedelta(minutes=8)
    page = (await alice.get(f"/agents/{world.worker.id}")).text
    assert "its gateway told of its work" in page
    assert "Nothing." not in page
    assert "Working" in page
    assert "Idle" not in page
    crew = (await alice.get(f"/boards/{world.board.id}/crew")).text
    assert words in crew
    assert "(working)" in crew


async def test_a_run_that_is_over_or_lost_says_so(
    alice, world: World, transaction: Transaction, gateway: Gateway
) -> None:
    lost = {"status": "lost", "ended_at": now(), "error": "Nothing was heard of it."}
    async with transaction() as session:
        session.add(a_run(gateway, world.worker, **lost))
        (await session.get_one(Agent, world.worker.id)).gateway_id = gateway.id
    page = (await alice.get(f"/agents/{world.worker.id}")).text
    assert "Last at work on its gateway" in page
    assert '<b>Lost.</b> <span class="sub">Nothing was heard of it.</span>' in page
