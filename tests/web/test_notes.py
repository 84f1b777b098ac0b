"""Notes of boards and groups are written, changed and deleted on pages."""

import re

import pytest
from httpx2 import AsyncClient
from sqlalchemy import select

from core.db.engine import TransactionFactory
from models import GroupNote, Message, Note
from tests.support.memory_rows import create_group_of, make_group_note, make_note
from tests.support.world import World

HTMX = {"HX-Request": "true"}

Places = list[tuple[str, Note | GroupNote]]


@pytest.fixture
async def places(world: World, transaction: TransactionFactory) -> Places:
    """Create a note on Launch and one in the group Birds; return the paths of the notes too."""
    async with transaction() as session:
        group = await create_group_of(session, world.board, world.garden)
        on_board = make_note(world.board, "Old text", tags=["plan", "week 3"])
        in_group = make_group_note(group, "Old text", tags=["plan", "week 3"])
        session.add_all([on_board, in_group])
    return [(f"/boards/{world.board.id}/notes", on_board), (f"/groups/{group.id}/notes", in_group)]


async def load(transaction: TransactionFactory, note: Note | GroupNote) -> Note | GroupNote:
    async with transaction() as session:
        return await session.get_one(type(note), note.id)


async def read_shown(client: AsyncClient, path: str) -> dict[str, str]:
    """Return the hidden fields of the edit form of a note."""
    page = (await client.get(path)).text
    return dict(re.findall(r'name="(shown\.\w+)" value="([^"]*)"', page))


async def test_a_user_writes_a_note_on_a_board(bob, board_path, transaction) -> None:
    answer = await bob.post(f"{board_path}/notes", data={"content": "**We** ship <b>"})
    assert (answer.status_code, answer.headers["Location"]) == (303, f"{board_path}/notes#say")
    part = (await bob.get(f"{board_path}/notes", headers=HTMX)).text
    assert "<strong>We</strong> ship &lt;b&gt;" in part
    async with transaction() as session:
        assert (await session.scalars(select(Message))).all() == []
    rejected = await bob.post(f"{board_path}/notes", data={"content": " "}, headers=HTMX)
    assert rejected.status_code == 422
    assert 'id="message-error"' in rejected.text


async def test_a_note_of_a_webhook_is_folded(alice, board_path, world, transaction) -> None:
    tags = ["webhook", "payload:1"]
    received = make_note(world.board, "{\n  *not* <b>\n}", source="webhook", tags=tags)
    typed = make_note(world.board, "By hand", source="webhook", user_id=world.alice.id)
    async with transaction() as session:
        session.add_all([received, typed])
    page = (await alice.get(f"{board_path}/notes")).text
    assert page.count("Show what was received") == 1
    assert "  *not* &lt;b&gt;" in page
    assert "payload:1" not in page
    assert "<p>By hand</p>" in page
    assert page.count("av--nobody") == 1


async def test_too_many_tags_of_a_note_are_explained(bob, places) -> None:
    for path, note in places:
        data = {"content": "New text", "tags": ", ".join(map(str, range(51)))}
        rejected = await bob.post(f"{path}/{note.id}/edit", data=data)
        assert rejected.status_code == 422
        assert "At most 50 values." in rejected.text


async def test_a_note_is_changed_with_its_tags(bob, places, transaction) -> None:
    for path, note in places:
        edit = f"{path}/{note.id}/edit"
        assert f'href="{edit}"' in (await bob.get(path)).text
        page = (await bob.get(edit)).text
        assert "Old text</textarea>" in page
        assert 'value="plan, week 3"' in page
        data = {"content": "New text", "tags": " plan , , done ", **await read_shown(bob, edit)}
        answer = await bob.post(edit, data=data)
        address = f"{path}?note={note.id}#note-{note.id}"
        assert (answer.status_code, answer.headers["Location"]) == (303, address)
        changed = await load(transaction, note)
        assert (changed.content, changed.tags) == ("New text", ["plan", "done"])
        assert "edited" in (await bob.get(path)).text


async def test_an_edit_of_a_text_that_was_changed_meanwhile_shows_both(
    alice, bob, places, transaction
) -> None:
    for path, note in places:
        edit = f"{path}/{note.id}/edit"
        shown = await read_shown(bob, edit)
        await alice.post(edit, data={"content": "Text of Alice", "tags": "plan, week 3"})
        data = {"content": "Text of Bob", "tags": "plan, week 3", **shown}
        answer = await bob.post(edit, data=data)
        assert answer.status_code == 409
        assert "Text of Alice" in answer.text
        assert "Text of Bob" in answer.text
        assert (await load(transaction, note)).content == "Text of Alice"


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"content": " ", "tags": ""}, "content"),
        ({"content": "x" * 100_001, "tags": ""}, "content"),
        ({"content": "a\0b", "tags": ""}, "content"),
        ({"content": "Text", "tags": "x" * 101}, "tags"),
        ({"content": "Text", "tags": ",".join("x" * 51)}, "tags"),
    ],
)
async def test_an_invalid_edit_shows_its_error_beside_the_field(
    alice, places, transaction, data, field
) -> None:
    for path, note in places:
        answer = await alice.post(f"{path}/{note.id}/edit", data=data)
        assert answer.status_code == 422
        assert f'id="field-{field}-error"' in answer.text
        assert (await load(transaction, note)).content == "Old text"


async def test_a_note_is_deleted(bob, places, transaction) -> None:
    for path, note in places:
        answer = await bob.post(f"{path}/{note.id}/deletions")
        assert (answer.status_code, answer.headers["Location"]) == (303, path)
        assert f"note-{note.id}" not in (await bob.get(path)).text
        assert (await bob.get(f"{path}/{note.id}/edit")).status_code == 404
        assert (await bob.post(f"{path}/{note.id}/deletions")).status_code == 404


async def test_a_note_of_another_place_is_not_found(alice, places, world, transaction) -> None:
    _path, on_board = places[0]
    other = f"/boards/{world.garden.id}/notes/{on_board.id}"
    assert (await alice.get(f"{other}/edit")).status_code == 404
    assert (await alice.post(f"{other}/edit", data={"content": "Mine"})).status_code == 404
    assert (await alice.post(f"{other}/deletions")).status_code == 404
    assert (await load(transaction, on_board)).content == "Old text"


async def test_only_members_who_may_write_change_notes(
    rita, charlie, dana, anonymous, places, transaction
) -> None:
    for path, note in places:
        assert "/edit" not in (await rita.get(path)).text
        assert "<textarea" not in (await rita.get(path)).text
        for client, status in ((rita, 403), (dana, 403), (charlie, 404), (anonymous, 303)):
            one = f"{path}/{note.id}"
            assert (await client.get(f"{one}/edit")).status_code == status
            for address in (path, f"{one}/edit", f"{one}/deletions"):
                answer = await client.post(address, data={"content": "Mine"})
                assert answer.status_code == status
                assert status != 303 or "/sign-in" in answer.headers["Location"]
        assert (await load(transaction, note)).content == "Old text"
