"""The page of a member: role, access to boards, and removal."""

import re
from typing import Any

import pytest
from sqlalchemy import select, update

from core.clock import now
from core.db.engine import TransactionFactory
from models import AuditRecord, Board, BoardAccess, Member, Presence, Role, SignIn, new_id
from tests.support.board_pages import keep
from tests.support.board_rows import make_board
from tests.support.plain_browser import PlainPage
from tests.support.shown_forms import form_of
from tests.support.world import World

CHECKED = re.compile(r'name="access" value="(\w+)"[^>]*\bchecked\b')


async def grants_of(transaction: TransactionFactory, member: Member) -> dict[Any, bool]:
    """Return whether a member may write, by board."""
    query = select(BoardAccess).where(BoardAccess.organization_member_id == member.id)
    async with transaction() as session:
        return {one.board_id: one.can_write for one in await session.scalars(query)}


def grant_read(member: Member, board: Board) -> BoardAccess:
    """Return a grant to read a board, without the objects that it belongs to."""
    return BoardAccess(
        organization_member_id=member.id,
        board_id=board.id,
        can_read=True,
        can_write=False,
        created_at=now(),
        updated_at=now(),
    )


def read_access(page: str) -> dict[str, list[str]]:
    """Return the access that a page shows: to all boards, and the ids of those in both lists."""
    form = form_of(page, "access")
    lists = {
        name: [id for id in found if id] if isinstance(found, list) else []
        for name in ("can_read", "can_write")
        for found in [form[name]]
    }
    return {"access": CHECKED.findall(page)[-1:], **lists}


async def test_the_access_to_single_boards_is_changed(
    dana, transaction: TransactionFactory, world: World
) -> None:
    """Dana may read none of the boards, but as an admin gives access to all of them."""
    path, launch, garden = f"/people/{world.rita_member.id}", world.board.id, world.garden.id
    shown = read_access((await dana.get(path)).text)
    assert shown == {"access": ["none"], "can_read": [str(launch)], "can_write": []}
    data = {"access": "none", "can_read": "", "can_write": ["", str(garden)]}
    saved = await dana.post(f"{path}/access", data=data)
    assert re.fullmatch(rf"{path}\?saved=\d\d%3A\d\d#access", saved.headers["Location"])
    assert await grants_of(transaction, world.rita_member) == {garden: True}
    page = (await dana.get(saved.headers["Location"])).text
    assert "Saved " in page
    assert read_access(page) == {"access": ["none"], "can_read": [], "can_write": [str(garden)]}
    assert "Can edit Garden" in (await dana.get("/people")).text


async def test_a_board_in_both_lists_can_be_edited(
    alice, transaction: TransactionFactory, world: World
) -> None:
    both = {"can_read": [str(world.board.id), str(world.garden.id)], "can_write": world.board.id}
    path = f"/people/{world.rita_member.id}/access"
    assert (await alice.post(path, data={"access": "none"} | both)).status_code == 303
    granted = {world.board.id: True, world.garden.id: False}
    assert await grants_of(transaction, world.rita_member) == granted


async def test_access_to_all_boards_replaces_that_to_single_ones(
    alice, transaction: TransactionFactory, world: World
) -> None:
    path = f"/people/{world.rita_member.id}"
    data = {"access": "write", "can_read": str(world.board.id)}
    assert (await alice.post(f"{path}/access", data=data)).status_code == 303
    assert await grants_of(transaction, world.rita_member) == {}
    assert read_access((await alice.get(path)).text)["access"] == ["write"]


async def test_access_to_hundreds_of_boards_is_kept_on_a_small_page(
    dana, rita, transaction: TransactionFactory, world: World
) -> None:
    boards = [make_board(f"Board {number:03}", world.tern) for number in range(1_000)]
    await keep(transaction, *boards)
    await keep(transaction, *(grant_read(world.rita_member, one) for one in boards[:500]))
    before = await grants_of(transaction, world.rita_member)
    path = f"/people/{world.rita_member.id}"
    page = await dana.get(path)
    assert len(page.content) < 130_000
    assert "Board 018" in page.text
    assert "Board 480" not in page.text
    form = form_of(page.text, "access") | {"access": "none"}
    assert (await dana.post(f"{path}/access", data=form)).status_code == 303
    assert await grants_of(transaction, world.rita_member) == before
    form["can_write"] = ["", str(world.garden.id)]
    assert (await dana.post(f"{path}/access", data=form)).status_code == 303
    assert await grants_of(transaction, world.rita_member) == before | {world.garden.id: True}
    assert "Board 480" in (await dana.get(f"{path}?all=1")).text
    own = await rita.get(path)
    assert "Has access to 502 boards." in own.text
    assert len(own.content) < 40_000


async def test_access_to_hundreds_of_boards_is_changed_without_scripts(
    dana, transaction: TransactionFactory, world: World
) -> None:
    boards = [make_board(f"Board {number:03}", world.tern) for number in range(500)]
    await keep(transaction, *boards)
    await keep(transaction, *(grant_read(world.rita_member, one) for one in boards[1:]))
    page = await PlainPage(dana).open(f"/people/{world.rita_member.id}")
    await page.press("Add or remove", "access")
    assert page.heading == "Can read: choose a board"
    page.fill("Search", "Board 000")
    await page.press("Search")
    await page.follow("Board 000")
    await page.press("Add or remove", "access")
    page.fill("Search", "Board 499")
    await page.press("Search")
    await page.follow("Remove Board 499")
    await page.press("Save access")
    granted = await grants_of(transaction, world.rita_member)
    assert granted.keys() == {world.board.id, *(one.id for one in boards[:-1])}


async def test_a_link_cannot_choose_the_boards_of_a_person(alice, world: World) -> None:
    path = f"/people/{world.rita_member.id}"
    page = (await alice.get(f"{path}?pick.can_write={world.garden.id}")).text
    assert str(world.garden.id) not in page.partition("<main")[2]


async def test_only_admins_learn_the_names_of_boards(bob, world: World) -> None:
    path = f"/people/{world.bob_member.id}"
    for page in (
        await bob.get(f"{path}?pick.can_read={world.garden.id}"),
        await bob.post(f"{path}/access", data={"access": "none", "can_read": world.garden.id}),
    ):
        assert "Launch" in page.text
        assert "Garden" not in page.text


async def test_more_access_to_the_same_board_is_in_the_audit(
    alice, transaction: TransactionFactory, world: World
) -> None:
    data = {"access": "none", "can_write": str(world.board.id)}
    await alice.post(f"/people/{world.rita_member.id}/access", data=data)
    async with transaction() as session:
        query = select(AuditRecord).where(AuditRecord.action == "member.updated")
        [record] = (await session.scalars(query)).all()
    assert record.actor_id == world.alice.id
    assert record.before is not None
    assert record.after is not None
    assert (record.before["writable_board_ids"], record.after["writable_board_ids"]) == (
        [],
        [str(world.board.id)],
    )


async def test_changed_access_takes_effect_at_once(alice, bob, world: World) -> None:
    assert (await bob.get(f"/boards/{world.board.id}")).status_code == 200
    path = f"/people/{world.bob_member.id}/access"
    data = {"access": "none", "can_read": "", "can_write": ""}
    assert (await alice.post(path, data=data)).status_code == 303
    assert (await bob.get(f"/boards/{world.board.id}")).status_code in (403, 404)


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"access": "all"},
        {"access": "none", "can_read": "x"},
        {"access": "none", "can_write": str(new_id())},
        {"access": "none", "can_read": "{foreign}"},
        {"access": "none", "can_read": [str(new_id()) for _ in range(1_001)]},
    ],
)
async def test_invalid_access_changes_nothing(
    alice, transaction: TransactionFactory, world: World, wrong
) -> None:
    foreign = str(world.charlies_board.id)
    data = {
        name: value.format(foreign=foreign) if isinstance(value, str) else value
        for name, value in wrong.items()
    }
    page = await alice.post(f"/people/{world.bob_member.id}/access", data=data)
    assert page.status_code == 422
    assert 'id="access-error"' in page.text
    assert await grants_of(transaction, world.bob_member) == {world.board.id: True}


async def test_an_unknown_role_is_rejected(alice, world: World) -> None:
    page = await alice.post(f"/people/{world.bob_member.id}/roles", data={"role": "king"})
    assert page.status_code == 422
    assert 'aria-invalid="true"' in page.text


async def test_admins_see_owners_but_cannot_change_them(dana, world: World) -> None:
    path = f"/people/{world.alice_member.id}"
    page = await dana.get(path)
    assert "Only an owner can change or remove an owner." in page.text
    assert "<form" not in page.text.partition('id="role"')[2].partition("</main>")[0]
    for action, data in (
        ("roles", {"role": "member"}),
        ("access", {"access": "none"}),
        ("endings", {}),
    ):
        assert (await dana.post(f"{path}/{action}", data=data)).status_code == 403
    assert (await dana.post(f"{path}/roles", data={"role": "owner"})).status_code == 403


async def test_the_last_owner_keeps_the_role(
    alice, transaction: TransactionFactory, world: World
) -> None:
    path = f"/people/{world.alice_member.id}"
    assert "An organization has at least one owner." in (await alice.get(path)).text
    page = await alice.post(f"{path}/roles", data={"role": "member"})
    assert page.status_code == 422
    assert "An organization has at least one owner." in page.text
    assert (await alice.post(f"{path}/endings")).status_code == 403
    async with transaction() as session:
        dana = update(Member).where(Member.id == world.dana_member.id)
        await session.execute(dana.values(role=Role.OWNER))
    assert 'action="/people/' in (await alice.get(path)).text
    assert (await alice.post(f"{path}/roles", data={"role": "admin"})).status_code == 303


async def test_an_admin_signs_a_member_out_in_all_browsers(
    dana, rita, bob, charlie, world: World
) -> None:
    path = f"/people/{world.rita_member.id}"
    form = f'action="{path}/sessions/endings"'
    assert form in (await dana.get(path)).text
    assert form not in (await rita.get(path)).text
    assert (await bob.post(f"{path}/sessions/endings")).status_code == 403
    assert (await charlie.post(f"{path}/sessions/endings")).status_code == 404
    assert (await rita.get("/settings")).status_code == 200
    owner = f"/people/{world.alice_member.id}"
    assert "/sessions/endings" not in (await dana.get(owner)).text
    assert (await dana.post(f"{owner}/sessions/endings")).status_code == 403
    ended = await dana.post(f"{path}/sessions/endings")
    assert ended.headers["Location"] == f"{path}#sessions"
    assert "Rita is signed out in all browsers" in (await dana.get(path)).text
    assert (await rita.get("/settings")).headers["Location"].startswith("/sign-in")


async def test_removing_a_member_asks_first(dana, world: World) -> None:
    path = f"/people/{world.bob_member.id}"
    page = (await dana.get(path)).text
    [asked] = re.findall(r'id="end".*?(<details.*?</details>)', page, re.DOTALL)
    assert "<b>Remove Bob?</b> To return, they need a new invitation." in asked
    assert asked.index("</summary>") < asked.index(f'action="{path}/endings"')
    assert "<details open" not in asked


async def test_members_see_only_themselves(bob, charlie, dana, world: World) -> None:
    own = await bob.get(f"/people/{world.bob_member.id}")
    assert "Only an admin can change roles and access." in own.text
    assert "Has access to 1 board." in own.text
    other = f"/people/{world.rita_member.id}"
    data = {"roles": {"role": "admin"}, "access": {"access": "write"}, "endings": {}}
    for browser, status in ((bob, 403), (charlie, 404)):
        assert (await browser.get(other)).status_code == status
        for action, values in data.items():
            assert (await browser.post(f"{other}/{action}", data=values)).status_code == status
    assert (
        await bob.post(f"/people/{world.bob_member.id}/roles", data={"role": "owner"})
    ).status_code == 403
    assert (await dana.get(f"/people/{new_id()}")).status_code == 404


async def test_a_member_sees_their_own_rights_on_boards(bob, rita, world: World) -> None:
    for client, member, right in (
        (bob, world.bob_member, "Read and edit"),
        (rita, world.rita_member, "Read"),
    ):
        page = (await client.get(f"/people/{member.id}")).text.partition('id="access"')[2]
        assert f'href="/boards/{world.board.id}">Launch</a></th><td>{right}</td>' in page
        assert "Garden" not in page


async def test_admins_see_when_members_were_active_in_this_organization(
    alice, transaction: TransactionFactory, world: World
) -> None:
    """A session counts only while its user works here; a visit of a board always does."""
    async with transaction() as session:
        await session.execute(update(SignIn).values(last_seen_at=now()))
        bob = await session.merge(world.bob)
        bob.active_organization_id = world.plover.id
    path = f"/people/{world.bob_member.id}"
    assert "last active" not in (await alice.get(path)).text
    assert "last active" in (await alice.get(f"/people/{world.rita_member.id}")).text
    visit = Presence(
        id=new_id(), board_id=world.board.id, user_id=world.bob.id, since=now(), seen_at=now()
    )
    async with transaction() as session:
        session.add(visit)
    assert "last active" in (await alice.get(path)).text


async def test_a_form_opened_earlier_does_not_restore_rights(
    alice, dana, transaction: TransactionFactory, world: World
) -> None:
    path, launch, garden = f"/people/{world.rita_member.id}", world.board.id, world.garden.id
    form = form_of((await dana.get(path)).text, "access") | {"access": "none"}
    newer = {"access": "none", "can_write": str(garden)}
    assert (await alice.post(f"{path}/access", data=newer)).status_code == 303

    assert (await dana.post(f"{path}/access", data=form)).status_code == 303
    assert await grants_of(transaction, world.rita_member) == {garden: True}

    conflict = await dana.post(f"{path}/access", data=form | {"can_write": str(launch)})
    assert conflict.status_code == 409
    assert "Launch: read and edit" in conflict.text
    assert "Garden: read and edit" in conflict.text
    assert re.search(r"Changed by Alice[^<]* <time", conflict.text)
    assert await grants_of(transaction, world.rita_member) == {garden: True}
    sent = form_of(conflict.text, "access")
    kept = await dana.post(f"{path}/access", data=sent | {"keep.access": "current"})
    assert kept.status_code == 303
    assert await grants_of(transaction, world.rita_member) == {garden: True}
    forced = await dana.post(f"{path}/access", data=sent | {"keep.access": "mine"})
    assert forced.status_code == 303
    assert await grants_of(transaction, world.rita_member) == {launch: True}


async def test_rights_on_other_boards_that_were_given_meanwhile_are_a_conflict(
    alice, dana, transaction: TransactionFactory, world: World
) -> None:
    path, launch, garden = f"/people/{world.rita_member.id}", world.board.id, world.garden.id
    form = form_of((await dana.get(path)).text, "access")
    newer = {"access": "none", "can_read": str(launch), "can_write": str(garden)}
    assert (await alice.post(f"{path}/access", data=newer)).status_code == 303
    for level in ("read", "none"):
        sent = form | {"access": level, "can_write": str(launch)}
        conflict = await dana.post(f"{path}/access", data=sent)
        assert conflict.status_code == 409
    for right in ("Launch: read", "Garden: read and edit"):  # given at once: in any order
        assert right in conflict.text
    assert await grants_of(transaction, world.rita_member) == {launch: False, garden: True}
