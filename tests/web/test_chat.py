"""The chat of a board, and its notes."""

import re
from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy import select

from core.db.engine import TransactionFactory
from models import Actor, Agent, Board, Message, Note
from services import boards, memory
from tests.support.memory_rows import make_note
from tests.support.world import World
from tests.web.test_board_page import HTMX

NEW = "New since your last visit"

Says = Callable[..., Awaitable[None]]


@pytest.fixture
def post_agent_message(transaction: TransactionFactory, world: World) -> Says:
    """Return a function that writes a chat message or note on Launch."""

    async def say(words: str, who: Actor | None = None, tags: tuple[str, ...] = ("chat",)) -> None:
        async with transaction() as session:
            actor = who or world.worker
            board = await boards.lock_board(session, world.alice, world.board.id)
            draft = memory.NoteCreate(content=words, tags=tags)
            place = memory.board_scope(board)
            await memory.create_note(session, actor, place, draft, base_url="http://mission.test")

    return say


def log(html: str) -> str:
    """Return the HTML of the messages."""
    return html.split('role="log"')[1].split("<form")[0]


async def test_messages_are_shown_with_their_authors_newest_last(
    alice, board_path, post_agent_message, world
) -> None:
    await post_agent_message("**First** <b>of all</b>", world.lead)
    await post_agent_message("Second", world.alice)
    await post_agent_message("Third", world.bob)
    await post_agent_message("Not said, written down", tags=("plan",))

    text = log((await alice.get(f"{board_path}/chat")).text)

    order = [world.lead.name, "<strong>First</strong> &lt;b&gt;", "You ·", "Second", "Bob", "Third"]
    places = [text.index(words) for words in order]
    assert places == sorted(places)
    assert "Not said" not in text


async def test_a_message_of_an_unknown_author_does_not_look_like_one_of_a_person(
    alice, board_path, transaction: TransactionFactory, world: World
) -> None:
    imported = make_note(world.board, "Was imported", is_chat=True, source="Ava")
    async with transaction() as session:
        session.add(imported)
    text = log((await alice.get(f"{board_path}/chat")).text)
    assert "av--nobody" in text
    assert "Ava" in text
    assert "bubble--me" not in text


async def test_a_message_is_delivered_to_the_lead_and_mentioned_agents(
    bob, board_path, transaction, world
) -> None:
    called = f"Look here, @{world.other_worker.name.replace(' ', '-')}"
    answer = await bob.post(f"{board_path}/chat", data={"content": called})

    assert answer.status_code == 303
    assert answer.headers["Location"] == f"{board_path}/chat#say"
    assert "Look here" in (await bob.get(f"{board_path}/chat")).text
    async with transaction() as session:
        [note] = (await session.scalars(select(Note))).all()
        assert (note.user_id, note.is_chat) == (world.bob.id, True)
        recipients = set(await session.scalars(select(Message.agent_id)))
    assert recipients == {world.lead.id, world.other_worker.id}


async def test_a_chat_command_pauses_the_board(alice, board_path, transaction, world) -> None:
    answer = await alice.post(f"{board_path}/chat", data={"content": "/pause"}, headers=HTMX)

    assert answer.status_code == 200
    assert "<html" not in answer.text
    assert "Sent to all agents" in answer.text
    async with transaction() as session:
        board = await session.get_one(Board, world.board.id, populate_existing=True)
        assert board.paused_at is not None
    assert "Paused by you" in (await alice.get(f"{board_path}/chat")).text


async def test_the_commands_of_the_chat_are_named_to_those_who_may_send_them(
    bob, rita, board_path
) -> None:
    for headers in ({}, HTMX):
        refused = await bob.post(f"{board_path}/chat", data={"content": " "}, headers=headers)
        assert "<code>/pause</code> pauses all agents of this board" in refused.text
    assert "<code>/resume</code> resumes them" in (await bob.get(f"{board_path}/chat")).text
    assert "<code>/pause</code>" not in (await rita.get(f"{board_path}/chat")).text


async def test_an_invalid_message_shows_its_error_in_the_form(
    alice, board_path, transaction
) -> None:
    for headers in ({}, HTMX):
        answer = await alice.post(f"{board_path}/chat", data={"content": " "}, headers=headers)
        assert answer.status_code == 422
        assert 'id="message-error"' in answer.text
    async with transaction() as session:
        assert (await session.scalars(select(Note))).all() == []


async def test_earlier_messages_can_be_opened(alice, board_path, post_agent_message) -> None:
    for number in range(51):
        await post_agent_message(f"Message {number:02}.")

    newest = (await alice.get(f"{board_path}/chat")).text
    assert "Message 00." not in newest
    assert "Message 50." in newest
    [earlier] = re.findall(r'href="([^"]*)">Earlier', newest)
    before = (await alice.get(earlier)).text
    assert "Message 00." in before
    assert "Message 50." not in before
    assert "Later" in before


async def test_a_message_highlights_the_chat_until_it_is_read(
    alice, bob, board_path, post_agent_message, world
) -> None:
    await post_agent_message("One")
    assert 'aria-label="Chat, 1 new"' in (await alice.get(board_path)).text
    assert (
        NEW not in (await alice.get(f"{board_path}/chat")).text
    )  # on the first visit nothing is marked as new
    assert 'aria-label="Chat"' in (await alice.get(f"{board_path}/chat/news", headers=HTMX)).text

    await post_agent_message("Two")
    await post_agent_message("Mine", world.alice)

    assert 'aria-label="Chat, 1 new"' in (await alice.get(f"{board_path}/chat/news")).text
    assert 'aria-label="Chat, 3 new"' in (await bob.get(board_path)).text
    page = (await alice.get(f"{board_path}/chat")).text
    assert page.index("One") < page.index(NEW) < page.index("Two")
    [again] = re.findall(r'id="talk" hx-get="([^"]*)"', page)
    assert (
        NEW in (await alice.get(again, headers=HTMX)).text
    )  # the mark stays while the page is open
    assert NEW not in (await alice.get(f"{board_path}/chat")).text


async def test_earlier_messages_leave_the_newest_ones_unread(
    alice, board_path, post_agent_message
) -> None:
    for number in range(51):
        await post_agent_message(f"Message {number:02}.")
    await alice.get(f"{board_path}/chat")
    await post_agent_message("Newest")
    assert "Newest" not in (await alice.get(f"{board_path}/chat?offset=50")).text
    assert 'aria-label="Chat, 1 new"' in (await alice.get(board_path)).text
    await alice.get(f"{board_path}/chat")
    assert 'aria-label="Chat"' in (await alice.get(board_path)).text


async def test_notes_are_separate_with_tags_newest_first(
    alice, board_path, post_agent_message
) -> None:
    assert "No notes yet" in (await alice.get(f"{board_path}/notes")).text
    await post_agent_message("We ship on Friday", tags=("decision",))
    await post_agent_message("We ship on Monday", tags=("plan",))
    await post_agent_message("Only said")

    for headers in ({}, HTMX):
        page = (await alice.get(f"{board_path}/notes", headers=headers)).text
        assert page.index("We ship on Monday") < page.index("We ship on Friday")
        assert "decision" in page
        assert "Only said" not in page


async def test_readers_see_why_they_cannot_write(rita, board_path, post_agent_message) -> None:
    await post_agent_message("For everybody")
    page = (await rita.get(f"{board_path}/chat")).text
    assert "For everybody" in page
    assert "<textarea" not in page
    assert "An admin can change your rights" in page
    assert (await rita.get(f"{board_path}/notes")).status_code == 200
    assert (await rita.post(f"{board_path}/chat", data={"content": "Hello"})).status_code == 403


async def test_the_chat_of_a_foreign_board_is_not_found(
    charlie, dana, board_path, post_agent_message, transaction
) -> None:
    await post_agent_message("For us")
    for path in ("/chat", "/chat/news", "/notes"):
        assert (await charlie.get(f"{board_path}{path}")).status_code == 404, path
        assert (await dana.get(f"{board_path}{path}")).status_code == 403, path
    assert (await charlie.post(f"{board_path}/chat", data={"content": "Hello"})).status_code == 404
    async with transaction() as session:
        assert len((await session.scalars(select(Note))).all()) == 1


async def test_a_mention_of_a_missing_lead_shows_a_notice(
    alice, board_path, transaction, world
) -> None:
    words = "@lead was not delivered"
    task = world.make_task()
    async with transaction() as session:
        session.add(task)
    boxes = {f"{board_path}/chat": "content", f"{board_path}/tasks/{task.id}/comments": "message"}
    for headers in ({}, HTMX):
        for path, field in boxes.items():
            data = {field: "What now, @lead?"}
            answer = await alice.post(path, data=data, headers=headers, follow_redirects=True)
            assert answer.status_code == 200
            assert words not in answer.text, path

    async with transaction() as session:
        await session.delete(await session.get_one(Agent, world.lead.id))
    for headers in ({}, HTMX):
        for path, field in boxes.items():
            for text, is_missed in [("What now, @lead?", True), ("Nothing", False)]:
                answer = await alice.post(
                    path, data={field: text}, headers=headers, follow_redirects=True
                )
                assert answer.status_code == 200
                assert (words in answer.text) == is_missed, path


@pytest.mark.parametrize("offset", ["3000000000", "9" * 17, "9" * 30, "-1", "x"])
async def test_any_offset_shows_the_chat(alice, board_path, offset) -> None:
    assert (await alice.get(f"{board_path}/chat?offset={offset}")).status_code == 200
