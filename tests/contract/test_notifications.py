"""Notifications of a user in the API."""

import json
import re
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest

from core.clock import now
from core.db.engine import TransactionFactory
from models import Notification, NotificationKind, User
from tests.support.board_rows import make_notification
from tests.support.world import World

Kind = NotificationKind


@pytest.fixture
async def stored(world: World, transaction: TransactionFactory) -> list[Notification]:
    """Store two unread notifications and a read one of Bob, and one of Alice."""

    def make(user: User, hour: int, **fields: Any) -> Notification:
        moment = datetime(2026, 7, 1, hour, tzinfo=UTC)
        return make_notification(world.board, user, updated_at=moment, **fields)

    rows = [
        make(world.bob, 9, actor_agent_id=world.worker.id, task_id=world.worker.id),
        make(world.bob, 8, kind=Kind.AGENT_OFFLINE, data={"name": "Bee"}, merges=True),
        make(world.bob, 7, read_at=now()),
        make(world.alice, 6),
    ]
    async with transaction() as session:
        session.add_all(rows)
    return rows


async def test_notifications_are_listed_and_counted(
    bob: httpx2.AsyncClient, stored: list[Notification], world: World
) -> None:
    found = (await bob.get("/notifications?limit=2")).json()
    assert (found["total"], found["limit"], found["offset"]) == (3, 2, 0)
    assert [one["id"] for one in found["items"]] == [str(one.id) for one in stored[:2]]
    first = found["items"][0]
    assert (first["kind"], first["actor_name"], first["is_unread"]) == ("mention", "Worker", True)
    assert first["data"] == {"title": "Write the report"}
    assert (await bob.get("/notifications/unread-count")).json() == {"unread": 2}


async def test_the_list_is_filtered(
    bob: httpx2.AsyncClient, stored: list[Notification], world: World
) -> None:
    async def list_ids(query: str) -> list[str]:
        return [one["id"] for one in (await bob.get(f"/notifications?{query}")).json()["items"]]

    assert await list_ids("unread=true&group=tasks") == [str(stored[0].id)]
    assert await list_ids("group=agents") == [str(stored[1].id)]
    assert len(await list_ids(f"board_id={world.board.id}")) == 3
    assert await list_ids(f"board_id={world.garden.id}") == []
    for wrong in ("group=nothing", "board_id=x", "unread=perhaps"):
        assert (await bob.get(f"/notifications?{wrong}")).status_code == 422


async def test_the_commands_of_the_documentation_work(
    bob: httpx2.AsyncClient, stored: list[Notification]
) -> None:
    text = (Path(__file__).parents[2] / "docs/notifications.md").read_text()
    block = "".join(re.findall(r"```bash\n(.*?)```", text, re.DOTALL))
    answers = []
    for line in block.replace("$ID", str(stored[1].id)).splitlines():
        words = shlex.split(line)
        path = next(word for word in words if "$BASE_URL" in word)
        body = json.loads(words[words.index("--json") + 1]) if "--json" in words else None
        method = words[words.index("-X") + 1] if "-X" in words else "POST" if body else "GET"
        response = await bob.request(
            method,
            path.removeprefix("$BASE_URL/api/v1"),
            json=body,
        )
        assert response.status_code == 200, line
        answers.append(response.json())
    found, count, one, all_of_group, *preferences, channel, channels = answers
    assert [one["quiet_from"] for one in preferences] == [None, "22:00", "22:00"]
    assert channels == [channel]
    assert (found["total"], count["unread"]) == (0, 2)
    assert (one["is_unread"], all_of_group["marked"]) == (False, 1)


async def test_one_is_marked_as_read(bob: httpx2.AsyncClient, stored: list[Notification]) -> None:
    for _ in range(2):
        response = await bob.post(f"/notifications/{stored[0].id}/read")
        assert response.status_code == 200
        assert response.json()["is_unread"] is False
        assert response.json()["read_at"]
    assert (await bob.get("/notifications/unread-count")).json() == {"unread": 1}


async def test_all_or_a_group_are_marked_as_read(
    bob: httpx2.AsyncClient, stored: list[Notification]
) -> None:
    body = {"group": "agents"}
    assert (await bob.post("/notifications/read", json=body)).json() == {"marked": 1}
    assert (await bob.post("/notifications/read", json={})).json() == {"marked": 1}
    assert (await bob.get("/notifications/unread-count")).json() == {"unread": 0}


async def test_notifications_of_others_are_not_found(
    bob: httpx2.AsyncClient, charlie: httpx2.AsyncClient, stored: list[Notification]
) -> None:
    response = await bob.post(f"/notifications/{stored[3].id}/read")
    assert response.status_code == 404
    assert response.json()["code"] == "notification_not_found"
    assert (await charlie.post(f"/notifications/{stored[0].id}/read")).status_code == 404
    assert (await charlie.get("/notifications")).json()["total"] == 0


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/notifications"),
        ("GET", "/notifications/unread-count"),
        ("POST", "/notifications/read"),
    ],
)
async def test_agents_and_strangers_have_no_notifications(
    worker: httpx2.AsyncClient, anonymous: httpx2.AsyncClient, method: str, path: str
) -> None:
    assert (await anonymous.request(method, path)).status_code == 401
    assert (await worker.request(method, path)).status_code in (401, 403)
