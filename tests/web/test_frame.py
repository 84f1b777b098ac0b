"""What stands around every page: the rail, the bar of phones, and the files they need."""

import re

import pytest

from tests.world import a_member
from web import rail


def lamps(page: str) -> list[str]:
    """Return the counts that are lit in the rail, boards and "Needs you" alike."""
    return re.findall(r'class="lamp" data-n="(\d+)"', page[: page.index("</aside>")])


async def test_the_rail_lists_the_boards_that_the_person_reads(alice, bob, charlie, world) -> None:
    assert "Launch" in (rail := (await alice.get("/rail")).text)
    assert "Garden" in rail
    assert "Launch" in (bobs := (await bob.get("/rail")).text)
    assert "Garden" not in bobs
    assert "Launch" not in (await charlie.get("/rail")).text
    assert str(world.charlies_board.id) not in rail


async def test_the_lamp_counts_what_the_person_may_answer(
    alice, bob, rita, charlie, transaction, world
) -> None:
    async with transaction() as session:
        session.add_all([*world.approval(), *world.approval()])
    assert lamps((await alice.get("/rail")).text) == ["2", "2"]
    assert lamps((await bob.get("/rail")).text) == ["2", "2"]
    assert lamps((await rita.get("/rail")).text) == ["0"]
    assert lamps((await charlie.get("/rail")).text) == ["0"]


async def test_the_rail_and_the_bar_of_phones_come_together(alice) -> None:
    parts = (await alice.get("/rail")).text
    assert 'id="rail"' in parts
    assert re.search(r'id="tabbar"[^>]* hx-swap-oob="outerMorph"', parts)


async def test_the_rail_knows_which_page_it_stands_beside(alice, world) -> None:
    page = f"http://mission.test/boards/{world.board.id}/tasks/1?view=list"
    rail = (await alice.get("/rail", headers={"HX-Current-URL": page})).text
    assert re.search(rf'href="/boards/{world.board.id}"[^>]* aria-current="page"', rail)


async def test_only_admins_are_offered_a_new_board(alice, bob) -> None:
    assert 'href="/boards/new"' in (await alice.get("/rail")).text
    assert 'href="/boards/new"' not in (await bob.get("/rail")).text


async def test_who_belongs_to_two_organizations_goes_from_one_to_the_other(
    charlie, transaction, world
) -> None:
    assert "/organizations/active" not in (await charlie.get("/rail")).text
    async with transaction() as session:
        session.add(await session.merge(a_member(world.tern, world.charlie, all_boards_read=True)))

    assert "/organizations/active" in (await charlie.get("/rail")).text
    went = await charlie.post("/organizations/active", data={"organization_id": str(world.tern.id)})

    assert (went.status_code, went.headers["Location"]) == (303, "/")
    assert "Launch" in (await charlie.get("/rail")).text


@pytest.mark.parametrize("wanted", ["tern", "no id", ""])
async def test_nobody_goes_to_an_organization_of_others(charlie, world, wanted) -> None:
    organization_id = str(world.tern.id) if wanted == "tern" else wanted
    went = await charlie.post("/organizations/active", data={"organization_id": organization_id})
    assert went.status_code == (404 if wanted == "tern" else 422)
    assert "Launch" not in (await charlie.get("/rail")).text


async def test_an_address_that_does_not_exist_is_told_inside_the_frame(alice, nobody) -> None:
    for address in ("/no/such/page", "/with%0Aa-break"):
        page = await alice.get(address)
        assert page.status_code == 404
        assert 'id="rail"' in page.text
    assert (await nobody.get("/no/such/page")).status_code == 303


@pytest.mark.parametrize(
    ("broken", "status", "words"),
    [
        (RuntimeError("secret words"), 500, "That did not work, and it is not your doing."),
        (ConnectionRefusedError("secret words"), 503, "The database does not answer."),
    ],
)
async def test_what_breaks_is_told_on_a_page_without_what_it_was(
    alice, monkeypatch, broken, status, words
) -> None:
    def breaks(*_):
        raise broken

    monkeypatch.setattr(rail, "framed", breaks)
    page = await alice.get("/rail")
    assert page.status_code == status
    assert words in page.text
    assert "secret words" not in page.text
    assert "Content-Security-Policy" in page.headers


async def test_a_page_listens_from_what_it_has_seen(alice) -> None:
    page = (await alice.get("/no/such/page")).text
    assert re.search(r'<body hx-sse:connect="/events\?after=\d+"', page)


async def test_files_may_be_kept_for_as_long_as_their_address_stays_the_same(nobody) -> None:
    page = (await nobody.get("/sign-in")).text
    sheet = re.search(r'href="(/static/app\.css\?v=\w+)"', page)
    assert sheet
    answer = await nobody.get(sheet[1])
    assert answer.status_code == 200
    assert "immutable" in answer.headers["Cache-Control"]
    assert "immutable" not in (await nobody.get("/static/app.css")).headers["Cache-Control"]


async def test_a_page_holds_nothing_that_its_own_policy_would_refuse(nobody, alice) -> None:
    for answer in (await nobody.get("/sign-in"), await alice.get("/no/such/page")):
        assert "unsafe" not in answer.headers["Content-Security-Policy"]
        assert not re.search(r"<script(?![^>]* src=)|<style| style=| on\w+=", answer.text)
