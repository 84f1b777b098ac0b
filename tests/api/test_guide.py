"""The guide for those who write agents: what it says to type works."""

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
from kit.settings import Settings
from models import Board, Message
from services.messages.texts import Marker
from tests.api.serving import serving, typed
from tests.conftest import Transaction
from tests.remembering import grouped
from tests.world import World, token_of

GUIDE = (Path(__file__).parent.parent.parent / "docs" / "agents.md").read_text()
SECTIONS = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", GUIDE, re.DOTALL | re.MULTILINE))
CODES = set(re.findall(r"`([a-z]+_[a-z_]+)`", GUIDE.partition("## What is refused")[2]))
SERVICES = Path(__file__).parent.parent.parent


def commands(section: str) -> list[str]:
    """Return what a section says to type."""
    return re.findall(r"```sh\n(.*?)```", SECTIONS[section], re.DOTALL)


@pytest.fixture
async def url(own_settings: Settings, real_world: World) -> AsyncIterator[str]:
    """Where a real server answers."""
    async with serving(own_settings) as where:
        yield where


@pytest.mark.skipif(not shutil.which("curl"), reason="the guide's commands are typed with curl")
async def test_the_day_of_an_agent_goes_as_the_guide_tells_it(
    url: str, real_world: World, real_transaction: Transaction
) -> None:
    """W-51."""
    task = real_world.task()
    async with real_transaction() as session:
        board = await session.get_one(Board, real_world.board.id)
        board.require_approval_for_done = True
        task.board = board
        session.add(task)
    where = {
        "MC": url,
        "MC_TOKEN": token_of(real_world.worker),
        "BOARD": str(board.id),
        "TASK": str(task.id),
    }
    people = {"Authorization": f"Bearer {token_of(real_world.alice)}"}
    [stream] = commands("Listening instead of asking again")

    answers: list[dict[str, Any]] = []
    for command in commands("A day's work"):
        answers.append(json.loads(await typed(command, **where)))
        if answers[-1].get("action_type"):
            path = f"/api/v1/boards/{board.id}/approvals/{answers[-1]['id']}"
            async with httpx2.AsyncClient(base_url=url, headers=people) as alice:
                await alice.patch(path, json={"status": "approved"})

    healthz, seen, boards, found, claimed, said, told, refused, asked, answered, done = answers
    assert healthz["agent_id"] == seen["id"] == str(real_world.worker.id)
    assert [one["id"] for one in boards["items"]] == [str(board.id)]
    assert [one["id"] for one in found["items"]] == [str(task.id)]
    assert claimed["assigned_agent_id"] == str(real_world.worker.id)
    assert said["task_id"] == told["task_id"] == str(task.id)
    assert refused["code"] == "approval_required"
    assert asked["status"] == "pending"
    assert answered["items"][0]["status"] == "approved"
    assert done["status"] == "done"
    heard = re.findall(r'data: {"type":"(.*?)"', await typed(stream, **where))
    comments = ["task.comment", "task.comment"]
    assert heard == ["task.status_changed", *comments, "task.status_changed"]


@pytest.mark.skipif(not shutil.which("curl"), reason="the guide's commands are typed with curl")
async def test_memory_is_written_and_read_as_the_guide_tells_it(
    url: str, real_world: World, real_transaction: Transaction
) -> None:
    async with real_transaction() as session:
        await grouped(session, real_world.board, real_world.garden)
    where = {
        "MC": url,
        "MC_TOKEN": token_of(real_world.worker),
        "BOARD": str(real_world.board.id),
    }
    *said, stream = commands("Memory, chat and groups")
    answers: list[dict[str, Any]] = []
    for command in said:
        answers.append(json.loads(await typed(command, **where)))
        where.setdefault("NOTE", answers[0]["id"])

    kept, known, changed, message, beside, told, shared = answers
    assert (kept["author_name"], kept["is_chat"]) == ("Worker", False)
    assert [one["id"] for one in known["items"]] == [kept["id"]]
    assert (changed["id"], changed["version"]) == (kept["id"], 2)
    assert message["is_chat"]
    assert [one["board"]["name"] for one in beside["boards"]] == ["Garden"]
    assert [one["id"] for one in shared["items"]] == [told["id"]]
    heard = re.findall(r'"id":"(.*?)"', await typed(stream, **where))
    assert set(heard) == {kept["id"], message["id"]}
    async with real_transaction() as session:
        kinds = set(await session.scalars(select(Message.kind)))
    assert kinds == {"BOARD CHAT MENTION", "GROUP CHAT"}


@pytest.mark.skipif(not shutil.which("curl"), reason="the guide's commands are typed with curl")
async def test_things_are_found_as_the_guide_tells_it(
    url: str, real_world: World, real_transaction: Transaction
) -> None:
    async with real_transaction() as session:
        task = real_world.task("A report", description="Half of it is written.")
        task.board = await session.get_one(Board, real_world.board.id)
        session.add(task)
    where = {"MC": url, "MC_TOKEN": token_of(real_world.worker)}
    answers = [json.loads(await typed(command, **where)) for command in commands("Finding things")]

    found, listed, soul = answers
    assert [(one["kind"], one["id"]) for one in found["items"]] == [("task", str(task.id))]
    assert [part["text"] for part in found["items"][0]["snippet"] if part["hit"]] == [
        "Half",
        "written",
    ]
    assert "code-reviewer" in [one["slug"] for one in listed["items"]]
    assert soul["content"].startswith("# Code reviewer")


@pytest.mark.skipif(not shutil.which("curl"), reason="the guide's commands are typed with curl")
async def test_messages_are_fetched_and_taken_as_the_guide_tells_it(
    url: str, real_world: World
) -> None:
    people = {"Authorization": f"Bearer {token_of(real_world.alice)}"}
    async with httpx2.AsyncClient(base_url=url, headers=people) as alice:
        task = {"title": "Write", "assigned_agent_id": str(real_world.worker.id)}
        await alice.post(f"/api/v1/boards/{real_world.board.id}/tasks", json=task)
    where = {"MC": url, "MC_TOKEN": token_of(real_world.worker)}
    fetch, take, stream = commands("Messages to you")
    [message] = json.loads(await typed(fetch, **where))["items"]
    assert message["kind"] == "TASK ASSIGNED"
    assert re.findall(r'"id":"(.*?)"', await typed(stream, **where)) == [message["id"]]
    taken = json.loads(await typed(take, **where, MESSAGE=message["id"]))
    assert taken["state"] == "acknowledged"
    assert json.loads(await typed(fetch, **where))["items"] == []


@pytest.mark.skipif(
    not (shutil.which("curl") and shutil.which("jq")), reason="agents type with curl and jq"
)
async def test_what_is_for_workers_is_picked_as_the_guide_tells_it(url: str) -> None:
    listing, one = commands("What can be asked at all")
    lines = [line.split("\t") for line in (await typed(listing, MC=url)).splitlines()]
    mine = {
        (operation.method, f"/api/v1{operation.path}", operation.hints.get("x-llm-intent", ""))
        for operation in OPERATIONS
        if "agent-worker" in operation.tags
    }
    assert {(method, path, intent) for method, path, intent, _ in lines} == mine
    assert len(lines) == len(mine)
    told = json.loads(await typed(one, MC=url))
    assert told["operationId"].startswith("update_task")
    assert all(told[key] for key in ("use", "not", "effects"))


def test_every_marker_that_agents_go_by_is_one() -> None:
    """A27.4."""
    section = GUIDE.partition("## Messages to you")[2].partition("\n## ")[0]
    firsts = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    markers = set(re.findall(r"`(.*?)`", " ".join(firsts)))
    of_gateways = {Marker.ASK_USER, Marker.GATEWAY_MAIN_QUESTION, Marker.GATEWAY_MAIN_HANDOFF}
    assert markers == set(Marker) - of_gateways


def test_every_code_that_the_guide_explains_is_one() -> None:
    known = "".join(
        file.read_text()
        for folder in ("services", "api", "kit")
        for file in SERVICES.glob(f"{folder}/**/*.py")
    )
    fields = {"blocked_by_task_ids", "request_id"}
    for code in CODES - fields:
        assert f'"{code}"' in known, code
