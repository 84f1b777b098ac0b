"""The layout of every page: sidebar, tab bar, static files."""

import re
from urllib.parse import urljoin

import pytest
from sqlalchemy import update

from core.clock import now
from core.db.engine import PoolBusy
from core.errors import Conflict
from models import Agent, AgentStatus, BoardGroup, new_id
from tests.support.board_rows import make_task
from tests.support.people_rows import make_member
from web.boards import views
from web.ui import navigation
from web.ui.assets import SCRIPTS, asset_url

BOARD_PAGES = ("settings", "chat", "notes", "feed", "trash", "policy", "webhooks", "views")


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


async def test_the_sidebar_counts_agents_and_those_online(
    alice, charlie, transaction, world
) -> None:
    async def count(browser) -> str:
        [found] = re.findall(
            r'<span class="count">(.*? online)</span>', (await browser.get("/rail")).text
        )
        return re.sub(r"<[^>]*>", "", found)

    async with transaction() as session:
        await session.execute(update(Agent).values(last_seen_at=None, status=AgentStatus.OFFLINE))
    total = int((await count(alice)).split()[2])
    assert await count(alice) == f"0 of {total} online"
    async with transaction() as session:
        worker = await session.get_one(Agent, world.worker.id)
        worker.last_seen_at, worker.status = now(), AgentStatus.ONLINE
    assert await count(alice) == f"1 of {total} online"


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
    assert (await anonymous.get("/no/such/page")).status_code == 404


@pytest.mark.parametrize(
    ("broken", "status", "words"),
    [
        (RuntimeError("secret words"), 500, "Something went wrong on the server."),
        (ConnectionRefusedError("secret words"), 503, "The database does not answer."),
        (PoolBusy("secret words"), 503, "The server has too much to do at the moment."),
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


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (RuntimeError("secret words"), "Something went wrong on the server."),
        (Conflict("moving", "It is moving."), "It is moving."),
    ],
)
async def test_an_error_after_the_start_of_a_page_is_its_content(
    alice, world, monkeypatch, broken, words
) -> None:
    async def breaks(*_, **__):
        raise broken

    monkeypatch.setattr(views, "load_board", breaks)
    page = (await alice.get(f"/boards/{world.board.id}")).text
    assert words in page.partition("<main")[2]
    assert "secret words" not in page
    assert [page.count(end) for end in ("<html", "</html>", 'id="rail"')] == [1, 1, 1]


async def test_a_page_subscribes_after_its_last_event(alice) -> None:
    page = (await alice.get("/no/such/page")).text
    assert re.search(r'<body data-live="/events\?after=\d+&amp;for=[\w.-]+"', page)


async def test_versioned_static_files_are_cached(anonymous) -> None:
    page = (await anonymous.get("/sign-in")).text
    for name in ("app.css", "app.js"):
        versioned = re.search(rf'"(/static/{name}\?v=\w+)"', page)
        assert versioned
        answer = await anonymous.get(versioned[1])
        assert answer.status_code == 200
        assert "immutable" in answer.headers["Cache-Control"]
        assert "immutable" not in (await anonymous.get(f"/static/{name}")).headers["Cache-Control"]


@pytest.mark.parametrize("name", ["app.js", "app.css", "sprite.svg", "no.svg"])
async def test_a_file_of_another_version_is_not_cached(anonymous, name) -> None:
    for version in ("1", "%80", "1&v=2", "a" * 5_000):
        answer = await anonymous.get(f"/static/{name}?v={version}")
        assert answer.status_code == (404 if name == "no.svg" else 200)
        assert answer.headers["Cache-Control"].endswith("no-cache")


@pytest.mark.parametrize("encoding", ["", "gzip", "zstd"])
async def test_a_static_file_depends_on_the_encodings_of_the_browser(anonymous, encoding) -> None:
    for name in ("app.js", "sprite.svg"):
        for address in (f"/static/{name}", asset_url(name)):
            answer = await anonymous.get(address, headers={"Accept-Encoding": encoding})
            assert answer.headers["Vary"] == "Accept-Encoding", address


@pytest.mark.parametrize("encoding", ["", "gzip"])
async def test_a_script_that_a_browser_has_is_not_sent_again(anonymous, encoding) -> None:
    headers = {"Accept-Encoding": encoding}
    first = await anonymous.get("/static/app.js", headers=headers)
    known = headers | {"If-None-Match": f"W/{first.headers['ETag']}"}
    again = await anonymous.get("/static/app.js", headers=known)
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["Vary"] == "Accept-Encoding"
    other = known | {"Accept-Encoding": "" if encoding else "gzip"}
    assert (await anonymous.get("/static/app.js", headers=other)).status_code == 200


async def test_a_static_file_of_unknown_type_is_sent_as_bytes(anonymous) -> None:
    answer = await anonymous.get(asset_url("icons/LICENSE"))
    assert answer.headers["Content-Type"] == "application/octet-stream"


async def test_a_style_sheet_names_versions_of_its_fonts(anonymous) -> None:
    page = (await anonymous.get("/sign-in")).text
    [sheet] = re.findall(r'"(/static/app\.css\?v=\w+)"', page)
    links = re.findall(r'url\("([^"]+)"\)', (await anonymous.get(sheet)).text)
    named = [urljoin(sheet, link) for link in links]
    assert all(re.fullmatch(r"/static/[\w./-]+\?v=\w+", address) for address in named)
    preloaded = re.findall(r'<link rel="preload"[^>]* href="([^"]+)"', page)
    assert preloaded
    assert set(preloaded) <= set(named)


async def test_each_page_loads_the_font_of_questions_before_it_is_shown(anonymous, alice) -> None:
    preload = f'crossorigin href="{asset_url("fonts/newsreader-latin-wght-normal.woff2")}">'
    assert preload in (await anonymous.get("/sign-in")).text
    assert preload in (await alice.get("/approvals")).text


async def test_all_scripts_of_a_page_are_one_file(anonymous) -> None:
    page = (await anonymous.get("/sign-in")).text
    head, body = page.split("</head>")
    assert (head.count("<script "), body.count("<script ")) == (1, 1)  # the first sets the theme
    answer = await anonymous.get("/static/app.js")
    assert answer.headers["Content-Type"].startswith("text/javascript")
    assert re.findall(r"^// (.+\.js)$", answer.text, re.MULTILINE) == list(SCRIPTS)
    assert (await anonymous.post("/static/app.js")).status_code == 405


async def test_a_page_complies_with_its_content_security_policy(anonymous, alice) -> None:
    for answer in (await anonymous.get("/sign-in"), await alice.get("/no/such/page")):
        assert "unsafe" not in answer.headers["Content-Security-Policy"]
        assert not re.search(r"<script(?![^>]* src=)|<style| style=| on\w+=", answer.text)


@pytest.mark.parametrize(
    ("browser", "keys"),
    [
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)", "<kbd>⌘K</kbd>"),
        ("Mozilla/5.0 (X11; Linux x86_64)", "<kbd>Ctrl</kbd><kbd>K</kbd>"),
    ],
)
async def test_shortcuts_name_the_key_of_the_keyboard(alice, browser, keys) -> None:
    page = (await alice.get("/boards", headers={"User-Agent": browser})).text
    assert keys in page.partition('data-open="palette"')[2].partition("</button>")[0]


async def test_an_object_of_another_own_organization_is_offered_if_it_can_be_read(
    alice, transaction, world
) -> None:
    board, agent = world.charlies_board, world.charlies_worker
    task = make_task(board, "Count")
    group_times = {"created_at": now(), "updated_at": now()}
    group = BoardGroup(
        id=new_id(), organization_id=world.plover.id, name="Gs", slug="g", **group_times
    )
    member = make_member(world.plover, world.alice)
    async with transaction() as session:
        session.add_all([task, group, member])
        await session.flush()
        (await session.merge(board)).board_group_id = group.id
    paths = [
        f"/boards/{board.id}?view=list",
        f"/boards/{board.id}/tasks/{task.id}",
        *[f"/boards/{board.id}/{part}" for part in BOARD_PAGES],
        f"/agents/{agent.id}",
        f"/groups/{group.id}",
    ]

    async def list_offers() -> list[bool]:
        pages = [await alice.get(path) for path in paths]
        assert {page.status_code for page in pages} == {404}
        return ["This belongs to Plover." in page.text for page in pages]

    assert await list_offers() == [False] * len(paths)
    for page in ("activity", "dashboard", "agents"):
        assert (await alice.get(f"/{page}?board={board.id}")).status_code == 404, page
    async with transaction() as session:
        (await session.merge(member)).all_boards_read = True
    assert await list_offers() == [True] * len(paths)
    assert "Plover." not in (await alice.get(f"/boards/{board.id}/tasks/{new_id()}")).text

    page = (await alice.get(paths[0])).text
    form = dict(re.findall(r'type="hidden" name="(organization_id|next)" value="([^"]*)"', page))
    opened = await alice.post("/organizations/active", data=form)
    assert (opened.status_code, opened.headers["Location"]) == (303, paths[0])
    assert (await alice.get(paths[0])).status_code == 200
    away = form | {"next": "//evil.example"}
    assert (await alice.post("/organizations/active", data=away)).headers["Location"] == "/"


async def test_nothing_is_offered_to_people_outside_of_the_organization(bob, world) -> None:
    for path in (f"/boards/{world.charlies_board.id}", f"/agents/{world.charlies_worker.id}"):
        assert "Plover" not in (await bob.get(path)).text
