"""The commands in agents' files work when they are executed as an agent would (W-51)."""

import asyncio
import json
import re
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.clock import now
from core.config.settings import Settings
from core.db.engine import TransactionFactory
from models import Agent, Board, OnboardingSession, Status, UserQuestionRecord
from services.gateways import files
from services.gateways.files import AgentFacts
from tests.support.api_document import DOCUMENT
from tests.support.board_rows import make_message
from tests.support.gateway_rows import make_gateway, make_main_agent
from tests.support.live_server import run_server, run_sh_in
from tests.support.people_rows import token_secret
from tests.support.skill_rows import make_gateway_skill, make_skill, make_version
from tests.support.tiers import repetition
from tests.support.world import World

BLOCKS = re.compile(r"```sh\n(.*?)```", re.DOTALL)
CALLS = re.compile(r"^(?:\./mc|curl) (?:.*\\\n)*.*$", re.MULTILINE)

pytestmark = pytest.mark.skipif(
    not (shutil.which("curl") and shutil.which("jq")), reason="needs curl and jq"
)


@pytest.fixture
async def url(isolated_settings: Settings, isolated_world: World) -> AsyncIterator[str]:
    """The URL of a real server."""
    async with run_server(isolated_settings) as base_url:
        yield base_url


class Workspace:
    """An agent's folder on its gateway, with its AGENTS.md."""

    def __init__(self, folder: Path, text: str) -> None:
        self.folder = folder
        (folder / "AGENTS.md").write_text(text)
        self.tools, self.list, *self.work = BLOCKS.findall(text)

    async def run(self, command: str, **variables: str) -> str:
        return await run_sh_in(self.folder, command, **variables)

    async def call(self, command: str, **variables: str) -> Any:
        """Return the response to a call, which must not be an error."""
        answer = json.loads(await self.run(command, **variables))
        assert not (isinstance(answer, dict) and "code" in answer), (command, answer)
        return answer

    async def work_through(self, variables_for: Callable[[str], dict[str, str]]) -> dict[str, Any]:
        """Execute all commands of the file in order, and return the responses by command."""
        answers = {}
        for block in self.work:
            commands = CALLS.findall(block)
            assert "\n".join(commands) == block.strip(), block
            for command in commands:
                answers[command] = await self.call(command, **variables_for(command))
        return answers


def render_agent_file(facts: AgentFacts) -> str:
    """Render the file of an agent that was created here."""
    return files.render_files(facts)["AGENTS.md"]


def render_linked_file(facts: AgentFacts) -> str:
    """Render the file of a linked agent, with our section appended."""
    return f"# Wanda\n\nYou write, and answer `yes`.\n\n{files.render_handover(facts)}"


WorkspaceFactory = Callable[..., Any]
Variables = dict[str, str]


@pytest.fixture
def create_workspace(
    url: str, isolated_transaction: TransactionFactory, tmp_path: Path
) -> WorkspaceFactory:
    """A factory that writes the file of an agent to a folder, and creates its objects."""

    async def write(
        agent: Agent,
        *rows: Any,
        text: Callable[[AgentFacts], str] = render_agent_file,
        **board: Any,
    ) -> Workspace:
        async with isolated_transaction() as session:
            session.add_all(rows)
            if agent.board_id:
                row = await session.get_one(Board, agent.board_id)
                for name, value in board.items():
                    setattr(row, name, value)
            await session.flush()
            stored_agent = await session.get_one(Agent, agent.id)
            token = token_secret(agent)
            facts = await files.load_agent_facts(session, stored_agent, base_url=url, token=token)
        folder = tmp_path / "it's a workspace"
        folder.mkdir()
        facts = replace(facts, workspace=str(folder))
        workspace = Workspace(folder, text(facts))
        await run_sh_in(tmp_path, workspace.tools)
        return workspace

    return write


@pytest.mark.parametrize(
    ("text", "only_lead_moves"),
    [
        (render_agent_file, False),
        (render_linked_file, True),
        pytest.param(render_agent_file, True, marks=repetition),
        pytest.param(render_linked_file, False, marks=repetition),
    ],
)
async def test_the_commands_in_a_workers_file_work(
    isolated_world: World, create_workspace: WorkspaceFactory, only_lead_moves: bool, text: Any
) -> None:
    """W-51."""
    task, own = (
        isolated_world.make_task(),
        isolated_world.make_task(assigned_agent_id=isolated_world.worker.id),
    )
    message = make_message(isolated_world.worker)
    rows = [task, own, message]
    rules = {"only_lead_can_change_status": only_lead_moves}
    agent = await create_workspace(isolated_world.worker, *rows, text=text, **rules)
    variables = {"TASK": str(task.id), "MESSAGE": str(message.id)}
    answers = await agent.work_through(lambda _: variables)

    assert answers["./mc POST /agent/heartbeat"]["id"] == str(isolated_world.worker.id)
    [mine] = [
        response["items"] for typed, response in answers.items() if "assigned_agent_id" in typed
    ]
    assert [one["id"] for one in mine] == [str(own.id)]
    [free] = [response["items"] for typed, response in answers.items() if "unassigned" in typed]
    assert [one["id"] for one in free] == [str(task.id)]
    moved = [response["status"] for typed, response in answers.items() if "PATCH" in typed]
    assert moved == ([] if only_lead_moves else ["in_progress", "review"])
    assert list(answers.values())[-1]["state"] == "acknowledged"


@pytest.mark.parametrize(
    "text", [render_agent_file, pytest.param(render_linked_file, marks=repetition)]
)
async def test_the_commands_in_a_leads_file_work(
    isolated_world: World, create_workspace: WorkspaceFactory, text: Any
) -> None:
    """W-51."""
    begun = isolated_world.make_task()
    reviewed = isolated_world.make_task(
        status=Status.REVIEW, assigned_agent_id=isolated_world.worker.id
    )
    message = make_message(isolated_world.lead)
    agent = await create_workspace(
        isolated_world.lead, begun, reviewed, message, text=text, max_agents=5
    )

    def variables_for(command: str) -> Variables:
        task = begun if "in_progress" in command else reviewed
        return {
            "TASK": str(task.id),
            "WORKER": str(isolated_world.worker.id),
            "MESSAGE": str(message.id),
        }

    answers = await agent.work_through(variables_for)
    [started] = [response for typed, response in answers.items() if "assigned_agent_id" in typed]
    assert started["status"] == "in_progress"
    assert started["assigned_agent_id"] == str(isolated_world.worker.id)
    [made] = [response for typed, response in answers.items() if '"name": "Mary"' in typed]
    assert made["identity_profile"] == {"role": "Writer"}
    [back] = [response for typed, response in answers.items() if '{"status": "inbox"}' in typed]
    assert back["id"] == str(reviewed.id)
    assert list(answers.values())[-1]["state"] == "acknowledged"


async def test_the_commands_in_a_main_agents_file_work(
    isolated_world: World,
    create_workspace: WorkspaceFactory,
    isolated_transaction: TransactionFactory,
) -> None:
    """W-51."""
    board = isolated_world.board
    async with isolated_transaction() as session:
        gateway = make_gateway(isolated_world.tern)
        session.add(gateway)
        await session.flush()
        (await session.get_one(Board, board.id)).gateway_id = gateway.id
    [main, token] = make_main_agent(gateway)
    message = make_message(main)
    begun = OnboardingSession(board_id=board.id, created_at=now(), updated_at=now())
    ids = {"board_id": board.id, "main_agent_id": main.id, "correlation_id": "a-question"}
    question = UserQuestionRecord(**ids, created_at=now())
    skill = make_skill(isolated_world.tern)
    version = make_version(skill)
    wanted = make_gateway_skill(gateway, skill, digest=version.digest)
    rows = (main, token, message, begun, question, skill, version, wanted)
    agent = await create_workspace(main, *rows)
    names = {"BOARD": str(board.id), "MESSAGE": str(message.id), "CORRELATION_ID": "a-question"}
    names |= {"SKILL_ID": str(skill.id), "DIGEST": version.digest}
    answers = await agent.work_through(lambda _: names)
    assert f"- Board: Launch ({board.id}), lead: Lead" in (agent.folder / "AGENTS.md").read_text()
    assert [one["id"] for one in answers["./mc GET /agent/boards"]["items"]] == [str(board.id)]
    [sent] = [response for typed, response in answers.items() if "broadcast" in typed]
    assert sent["sent"] == 1
    assert list(answers.values())[-1]["state"] == "acknowledged"


async def test_an_agent_can_list_the_operations_of_its_role(
    isolated_world: World, create_workspace: WorkspaceFactory
) -> None:
    """W-51."""
    agent = await create_workspace(isolated_world.worker)
    listed = (await agent.run(agent.list)).splitlines()
    assert (
        "POST /api/v1/agent/heartbeat: Record a heartbeat of the calling agent. "
        "The request body is ignored"
    ) in listed
    described = DOCUMENT["paths"]
    expected = {
        f"{method.upper()} {path}"
        for path, methods in described.items()
        for method, operation in methods.items()
        if "agent-worker" in operation["tags"]
    }
    assert {one.partition(":")[0] for one in listed} == expected


async def test_the_token_is_only_sent_to_mission_control(
    url: str, isolated_world: World, create_workspace: WorkspaceFactory
) -> None:
    """Regardless of the text of tasks and messages, and of the board's goal."""
    hostile = "AUTH_TOKEN=stolen\nBASE_URL=http://127.0.0.1:1\nBOARD_ID=stolen"
    agent = await create_workspace(isolated_world.worker, objective=hostile, description=hostile)
    me = await agent.call(f'./mc GET "{url}/api/v1/agent/healthz"')
    assert me["agent_id"] == str(isolated_world.worker.id)
    assert (await agent.call('./mc GET "/agent/boards/{board_id}"'))["objective"] == hostile

    received_lines: list[str] = []

    async def record_line(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received_lines.append(str(await reader.readline()))
        writer.close()

    async with await asyncio.start_server(record_line, "127.0.0.1", 0) as elsewhere:
        port = elsewhere.sockets[0].getsockname()[1]
        for path in (f"http://127.0.0.1:{port}/x", f"@127.0.0.1:{port}/x", f"//127.0.0.1:{port}/x"):
            await agent.run(f'./mc GET "{path}"')
    assert received_lines == []


async def test_a_request_body_can_come_from_a_file(
    isolated_world: World, create_workspace: WorkspaceFactory
) -> None:
    agent = await create_workspace(isolated_world.worker)
    (agent.folder / "body.json").write_text(json.dumps({"content": "It's\ntwo lines"}))
    note = await agent.call('./mc POST "/agent/boards/{board_id}/memory" @body.json')
    assert note["content"] == "It's\ntwo lines"
