"""The chat and the notes of a board group."""

import pytest
from sqlalchemy import select

from core.db.engine import TransactionFactory
from models import BoardGroup, GroupNote, Message
from tests.support.memory_rows import create_group_of, make_group_note
from tests.support.world import World

HTMX = {"HX-Request": "true"}


@pytest.fixture
async def group(world: World, transaction: TransactionFactory) -> BoardGroup:
    """Create the group Birds with Launch and Garden."""
    async with transaction() as session:
        return await create_group_of(session, world.board, world.garden)


@pytest.fixture
def group_path(group: BoardGroup) -> str:
    return f"/groups/{group.id}"


async def list_recipients(transaction: TransactionFactory) -> set[object]:
    async with transaction() as session:
        return set(await session.scalars(select(Message.agent_id)))


async def test_a_message_reaches_the_leads_and_mentioned_agents(
    bob, group_path, transaction, world
) -> None:
    answer = await bob.post(f"{group_path}/chat", data={"content": "**Ahoy** <b>, @gardener"})
    assert (answer.status_code, answer.headers["Location"]) == (303, f"{group_path}/chat#say")
    assert await list_recipients(transaction) == {world.lead.id, world.gardener.id}
    page = (await bob.get(f"{group_path}/chat")).text
    assert "<strong>Ahoy</strong> &lt;b&gt;" in page
    assert "You ·" in page
    assert "Sent to all agents" not in page


@pytest.mark.parametrize("path", ["/chat", "/notes"])
async def test_a_broadcast_reaches_every_agent(alice, group_path, transaction, world, path) -> None:
    data = {"content": "All hands", "broadcast": "true"}
    part = await alice.post(f"{group_path}{path}", data=data, headers=HTMX)
    assert part.status_code == 200
    assert "All hands" in part.text
    assert "<html" not in part.text
    everybody = {world.lead.id, world.worker.id, world.other_worker.id, world.gardener.id}
    assert await list_recipients(transaction) == everybody


async def test_notes_are_separate_from_the_chat_and_reach_nobody(
    bob, group_path, transaction, world
) -> None:
    assert "No notes yet." in (await bob.get(f"{group_path}/notes")).text
    assert "No messages yet." in (await bob.get(f"{group_path}/chat")).text
    await bob.post(f"{group_path}/notes", data={"content": "We ship on Friday"})
    await bob.post(f"{group_path}/chat", data={"content": "Only said, @nobody"})
    notes = (await bob.get(f"{group_path}/notes", headers=HTMX)).text
    assert "We ship on Friday" in notes
    assert "Only said" not in notes
    chat = (await bob.get(f"{group_path}/chat", headers=HTMX)).text
    assert "We ship" not in chat
    assert await list_recipients(transaction) == {world.lead.id}


async def test_agents_are_shown_with_their_boards(
    alice, group, group_path, transaction, world
) -> None:
    notes = [
        make_group_note(group, "Weeded", is_chat=True, agent_id=world.gardener.id),
        make_group_note(group, "All", is_chat=True, tags=["chat", "broadcast"], source="Gone"),
        make_group_note(group, "Plan", tags=["plan"], agent_id=world.gardener.id),
    ]
    async with transaction() as session:
        session.add_all(notes)
    chat = (await alice.get(f"{group_path}/chat", headers=HTMX)).text
    assert "Gardener" in chat
    assert "Garden<" in chat
    assert "Gone" in chat
    assert "Sent to all agents of the group" in chat
    assert chat.count("av--nobody") == 1  # the message of an unknown author is none of a person
    assert "bubble--me" not in chat
    assert "plan" in (await alice.get(f"{group_path}/notes", headers=HTMX)).text


async def test_earlier_messages_can_be_opened(alice, group, group_path, transaction) -> None:
    async with transaction() as session:
        session.add_all([make_group_note(group, f"Note {n:02}.") for n in range(51)])
    newest = (await alice.get(f"{group_path}/notes")).text
    assert "Note 50." in newest
    assert "Note 00." not in newest
    assert f'href="{group_path}/notes?offset=50"' in newest
    assert "Note 00." in (await alice.get(f"{group_path}/notes?offset=50")).text


@pytest.mark.parametrize("path", ["/chat", "/notes"])
@pytest.mark.parametrize("content", ["", " ", "x" * 100_001, "a\0b"])
async def test_an_invalid_message_shows_its_error_in_the_form(
    alice, group_path, transaction, path, content
) -> None:
    for headers in ({}, HTMX):
        data = {"content": content, "broadcast": "true"}
        answer = await alice.post(f"{group_path}{path}", data=data, headers=headers)
        assert answer.status_code == 422
        assert 'id="message-error"' in answer.text
        assert 'name="broadcast" value="true" checked' in answer.text
        assert ("<html" in answer.text) == (not headers)
    async with transaction() as session:
        assert (await session.scalars(select(GroupNote))).all() == []


async def test_readers_see_why_they_cannot_write(rita, group_path) -> None:
    for path in ("/chat", "/notes"):
        page = (await rita.get(f"{group_path}{path}")).text
        assert "<textarea" not in page
        assert "You can read this group but not change it." in page
        for headers in ({}, HTMX):
            answer = await rita.post(
                f"{group_path}{path}", data={"content": "Hello"}, headers=headers
            )
            assert answer.status_code == 403


async def test_conversations_of_foreign_groups_are_not_found(
    charlie, dana, group_path, transaction
) -> None:
    for path in ("/chat", "/notes"):
        assert (await charlie.get(f"{group_path}{path}")).status_code == 404
        assert (await dana.get(f"{group_path}{path}")).status_code == 403
        data = {"content": "Hello"}
        assert (await charlie.post(f"{group_path}{path}", data=data)).status_code == 404
        assert (await dana.post(f"{group_path}{path}", data=data)).status_code == 403
    async with transaction() as session:
        assert (await session.scalars(select(GroupNote))).all() == []


async def test_a_message_with_all_is_shown_as_sent_to_all(alice, group_path) -> None:
    assert (
        await alice.post(f"{group_path}/chat", data={"content": "@all stop"})
    ).status_code == 303
    assert "Sent to all agents of the group" in (await alice.get(f"{group_path}/chat")).text


@pytest.mark.parametrize("offset", ["3000000000", "9" * 17, "9" * 30, "-1", "x"])
async def test_any_offset_shows_the_chat(alice, group_path, offset) -> None:
    assert (await alice.get(f"{group_path}/chat?offset={offset}")).status_code == 200
