"""The demo: an hour of work that does not repeat itself, made of real requests."""

import httpx2
import pytest
from sqlalchemy import select

from cli import demo_data
from cli.demo import create_script, parse_speed
from cli.demo_agents import STEP_INTERVAL, AgentScript
from cli.demo_content import DEMO_BOARDS, TAGS, TASKS_BY_TITLE
from models import Approval, Board, Comment, Event, EventType, Note, Organization, Task
from web.ui.unified_diff import parse_diff

STEPS = 16  # of each agent
HOUR = 3_600  # seconds
TASKS = [task for board in DEMO_BOARDS for task in (*board.tasks, *board.later_tasks)]


def test_every_text_of_the_demo_exists_once() -> None:
    texts = [text for task in TASKS for text in (task.title, task.description, *task.comments)]
    texts += [line for board in DEMO_BOARDS for agent in board.agents for line in agent.chat]
    texts += [note for board in DEMO_BOARDS for note in board.notes]
    assert len(texts) == len(set(texts))
    assert len(TASKS_BY_TITLE) == len(TASKS)


def test_the_content_of_the_demo_fits_together() -> None:
    for board in DEMO_BOARDS:
        names = {agent.name for agent in board.agents}
        before: set[str] = set()
        for task in (*board.tasks, *board.later_tasks):
            assert {*task.tags} <= {*TAGS}
            assert task.worker is None or task.worker in names
            assert task.depends_on is None or task.depends_on in before
            before.add(task.title)
    changed = [task for task in TASKS if task.diff]
    assert len(changed) >= 3
    for task in changed:
        [file] = parse_diff(task.diff, "")
        assert file.has_changes
        assert task.approval_title


def test_the_work_lasts_an_hour() -> None:
    for board in DEMO_BOARDS:
        workers = sum(agent.is_scripted and not agent.is_lead for agent in board.agents)
        steps = sum(len(one.comments) + 2 for one in (*board.tasks, *board.later_tasks))
        steps += sum(len(agent.chat) for agent in board.agents if not agent.is_lead)
        assert steps * STEP_INTERVAL / workers > HOUR / 2, board.name


@pytest.fixture
async def scripts(browsers, settings, transaction) -> list[AgentScript]:
    """Create the demo, and return the scripts of its agents."""
    async with transaction() as session:
        member = await demo_data.create_demo(session, settings.base_url)
        names = [agent.name for board in DEMO_BOARDS for agent in board.agents]
        agents = await demo_data.issue_demo_tokens(session, member, names)
    scripted = {a.name for board in DEMO_BOARDS for a in board.agents if a.is_scripted}
    found = []
    for agent in agents:
        client: httpx2.AsyncClient = browsers(None)
        client.base_url = "http://mission.test/api/v1"
        client.headers["Authorization"] = f"Bearer {agent.token}"
        if agent.name in scripted:
            found.append(create_script(client, agent, seed=1))
    return found


async def test_the_agents_work_without_repeating_a_message(scripts, transaction) -> None:
    for _ in range(STEPS):
        for script in scripts:
            await script.perform_turn()
    async with transaction() as session:
        demo = await session.scalar(select(Organization.id).where(Organization.is_demo))
        in_demo = Board.organization_id == demo
        comments = (await session.scalars(select(Comment.message).join(Task).join(Board))).all()
        chat = (await session.scalars(select(Note.content).join(Board).where(in_demo))).all()
        approvals = (await session.scalars(select(Approval).join(Board).where(in_demo))).all()
        tasks = (await session.scalars(select(Task).join(Board).where(in_demo))).all()
        query = select(Event).where(Event.organization_id == demo)
        moves = [
            (event.task_id, str(event.data.get("entered")))
            for event in await session.scalars(query)
            if event.type is EventType.TASK_STATUS_CHANGED
        ]
    assert len(comments) == len(set(comments)) > STEPS / 2
    assert len(chat) == len(set(chat)) > 10
    assert len(moves) == len(set(moves)) > STEPS
    assert {"inbox", "done"} < {task.status for task in tasks}
    assert any("diff" in (approval.payload or {}) for approval in approvals)
    assert any(approval.rubric_scores for approval in approvals)


def test_the_pauses_depend_only_on_the_seed() -> None:
    board = DEMO_BOARDS[0]

    def list_pauses(seed: int, number: int) -> list[float]:
        agent = demo_data.ScriptedAgent(board.agents[number].name, board_id, "token")
        script = create_script(httpx2.AsyncClient(), agent, seed)
        return [script.choose_pause() for _ in range(5)]

    board_id = demo_data.UUID(int=1)
    assert list_pauses(1, 0) == list_pauses(1, 0)
    assert list_pauses(1, 0) != list_pauses(2, 0)
    assert list_pauses(1, 0) != list_pauses(1, 1)


@pytest.mark.parametrize("text", ["0", "101", "fast", "nan"])
def test_a_wrong_speed_is_refused(text: str) -> None:
    with pytest.raises(Exception, match="is not a number from"):
        parse_speed(text)
