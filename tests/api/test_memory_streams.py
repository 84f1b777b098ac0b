"""Streams of memory: what is written, changed and forgotten is told once, to who may hear it."""

from typing import Any

from sqlalchemy import delete
from starlette.types import ASGIApp

from models import BoardAccess
from tests.api.conftest import Caller, Client
from tests.api.listening import Listener, listening
from tests.conftest import Transaction
from tests.remembering import a_note, grouped
from tests.world import World

CHAT = {"tags": ["chat"]}


async def contents(stream: Listener, count: int) -> list[str]:
    """Return what the next notes say that a stream tells of."""
    heard = [await stream.next() for _ in range(count)]
    assert {one.name for one in heard} == {"memory"}
    return [one.data["memory"]["content"] for one in heard]


async def write(client: Client, path: str, content: str, **more: Any) -> dict[str, Any]:
    """Write a note, and return it as the answer tells it."""
    written = await client.post(path, json={"content": content, **more})
    assert written.status_code == 200, written.text
    note: dict[str, Any] = written.json()
    return note


async def test_what_a_board_remembers_is_told_as_it_changes_and_never_twice(
    real_house: ASGIApp, really_calling: Caller, real_world: World
) -> None:
    """Point 9. C21, fixed."""
    worker, alice = really_calling(real_world.worker), really_calling(real_world.alice)
    path = f"/boards/{real_world.board.id}/memory"
    async with listening(real_house, real_world.lead, f"{path}/stream") as stream:
        note = await write(worker, path, "Friday")
        told = await stream.next()
        assert (told.name, told.data) == ("memory", {"memory": note})
        changed = (await alice.patch(f"{path}/{note['id']}", json={"content": "Monday"})).json()
        assert (await stream.next()).data == {"memory": changed}
        await alice.patch(f"{path}/{note['id']}", json={"content": "Monday"})
        await alice.delete(f"{path}/{note['id']}")
        gone = {"memory": {"id": note["id"]}, "deleted": True}
        assert (await stream.next()).data == gone
        await write(alice, f"/boards/{real_world.garden.id}/memory", "Elsewhere")
        assert await stream.hears_nothing()
        assert stream.headers["cache-control"] == "no-store"
        assert b"\r\nid: " in stream.raw


async def test_who_comes_back_hears_what_was_missed(
    real_house: ASGIApp, really_calling: Caller, real_world: World, real_transaction: Transaction
) -> None:
    """Point 9. R7, fixed: what was stamped earlier and is written later is told too."""
    alice, path = really_calling(real_world.alice), f"/boards/{real_world.board.id}/memory"
    async with listening(real_house, real_world.worker, f"{path}/stream") as stream:
        await write(alice, path, "one")
        last = (await stream.next()).id
    two = await write(alice, path, "two")
    lost = await write(alice, path, "lost")
    await alice.delete(f"{path}/{lost['id']}")
    back = {"Last-Event-ID": str(last)}
    async with listening(real_house, real_world.worker, f"{path}/stream", **back) as stream:
        assert await contents(stream, 1) == ["two"]
        assert (await stream.next()).data["deleted"] is True
        assert await stream.hears_nothing()
    since = f"{path}/stream?since={two['created_at']}"
    async with listening(real_house, real_world.worker, since) as stream:
        assert await contents(stream, 1) == ["two"]
    async with real_transaction() as session:
        session.add(a_note(real_world.board, "from before there were events"))
    async with listening(real_house, real_world.worker, f"{path}/stream") as stream:
        assert await stream.hears_nothing()


async def test_one_may_follow_the_chat_alone_and_what_is_none(
    real_house: ASGIApp, really_calling: Caller, real_world: World
) -> None:
    alice, path = really_calling(real_world.alice), f"/boards/{real_world.board.id}/memory"
    async with (
        listening(real_house, real_world.lead, f"{path}/stream?is_chat=true") as chat,
        listening(real_house, real_world.lead, f"{path}/stream?is_chat=false") as notes,
        listening(real_house, real_world.lead, f"{path}/stream") as both,
    ):
        await write(alice, path, "Hello", **CHAT)
        note = await write(alice, path, "Kept")
        assert await contents(chat, 1) == ["Hello"]
        assert await contents(notes, 1) == ["Kept"]
        assert await contents(both, 2) == ["Hello", "Kept"]
        await alice.patch(f"{path}/{note['id']}", json={"content": "Said", **CHAT})
        for stream in (chat, notes, both):
            assert await contents(stream, 1) == ["Said"], "who knew it as a note, has to hear of it"
        await alice.delete(f"{path}/{note['id']}")
        assert (await chat.next()).data["deleted"] is True
        assert await notes.hears_nothing()


async def test_what_a_group_remembers_is_told_on_each_of_its_boards(
    real_house: ASGIApp, really_calling: Caller, real_world: World, real_transaction: Transaction
) -> None:
    """Point 9."""
    async with real_transaction() as session:
        group = await grouped(session, real_world.board, real_world.garden)
        other = await grouped(session, real_world.charlies_board)
    alice, path = really_calling(real_world.alice), f"/board-groups/{group.id}/memory"
    ours = f"/boards/{real_world.board.id}/group-memory"
    async with (
        listening(real_house, real_world.alice, f"{path}/stream") as of_group,
        listening(real_house, real_world.worker, f"{ours}/stream") as of_launch,
        listening(
            real_house, real_world.gardener, f"/boards/{real_world.garden.id}/group-memory/stream"
        ) as of_garden,
        listening(
            real_house,
            real_world.charlies_worker,
            f"/boards/{real_world.charlies_board.id}/group-memory/stream",
        ) as of_others,
        listening(
            real_house, real_world.charlie, f"/board-groups/{other.id}/memory/stream"
        ) as of_charlie,
    ):
        note = await write(really_calling(real_world.worker), ours, "Together", **CHAT)
        streams = (of_group, of_launch, of_garden)
        for stream in streams:
            assert (await stream.next()).data == {"memory": note}
        await alice.patch(f"{path}/{note['id']}", json={"content": "Apart"})
        await alice.delete(f"{ours}/{note['id']}")
        for stream in streams:
            assert await contents(stream, 1) == ["Apart"]
            assert (await stream.next()).data["memory"] == {"id": note["id"]}
        for stream in (*streams, of_others, of_charlie):
            assert await stream.hears_nothing()


async def test_a_board_in_no_group_is_told_nothing_until_it_joins_one(
    real_house: ASGIApp, really_calling: Caller, real_world: World, real_transaction: Transaction
) -> None:
    """3.9."""
    async with real_transaction() as session:
        group = await grouped(session, real_world.garden)
    alice, board = really_calling(real_world.alice), f"/boards/{real_world.board.id}"
    path = f"/board-groups/{group.id}/memory"
    async with listening(real_house, real_world.worker, f"{board}/group-memory/stream") as stream:
        await write(alice, path, "Not for Launch")
        assert await stream.hears_nothing()
        joined = await alice.patch(board, json={"board_group_id": str(group.id)})
        assert joined.status_code == 200
        note = await write(alice, path, "For Launch, too")
        while (heard := await stream.next()).data["memory"]["content"] != note["content"]:
            pass
        assert heard.data == {"memory": note}


async def test_who_loses_the_group_hears_no_more_of_it(
    real_house: ASGIApp, really_calling: Caller, real_world: World, real_transaction: Transaction
) -> None:
    """The stream ends within five seconds."""
    async with real_transaction() as session:
        group = await grouped(session, real_world.board)
    launch = f"/boards/{real_world.board.id}"
    group_path = f"/board-groups/{group.id}"
    async with (
        listening(real_house, real_world.bob, f"{group_path}/memory/stream") as of_group,
        listening(real_house, real_world.bob, f"{launch}/group-memory/stream") as of_board,
        listening(real_house, real_world.bob, f"{launch}/memory/stream") as of_notes,
        listening(real_house, real_world.alice, f"{group_path}/memory/stream") as alices,
        listening(real_house, real_world.worker, f"{launch}/group-memory/stream") as workers,
    ):
        async with real_transaction() as session:
            lost = BoardAccess.organization_member_id == real_world.bobs.id
            await session.execute(delete(BoardAccess).where(lost))
        for stream in (of_group, of_board, of_notes):
            await stream.ended(4.5)
        await really_calling(real_world.alice).delete(group_path)
        await alices.ended(4.5)
        assert await workers.hears_nothing()
