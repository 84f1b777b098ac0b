"""After a kill of the app or the database, all confirmed changes exist, with their events."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx2
import pytest

from tests.support.installation import (
    LOCAL_AUTH,
    LOCAL_TOKEN,
    ApiClient,
    Installation,
    find_free_port,
)
from tests.support.tiers import IS_COMPLETE_RUN, repetition

WRITES = 200 if IS_COMPLETE_RUN else 40
WRITERS = 4
RECOVERY_TIMEOUT = 60  # seconds

BROKEN_PAIRS = """
select 'a task without its event', id from tasks t where not exists
  (select from activity_events e where e.task_id = t.id and e.type = 'task.created')
union all
select 'an event without its task', task_id from activity_events e where type = 'task.created'
  and not exists (select from tasks t where t.id = e.task_id)
union all
select 'a comment without its event', id from task_comments c where not exists
  (select from activity_events e where e.id = c.id and e.type = 'task.comment')
union all
select 'an event without its comment', id from activity_events e where type = 'task.comment'
  and not exists (select from task_comments c where c.id = e.id)
union all
select 'a payload without its event', id from board_webhook_payloads p where not exists
  (select from activity_events e where e.data ->> 'payload_id' = p.id::text
   and e.type = 'board_webhook.received')
union all
select 'a payload without its note', id from board_webhook_payloads p where not exists
  (select from board_memory n where n.id = p.note_id)
union all
select 'a payload that neither waits nor has a message', id from board_webhook_payloads p
  where p.is_queued = (p.message_id is not null)
"""


@dataclass
class ConfirmedWrites:
    """The ids of objects whose creation returned status 200."""

    tasks: set[str] = field(default_factory=set)
    comments: set[str] = field(default_factory=set)
    payloads: set[str] = field(default_factory=set)
    some: threading.Event = field(default_factory=threading.Event)

    @property
    def count(self) -> int:
        return len(self.tasks) + len(self.comments)


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    installation = Installation(
        tmp_path / "data", find_free_port(), LOCAL_AUTH | {"LOG_LEVEL": "WARNING"}
    )
    yield installation.start()
    installation.stop()


def write(installation: Installation, hook: dict[str, Any], confirmed: ConfirmedWrites) -> None:
    """Create tasks, comments and payloads until there are enough; continue when a call fails."""
    tasks = f"/boards/{hook['board_id']}/tasks"
    deadline = time.monotonic() + RECOVERY_TIMEOUT
    with ApiClient(installation.url, LOCAL_TOKEN) as api:
        while confirmed.count < WRITES and time.monotonic() < deadline:
            try:
                _write_two(api, tasks, confirmed)
                _send_payload(api, hook, confirmed)
            except httpx2.HTTPError:
                time.sleep(0.05)
            if confirmed.count > WRITES // 4:
                confirmed.some.set()


def _write_two(api: ApiClient, tasks: str, confirmed: ConfirmedWrites) -> None:
    task = _create(api, tasks, title=f"Task {len(confirmed.tasks)}")
    if task:
        confirmed.tasks.add(task)
        comment = _create(api, f"{tasks}/{task}/comments", message="Noted")
        confirmed.comments.update([comment] if comment else [])


def _send_payload(api: ApiClient, hook: dict[str, Any], confirmed: ConfirmedWrites) -> None:
    headers = {"X-Gitlab-Token": hook["generated_secret"]}
    response = api.client.post(hook["endpoint_path"].removeprefix("/api/v1"), headers=headers)
    assert response.status_code in (202, 503), response.text
    if response.status_code == 202:
        confirmed.payloads.add(response.json()["payload_id"])


def _create(api: ApiClient, path: str, **json: str) -> str | None:
    response = api.client.post(path, json=json)
    assert response.status_code in (200, 503), response.text
    return response.json()["id"] if response.status_code == 200 else None


@pytest.mark.parametrize(
    "victim",
    [
        "both",
        pytest.param("app", marks=repetition),
        pytest.param("database", marks=repetition),
    ],
)
async def test_confirmed_changes_survive_kill_9(installation: Installation, victim: str) -> None:
    """R4. W-18."""
    with ApiClient(installation.url, LOCAL_TOKEN) as api:
        board = api.create_board()
        api.call("POST", "/agents", name="Wren", board_id=board["id"], is_board_lead=True)
        path = f"/boards/{board['id']}/webhooks"
        hook = api.client.post(path, json={"description": "Builds"}).json()
    confirmed = ConfirmedWrites()
    with ThreadPoolExecutor(WRITERS) as pool:
        writers = [pool.submit(write, installation, hook, confirmed) for _ in range(WRITERS)]
        assert confirmed.some.wait(RECOVERY_TIMEOUT)
        if victim in ("database", "both"):
            installation.kill_database()
        if victim in ("app", "both"):
            installation.kill()
            installation.start()
        for writer in writers:
            writer.result()
    assert confirmed.count >= WRITES

    stored, broken = await _load(installation)
    assert confirmed.tasks <= stored["tasks"]
    assert confirmed.comments <= stored["task_comments"]
    assert confirmed.payloads <= stored["board_webhook_payloads"]
    assert confirmed.payloads
    assert not broken


async def _load(installation: Installation) -> tuple[dict[str, set[str]], list[Any]]:
    postgres = installation.database()
    connection = await asyncpg.connect(postgres.dsn)
    stored = {
        table: {str(row["id"]) for row in await connection.fetch(f"select id from {table}")}
        for table in ("tasks", "task_comments", "board_webhook_payloads")
    }
    broken = [tuple(row) for row in await connection.fetch(BROKEN_PAIRS)]
    await connection.close()
    return stored, broken
