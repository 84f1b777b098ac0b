"""The commands in the documentation of templates and code hosts work."""

import json
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from core.config.settings import Settings
from core.db.engine import TransactionFactory
from models import Task, TaskLink
from tests.support.live_server import run_bash, run_server
from tests.support.people_rows import token_secret
from tests.support.world import World

PAGE = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text()
SECTIONS = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE))
HAS_TOOLS = shutil.which("curl") and shutil.which("openssl")


@pytest.fixture
async def url(isolated_settings: Settings, isolated_world: World) -> AsyncIterator[str]:
    async with run_server(isolated_settings) as where:
        yield where


@pytest.mark.skipif(not HAS_TOOLS, reason="needs curl and openssl")
async def test_the_commands_for_templates_and_code_hosts_work(
    url: str, isolated_world: World, isolated_transaction: TransactionFactory
) -> None:
    where = {"BASE_URL": url, "API_TOKEN": token_secret(isolated_world.alice)}
    where["BOARD"] = str(isolated_world.board.id)
    commands = [
        command
        for section in ("Templates", "GitHub and GitLab")
        for command in re.findall(r"```sh\n(.*?)```", SECTIONS[section], re.DOTALL)
    ]
    answers: list[Any] = []
    for command in commands:
        answers.append(json.loads(await run_bash(command, **where)))
        where |= {"WEBHOOK": answers[0]["id"], "SECRET": answers[0]["generated_secret"]}
    created, sent, payloads, changed, reported = answers
    assert (created["action"], changed["action"]) == ("task", "forge")
    [payload] = payloads["items"]
    assert (payload["id"], payload["state"]) == (sent["payload_id"], "processed")
    assert reported["ok"]
    async with isolated_transaction() as session:
        alert, issue = await session.scalars(select(Task).order_by(Task.created_at))
        [link] = await session.scalars(select(TaskLink))
    assert (str(alert.id), alert.title) == (payload["task_id"], "Disk: Volume *data* is full.")
    assert alert.description == "Volume \\*data\\* is full.\nFree: 0 B"
    assert alert.priority == "high"
    assert (issue.title, link.task_id) == ("The page is blank", issue.id)
