"""Lists by cursors: each item once, also while others are created and deleted."""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.types import ASGIApp

from api.app import OPERATIONS
from api.framework.operation import Operation
from core.clock import now
from core.db.engine import TransactionFactory
from core.paging import MAX_CURSOR_LENGTH
from models import Base, Note, SkillPack, Tag, Task, WebhookEndpoint, new_id
from tests.conftest import rolled_back
from tests.support.api_document import DOCUMENT
from tests.support.api_fixtures import HIGH_RATE_LIMITS, Client, ClientFactory, create_client
from tests.support.api_objects import WEBHOOK_ID, ApiObjects, make_question, operation_label
from tests.support.app_on_transactions import build_app_on
from tests.support.board_rows import make_agent, make_notification, make_tag
from tests.support.gateway_rows import make_run
from tests.support.large_dataset import create_large_dataset
from tests.support.memory_rows import make_note
from tests.support.operation_requests import build_url
from tests.support.skill_rows import PACK_ID, make_skill
from tests.support.stored_world import store_world
from tests.support.tiers import IS_COMPLETE_RUN
from tests.support.webhook_rows import make_delivery, make_endpoint
from tests.support.world import World

CURSOR = "X-Next-Cursor"
PAGES = 8 if IS_COMPLETE_RUN else 3  # or one more, of each list
COMMUNICATION = "/organizations/me/audit/communication"  # its cursor is the number of an event

CHANGED_BY_READING = {"evidence", "last_seen_at", "updated_at"}  # of the agent that reads


def list_parameters(operation: Operation) -> set[str]:
    """Return the names of the parameters in the query."""
    return set(operation.parser.query.model_fields) if operation.parser.query else set()


LISTS = [one for one in OPERATIONS if {"limit", "offset"} <= list_parameters(one)]


def list_items(answer: Any) -> list[Any]:
    """Return the items of a response, which is a page or a list."""
    assert answer.status_code == 200, answer.text
    content = answer.json()
    items = content["items"] if isinstance(content, dict) else content
    return [{key: item[key] for key in item.keys() - CHANGED_BY_READING} for item in items]


async def walk(
    client: Client,
    url: str,
    limit: int,
    start: str = "",
    *,
    before_page: Callable[[], Awaitable[object]] | None = None,
) -> list[Any]:
    """Return the items of all pages, each by the cursor of the one before."""
    joined, cursor, found = "&" if "?" in url else "?", start, []
    for _ in range(1_000):
        if before_page is not None:
            await before_page()
        answer = await client.get(f"{url}{joined}limit={limit}&after={cursor}")
        items = list_items(answer)
        assert len(items) <= limit
        found += items
        cursor = answer.headers.get(CURSOR)
        if cursor is None:
            return found
    raise AssertionError(f"{url} has no last page")


def test_every_list_with_an_offset_also_has_cursors() -> None:
    for operation in LISTS:
        assert "after" in list_parameters(operation), operation_label(operation)
        described = DOCUMENT["paths"][f"/api/v1{operation.path}"]["get"]
        assert CURSOR in described["responses"]["200"]["headers"], operation_label(operation)


FEW = {
    *(COMMUNICATION, "/agent/boards", "/installation/audit"),
    "/gateways/{gateway_id}/config-changes",
    *(f"/agents/{{agent_id}}/{name}" for name in ("sessions", "tool-calls", "grants")),
}
"""Lists with at most one item here, or with another kind of cursor."""


async def add_more_rows(session: AsyncSession, objects: ApiObjects) -> None:
    """Add rows of kinds of which there is one."""
    world = objects.world
    endpoint = await session.get_one(WebhookEndpoint, WEBHOOK_ID)
    session.add_all(make_delivery(endpoint) for _ in range(2))
    pack = await session.get_one(SkillPack, PACK_ID)
    session.add_all(
        make_skill(world.tern, pack, source_url=f"{pack.source_url}/{n}") for n in range(2)
    )
    for number in range(3):
        agent = make_agent(f"Helper {number}", world.board)
        question = make_question(world)
        question.id = new_id()
        session.add_all(
            [
                *(make_endpoint(world.tern), agent, question),
                make_notification(world.board, world.alice),
                make_run(objects.gateway, world.other_worker, task_id=objects.task.id),
            ]
        )


async def record_more_events(app: ASGIApp, objects: ApiObjects) -> None:
    """Let Bob write what Alice has not read, and Alice do what the audit records."""
    alice, bob = (create_client(app, user) for user in (objects.world.alice, objects.world.bob))
    board, comment = f"/boards/{objects.world.board.id}", {"message": "Half of it is written."}
    note = {"content": "Shall I go on?", "tags": ["chat"]}
    for number in range(2):
        invite = {"invited_email": f"new-{number}@example.com", "role": "member"}
        for answer in [
            await bob.post(f"{board}/tasks/{objects.task.id}/comments", json=comment),
            await bob.post(f"{board}/memory", json=note),
            await alice.post("/organizations/me/invites", json=invite),
        ]:
            assert answer.status_code == 200, answer.text


async def test_pages_by_cursors_have_the_items_of_the_list(settings) -> None:
    async with rolled_back(settings) as (_, transaction):
        world = await store_world(transaction)
        async with transaction() as session:
            objects = await create_large_dataset(session, world, 4)
            await add_more_rows(session, objects)
        app = build_app_on(settings.model_copy(update=HIGH_RATE_LIMITS), transaction)
        await record_more_events(app, objects)
        long_lists = set()
        for operation in LISTS:
            client, label = (
                create_client(app, objects.get_allowed_caller(operation)),
                operation_label(operation),
            )
            url = build_url(operation, objects)
            url += "?q=board" if operation.path == "/search" else ""
            joined = "&" if "?" in url else "?"
            whole = await client.get(f"{url}{joined}limit=200")
            expected = list_items(whole)
            limit = max(1, len(expected) // PAGES)
            start = "0" if operation.path == COMMUNICATION else ""
            assert await walk(client, url, limit, start) == expected, label
            first = await client.get(f"{url}{joined}limit={limit}&after={start}")
            if isinstance(whole.json(), dict):
                assert first.json()["total"] == whole.json()["total"], label
            if operation.path == COMMUNICATION:
                continue
            assert CURSOR not in whole.headers, label  # a list by an offset has none
            if len(expected) > 1:
                long_lists.add(label)
                after = f"{url}{joined}limit={limit}&after={first.headers[CURSOR]}"
                if isinstance(whole.json(), dict):
                    assert (await client.get(after)).json()["total"] == whole.json()["total"], label
                refused = await client.get(f"{after}&offset=1")
                assert (refused.status_code, refused.json()["code"]) == (422, "cursor_with_offset")
                same = await client.get(f"{url}{joined}limit={limit}&after=&offset=1")
                assert list_items(same) == expected[1 : limit + 1], label
        few = {one.path for one in LISTS if operation_label(one) not in long_lists}
        assert few <= FEW, sorted(few - FEW)


def encode(content: Any) -> str:
    """Return text that is encoded as a cursor."""
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


async def test_a_text_that_is_no_cursor_of_the_list_is_refused(
    alice: Client, lead: Client, world: World, transaction: TransactionFactory
) -> None:
    async with transaction() as session:
        session.add_all([make_tag(world.tern, name) for name in ("One", "Two")])
    cursor = (await alice.get("/tags?limit=1&after=")).headers[CURSOR]
    order, name, at, id = json.loads(base64.urlsafe_b64decode(cursor + "=="))
    hostile = [
        *("x", "%00", "null", "ä", "=", "a" * MAX_CURSOR_LENGTH, cursor[:-3], cursor + "AAAA"),
        *(
            encode(b"\xff"),
            encode(b"1"),
            encode([]),
            encode({}),
            encode([order]),
            encode("[" * 900),
        ),
        encode([order, name, at, id, id]),
        encode([order, "a\x00b", at, id]),
        encode(json.dumps([order, "\ud800", at, id]).encode()),
        encode([order, None, at, id]),
        encode([order, name, "0001-01-01T00:00:00+14:00", id]),
        encode([order, name, "9999-12-31T23:59:59-14:00", id]),
        encode([order, name, 10**40, id]),
        encode([order, name, at, "1"]),
        encode([[order], name, at, id]),
    ]
    for text in hostile:
        refused = await alice.get("/tags", params={"after": text})
        assert (refused.status_code, refused.json()["code"]) == (422, "cursor_invalid"), text
    too_long = await alice.get("/tags", params={"after": "a" * (MAX_CURSOR_LENGTH + 1)})
    assert too_long.status_code == 422
    other_list = await alice.get("/boards", params={"after": cursor})
    assert other_list.json()["code"] == "cursor_invalid"
    number = (await lead.get("/agent/messages?limit=1&after=")).headers.get(CURSOR)
    for value in (2**63, -(2**63) - 1, 10**400, 1.5, "x"):
        refused = await lead.get("/agent/messages", params={"after": encode([number, value])})
        assert refused.status_code == 422


def make_tasks(world: World, names: Sequence[str]) -> list[Base]:
    return [world.make_task(name) for name in names]


def make_notes(world: World, names: Sequence[str]) -> list[Base]:
    return [make_note(world.board, name) for name in names]


def make_tags(world: World, names: Sequence[str]) -> list[Base]:
    return [make_tag(world.tern, name, slug=f"t-{new_id()}") for name in names]


@pytest.mark.parametrize(
    ("make_rows", "model", "path", "field"),
    [
        (make_tasks, Task, "/boards/{}/tasks", "title"),
        (make_notes, Note, "/boards/{}/memory", "content"),
        (make_tags, Tag, "/tags", "name"),
    ],
)
async def test_a_list_that_changes_meanwhile_has_the_others_once(
    make_rows: Any,
    model: Any,
    path: str,
    field: str,
    committing_client_for: ClientFactory,
    isolated_world: World,
    isolated_transaction: TransactionFactory,
) -> None:
    """Rows are created and deleted at both ends and between those that remain."""
    kept = [f"{n:03} kept" for n in range(60)]
    yesterday = now() - timedelta(days=1)
    async with isolated_transaction() as session:
        for name in kept:
            pair = make_rows(isolated_world, [name, f"{name} deleted"])
            for number, row in enumerate(pair):  # in the order of the names
                row.created_at = yesterday + timedelta(seconds=int(name[:3]) * 2 + number)
            session.add_all(pair)
    is_read, is_changed, board_id = asyncio.Event(), asyncio.Event(), isolated_world.board.id
    changes = 0

    async def change_others() -> None:
        nonlocal changes
        for name in (*kept, *kept):
            if is_read.is_set():
                return
            async with isolated_transaction() as session:
                new = f"{name} new {changes}"
                session.add_all(make_rows(isolated_world, [new, f"zzz {changes}", f"!! {changes}"]))
                names = [f"{name} deleted", f"zzz {changes - 3}", f"!! {changes - 3}"]
                await session.execute(delete(model).where(getattr(model, field).in_(names)))
            changes += 1
            is_changed.set()

    async def wait_for_change() -> None:
        is_changed.clear()
        await is_changed.wait()

    async def read() -> list[str]:
        client, url = committing_client_for(isolated_world.alice), path.format(board_id)
        try:
            items = await walk(client, url, 7, before_page=wait_for_change)
            return [one[field] for one in items]
        finally:
            is_read.set()

    found, _ = await asyncio.gather(read(), change_others())
    assert changes > 3
    assert [name for name in found if name in kept] == sorted(kept, reverse=model is not Tag)
    assert len(found) == len(set(found))
