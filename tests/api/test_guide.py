"""The commands in the guide for agent authors work."""

import json
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import select

from api.app import OPERATIONS
from api.mcp.tools import WORKER_TOOLS
from core.config.settings import Settings
from core.db.engine import TransactionFactory
from models import Board, Message
from services.messages.templates import MessageMarker
from tests.support.live_server import run_bash, run_server
from tests.support.memory_rows import create_group_of
from tests.support.people_rows import token_secret
from tests.support.world import World
from web.agents.setup import ExampleContext

GUIDE = (Path(__file__).parent.parent.parent / "docs" / "agents.md").read_text()
SECTIONS = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", GUIDE, re.DOTALL | re.MULTILINE))
CODES = set(re.findall(r"`([a-z]+_[a-z_]+)`", GUIDE.partition("## Errors")[2]))
SERVICES = Path(__file__).parent.parent.parent


def list_commands(section: str) -> list[str]:
    """Return the commands of a section."""
    return re.findall(r"```sh\n(.*?)```", SECTIONS[section], re.DOTALL)


@pytest.fixture
async def url(isolated_settings: Settings, isolated_world: World) -> AsyncIterator[str]:
    """The URL of a real server."""
    async with run_server(isolated_settings) as where:
        yield where


@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")
async def test_the_guides_commands_for_a_working_day_work(
    url: str, isolated_world: World, isolated_transaction: TransactionFactory
) -> None:
    """W-51."""
    task = isolated_world.make_task()
    async with isolated_transaction() as session:
        board = await session.get_one(Board, isolated_world.board.id)
        board.require_approval_for_done = board.workers_may_ask_people = True
        task.board = board
        session.add(task)
    where = {
        "BASE_URL": url,
        "AUTH_TOKEN": token_secret(isolated_world.worker),
        "BOARD": str(board.id),
        "TASK": str(task.id),
    }
    people = {"Authorization": f"Bearer {token_secret(isolated_world.alice)}"}
    [stream] = list_commands("Event streams")

    answers: list[dict[str, Any]] = []
    for command in list_commands("Basic workflow"):
        answers.append(json.loads(await run_bash(command, **where)))
        if answers[-1].get("action_type"):
            path = f"/api/v1/boards/{board.id}/approvals/{answers[-1]['id']}"
            async with httpx2.AsyncClient(base_url=url, headers=people, timeout=20) as alice:
                await alice.patch(path, json={"status": "approved"})

    healthz, seen, boards, found, claimed, *later = answers
    note_commands, result, question, refused, asked, answered, done = later
    assert healthz["agent_id"] == seen["id"] == str(isolated_world.worker.id)
    assert [one["id"] for one in boards["items"]] == [str(board.id)]
    assert [one["id"] for one in found["items"]] == [str(task.id)]
    assert claimed["assigned_agent_id"] == str(isolated_world.worker.id)
    assert note_commands["task_id"] == result["task_id"] == str(task.id)
    assert question["ok"]
    assert refused["code"] == "approval_required"
    assert asked["status"] == "pending"
    assert answered["items"][0]["status"] == "approved"
    assert done["status"] == "done"
    received = re.findall(r'data: {"type":"(.*?)"', await run_bash(stream, **where))
    comments = ["task.comment", "task.comment"]
    assert received == ["task.status_changed", *comments, "task.status_changed"]


async def test_the_page_of_an_agent_sends_what_the_guide_sends(world: World) -> None:
    """Commands of the page with a body have the same fields as those of the guide."""

    def read_fields(command: str) -> tuple[str, ...]:
        text = re.sub(r"'\"?\$?\w*\"?'", "", command.partition(" -d '")[2].rpartition("'")[0])
        body = json.loads(text)
        return *body, *(body.get("payload") or {})

    shown = ExampleContext("http://mission.test", world.board, world.worker).build_examples()
    sent = {read_fields(one.command) for one in shown if " -d '" in one.command}
    guide = [one for one in list_commands("Basic workflow") if " -d '" in one]
    assert sent == {read_fields(command) for command in guide}


@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")
async def test_the_guides_commands_for_memory_work(
    url: str, isolated_world: World, isolated_transaction: TransactionFactory
) -> None:
    async with isolated_transaction() as session:
        await create_group_of(session, isolated_world.board, isolated_world.garden)
    where = {
        "BASE_URL": url,
        "AUTH_TOKEN": token_secret(isolated_world.worker),
        "BOARD": str(isolated_world.board.id),
    }
    *note_commands, stream = list_commands("Memory, chat and groups")
    answers: list[dict[str, Any]] = []
    for command in note_commands:
        answers.append(json.loads(await run_bash(command, **where)))
        where.setdefault("NOTE", answers[0]["id"])

    created, listed_notes, changed, message, beside, result, shared = answers
    assert (created["author_name"], created["is_chat"]) == ("Worker", False)
    assert [one["id"] for one in listed_notes["items"]] == [created["id"]]
    assert (changed["id"], changed["version"]) == (created["id"], 2)
    assert message["is_chat"]
    assert [one["board"]["name"] for one in beside["boards"]] == ["Garden"]
    assert [one["id"] for one in shared["items"]] == [result["id"]]
    received = re.findall(r'"id":"(.*?)"', await run_bash(stream, **where))
    assert set(received) == {created["id"], message["id"]}
    async with isolated_transaction() as session:
        kinds = set(await session.scalars(select(Message.kind)))
    assert kinds == {"BOARD CHAT MENTION", "GROUP CHAT"}


@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")
async def test_the_guides_commands_for_search_work(
    url: str, isolated_world: World, isolated_transaction: TransactionFactory
) -> None:
    async with isolated_transaction() as session:
        task = isolated_world.make_task("A report", description="Half of it is written.")
        task.board = await session.get_one(Board, isolated_world.board.id)
        session.add(task)
    where = {"BASE_URL": url, "AUTH_TOKEN": token_secret(isolated_world.worker)}
    answers = [json.loads(await run_bash(command, **where)) for command in list_commands("Search")]

    found, listed, soul = answers
    assert [(one["kind"], one["id"]) for one in found["items"]] == [("task", str(task.id))]
    assert [part["text"] for part in found["items"][0]["snippet"] if part["hit"]] == [
        "Half",
        "written",
    ]
    assert "code-reviewer" in [one["slug"] for one in listed["items"]]
    assert soul["content"].startswith("# Code reviewer")


@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")
async def test_the_guides_commands_for_messages_work(url: str, isolated_world: World) -> None:
    people = {"Authorization": f"Bearer {token_secret(isolated_world.alice)}"}
    async with httpx2.AsyncClient(base_url=url, headers=people, timeout=20) as alice:
        task = {"title": "Write", "assigned_agent_id": str(isolated_world.worker.id)}
        await alice.post(f"/api/v1/boards/{isolated_world.board.id}/tasks", json=task)
    where = {"BASE_URL": url, "AUTH_TOKEN": token_secret(isolated_world.worker)}
    fetch, wait, take, stream = list_commands("Messages to you")
    [message] = json.loads(await run_bash(fetch, **where))["items"]
    assert message["kind"] == "TASK ASSIGNED"
    assert re.findall(r'"id":"(.*?)"', await run_bash(stream, **where)) == [message["id"]]
    taken = json.loads(await run_bash(take, **where, MESSAGE=message["id"]))
    assert taken["state"] == "acknowledged"
    assert json.loads(await run_bash(fetch, **where))["items"] == []
    assert json.loads(await run_bash(wait, **where))["items"] == []


def test_the_guide_names_the_tools_of_a_worker() -> None:
    named = SECTIONS["Tools for coding agents (MCP)"].partition("A worker has")[2]
    named = named.partition("; a lead")[0]
    assert set(re.findall(r"`(\w+)`", named)) == {one.name for one in WORKER_TOOLS}


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("jq")), reason="needs curl and jq")
async def test_the_guides_command_for_listing_worker_operations_works(url: str) -> None:
    listing, one = list_commands("Available operations")
    lines = [line.split("\t") for line in (await run_bash(listing, BASE_URL=url)).splitlines()]
    mine = {
        (operation.method, f"/api/v1{operation.path}")
        for operation in OPERATIONS
        if "agent-worker" in operation.tags
        and operation.hints.get("x-required-actor") in (None, "any_agent")
    }
    assert {(method, path) for method, path, _, _ in lines} == mine
    assert len(lines) == len(mine)
    description = await run_bash(one, BASE_URL=url)
    for start in ("When: ", "Not when: ", "Effects: "):
        assert f"\n{start}" in description


def test_every_message_kind_in_the_guide_exists() -> None:
    """A27.4."""
    section = GUIDE.partition("## Messages to you")[2].partition("\n## ")[0]
    firsts = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    markers = set(re.findall(r"`(.*?)`", " ".join(firsts)))
    of_gateways = {
        MessageMarker.ASK_USER,
        MessageMarker.GATEWAY_MAIN_QUESTION,
        MessageMarker.GATEWAY_MAIN_HANDOFF,
        MessageMarker.ONBOARDING_REQUEST,
        MessageMarker.ONBOARDING_ANSWER,
        MessageMarker.SKILL_INSTALL,
        MessageMarker.SKILL_UNINSTALL,
    }
    assert markers == set(MessageMarker) - of_gateways


def test_every_error_code_in_the_guide_exists() -> None:
    listed_notes = "".join(
        file.read_text()
        for folder in ("services", "api", "core")
        for file in SERVICES.glob(f"{folder}/**/*.py")
    )
    fields = {"blocked_by_task_ids", "request_id"}
    for code in CODES - fields:
        assert f'"{code}"' in listed_notes, code
