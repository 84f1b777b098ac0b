"""Whatever is killed in the middle of the work: what was answered is there, with its event."""

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

from tests.installation import LOCAL, LOCAL_TOKEN, Api, Installation, free_port

WRITES = 200
WRITERS = 4
PATIENCE = 60  # seconds in which everything must be back

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
"""


@dataclass
class Written:
    """What was answered with 200."""

    tasks: set[str] = field(default_factory=set)
    comments: set[str] = field(default_factory=set)
    some: threading.Event = field(default_factory=threading.Event)

    @property
    def count(self) -> int:
        return len(self.tasks) + len(self.comments)


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    installation = Installation(tmp_path / "data", free_port(), LOCAL | {"LOG_LEVEL": "WARNING"})
    yield installation.start()
    installation.stop()


def write(installation: Installation, board: dict[str, Any], written: Written) -> None:
    """Make tasks and comment on them until there are enough; go on when a call fails."""
    tasks = f"/boards/{board['id']}/tasks"
    deadline = time.monotonic() + PATIENCE
    with Api(installation.url, LOCAL_TOKEN) as api:
        while written.count < WRITES and time.monotonic() < deadline:
            try:
                _write_two(api, tasks, written)
            except httpx2.HTTPError:
                time.sleep(0.05)
            if written.count > WRITES // 4:
                written.some.set()


def _write_two(api: Api, tasks: str, written: Written) -> None:
    task = _answered(api, tasks, title=f"Task {len(written.tasks)}")
    if task:
        written.tasks.add(task)
        comment = _answered(api, f"{tasks}/{task}/comments", message="Noted")
        written.comments.update([comment] if comment else [])


def _answered(api: Api, path: str, **json: str) -> str | None:
    response = api.client.post(path, json=json)
    assert response.status_code in (200, 503), response.text
    return response.json()["id"] if response.status_code == 200 else None


@pytest.mark.parametrize("victim", ["app", "database", "both"])
async def test_what_was_answered_is_there_after_kill_9(
    installation: Installation, victim: str
) -> None:
    """R4."""
    with Api(installation.url, LOCAL_TOKEN) as api:
        board = api.board()
    written = Written()
    with ThreadPoolExecutor(WRITERS) as pool:
        writers = [pool.submit(write, installation, board, written) for _ in range(WRITERS)]
        assert written.some.wait(PATIENCE)
        if victim in ("database", "both"):
            installation.kill_database()
        if victim in ("app", "both"):
            installation.kill()
            installation.start()
        for writer in writers:
            writer.result()
    assert written.count >= WRITES

    there, broken = await _found(installation)
    assert written.tasks <= there["tasks"]
    assert written.comments <= there["task_comments"]
    assert not broken


async def _found(installation: Installation) -> tuple[dict[str, set[str]], list[Any]]:
    postgres = installation.database()
    connection = await asyncpg.connect(postgres.dsn)
    there = {
        table: {str(row["id"]) for row in await connection.fetch(f"select id from {table}")}
        for table in ("tasks", "task_comments")
    }
    broken = [tuple(row) for row in await connection.fetch(BROKEN_PAIRS)]
    await connection.close()
    return there, broken
