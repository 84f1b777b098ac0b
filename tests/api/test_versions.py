"""ETag, If-Match and If-None-Match: nobody overwrites what they have not seen."""

from dataclasses import dataclass
from typing import Any

import pytest

from kit.clock import now
from models import Note, Tag, TagAssignment, Task
from models import new_id as an_id
from tests.api.conftest import Caller, Client
from tests.api.walking import everything
from tests.conftest import Transaction
from tests.world import World

ANOTHER = '"{}-0123456789abcdef"'


@dataclass(frozen=True)
class Thing:
    """Something with a version, where it is, and how it is changed in two ways."""

    path: str
    change: dict[str, Any]
    other: dict[str, Any]


THINGS = ("task", "task of an agent", "board", "note", "note of an agent")


@pytest.fixture(params=THINGS)
async def thing(request: Any, world: World, transaction: Transaction) -> Thing:
    board = f"/boards/{world.board.id}"
    task = world.task()
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
        "task": Thing(f"{board}/tasks/{task.id}", *of_task),
        "task of an agent": Thing(f"/agent{board}/tasks/{task.id}", *of_task),
        "board": Thing(board, {"objective": "This"}, {"objective": "That"}),
        "note": Thing(f"{board}/memory/{note.id}", *of_note),
        "note of an agent": Thing(f"/agent{board}/memory/{note.id}", *of_note),
    }[request.param]


@pytest.fixture
def client(request: Any, thing: Thing, alice: Client, lead: Client) -> Client:
    return lead if thing.path.startswith("/agent") else alice


async def test_a_change_of_the_version_that_one_knows_is_made(client: Client, thing: Thing) -> None:
    known = await client.get(thing.path)
    changed = await client.patch(
        thing.path, json=thing.change, headers={"If-Match": known.headers["ETag"]}
    )
    assert changed.status_code == 200
    assert changed.json()["version"] == known.json()["version"] + 1
    assert changed.headers["ETag"] != known.headers["ETag"]
    assert (await client.get(thing.path)).headers["ETag"] == changed.headers["ETag"]


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
async def test_who_knows_an_old_version_changes_nothing(
    client: Client, thing: Thing, method: str, transaction: Transaction
) -> None:
    """R2."""
    known = (await client.get(thing.path)).headers["ETag"]
    assert (await client.patch(thing.path, json=thing.change)).status_code == 200
    async with transaction() as session:
        before = await everything(session)

    stale = await client.request(method, thing.path, json=thing.other, headers={"If-Match": known})

    assert (stale.status_code, stale.json()["code"]) == (412, "stale")
    assert isinstance(stale.json()["detail"], str)
    async with transaction() as session:
        assert await everything(session) == before


async def test_the_known_version_may_be_one_of_several_or_any(client: Client, thing: Thing) -> None:
    known = (await client.get(thing.path)).headers["ETag"]
    several = f"{ANOTHER.format(99)}, {known}"
    for change, tag in [(thing.change, several), (thing.other, "*")]:
        answer = await client.patch(thing.path, json=change, headers={"If-Match": tag})
        assert answer.status_code == 200


@pytest.mark.parametrize("of", ["W/{}", "7", "", '"', "{}x", '"-1"', '"9999999999999999999999"'])
async def test_a_weak_tag_or_none_at_all_never_matches(
    client: Client, thing: Thing, of: str
) -> None:
    known = (await client.get(thing.path)).headers["ETag"]
    tag = of.format(known) if of != "{}x" else f'"x{known[1:]}'
    answer = await client.patch(thing.path, json=thing.change, headers={"If-Match": tag})
    assert answer.status_code == 412


async def test_without_a_condition_the_last_word_wins(client: Client, thing: Thing) -> None:
    """R2."""
    for change in (thing.change, thing.other):
        assert (await client.patch(thing.path, json=change)).status_code == 200


async def test_what_one_has_already_is_not_sent_again(client: Client, thing: Thing) -> None:
    first = await client.get(thing.path)
    assert first.headers["ETag"].startswith('"')
    for known in (first.headers["ETag"], f"W/{first.headers['ETag']}", "*"):
        again = await client.get(thing.path, headers={"If-None-Match": known})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["ETag"] == first.headers["ETag"]
    other = await client.get(thing.path, headers={"If-None-Match": ANOTHER.format(1)})
    assert other.content == first.content


async def test_what_is_created_has_its_tag(alice: Client, world: World) -> None:
    created = await alice.post(f"/boards/{world.board.id}/tasks", json={"title": "New"})
    read = await alice.get(f"/boards/{world.board.id}/tasks/{created.json()['id']}")
    assert created.headers["ETag"] == read.headers["ETag"]


async def test_what_a_task_shows_of_others_is_sent_anew_and_stops_nobody(
    alice: Client, world: World, transaction: Transaction
) -> None:
    """A label got another name: the answer is another one, yet the task was not changed."""
    task, tag = world.task(), Tag(id=an_id(), organization_id=world.tern.id, name="Red", slug="red")
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


async def test_a_refusal_has_its_own_reason_first(
    worker: Client, rita: Client, charlie: Client, world: World, transaction: Transaction
) -> None:
    """A condition is looked at last: what would be refused anyway is refused for that."""
    task = world.task(assigned_agent_id=world.other_worker.id)
    async with transaction() as session:
        session.add(task)
    path, stale = f"/boards/{world.board.id}/tasks/{task.id}", {"If-Match": ANOTHER.format(0)}
    for client, body, status in [
        (charlie, {"title": "Mine"}, 404),
        (rita, {"title": "Mine"}, 403),
        (worker, {"status": "in_progress"}, 403),
    ]:
        assert (await client.patch(path, json=body, headers=stale)).status_code == status


async def test_every_edit_of_a_task_makes_another_version(
    alice: Client, calling: Caller, world: World, transaction: Transaction
) -> None:
    first, second = world.task("First"), world.task("Second")
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
