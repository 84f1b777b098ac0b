"""The layout of every page: sidebar, tab bar, static files."""

import re

import pytest

from tests.support.world import make_member
from web.ui import navigation


def lamps(page: str) -> list[str]:
    """Return the counts that are highlighted in the sidebar."""
    return re.findall(r'class="lamp" data-n="(\d+)"', page[: page.index("</aside>")])


async def test_the_sidebar_lists_readable_boards(alice, bob, charlie, world) -> None:
    assert "Launch" in (rail := (await alice.get("/rail")).text)
    assert "Garden" in rail
    assert "Launch" in (bobs := (await bob.get("/rail")).text)
    assert "Garden" not in bobs
    assert "Launch" not in (await charlie.get("/rail")).text
    assert str(world.charlies_board.id) not in rail


async def test_the_badge_counts_what_the_member_may_decide(
    alice, bob, rita, charlie, transaction, world
) -> None:
    async with transaction() as session:
        session.add_all([*world.make_approval(), *world.make_approval()])
    assert lamps((await alice.get("/rail")).text) == ["2", "2"]
    assert lamps((await bob.get("/rail")).text) == ["2", "2"]
    assert lamps((await rita.get("/rail")).text) == ["0"]
    assert lamps((await charlie.get("/rail")).text) == ["0"]


async def test_the_sidebar_and_tab_bar_reload_together(alice) -> None:
    parts = (await alice.get("/rail")).text
    assert 'id="rail"' in parts
    assert re.search(r'id="tabbar"[^>]* hx-swap-oob="outerMorph"', parts)


async def test_the_sidebar_marks_the_current_page(alice, world) -> None:
    page = f"http://mission.test/boards/{world.board.id}/tasks/1?view=list"
    rail = (await alice.get("/rail", headers={"HX-Current-URL": page})).text
    assert re.search(rf'href="/boards/{world.board.id}"[^>]* aria-current="page"', rail)


async def test_only_admins_see_the_new_board_link(alice, bob) -> None:
    assert 'href="/boards/new"' in (await alice.get("/rail")).text
    assert 'href="/boards/new"' not in (await bob.get("/rail")).text


async def test_a_member_of_two_organizations_switches_between_them(
    charlie, transaction, world
) -> None:
    assert "/organizations/active" not in (await charlie.get("/rail")).text
    async with transaction() as session:
        session.add(
            await session.merge(make_member(world.tern, world.charlie, all_boards_read=True))
        )

    assert "/organizations/active" in (await charlie.get("/rail")).text
    went = await charlie.post("/organizations/active", data={"organization_id": str(world.tern.id)})

    assert (went.status_code, went.headers["Location"]) == (303, "/")
    assert "Launch" in (await charlie.get("/rail")).text


@pytest.mark.parametrize("wanted", ["tern", "no id", ""])
async def test_a_foreign_organization_cannot_be_opened(charlie, world, wanted) -> None:
    organization_id = str(world.tern.id) if wanted == "tern" else wanted
    went = await charlie.post("/organizations/active", data={"organization_id": organization_id})
    assert went.status_code == (404 if wanted == "tern" else 422)
    assert "Launch" not in (await charlie.get("/rail")).text


async def test_an_unknown_path_is_reported_inside_the_layout(alice, anonymous) -> None:
    for address in ("/no/such/page", "/with%0Aa-break"):
        page = await alice.get(address)
        assert page.status_code == 404
        assert 'id="rail"' in page.text
    assert (await anonymous.get("/no/such/page")).status_code == 303


@pytest.mark.parametrize(
    ("broken", "status", "words"),
    [
        (RuntimeError("secret words"), 500, "That did not work, and it is not your doing."),
        (ConnectionRefusedError("secret words"), 503, "The database does not answer."),
    ],
)
async def test_an_unexpected_error_page_shows_no_details(
    alice, monkeypatch, broken, status, words
) -> None:
    def breaks(*_):
        raise broken

    monkeypatch.setattr(navigation, "layout_context", breaks)
    page = await alice.get("/rail")
    assert page.status_code == status
    assert words in page.text
    assert "secret words" not in page.text
    assert "Content-Security-Policy" in page.headers


async def test_a_page_subscribes_after_its_last_event(alice) -> None:
    page = (await alice.get("/no/such/page")).text
    assert re.search(r'<body hx-sse:connect="/events\?after=\d+"', page)


async def test_versioned_static_files_are_cached(anonymous) -> None:
    page = (await anonymous.get("/sign-in")).text
    sheet = re.search(r'href="(/static/app\.css\?v=\w+)"', page)
    assert sheet
    answer = await anonymous.get(sheet[1])
    assert answer.status_code == 200
    assert "immutable" in answer.headers["Cache-Control"]
    assert "immutable" not in (await anonymous.get("/static/app.css")).headers["Cache-Control"]


async def test_a_page_complies_with_its_content_security_policy(anonymous, alice) -> None:
    for answer in (await anonymous.get("/sign-in"), await alice.get("/no/such/page")):
        assert "unsafe" not in answer.headers["Content-Security-Policy"]
        assert not re.search(r"<script(?![^>]* src=)|<style| style=| on\w+=", answer.text)
