"""Storing runs, several with one statement."""

from sqlalchemy import delete, func, select, update

from core.clock import now
from core.db.engine import TransactionFactory
from models import Agent, Run, RunStatus, Status, new_id
from openclaw import GatewayClient, GatewayEvent, GatewayTarget
from services.gateways.runs import commands, jobs
from services.gateways.runs.queries import RunAgent
from services.gateways.runs.run_state import RunState
from tests.support.board_rows import make_message
from tests.support.gateway_rows import make_gateway
from tests.support.requests_gateway import agent_key
from tests.support.statement_counter import count_all_statements
from tests.support.world import World


def make_started_run(agent: Agent, run_id: str | None = None) -> tuple[RunState, RunAgent]:
    live = RunState(run_id or str(new_id()), "agent:one:main", "one", now())
    return live, RunAgent(agent.id, "one", agent.name, agent.board_id)


async def test_runs_of_deleted_agents_are_skipped_and_others_stored(
    transaction: TransactionFactory, world: World
) -> None:
    gateway = make_gateway(world.tern)
    async with transaction() as session:
        session.add(gateway)
    gone, stays = make_started_run(world.worker), make_started_run(world.lead)
    async with transaction() as session:
        await session.execute(delete(Agent).where(Agent.id == world.worker.id))
    async with transaction() as session:
        await commands.upsert_runs(session, gateway, [gone, stays])
        await commands.upsert_runs(session, gateway, [gone])
        assert list(await session.scalars(select(Run.agent_id))) == [world.lead.id]


async def test_many_runs_are_stored_with_a_fixed_number_of_statements(
    transaction: TransactionFactory, world: World
) -> None:
    gateway, in_hand = make_gateway(world.tern), world.make_task("In hand")
    in_hand.status, in_hand.assigned_agent_id = Status.IN_PROGRESS, world.worker.id
    events = [world.make_task(f"Told of {number}") for number in range(5)]
    messages = [make_message(world.worker, task_id=task.id) for task in events]
    gone = make_message(world.worker, task_id=new_id())
    async with transaction() as session:
        session.add_all([gateway, in_hand, *events, *messages, gone])
    runs = [make_started_run(world.worker, f"{one.id}.1") for one in [*messages, gone]]
    async with transaction() as session:
        with count_all_statements() as for_one:
            await commands.upsert_runs(session, gateway, [make_started_run(world.worker)])
        with count_all_statements() as for_many:
            await commands.upsert_runs(session, gateway, [*runs, make_started_run(world.lead)])
        assert len(for_many) == len(for_one)
        about = await session.scalars(select(Run.task_id).order_by(Run.started_at))
        assert [*about] == [*[task.id for task in events], in_hand.id, in_hand.id, None]


async def test_the_oldest_of_too_many_runs_are_not_tracked(
    transaction: TransactionFactory, world: World
) -> None:
    gateway = make_gateway(world.tern)
    key = agent_key(world.worker)
    async with transaction() as session:
        session.add(gateway)
        mine = update(Agent).where(Agent.id == world.worker.id)
        session_key = f"agent:{key}:main"
        await session.execute(mine.values(gateway_id=gateway.id, openclaw_session_id=session_key))
    run_tracker = jobs.RunTracker(
        transaction, transaction, gateway, GatewayClient(GatewayTarget("ws://127.0.0.1:9"))
    )
    started = {"stream": "lifecycle", "data": {"phase": "start"}}
    for number in [*range(jobs.MAX_RUNS + 2), 0]:
        payload = {"runId": f"run-{number}", "agentId": key, **started}
        await run_tracker.handle_event(GatewayEvent("agent", payload))
    await run_tracker.write_changes(0.0)
    async with transaction() as session:
        query = select(Run.run_id, Run.error).where(Run.status == RunStatus.LOST)
        lost = {tuple(row) for row in await session.execute(query.order_by(Run.run_id))}
        assert lost == {("run-0", jobs.TOO_MANY_RUNS), ("run-1", jobs.TOO_MANY_RUNS)}
        running = select(func.count()).where(Run.status == RunStatus.RUNNING)
        assert await session.scalar(running) == jobs.MAX_RUNS
