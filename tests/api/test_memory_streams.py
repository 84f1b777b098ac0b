"""Memory streams: new, changed and deleted notes are sent once, to authorized subscribers."""

import asyncio
from typing import Any

from sqlalchemy import delete
from starlette.types import ASGIApp

from core.db.engine import TransactionFactory
from models import BoardAccess
from tests.support.api_fixtures import Client, ClientFactory
from tests.support.memory_rows import create_group_of, make_note
from tests.support.stream_client import StreamClient, open_stream
from tests.support.world import World

CHAT = {"tags": ["chat"]}


async def read_contents(stream: StreamClient, count: int) -> list[str]:
    """Return the contents of the next notes of a stream."""
    received = [await stream.next_message() for _ in range(count)]
    assert {one.name for one in received} == {"memory"}
    return [one.data["memory"]["content"] for one in received]


async def write_note(client: Client, path: str, content: str, **more: Any) -> dict[str, Any]:
    """Write a note, and return it as in the response."""
    written = await client.post(path, json={"content": content, **more})
    assert written.status_code == 200, written.text
    note: dict[str, Any] = written.json()
    return note


async def test_the_board_memory_stream_sends_every_change_once(
    committing_api_app: ASGIApp, committing_client_for: ClientFactory, isolated_world: World
) -> None:
    """Point 9. C21, fixed."""
    worker, alice = (
        committing_client_for(isolated_world.worker),
        committing_client_for(isolated_world.alice),
    )
    path = f"/boards/{isolated_world.board.id}/memory"
    async with open_stream(committing_api_app, isolated_world.lead, f"{path}/stream") as stream:
        note = await write_note(worker, path, "Friday")
        message = await stream.next_message()
        assert (message.name, message.data) == ("memory", {"memory": note})
        changed = (await alice.patch(f"{path}/{note['id']}", json={"content": "Monday"})).json()
        assert (await stream.next_message()).data == {"memory": changed}
        await alice.patch(f"{path}/{note['id']}", json={"content": "Monday"})
        await alice.delete(f"{path}/{note['id']}")
        gone = {"memory": {"id": note["id"]}, "deleted": True}
        assert (await stream.next_message()).data == gone
        await write_note(alice, f"/boards/{isolated_world.garden.id}/memory", "Elsewhere")
        assert await stream.is_silent()
        assert stream.headers["cache-control"] == "no-store"
        assert b"\r\nid: " in stream.raw


async def test_a_reconnecting_client_receives_missed_memory_messages(
    committing_api_app: ASGIApp,
    committing_client_for: ClientFactory,
    isolated_world: World,
    isolated_transaction: TransactionFactory,
) -> None:
    """Point 9. R7, fixed: a note with an earlier timestamp that is committed later is sent, too."""
    alice, path = (
        committing_client_for(isolated_world.alice),
        f"/boards/{isolated_world.board.id}/memory",
    )
    async with open_stream(committing_api_app, isolated_world.worker, f"{path}/stream") as stream:
        await write_note(alice, path, "one")
        last = (await stream.next_message()).id
    two = await write_note(alice, path, "two")
    lost = await write_note(alice, path, "lost")
    await alice.delete(f"{path}/{lost['id']}")
    back = {"Last-Event-ID": str(last)}
    async with open_stream(
        committing_api_app, isolated_world.worker, f"{path}/stream", **back
    ) as stream:
        assert await read_contents(stream, 1) == ["two"]
        assert (await stream.next_message()).data["deleted"] is True
        assert await stream.is_silent()
    since = f"{path}/stream?since={two['created_at']}"
    async with open_stream(committing_api_app, isolated_world.worker, since) as stream:
        assert await read_contents(stream, 1) == ["two"]
    async with isolated_transaction() as session:
        session.add(make_note(isolated_world.board, "from before there were events"))
    async with open_stream(committing_api_app, isolated_world.worker, f"{path}/stream") as stream:
        assert await stream.is_silent()


async def test_the_stream_can_be_limited_to_chat_or_to_notes(
    committing_api_app: ASGIApp, committing_client_for: ClientFactory, isolated_world: World
) -> None:
    alice, path = (
        committing_client_for(isolated_world.alice),
        f"/boards/{isolated_world.board.id}/memory",
    )
    async with (
        open_stream(committing_api_app, isolated_world.lead, f"{path}/stream?is_chat=true") as chat,
        open_stream(
            committing_api_app, isolated_world.lead, f"{path}/stream?is_chat=false"
        ) as notes,
        open_stream(committing_api_app, isolated_world.lead, f"{path}/stream") as both,
    ):
        await write_note(alice, path, "Hello", **CHAT)
        note = await write_note(alice, path, "Kept")
        assert await read_contents(chat, 1) == ["Hello"]
        assert await read_contents(notes, 1) == ["Kept"]
        assert await read_contents(both, 2) == ["Hello", "Kept"]
        await alice.patch(f"{path}/{note['id']}", json={"content": "Said", **CHAT})
        for stream in (chat, notes, both):
            assert await read_contents(stream, 1) == ["Said"], (
                "who knew it as a note, has to hear of it"
            )
        await alice.delete(f"{path}/{note['id']}")
        assert (await chat.next_message()).data["deleted"] is True
        assert await notes.is_silent()


async def test_group_memory_is_streamed_on_each_board_of_the_group(
    committing_api_app: ASGIApp,
    committing_client_for: ClientFactory,
    isolated_world: World,
    isolated_transaction: TransactionFactory,
) -> None:
    """Point 9."""
    async with isolated_transaction() as session:
        group = await create_group_of(session, isolated_world.board, isolated_world.garden)
        other = await create_group_of(session, isolated_world.charlies_board)
    alice, path = committing_client_for(isolated_world.alice), f"/board-groups/{group.id}/memory"
    ours = f"/boards/{isolated_world.board.id}/group-memory"
    async with (
        open_stream(committing_api_app, isolated_world.alice, f"{path}/stream") as of_group,
        open_stream(committing_api_app, isolated_world.worker, f"{ours}/stream") as of_launch,
        open_stream(
            committing_api_app,
            isolated_world.gardener,
            f"/boards/{isolated_world.garden.id}/group-memory/stream",
        ) as of_garden,
        open_stream(
            committing_api_app,
            isolated_world.charlies_worker,
            f"/boards/{isolated_world.charlies_board.id}/group-memory/stream",
        ) as of_others,
        open_stream(
            committing_api_app, isolated_world.charlie, f"/board-groups/{other.id}/memory/stream"
        ) as of_charlie,
    ):
        note = await write_note(
            committing_client_for(isolated_world.worker), ours, "Together", **CHAT
        )
        streams = (of_group, of_launch, of_garden)
        for stream in streams:
            assert (await stream.next_message()).data == {"memory": note}
        await alice.patch(f"{path}/{note['id']}", json={"content": "Apart"})
        for stream in streams:
            assert await read_contents(stream, 1) == ["Apart"]
        await alice.delete(f"{ours}/{note['id']}")
        for stream in streams:
            assert (await stream.next_message()).data["memory"] == {"id": note["id"]}
        every = (*streams, of_others, of_charlie)
        assert all(await asyncio.gather(*(stream.is_silent() for stream in every)))


async def test_a_board_without_a_group_receives_nothing_until_it_joins_one(
    committing_api_app: ASGIApp,
    committing_client_for: ClientFactory,
    isolated_world: World,
    isolated_transaction: TransactionFactory,
) -> None:
    """3.9."""
    async with isolated_transaction() as session:
        group = await create_group_of(session, isolated_world.garden)
    alice, board = committing_client_for(isolated_world.alice), f"/boards/{isolated_world.board.id}"
    path = f"/board-groups/{group.id}/memory"
    async with open_stream(
        committing_api_app, isolated_world.worker, f"{board}/group-memory/stream"
    ) as stream:
        await write_note(alice, path, "Not for Launch")
        assert await stream.is_silent()
        joined = await alice.patch(board, json={"board_group_id": str(group.id)})
        assert joined.status_code == 200
        note = await write_note(alice, path, "For Launch, too")
        while (received := await stream.next_message()).data["memory"]["content"] != note[
            "content"
        ]:
            pass
        assert received.data == {"memory": note}


async def test_the_stream_ends_when_access_to_the_group_is_lost(
    committing_api_app: ASGIApp,
    committing_client_for: ClientFactory,
    isolated_world: World,
    isolated_transaction: TransactionFactory,
) -> None:
    """The stream ends within five seconds."""
    async with isolated_transaction() as session:
        group = await create_group_of(session, isolated_world.board)
    launch = f"/boards/{isolated_world.board.id}"
    group_path = f"/board-groups/{group.id}"
    async with (
        open_stream(
            committing_api_app, isolated_world.bob, f"{group_path}/memory/stream"
        ) as of_group,
        open_stream(
            committing_api_app, isolated_world.bob, f"{launch}/group-memory/stream"
        ) as of_board,
        open_stream(committing_api_app, isolated_world.bob, f"{launch}/memory/stream") as of_notes,
        open_stream(
            committing_api_app, isolated_world.alice, f"{group_path}/memory/stream"
        ) as alices,
        open_stream(
            committing_api_app, isolated_world.worker, f"{launch}/group-memory/stream"
        ) as workers,
    ):
        async with isolated_transaction() as session:
            lost = BoardAccess.organization_member_id == isolated_world.bob_member.id
            await session.execute(delete(BoardAccess).where(lost))
        for stream in (of_group, of_board, of_notes):
            await stream.wait_for_end(1)
        await committing_client_for(isolated_world.alice).delete(group_path)
        await alices.wait_for_end(1)
        assert await workers.is_silent()
