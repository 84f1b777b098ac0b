"""Long lists of notes and chat messages: the page that a note is on."""

import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from sqlalchemy import select

from core.clock import now
from core.db.engine import TransactionFactory
from models import GroupNote, Note, Notification, NotificationKind, new_id
from tests.support.board_rows import make_notification
from tests.support.memory_rows import create_group_of, make_group_note, make_note
from tests.support.world import World

HTMX = {"HX-Request": "true", "HX-Request-Type": "partial"}
NOTES = 160
PARTS = {"chat": "talk", "notes": "notes"}

Lists = dict[str, list[Note | GroupNote]]
ListRead = Callable[[dict[str, Notification]], Awaitable[set[str]]]


@pytest.fixture
async def lists(world: World, transaction: TransactionFactory) -> Lists:
    """Return the notes of a board and of a group by the paths of their pages, oldest first."""
    start = now() - timedelta(days=1)
    made: Lists = {}
    async with transaction() as session:
        group = await create_group_of(session, world.board, world.garden)
        for name in PARTS:
            fields: list[dict[str, Any]] = [
                {
                    "content": f"{name} {number}." if number % 40 else " ",  # blank ones are hidden
                    "is_chat": name == "chat",
                    "created_at": start + timedelta(seconds=number // 3),
                }
                for number in range(NOTES)
            ]
            made[f"/boards/{world.board.id}/{name}"] = [make_note(world.board, **f) for f in fields]
            made[f"/groups/{group.id}/{name}"] = [make_group_note(group, **f) for f in fields]
        for notes in made.values():
            session.add_all(notes)
    return made


def find_position(page: str, note: Note | GroupNote) -> int:
    """Return how many notes a page has before this one. Raises ValueError."""
    return re.findall(r'id="note-([^"]*)"', page).index(str(note.id))


async def test_the_address_of_a_note_shows_the_page_around_it(alice, lists) -> None:
    for path, notes in lists.items():
        for number, first, last in ((1, 0, 49), (79, 20, 30), (NOTES - 1, 0, 49)):
            page = (await alice.get(f"{path}?note={notes[number].id}")).text
            assert first <= find_position(page, notes[number]) <= last, path
        newest = (await alice.get(path)).text
        with pytest.raises(ValueError, match="not in list"):
            find_position(newest, notes[79])


async def test_a_list_that_reloads_keeps_the_note(alice, lists) -> None:
    for path, notes in lists.items():
        part = PARTS[path.rpartition("/")[2]]
        for number, query in ((79, f"?note={notes[79].id}"), (NOTES - 1, "")):
            page = (await alice.get(f"{path}?note={notes[number].id}")).text
            [reload] = re.findall(rf'id="{part}" hx-get="([^"]*)"', page)
            assert unescape(reload) == path + query
            again = (await alice.get(unescape(reload), headers=HTMX)).text
            assert find_position(again, notes[number]) == find_position(page, notes[number])


@pytest.fixture
def list_read(transaction: TransactionFactory) -> ListRead:
    """Return a function that lists which of some notifications are read, by their names."""

    async def list_read(named: dict[str, Notification]) -> set[str]:
        async with transaction() as session:
            is_read = Notification.read_at.is_not(None)
            ids = {*await session.scalars(select(Notification.id).where(is_read))}
        return {name for name, one in named.items() if one.id in ids}

    return list_read


@pytest.mark.parametrize("headers", [{}, HTMX], ids=["page", "part"])
async def test_a_page_reads_the_mentions_in_the_messages_that_it_shows(
    alice, lists, list_read, world, transaction, headers
) -> None:
    """Other mentions stay unread: older and newer ones, and those in the notes beside a chat."""
    for path, notes in lists.items():
        place, _, name = path.rpartition("/")
        [beside] = [
            notes for other, notes in lists.items() if other.startswith(place) if other != path
        ]
        group_id = place.split("/")[2] if place.startswith("/groups") else None
        named = {
            key: make_notification(
                world.board,
                world.alice,
                board_id=None if group_id else world.board.id,
                data={"memory_id": str(note.id), "group_id": group_id, "is_note": is_note},
            )
            for key, note, is_note in (
                ("older", notes[79], name == "notes"),
                ("newest", notes[-1], name == "notes"),
                ("beside", beside[-1], name != "notes"),
            )
        }
        async with transaction() as session:
            session.add_all(named.values())
        for query, read in (
            ("?offset=100", set()),
            (f"?note={notes[79].id}", {"older"}),
            ("", {"older", "newest"}),
        ):
            assert (await alice.get(path + query, headers=headers)).status_code == 200
            assert await list_read(named) == read, path + query


@pytest.mark.parametrize(("headers", "is_read"), [({}, True), (HTMX, False)], ids=["page", "part"])
async def test_a_rejected_message_reads_mentions_only_if_the_page_shows_them(
    alice, lists, list_read, world, transaction, headers, is_read
) -> None:
    """The part is only the form with its errors."""
    named = {
        path: make_notification(
            world.board,
            world.alice,
            board_id=None if path.startswith("/groups") else world.board.id,
            data={
                "memory_id": str(notes[-1].id),
                "group_id": path.split("/")[2] if path.startswith("/groups") else None,
                "is_note": path.endswith("notes"),
            },
        )
        for path, notes in lists.items()
    }
    async with transaction() as session:
        session.add_all(named.values())
    for path in lists:
        rejected = await alice.post(path, data={"content": " "}, headers=headers)
        assert rejected.status_code == 422
        assert ("<html" in rejected.text) is is_read
    assert await list_read(named) == (set(named) if is_read else set())


async def test_the_newest_messages_of_the_chat_read_the_questions_of_agents(
    alice, lists, list_read, world, transaction
) -> None:
    fields = {"kind": NotificationKind.QUESTION, "data": {"title": "Launch"}}
    named = {
        "here": make_notification(world.board, world.alice, **fields),
        "elsewhere": make_notification(world.garden, world.alice, **fields),
    }
    async with transaction() as session:
        session.add_all(named.values())
    here = f"/boards/{world.board.id}"
    for path in (f"{here}/notes", f"{here}/chat?offset=50"):
        await alice.get(path)
        assert await list_read(named) == set()
    await alice.get(f"{here}/chat")
    assert await list_read(named) == {"here"}


async def test_pages_around_a_note_lead_to_all_others(alice, lists) -> None:
    for path, notes in lists.items():
        address, shown = f"{path}?note={notes[79].id}", set[str]()
        for name in ("Later", "Earlier"):
            following = address
            while following:
                page = (await alice.get(following)).text
                shown |= set(re.findall(r'id="note-([^"]*)"', page))
                links = re.findall(rf'href="([^"]*)">{name}<', page)
                following = unescape(links[0]) if links else ""
        assert f'href="{path}">Newest<' in (await alice.get(address)).text
        assert shown == {str(note.id) for note in notes if note.content.strip()}


async def test_a_note_that_is_not_in_the_list_is_ignored(alice, lists) -> None:
    other = {path: notes[79].id for path, notes in lists.items()}
    for path in lists:
        newest = re.findall(r'id="note-[^"]*"', (await alice.get(path)).text)
        ids = [id for place, id in other.items() if place != path]
        for bad in (*ids, new_id(), "", "x" * 5000, "0", "%00", f"{other[path]}0"):
            page = await alice.get(f"{path}?note={bad}")
            assert page.status_code == 200
            assert re.findall(r'id="note-[^"]*"', page.text) == newest


async def test_pages_around_a_note_need_access(charlie, dana, lists) -> None:
    for path, notes in lists.items():
        for headers in ({}, HTMX):
            answer = await charlie.get(f"{path}?note={notes[79].id}", headers=headers)
            assert answer.status_code == 404
        if path.startswith("/boards"):
            assert (await dana.get(f"{path}?note={notes[79].id}")).status_code == 403


async def test_the_search_leads_to_the_note(alice, lists) -> None:
    found = unescape((await alice.get("/search?q=79&kind=memory")).text)
    for path, notes in lists.items():
        assert f'href="{path}?note={notes[79].id}#note-{notes[79].id}"' in found
