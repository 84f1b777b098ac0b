"""A part of a periodic task that fails prevents none of the others."""

from datetime import timedelta

from sqlalchemy import select, text

from core.clock import now
from core.config.settings import Settings
from core.db.engine import TransactionFactory
from models import FailedAttempts, SignIn, Status, Task
from services import tasks
from tests.support.board_rows import make_task
from tests.support.people_rows import make_sign_in
from tests.support.world import World
from worker.periodic import PeriodicTasks

LONG_AGO = now() - timedelta(days=100)


async def refuse(transaction: TransactionFactory, event: str) -> None:
    """Let the database refuse a change of a row."""
    body = "returns trigger language plpgsql as $$ begin raise exception 'refused'; end $$"
    async with transaction() as session:
        await session.execute(text(f"create function refuse() {body}"))
        trigger = f"create trigger refuse before {event} execute function refuse()"
        await session.execute(text(trigger))


async def test_a_deletion_that_fails_prevents_no_other(
    settings: Settings, transaction: TransactionFactory, world: World
) -> None:
    await refuse(transaction, "delete on sign_ins for each row")
    expired = make_sign_in(world.bob)
    expired.secret_hash, expired.expires_at = "expired", LONG_AGO
    old = FailedAttempts(key_hash="old", level=1.0, updated_at=LONG_AGO, next_at=LONG_AGO)
    async with transaction() as session:
        session.add(await session.merge(expired))
        session.add(old)
    await PeriodicTasks(settings, transaction, transaction).purge()
    async with transaction() as session:
        is_expired = SignIn.secret_hash == "expired"
        assert await session.scalar(select(SignIn.id).where(is_expired)) == expired.id
        assert await session.scalar(select(FailedAttempts.id)) is None


async def test_a_board_that_cannot_be_followed_up_delays_no_other(
    settings: Settings, transaction: TransactionFactory, world: World
) -> None:
    silent = [
        make_task(board, "Write", status=Status.IN_PROGRESS, assigned_agent_id=agent.id)
        for board, agent in ((world.board, world.worker), (world.garden, world.gardener))
    ]
    for task in silent:
        task.updated_at = LONG_AGO
    async with transaction() as session:
        session.add_all(silent)
    async with transaction() as session:
        failing, other = await tasks.list_boards_to_follow_up(session)
    condition = f"when (new.board_id = '{failing}')"
    await refuse(transaction, f"update on tasks for each row {condition}")
    await PeriodicTasks(settings, transaction, transaction).follow_up()
    async with transaction() as session:
        query = select(Task.board_id).where(Task.stale_since.is_not(None))
        assert (await session.scalars(query)).all() == [other]
