"""ETag, If-Match and If-None-Match prevent lost updates."""

import re
from dataclasses import dataclass
from typing import Any

import pytest

from api.app import OPERATIONS
from api.framework.auth import AllowedCaller
from core.clock import now
from core.db.engine import TransactionFactory
from models import Note, Tag, TagAssignment, Task
from models import new_id as an_id
from tests.support.api_fixtures import Client, ClientFactory
from tests.support.api_objects import read_all_rows
from tests.support.world import World

PARAMETER = re.compile(r"\{[^}]+\}")
ANOTHER = '"{}-0123456789abcdef"'


@dataclass(frozen=True)
class VersionedObject:
    """An object with a version, its URL, and two changes of it."""

    path: str
    change: dict[str, Any]
    other: dict[str, Any]


THINGS = ("task", "task of an agent", "board", "note", "note of an agent")


@pytest.fixture(params=THINGS)
async def versioned_object(
    request: Any, world: World, transaction: TransactionFactory
) -> VersionedObject:
    board = f"/boards/{world.board.id}"
    task = world.make_task()
    note = Note(
        id=an_id(),
        board_id=world.board.id,
        content="As it was",
        agent_id=world.lead.id,
        created_at=now(),
        updated_at=now(),
    )
    async with transaction() as session:
        session.add_all([task, note])
    of_task = [{"assigned_agent_id": str(agent.id)} for agent in (world.worker, world.other_worker)]
    of_note = {"content": "As it is"}, {"content": "As it will be"}
    return {
        "task": VersionedObject(f"{board}/tasks/{task.id}", *of_task),
        "task of an agent": VersionedObject(f"/agent{board}/tasks/{task.id}", *of_task),
        "board": VersionedObject(board, {"objective": "This"}, {"objective": "That"}),
        "note": VersionedObject(f"{board}/memory/{note.id}", *of_note),
        "note of an agent": VersionedObject(f"/agent{board}/memory/{note.id}", *of_note),
    }[request.param]


@pytest.fixture
def client(request: Any, versioned_object: VersionedObject, alice: Client, lead: Client) -> Client:
    return lead if versioned_object.path.startswith("/agent") else alice


async def test_a_change_with_the_current_version_is_applied(
    client: Client, versioned_object: VersionedObject
) -> None:
    known = await client.get(versioned_object.path)
    changed = await client.patch(
        versioned_object.path,
        json=versioned_object.change,
        headers={"If-Match": known.headers["ETag"]},
    )
    assert changed.status_code == 200
    assert changed.json()["version"] == known.json()["version"] + 1
    assert changed.headers["ETag"] != known.headers["ETag"]
    assert (await client.get(versioned_object.path)).headers["ETag"] == changed.headers["ETag"]


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
async def test_a_change_with_an_old_version_is_rejected(
    client: Client, versioned_object: VersionedObject, method: str, transaction: TransactionFactory
) -> None:
    """R2."""
    known = (await client.get(versioned_object.path)).headers["ETag"]
    assert (
        await client.patch(versioned_object.path, json=versioned_object.change)
    ).status_code == 200
    async with transaction() as session:
        before = await read_all_rows(session)

    stale = await client.request(
        method, versioned_object.path, json=versioned_object.other, headers={"If-Match": known}
    )

    assert (stale.status_code, stale.json()["code"]) == (412, "stale")
    assert isinstance(stale.json()["detail"], str)
    async with transaction() as session:
        assert await read_all_rows(session) == before


async def test_if_match_accepts_several_versions_or_any(
    client: Client, versioned_object: VersionedObject
) -> None:
    known = (await client.get(versioned_object.path)).headers["ETag"]
    several = f"{ANOTHER.format(99)}, {known}"
    for change, tag in [(versioned_object.change, several), (versioned_object.other, "*")]:
        answer = await client.patch(versioned_object.path, json=change, headers={"If-Match": tag})
        assert answer.status_code == 200


@pytest.mark.parametrize("of", ["W/{}", "7", "", '"', "{}x", '"-1"', '"9999999999999999999999"'])
async def test_weak_and_invalid_tags_never_match(
    client: Client, versioned_object: VersionedObject, of: str
) -> None:
    known = (await client.get(versioned_object.path)).headers["ETag"]
    tag = of.format(known) if of != "{}x" else f'"x{known[1:]}'
    answer = await client.patch(
        versioned_object.path, json=versioned_object.change, headers={"If-Match": tag}
    )
    assert answer.status_code == 412


async def test_without_if_match_the_last_change_wins(
    client: Client, versioned_object: VersionedObject
) -> None:
    """R2."""
    for change in (versioned_object.change, versioned_object.other):
        assert (await client.patch(versioned_object.path, json=change)).status_code == 200


async def test_an_unchanged_object_gives_304(
    client: Client, versioned_object: VersionedObject
) -> None:
    first = await client.get(versioned_object.path)
    assert first.headers["ETag"].startswith('"')
    for known in (first.headers["ETag"], f"W/{first.headers['ETag']}", "*"):
        again = await client.get(versioned_object.path, headers={"If-None-Match": known})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["ETag"] == first.headers["ETag"]
    other = await client.get(versioned_object.path, headers={"If-None-Match": ANOTHER.format(1)})
    assert other.content == first.content


async def test_a_created_object_has_an_etag(alice: Client, world: World) -> None:
    created = await alice.post(f"/boards/{world.board.id}/tasks", json={"title": "New"})
    read = await alice.get(f"/boards/{world.board.id}/tasks/{created.json()['id']}")
    assert created.headers["ETag"] == read.headers["ETag"]


async def test_changes_of_related_rows_change_the_etag_but_not_the_version(
    alice: Client, world: World, transaction: TransactionFactory
) -> None:
    """A tag was renamed: the response is different, but the task was not changed."""
    task, tag = (
        world.make_task(),
        Tag(id=an_id(), organization_id=world.tern.id, name="Red", slug="red"),
    )
    tag.created_at = tag.updated_at = now()
    async with transaction() as session:
        session.add_all([task, tag])
        await session.flush()
        session.add(TagAssignment(task_id=task.id, tag_id=tag.id, created_at=now()))
    path = f"/boards/{world.board.id}/tasks/{task.id}"
    known = (await alice.get(path)).headers["ETag"]
    async with transaction() as session:
        (await session.get_one(Tag, tag.id)).name = "Blue"

    anew = await alice.get(path, headers={"If-None-Match": known})
    assert anew.json()["tags"][0]["name"] == "Blue"
    changed = await alice.patch(path, json={"title": "Mine"}, headers={"If-Match": known})
    assert changed.status_code == 200


async def test_other_errors_take_precedence_over_412(
    worker: Client, rita: Client, charlie: Client, world: World, transaction: TransactionFactory
) -> None:
    """The precondition is checked last, after all other rules."""
    task = world.make_task(assigned_agent_id=world.other_worker.id)
    async with transaction() as session:
        session.add(task)
    path, stale = f"/boards/{world.board.id}/tasks/{task.id}", {"If-Match": ANOTHER.format(0)}
    for client, body, status in [
        (charlie, {"title": "Mine"}, 404),
        (rita, {"title": "Mine"}, 403),
        (worker, {"status": "in_progress"}, 403),
    ]:
        assert (await client.patch(path, json=body, headers=stale)).status_code == status


async def test_every_edit_of_a_task_increases_its_version(
    alice: Client, client_for: ClientFactory, world: World, transaction: TransactionFactory
) -> None:
    first, second = world.make_task("First"), world.make_task("Second")
    async with transaction() as session:
        session.add_all([first, second])
    path = f"/boards/{world.board.id}/tasks"
    waits = {"depends_on_task_ids": [str(first.id)]}
    versions = []
    for id, body in [
        (second.id, waits),
        (second.id, {"comment": "It waits."}),
        (second.id, {"tag_ids": []}),
    ]:
        answer = await alice.patch(f"{path}/{id}", json=body)
        versions.append(answer.json()["version"])
    assert versions == [2, 3, 4]
    async with transaction() as session:
        assert (await session.get_one(Task, second.id)).version == 4


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_a_condition_is_never_ignored(
    world: World, alice: Client, lead: Client, anonymous: Client, method: str
) -> None:
    """Operations that compare no version refuse the condition and change nothing."""
    sent = {"If-Match": '"1-0123456789abcdef"'}
    refused = 0
    for operation in OPERATIONS:
        if operation.method != method or not operation.refuses_if_match:
            continue
        path = PARAMETER.sub(str(world.board.id), operation.path)
        client = lead if operation.allowed_caller is AllowedCaller.AGENT else alice
        answer = await client.request(method, path, json={}, headers=sent)
        assert (answer.status_code, answer.json().get("code")) == (412, "version_unsupported"), path
        assert (await anonymous.request(method, path, headers=sent)).status_code == 401, path
        refused += 1
    assert refused or method == "PUT"


async def test_any_version_matches_an_object_without_versions(world: World, alice: Client) -> None:
    path, headers = f"/agents/{world.worker.id}", {"If-Match": "*"}
    renamed = await alice.patch(path, json={"name": "Grace"}, headers=headers)
    assert (renamed.status_code, renamed.json()["name"]) == (200, "Grace")
    headers = {"If-Match": '"1"'}
    assert (await alice.patch(path, json={"name": "Ada"}, headers=headers)).status_code == 412
    assert (await alice.get(path)).json()["name"] == "Grace"
