"""The chat of a board, and its notes, as the browsers of its people show them."""

import re
from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy import select

from models import Actor, Agent, Board, Message, Note
from services import boards, memory
from tests.conftest import Transaction
from tests.web.test_board_page import HTMX
from tests.world import World

NEW = "New since you were here"

Says = Callable[..., Awaitable[None]]


@pytest.fixture
def here(world: World) -> str:
    return f"/boards/{world.board.id}"


@pytest.fixture
def says(transaction: Transaction, world: World) -> Says:
    """Lets somebody write something down on Launch: in its chat, or with other tags."""

    async def say(words: str, who: Actor | None = None, tags: tuple[str, ...] = ("chat",)) -> None:
        async with transaction() as session:
            actor = who or world.worker
            board = await boards.hold(session, world.alice, world.board.id)
            draft = memory.NoteDraft(content=words, tags=tags)
            place = memory.on_board(board)
            await memory.write(session, actor, place, draft, base_url="http://mission.test")

    return say


def log(html: str) -> str:
    """Return what the page shows of what was said."""
    return html.split('role="log"')[1].split("<form")[0]


async def test_the_chat_shows_who_said_what_the_newest_last(alice, here, says, world) -> None:
    await says("**First** <b>of all</b>", world.lead)
    await says("Second", world.alice)
    await says("Third", world.bob)
    await says("Not said, written down", tags=("plan",))

    said = log((await alice.get(f"{here}/chat")).text)

    order = [world.lead.name, "<strong>First</strong> &lt;b&gt;", "You ·", "Second", "Bob", "Third"]
    places = [said.index(words) for words in order]
    assert places == sorted(places)
    assert "Not said" not in said


async def test_a_message_goes_to_the_lead_and_to_whom_it_calls(
    bob, here, transaction, world
) -> None:
    called = f"Look here, @{world.other_worker.name.replace(' ', '-')}"
    answer = await bob.post(f"{here}/chat", data={"content": called})

    assert answer.status_code == 303
    assert answer.headers["Location"] == f"{here}/chat#say"
    assert "Look here" in (await bob.get(f"{here}/chat")).text
    async with transaction() as session:
        [note] = (await session.scalars(select(Note))).all()
        assert (note.user_id, note.is_chat) == (world.bob.id, True)
        told = set(await session.scalars(select(Message.agent_id)))
    assert told == {world.lead.id, world.other_worker.id}


async def test_a_command_in_the_chat_pauses_the_board(alice, here, transaction, world) -> None:
    answer = await alice.post(f"{here}/chat", data={"content": "/pause"}, headers=HTMX)

    assert answer.status_code == 200
    assert "<html" not in answer.text
    assert "Sent to all agents" in answer.text
    async with transaction() as session:
        board = await session.get_one(Board, world.board.id, populate_existing=True)
        assert board.paused_at is not None
    assert "Paused by you" in (await alice.get(f"{here}/chat")).text


async def test_what_is_wrong_with_a_message_stands_at_the_box(alice, here, transaction) -> None:
    for headers in ({}, HTMX):
        answer = await alice.post(f"{here}/chat", data={"content": " "}, headers=headers)
        assert answer.status_code == 422
        assert 'id="message-error"' in answer.text
    async with transaction() as session:
        assert (await session.scalars(select(Note))).all() == []


async def test_earlier_messages_come_when_they_are_asked_for(alice, here, says) -> None:
    for number in range(51):
        await says(f"Message {number:02}.")

    newest = (await alice.get(f"{here}/chat")).text
    assert "Message 00." not in newest
    assert "Message 50." in newest
    [earlier] = re.findall(r'href="([^"]*)">Earlier', newest)
    before = (await alice.get(earlier)).text
    assert "Message 00." in before
    assert "Message 50." not in before
    assert "Later" in before


async def test_a_message_lights_the_chat_until_it_is_read(alice, bob, here, says, world) -> None:
    await says("One")
    assert 'aria-label="Chat, 1 new"' in (await alice.get(here)).text
    assert NEW not in (await alice.get(f"{here}/chat")).text  # to whom everything is new
    assert 'aria-label="Chat"' in (await alice.get(f"{here}/chat/news", headers=HTMX)).text

    await says("Two")
    await says("Mine", world.alice)

    assert 'aria-label="Chat, 1 new"' in (await alice.get(f"{here}/chat/news")).text
    assert 'aria-label="Chat, 3 new"' in (await bob.get(here)).text
    page = (await alice.get(f"{here}/chat")).text
    assert page.index("One") < page.index(NEW) < page.index("Two")
    [again] = re.findall(r'id="talk" hx-get="([^"]*)"', page)
    assert NEW in (await alice.get(again, headers=HTMX)).text  # it stays while the page is open
    assert NEW not in (await alice.get(f"{here}/chat")).text


async def test_notes_stand_apart_with_their_tags_the_newest_first(alice, here, says) -> None:
    assert "No notes yet" in (await alice.get(f"{here}/notes")).text
    await says("We ship on Friday", tags=("decision",))
    await says("We ship on Monday", tags=("plan",))
    await says("Only said")

    for headers in ({}, HTMX):
        page = (await alice.get(f"{here}/notes", headers=headers)).text
        assert page.index("We ship on Monday") < page.index("We ship on Friday")
        assert "decision" in page
        assert "Only said" not in page


async def test_a_reader_reads_and_is_told_why_there_is_no_box(rita, here, says) -> None:
    await says("For everybody")
    page = (await rita.get(f"{here}/chat")).text
    assert "For everybody" in page
    assert "<textarea" not in page
    assert "An admin of the organization can let you" in page
    assert (await rita.get(f"{here}/notes")).status_code == 200
    assert (await rita.post(f"{here}/chat", data={"content": "Hello"})).status_code == 403


async def test_a_stranger_finds_no_chat(charlie, dana, here, says, transaction) -> None:
    await says("For us")
    for path in ("/chat", "/chat/news", "/notes"):
        assert (await charlie.get(f"{here}{path}")).status_code == 404, path
        assert (await dana.get(f"{here}{path}")).status_code == 403, path
    assert (await charlie.post(f"{here}/chat", data={"content": "Hello"})).status_code == 404
    async with transaction() as session:
        assert len((await session.scalars(select(Note))).all()) == 1


async def test_who_calls_a_lead_that_there_is_not_is_told_at_the_box(
    alice, here, transaction, world
) -> None:
    words = "@lead reached nobody"
    task = world.task()
    async with transaction() as session:
        session.add(task)
    boxes = {f"{here}/chat": "content", f"{here}/tasks/{task.id}/comments": "message"}
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
            for said, is_missed in [("What now, @lead?", True), ("Nothing", False)]:
                answer = await alice.post(
                    path, data={field: said}, headers=headers, follow_redirects=True
                )
                assert answer.status_code == 200
                assert (words in answer.text) == is_missed, path
