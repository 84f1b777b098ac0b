"""Long lists of notes and chat messages: the page that a note is on."""

import re
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from sqlalchemy import select

from core.clock import now
from core.db.engine import TransactionFactory
from models import GroupNote, Note, Notification, new_id
from tests.support.board_rows import make_notification
from tests.support.memory_rows import create_group_of, make_group_note, make_note
from tests.support.world import World

HTMX = {"HX-Request": "true", "HX-Request-Type": "partial"}
NOTES = 160
PARTS = {"chat": "talk", "notes": "notes"}

Lists = dict[str, list[Note | GroupNote]]


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


async def test_a_page_of_older_notes_reads_only_the_notification_of_its_note(
    alice, lists, world, transaction
) -> None:
    """A new mention stays unread, also when the list reloads by itself."""
    for path, notes in lists.items():
        group_id = path.split("/")[2] if path.startswith("/groups") else None
        named, new = (
            make_notification(
                world.board,
                world.alice,
                board_id=None if group_id else world.board.id,
                data={"memory_id": str(note.id), "group_id": group_id},
            )
            for note in (notes[79], notes[-1])
        )
        ids = {"named": named.id, "new": new.id}
        async with transaction() as session:
            session.add_all([named, new])

        async def open_page(query: str, headers: dict[str, str], path=path, ids=ids) -> set[str]:
            assert (await alice.get(path + query, headers=headers)).status_code == 200
            async with transaction() as session:
                is_read = Notification.read_at.is_not(None)
                read = {*await session.scalars(select(Notification.id).where(is_read))}
            return {name for name, id in ids.items() if id in read}

        for headers in ({}, HTMX):
            assert await open_page("?offset=50", headers) == set(), path
        for headers in ({}, HTMX):
            assert await open_page(f"?note={notes[79].id}", headers) == {"named"}, path
        assert await open_page(f"?note={notes[-1].id}", {}) == {"named", "new"}, path


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
