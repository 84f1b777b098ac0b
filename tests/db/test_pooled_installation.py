"""An installation behind PgBouncer in transaction mode, which has three sessions for it."""

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx2
import pytest

from tests.cli.conftest import run_cli, sign_up_owner
from tests.support.installation import (
    LOCAL_AUTH,
    LOCAL_TOKEN,
    TIMEOUT,
    ApiClient,
    Installation,
    find_free_port,
)
from tests.support.postgres_servers import TcpPostgres, needs_pgbouncer, run_pgbouncer, run_postgres
from tests.support.tiers import IS_COMPLETE_RUN

pytestmark = needs_pgbouncer

SESSIONS = 3  # of PgBouncer
AGENTS, CHANGES = (10, 6) if IS_COMPLETE_RUN else (5, 2)
LISTENERS = 2  # the direct connections of the server and its worker
COUNT_SESSIONS = """
    select count(*) from pg_stat_activity where datname = 'mission_control'
    and backend_type = 'client backend' and pid <> pg_backend_pid()
"""


@dataclass
class PooledInstallation:
    """An installation whose server has migrated an empty database through the direct address."""

    installation: Installation
    postgres: TcpPostgres
    browser: httpx2.Client


@pytest.fixture(scope="module")
def pooled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PooledInstallation]:
    folder = tmp_path_factory.mktemp("pooled")
    with (
        run_postgres(folder / "postgres", is_migrated=False) as postgres,
        run_pgbouncer(postgres, default_pool_size=SESSIONS) as url,
    ):
        environment = LOCAL_AUTH | {
            "DATABASE_URL": url,
            "DATABASE_DIRECT_URL": postgres.dsn,
            "APPROVAL_UNDO_SECONDS": "0.5",
            "LOG_LEVEL": "WARNING",
        }
        installation = Installation(folder / "data", find_free_port(), environment).start()
        try:
            with closing(sign_up_owner(installation)) as browser:
                yield PooledInstallation(installation, postgres, browser)
        finally:
            installation.stop()


@asynccontextmanager
async def follow(url: str, token: str, path: str) -> AsyncGenerator[list[dict[str, Any]]]:
    """Read a stream of the API; the block gets the list of its messages so far."""
    messages: list[dict[str, Any]] = []
    started = asyncio.Event()

    async def read() -> None:
        headers = {"Authorization": f"Bearer {token}"}
        async with (
            httpx2.AsyncClient(base_url=f"{url}/api/v1", headers=headers) as client,
            client.stream("GET", path, timeout=None) as response,
        ):
            assert response.status_code == 200
            started.set()
            async for line in response.aiter_lines():
                if line.startswith("data: "):
                    messages.append(json.loads(line.removeprefix("data: ")))

    reading = asyncio.create_task(read())
    await asyncio.wait_for(started.wait(), TIMEOUT)
    yield messages
    reading.cancel()


async def test_a_board_works_with_fewer_sessions_than_connections(
    pooled: PooledInstallation,
) -> None:
    url = pooled.installation.url
    with ApiClient(url, LOCAL_TOKEN) as owner:
        owner.call("POST", "/auth/bootstrap")
        board = owner.create_board(max_agents=AGENTS)
        path = f"/boards/{board['id']}/tasks"
        tasks = [owner.call("POST", path, title=f"Task {n}")["id"] for n in range(AGENTS)]
        agents = [
            owner.call("POST", "/agents", name=f"Agent {n}", board_id=board["id"])["token"]
            for n in range(AGENTS)
        ]

    async def work(token: str, task: str) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx2.AsyncClient(base_url=url, headers=headers, timeout=TIMEOUT) as client:
            for number in range(CHANGES):
                changed = await client.patch(
                    f"/api/v1/agent/boards/{board['id']}/tasks/{task}",
                    json={"status": "in_progress", "comment": f"Comment {number}"},
                )
                assert changed.status_code == 200, changed.text

    async with follow(url, LOCAL_TOKEN, f"{path}/stream") as messages:
        await asyncio.gather(*map(work, agents, tasks))
        expected = {(task, f"Comment {n}") for task in tasks for n in range(CHANGES)}
        async with asyncio.timeout(TIMEOUT):
            while len(received := [one["comment"] for one in messages if one.get("comment")]) < len(
                expected
            ):
                await asyncio.sleep(0.05)
    assert sorted((one["task_id"], one["message"]) for one in received) == sorted(expected)
    operator = await asyncpg.connect(pooled.postgres.dsn)
    assert await operator.fetchval(COUNT_SESSIONS) <= SESSIONS + LISTENERS
    await operator.close()
    for address in ("/dashboard", f"/boards/{board['id']}", "/activity"):
        assert pooled.browser.get(address).status_code == 200, address


async def test_a_decision_becomes_final_and_is_streamed(pooled: PooledInstallation) -> None:
    url, browser = pooled.installation.url, pooled.browser
    with ApiClient(url, LOCAL_TOKEN) as owner:
        owner.call("POST", "/auth/bootstrap")
        board = owner.create_board("Poster")
        task = owner.call("POST", f"/boards/{board['id']}/tasks", title="Print it")
        made = owner.call("POST", "/agents", name="Wren", board_id=board["id"])
    path = f"/agent/boards/{board['id']}/approvals"
    with ApiClient(url, made["token"]) as agent:
        fields: dict[str, Any] = {
            "action_type": "task.complete",
            "task_id": task["id"],
            "confidence": 80,
        }
        approval = agent.call("POST", path, **fields, payload={"reason": "It is ready."})
        stream = f"/boards/{board['id']}/approvals/stream"
        async with follow(url, LOCAL_TOKEN, stream) as messages:
            page = f"/approvals/{approval['id']}"
            [hash] = set(re.findall(r'name="action_hash" value="(\w+)"', browser.get(page).text))
            form = {"status": "approved", "action_hash": hash, "complete": "on"}
            assert browser.post(f"{page}/answers", data=form).status_code == 303
            async with asyncio.timeout(TIMEOUT):
                while not any(one["approval"]["status"] == "approved" for one in messages):
                    await asyncio.sleep(0.05)


def test_a_backup_and_the_doctor_use_the_direct_address(
    pooled: PooledInstallation, tmp_path: Path
) -> None:
    installation, environment = pooled.installation, pooled.installation.environment
    saved = run_cli("backup", str(tmp_path / "all.dump"), data=installation.data_dir, **environment)
    assert saved.returncode == 0, saved.stderr
    examined = run_cli("doctor", data=installation.data_dir, **environment)
    assert "not ok" not in examined.stdout.replace("not ok  port", "")
    assert "DATABASE_DIRECT_URL" in examined.stdout
    refused = run_cli(
        "restore", str(tmp_path / "all.dump"), data=installation.data_dir, **environment
    )
    assert "and the pooler" in refused.stderr
