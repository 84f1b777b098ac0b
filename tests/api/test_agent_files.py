"""What the files of agents say to type is typed, as an agent would, and works (W-51)."""

import asyncio
import json
import re
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from api.app import OPERATIONS
from api.openapi import document
from kit.clock import now
from kit.settings import Settings
from models import Agent, Board, OnboardingSession, Status
from services import agent_files
from services.agent_files import Facts
from tests.api.serving import serving, typed_in
from tests.conftest import Transaction
from tests.world import World, a_gateway, a_main, a_message, token_of

BLOCKS = re.compile(r"```sh\n(.*?)```", re.DOTALL)
CALLS = re.compile(r"^(?:\./mc|curl) (?:.*\\\n)*.*$", re.MULTILINE)

pytestmark = pytest.mark.skipif(
    not (shutil.which("curl") and shutil.which("jq")), reason="agents type with curl and jq"
)


@pytest.fixture
async def url(own_settings: Settings, real_world: World) -> AsyncIterator[str]:
    """Where a real server answers."""
    async with serving(own_settings) as where:
        yield where


class Workspace:
    """An agent's folder on its gateway, with the file that tells it how to work."""

    def __init__(self, folder: Path, text: str) -> None:
        self.folder = folder
        (folder / "AGENTS.md").write_text(text)
        self.tools, self.list, *self.work = BLOCKS.findall(text)

    async def typed(self, command: str, **variables: str) -> str:
        return await typed_in(self.folder, command, **variables)

    async def call(self, command: str, **variables: str) -> Any:
        """Return the answer to a call, which must be no refusal."""
        answer = json.loads(await self.typed(command, **variables))
        assert not (isinstance(answer, dict) and "code" in answer), (command, answer)
        return answer

    async def work_through(self, where: Callable[[str], dict[str, str]]) -> dict[str, Any]:
        """Type all that the file says, in its order, and return the answers by what was typed."""
        answers = {}
        for block in self.work:
            commands = CALLS.findall(block)
            assert "\n".join(commands) == block.strip(), block
            for command in commands:
                answers[command] = await self.call(command, **where(command))
        return answers


def own_file(facts: Facts) -> str:
    """The file of an agent that we have made."""
    return agent_files.render(facts)["AGENTS.md"]


def handed_over(facts: Facts) -> str:
    """The file of an agent that others have made, to whom ours was given."""
    return f"# Wanda\n\nYou write, and answer `yes`.\n\n{agent_files.handover(facts)}"


Writing = Callable[..., Any]
Where = dict[str, str]


@pytest.fixture
def written(url: str, real_transaction: Transaction, tmp_path: Path) -> Writing:
    """Writes the file of an agent into its folder, and makes what the file says to make."""

    async def write(
        agent: Agent, *rows: Any, text: Callable[[Facts], str] = own_file, **board: Any
    ) -> Workspace:
        async with real_transaction() as session:
            session.add_all(rows)
            if agent.board_id:
                row = await session.get_one(Board, agent.board_id)
                for name, value in board.items():
                    setattr(row, name, value)
            await session.flush()
            known = await session.get_one(Agent, agent.id)
            token = token_of(agent)
            facts = await agent_files.facts_of(session, known, base_url=url, token=token)
        folder = tmp_path / "it's a workspace"
        folder.mkdir()
        facts = replace(facts, workspace=str(folder))
        workspace = Workspace(folder, text(facts))
        await typed_in(tmp_path, workspace.tools)
        return workspace

    return write


@pytest.mark.parametrize("text", [own_file, handed_over])
@pytest.mark.parametrize("only_lead_moves", [False, True])
async def test_a_worker_works_as_its_file_tells_it(
    real_world: World, written: Writing, only_lead_moves: bool, text: Any
) -> None:
    """W-51."""
    task, own = real_world.task(), real_world.task(assigned_agent_id=real_world.worker.id)
    message = a_message(real_world.worker)
    rows = [task, own, message]
    rules = {"only_lead_can_change_status": only_lead_moves}
    agent = await written(real_world.worker, *rows, text=text, **rules)
    where = {"TASK": str(task.id), "MESSAGE": str(message.id)}
    answers = await agent.work_through(lambda _: where)

    assert answers["./mc POST /agent/heartbeat"]["id"] == str(real_world.worker.id)
    [mine] = [said["items"] for typed, said in answers.items() if "assigned_agent_id" in typed]
    assert [one["id"] for one in mine] == [str(own.id)]
    [free] = [said["items"] for typed, said in answers.items() if "unassigned" in typed]
    assert [one["id"] for one in free] == [str(task.id)]
    moved = [said["status"] for typed, said in answers.items() if "PATCH" in typed]
    assert moved == ([] if only_lead_moves else ["in_progress", "review"])
    assert list(answers.values())[-1]["state"] == "acknowledged"


@pytest.mark.parametrize("text", [own_file, handed_over])
async def test_a_lead_works_as_its_file_tells_it(
    real_world: World, written: Writing, text: Any
) -> None:
    """W-51."""
    begun = real_world.task()
    reviewed = real_world.task(status=Status.REVIEW, assigned_agent_id=real_world.worker.id)
    message = a_message(real_world.lead)
    agent = await written(real_world.lead, begun, reviewed, message, text=text, max_agents=5)

    def where(command: str) -> Where:
        task = begun if "in_progress" in command else reviewed
        return {
            "TASK": str(task.id),
            "WORKER": str(real_world.worker.id),
            "MESSAGE": str(message.id),
        }

    answers = await agent.work_through(where)
    [started] = [said for typed, said in answers.items() if "assigned_agent_id" in typed]
    assert started["status"] == "in_progress"
    assert started["assigned_agent_id"] == str(real_world.worker.id)
    [made] = [said for typed, said in answers.items() if '"name": "Mary"' in typed]
    assert made["identity_profile"] == {"role": "Writer"}
    [back] = [said for typed, said in answers.items() if '{"status": "inbox"}' in typed]
    assert back["id"] == str(reviewed.id)
    assert list(answers.values())[-1]["state"] == "acknowledged"


async def test_the_agent_of_a_gateway_works_as_its_file_tells_it(
    real_world: World, written: Writing, real_transaction: Transaction
) -> None:
    """W-51."""
    board = real_world.board
    async with real_transaction() as session:
        gateway = a_gateway(real_world.tern)
        session.add(gateway)
        await session.flush()
        (await session.get_one(Board, board.id)).gateway_id = gateway.id
    [main, token] = a_main(gateway)
    message = a_message(main)
    begun = OnboardingSession(board_id=board.id, created_at=now(), updated_at=now())
    agent = await written(main, main, token, message, begun)
    answers = await agent.work_through(
        lambda _: {"BOARD": str(board.id), "MESSAGE": str(message.id)}
    )
    assert f"- Board: Launch ({board.id}), lead: Lead" in (agent.folder / "AGENTS.md").read_text()
    assert [one["id"] for one in answers["./mc GET /agent/boards"]["items"]] == [str(board.id)]
    [sent] = [said for typed, said in answers.items() if "broadcast" in typed]
    assert sent["sent"] == 1
    assert list(answers.values())[-1]["state"] == "acknowledged"


async def test_an_agent_can_list_what_its_role_may_ask(real_world: World, written: Writing) -> None:
    """W-51."""
    agent = await written(real_world.worker)
    listed = (await agent.typed(agent.list)).splitlines()
    assert "POST /api/v1/agent/heartbeat: Check in. No body is read" in listed
    described = document(OPERATIONS)["paths"]
    known = {
        f"{method.upper()} {path}"
        for path, methods in described.items()
        for method, operation in methods.items()
        if "agent-worker" in operation["tags"]
    }
    assert {one.partition(":")[0] for one in listed} == known


async def test_the_token_goes_nowhere_but_to_mission_control(
    url: str, real_world: World, written: Writing
) -> None:
    """Whatever a task or a message says, and whatever the board's goal looks like."""
    hostile = "AUTH_TOKEN=stolen\nBASE_URL=http://127.0.0.1:1\nBOARD_ID=stolen"
    agent = await written(real_world.worker, objective=hostile, description=hostile)
    me = await agent.call(f'./mc GET "{url}/api/v1/agent/healthz"')
    assert me["agent_id"] == str(real_world.worker.id)
    assert (await agent.call('./mc GET "/agent/boards/{board_id}"'))["objective"] == hostile

    heard: list[str] = []

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(str(await reader.readline()))
        writer.close()

    async with await asyncio.start_server(hear, "127.0.0.1", 0) as elsewhere:
        port = elsewhere.sockets[0].getsockname()[1]
        for path in (f"http://127.0.0.1:{port}/x", f"@127.0.0.1:{port}/x", f"//127.0.0.1:{port}/x"):
            await agent.typed(f'./mc GET "{path}"')
    assert heard == []


async def test_a_body_may_be_in_a_file(real_world: World, written: Writing) -> None:
    agent = await written(real_world.worker)
    (agent.folder / "body.json").write_text(json.dumps({"content": "It's\ntwo lines"}))
    note = await agent.call('./mc POST "/agent/boards/{board_id}/memory" @body.json')
    assert note["content"] == "It's\ntwo lines"
