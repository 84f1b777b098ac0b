"""People approve and complete tasks while others do the same or end their rights, many times."""

from typing import Any
from uuid import UUID

from sqlalchemy import select, update

from core.db.engine import TransactionFactory
from core.errors import Conflict, Forbidden, NotFound
from models import Approval, ApprovalStatus, Board, Event, EventType, Member, Status, Task, User
from services import approvals, boards, tasks
from services.approvals import ApprovalCreate
from tests.race.test_votes import add_writers, restricting
from tests.support.rounds import ROUNDS, Operation, run_concurrently, run_rounds
from tests.support.world import World


def request_for(task_id: UUID) -> ApprovalCreate:
    return ApprovalCreate(
        action_type="task.complete",
        confidence=100,
        task_id=task_id,
        payload={"reason": "It is done."},
    )


async def add_tasks(transaction: TransactionFactory, world: World) -> list[Task]:
    """Add a task for each round to a board that requires approvals."""
    made = [world.make_task(f"Task {number}") for number in range(ROUNDS)]
    async with transaction() as session:
        session.add_all(made)
        rule = {"require_approval_for_done": True}
        await session.execute(update(Board).where(Board.id == world.board.id).values(rule))
    return made


def completing(world: World, user: User, task: Task) -> Operation:
    """Return the operation that completes a task as it was when it was shown."""

    async def complete(session: Any) -> None:
        board = await boards.lock_board(session, user, world.board.id)
        [proposal] = await approvals.propose_completions(
            session, user, board, [(task, request_for(task.id))]
        )
        row = proposal.detail.approval
        shown = approvals.hash_current_action(row, proposal.contents[row.id])
        await approvals.approve_and_complete(
            session, user, board, request_for(task.id), action_hash=shown
        )

    return complete


async def test_of_two_people_who_complete_a_task_one_does(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    transaction, world = isolated_transaction, isolated_world

    async def race(task: Task) -> None:
        both = [completing(world, user, task) for user in (world.alice, world.bob)]
        results = await run_concurrently(transaction, *both)
        [error] = [one for one in results if isinstance(one, Exception)]
        assert isinstance(error, Conflict)
        assert error.code == "task_is_done"

    await run_rounds(await add_tasks(transaction, world), race)
    async with transaction() as session:
        decided = list(await session.scalars(select(Approval)))
        assert len(decided) == ROUNDS
        assert {one.status for one in decided} == {ApprovalStatus.APPROVED}
        is_move = Event.type == EventType.TASK_STATUS_CHANGED
        moves = list(await session.scalars(select(Event).where(is_move)))
        used = {one.data["approval_id"] for one in moves}
        assert (len(moves), used) == (ROUNDS, {str(one.id) for one in decided})


async def test_a_completion_counts_only_before_the_rights_end(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    transaction, world = isolated_transaction, isolated_world
    writers = await add_writers(transaction, world)

    async def race(one: tuple[Task, Member]) -> None:
        task, member = one
        both = [completing(world, member.user, task), restricting(world.alice_member, member)]
        completed, restricted = await run_concurrently(transaction, *both)
        assert not isinstance(restricted, Exception), restricted
        async with transaction() as session:
            status = await session.scalar(select(Task.status).where(Task.id == task.id))
            query = select(Event).where(Event.user_id == member.user.id)
            own = [one.seq for one in await session.scalars(query)]
            query = select(Event).where(Event.type == EventType.MEMBER_UPDATED)
            [ended] = [
                one.seq
                for one in await session.scalars(query)
                if one.data.get("user_id") == str(member.user.id)
            ]
        if isinstance(completed, Exception):
            assert isinstance(completed, Forbidden | NotFound), completed
            assert (status, own) == (Status.INBOX, [])
        else:
            assert status is Status.DONE
            assert max(own) < ended

    made = await add_tasks(transaction, world)
    await run_rounds(list(zip(made, writers, strict=True)), race)


async def test_an_edited_task_is_completed_as_it_was_shown_or_not_at_all(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    transaction, world = isolated_transaction, isolated_world
    made = await add_tasks(transaction, world)
    async with transaction() as session:
        board = await boards.get_board(session, world.bob, world.board.id)
        proposals = await approvals.propose_completions(
            session, world.bob, board, [(task, request_for(task.id)) for task in made]
        )
    hashes = {
        one.task_id: approvals.hash_current_action(
            one.detail.approval, one.contents[one.detail.approval.id]
        )
        for one in proposals
    }

    async def race(task: Task) -> None:
        async def complete(session: Any) -> None:
            board = await boards.lock_board(session, world.bob, world.board.id)
            await approvals.approve_and_complete(
                session, world.bob, board, request_for(task.id), action_hash=hashes[task.id]
            )

        async def edit(session: Any) -> None:
            board = await boards.lock_board(session, world.alice, world.board.id)
            await tasks.update_task(
                session, world.alice, board, task.id, tasks.TaskUpdate.of(title="Other")
            )

        completed, edited = await run_concurrently(transaction, complete, edit)
        assert not isinstance(edited, Exception)
        async with transaction() as session:
            status = await session.scalar(select(Task.status).where(Task.id == task.id))
        if isinstance(completed, Exception):
            assert isinstance(completed, Conflict)
            assert (completed.code, status) == ("approval_content_changed", Status.INBOX)
        else:
            assert status is Status.DONE

    await run_rounds(made, race)
