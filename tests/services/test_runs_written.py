"""How runs are written down, all that changed at once."""

from sqlalchemy import delete, func, select, update

from kit.clock import now
from models import Agent, Run, RunStatus, Status, new_id
from openclaw import Event, Link, Target
from services.runs import keeping, station
from services.runs.keeping import Runner
from services.runs.live import Live
from tests.api.test_people_statements import counted
from tests.attended import key_of
from tests.conftest import Transaction
from tests.world import World, a_gateway, a_message


def beginning(agent: Agent, run_id: str | None = None) -> tuple[Live, Runner]:
    live = Live(run_id or str(new_id()), "agent:one:main", "one", now())
    return live, Runner(agent.id, "one", agent.name, agent.board_id)


async def test_a_run_of_an_agent_that_is_gone_is_left_out_and_others_are_written(
    transaction: Transaction, world: World
) -> None:
    gateway = a_gateway(world.tern)
    async with transaction() as session:
        session.add(gateway)
    gone, stays = beginning(world.worker), beginning(world.lead)
    async with transaction() as session:
        await session.execute(delete(Agent).where(Agent.id == world.worker.id))
    async with transaction() as session:
        await keeping.write(session, gateway, [gone, stays])
        await keeping.write(session, gateway, [gone])
        assert list(await session.scalars(select(Run.agent_id))) == [world.lead.id]


async def test_many_runs_are_written_as_cheaply_as_one_each_with_its_task(
    transaction: Transaction, world: World
) -> None:
    gateway, in_hand = a_gateway(world.tern), world.task("In hand")
    in_hand.status, in_hand.assigned_agent_id = Status.IN_PROGRESS, world.worker.id
    told = [world.task(f"Told of {number}") for number in range(5)]
    messages = [a_message(world.worker, task_id=task.id) for task in told]
    gone = a_message(world.worker, task_id=new_id())
    async with transaction() as session:
        session.add_all([gateway, in_hand, *told, *messages, gone])
    runs = [beginning(world.worker, f"{one.id}.1") for one in [*messages, gone]]
    async with transaction() as session:
        with counted() as for_one:
            await keeping.write(session, gateway, [beginning(world.worker)])
        with counted() as for_many:
            await keeping.write(session, gateway, [*runs, beginning(world.lead)])
        assert len(for_many) == len(for_one)
        about = await session.scalars(select(Run.task_id).order_by(Run.started_at))
        assert [*about] == [*[task.id for task in told], in_hand.id, in_hand.id, None]


async def test_of_ever_new_runs_the_newest_are_followed_and_the_oldest_are_given_up(
    transaction: Transaction, world: World
) -> None:
    gateway = a_gateway(world.tern)
    key = key_of(world.worker)
    async with transaction() as session:
        session.add(gateway)
        mine = update(Agent).where(Agent.id == world.worker.id)
        session_key = f"agent:{key}:main"
        await session.execute(mine.values(gateway_id=gateway.id, openclaw_session_id=session_key))
    desk = station.Desk(transaction, gateway, Link(Target("ws://127.0.0.1:9")))
    started = {"stream": "lifecycle", "data": {"phase": "start"}}
    for number in [*range(station.MOST + 2), 0]:
        said = {"runId": f"run-{number}", "agentId": key, **started}
        await desk.take(Event("agent", said))
    await desk.write(0.0)
    async with transaction() as session:
        query = select(Run.run_id, Run.error).where(Run.status == RunStatus.LOST)
        lost = {tuple(row) for row in await session.execute(query.order_by(Run.run_id))}
        assert lost == {("run-0", station.TOO_MANY), ("run-1", station.TOO_MANY)}
        running = select(func.count()).where(Run.status == RunStatus.RUNNING)
        assert await session.scalar(running) == station.MOST
