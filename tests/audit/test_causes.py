"""Why a task, an approval or a message is as it is."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.engine import TransactionFactory
from core.errors import NotFound
from models import (
    Agent,
    Approval,
    ApprovalStatus,
    Event,
    EventType,
    Message,
    PolicyVerdict,
    RequestState,
    Run,
    RunStatus,
    Task,
)
from services import boards, causes, tasks
from services.causes import CauseStep, StepKind, queries
from services.causes.steps import CauseRows
from tests.support.api_fixtures import Client
from tests.support.board_rows import make_agent, make_message
from tests.support.gateway_rows import make_gateway, make_gateway_request, make_run
from tests.support.world import World
from tests.web.conftest import Browsers


class Story:
    """A message starts a run, in which a command and an approval are requested and decided.

    The decision is sent to the agent, which finishes the task in its next run.
    """

    def __init__(self, world: World, agent: Agent) -> None:
        self.task: Task = world.make_task("Weigh the gulls", assigned_agent_id=agent.id)
        at, minute = now() - timedelta(hours=1), timedelta(minutes=1)
        gateway = make_gateway(world.tern)
        about = {"board_id": world.board.id, "task_id": self.task.id}
        self.assigned: Message = make_message(
            agent, "TASK ASSIGNED\nWeigh the gulls", created_at=at, **about
        )
        ended = {"status": RunStatus.ENDED, "task_id": self.task.id}
        self.run: Run = make_run(
            gateway,
            agent,
            run_id=str(self.assigned.id),
            **ended | {"started_at": at + minute, "ended_at": at + 9 * minute},
        )
        self.request = make_gateway_request(
            gateway,
            agent,
            run_id=self.run.run_id,
            asked_at=at + 2 * minute,
            state=RequestState.ANSWERED,
            answer={"decision": "allow-once"},
            answered_by="Alice",
            answered_at=at + 3 * minute,
        )
        decided = {"status": ApprovalStatus.APPROVED, "decided_by_user_id": world.alice.id}
        times = {"decided_at": at + 10 * minute, "resolved_at": at + 10 * minute}
        rows = world.make_approval(
            self.task, agent_id=agent.id, created_at=at + 5 * minute, **decided, **times
        )
        self.approval: Approval = rows[0]
        self.decision: Message = make_message(
            agent,
            "APPROVAL DECIDED\nYes",
            approval_id=self.approval.id,
            created_at=at + 11 * minute,
            **about,
        )
        self.second_run: Run = make_run(
            gateway,
            agent,
            run_id=f"{self.decision.id}.2",
            **ended | {"started_at": at + 12 * minute, "ended_at": now() + minute},
        )
        self.rows: list[Any] = [
            *(gateway, self.task, self.assigned, self.decision, self.run, self.second_run),
            *(self.request, *rows),
        ]


@pytest.fixture
async def story(transaction: TransactionFactory, world: World) -> Story:
    story = Story(world, world.worker)
    async with transaction() as session:
        session.add_all(story.rows[:2])
        await session.flush()
        session.add_all(story.rows[2:])
    async with transaction() as session:
        worker = await session.get_one(Agent, world.worker.id, populate_existing=True)
        board = await boards.lock_board(session, worker, world.board.id)
        await tasks.update_task(
            session, worker, board, story.task.id, tasks.TaskUpdate.of(status="done")
        )
    return story


def describe_chain(steps: list[CauseStep]) -> list[tuple[StepKind, str, str | None]]:
    """Return kind, actor, and the kind of the cause, of each step."""
    kinds = {step.id: step.kind.value for step in steps}
    return [(step.kind, step.actor, kinds.get(step.cause or "")) for step in steps]


FROM_MESSAGE_TO_CHANGE = [
    (StepKind.MESSAGE, "Mission Control", None),
    (StepKind.RUN, "Worker", "message"),
    (StepKind.REQUEST, "Worker", "run"),
    (StepKind.DECISION, "Alice", "request"),
    (StepKind.APPROVAL, "Worker", "run"),
    (StepKind.DECISION, "Alice", "approval"),
    (StepKind.MESSAGE, "Mission Control", "decision"),
    (StepKind.RUN, "Worker", "message"),
    (StepKind.CHANGE, "Worker", "decision"),
]


async def test_a_task_shows_the_chain_from_the_message_to_the_change(
    session: AsyncSession, world: World, story: Story
) -> None:
    steps = await causes.load_task_causes(session, world.board, story.task)
    assert describe_chain(steps) == FROM_MESSAGE_TO_CHANGE
    assert steps[-1].cause == f"decision-{story.approval.id}"
    assert steps[-1].subject == "Weigh the gulls"


async def test_an_approval_shows_what_led_to_it_and_what_followed(
    session: AsyncSession, world: World, story: Story
) -> None:
    steps = await causes.load_approval_causes(session, world.board, story.approval)
    assert describe_chain(steps) == FROM_MESSAGE_TO_CHANGE


async def test_a_decision_by_a_policy_shows_its_rule(
    session: AsyncSession, world: World, story: Story
) -> None:
    approval = await session.get_one(Approval, story.approval.id)
    approval.decided_by_user_id, approval.is_decided_by_policy = None, True
    approval.policy_verdict = PolicyVerdict(rule_name="Small changes")
    await session.flush()
    steps = await causes.load_approval_causes(session, world.board, approval)
    [decision] = [one for one in steps if one.id == f"decision-{approval.id}"]
    assert decision.actor == "The policy “Small changes”"


async def test_a_done_task_shows_the_approval_that_allowed_it(
    session: AsyncSession, world: World, story: Story
) -> None:
    """Not one that was decided later, or that only mentions the task."""
    times = {"decided_at": now(), "resolved_at": now(), "created_at": now()}
    decided = {"status": ApprovalStatus.APPROVED, "decided_by_user_id": world.alice.id}
    task = await session.get_one(Task, story.task.id)
    session.add_all(world.make_approval(task, agent_id=world.worker.id, **decided, **times))
    moved = EventType.TASK_STATUS_CHANGED
    [event] = await session.scalars(select(Event).where(Event.type == moved))
    event.data = event.data | {"approval_id": str(story.approval.id)}
    await session.flush()
    steps = await causes.load_task_causes(session, world.board, story.task)
    [change] = [one for one in steps if one.kind is StepKind.CHANGE]
    assert change.cause == f"decision-{story.approval.id}"


async def test_a_message_shows_what_the_agent_did_because_of_it(
    session: AsyncSession, world: World, story: Story
) -> None:
    first = await causes.load_message_causes(session, world.worker, story.assigned.id)
    assert describe_chain(first) == FROM_MESSAGE_TO_CHANGE[:6]
    second = await causes.load_message_causes(session, world.worker, story.decision.id)
    kinds = [step.kind for step in second]
    assert kinds == [
        *(StepKind.APPROVAL, StepKind.DECISION, StepKind.MESSAGE, StepKind.RUN, StepKind.CHANGE)
    ]


async def test_a_message_to_another_agent_is_not_found(
    session: AsyncSession, world: World, story: Story
) -> None:
    with pytest.raises(NotFound):
        await causes.load_message_causes(session, world.lead, story.assigned.id)


async def test_steps_of_other_boards_are_not_shown(
    session: AsyncSession, world: World, story: Story
) -> None:
    elsewhere = {"board_id": world.garden.id, "task_id": story.task.id}
    session.add(make_message(world.gardener, "TASK COMMENT\nSecret", **elsewhere))
    await session.flush()
    steps = await causes.load_task_causes(session, world.board, story.task)
    assert describe_chain(steps) == FROM_MESSAGE_TO_CHANGE


async def test_messages_of_other_organizations_are_not_shown(
    session: AsyncSession, world: World
) -> None:
    """A gateway chooses the ids of runs, which name the messages that started them."""
    gateway = make_gateway(world.tern)
    main = make_agent("Main", world.board)
    main.board = main.board_id = None
    foreign = make_message(world.charlies_worker, "BOARD CHAT\nSecret")
    own = make_message(main, "BOARD CHAT\nHi")
    foreign.board_id = own.board_id = None
    ids = [f"{own.id}.1", str(foreign.id)]
    session.add_all([gateway, main])
    await session.flush()
    runs = [make_run(gateway, main, run_id=id) for id in ids]
    session.add_all([foreign, own, *runs])
    await session.flush()
    shown = await queries._build(session, main, CauseRows(runs=runs))
    messages = [step.id for step in shown if step.kind is StepKind.MESSAGE]
    assert messages == [str(own.id)]


async def test_a_change_by_a_user_has_no_cause(
    session: AsyncSession, world: World, alice_task: Task
) -> None:
    steps = await causes.load_task_causes(session, world.board, alice_task)
    assert describe_chain(steps) == [(StepKind.CHANGE, "Alice", None)]


@pytest.fixture
async def alice_task(transaction: TransactionFactory, world: World) -> Task:
    task = world.make_task("Draw a map")
    async with transaction() as session:
        session.add(task)
    async with transaction() as session:
        board = await session.merge(world.board, load=False)
        await tasks.update_task(
            session, world.alice, board, task.id, tasks.TaskUpdate.of(priority="high")
        )
    return task


async def test_readers_of_the_board_see_the_pages(
    browsers: Browsers, world: World, story: Story
) -> None:
    task = f"/boards/{world.board.id}/tasks/{story.task.id}"
    approval = f"/approvals/{story.approval.id}"
    message = f"/agents/{world.worker.id}/messages/{story.assigned.id}"
    for path in (task, approval, message):
        page = await browsers(world.rita).get(f"{path}/why")
        assert page.status_code == 200
        assert "<b>Mission Control</b> sent a message to Worker: <a" in page.text
        assert "<b>Alice</b> allowed it once: (" in page.text
        assert 'href="#why-1"' in page.text
        assert story.request.exact not in page.text  # only its hash is shown
        part = await browsers(world.rita).get(f"{path}/why", headers={"HX-Request": "true"})
        assert "<html" not in part.text
        assert (await browsers(world.charlie).get(f"{path}/why")).status_code == 404
        assert (await browsers(None).get(f"{path}/why")).status_code == 303
    for path in (task, approval):
        assert f'href="{path}/why"' in (await browsers(world.rita).get(path)).text
    agent = await browsers(world.alice).get(f"/agents/{world.worker.id}/messages")
    assert f'href="{message}/why"' in agent.text


async def test_the_pages_of_a_board_are_for_its_readers(
    browsers: Browsers, world: World, story: Story
) -> None:
    dana = browsers(world.dana)  # an admin without access to the board
    for path in (
        f"/boards/{world.board.id}/tasks/{story.task.id}",
        f"/approvals/{story.approval.id}",
        f"/agents/{world.worker.id}/messages/{story.assigned.id}",
    ):
        assert (await dana.get(f"{path}/why")).status_code == 403


async def test_the_api_returns_the_steps(
    rita: Client, charlie: Client, worker: Client, world: World, story: Story
) -> None:
    board = f"/boards/{world.board.id}"
    for path in (
        f"{board}/tasks/{story.task.id}/why",
        f"{board}/approvals/{story.approval.id}/why",
        f"/agents/{world.worker.id}/messages/{story.assigned.id}/why",
    ):
        steps = (await rita.get(path)).json()
        assert steps[0]["kind"] == "message"
        assert steps[1]["cause"] == steps[0]["id"]
        assert (await charlie.get(path)).status_code == 404
        assert (await worker.get(path)).status_code == 401
