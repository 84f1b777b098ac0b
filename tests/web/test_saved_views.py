"""Saved views of a board: their menu, forms and rights, and the columns of the list."""

import html
import re
from typing import Any
from urllib.parse import parse_qs, urlencode

import httpx2
import pytest
from sqlalchemy import select

from core.db.engine import TransactionFactory
from models import DefaultView, Event, EventType, SavedView, Tag
from services import saved_views
from services.saved_views import MAX_VIEWS, SavedViewCreate
from tests.support.board_rows import make_tag
from tests.support.plain_browser import PlainPage
from tests.support.world import World

HTMX = {"HX-Request": "true", "HX-Request-Type": "partial", "HX-Target": "div#board-view"}
QUERY = "view=list&priority=high&sort=-due"


@pytest.fixture
def views_path(world: World) -> str:
    return f"/boards/{world.board.id}/views"


async def save(browser: httpx2.AsyncClient, path: str, name: str, **fields: str) -> str:
    """Save a view, and return its address."""
    created = await browser.post(path, data={"name": name, "query": QUERY, **fields})
    assert created.status_code == 303, created.text
    return created.headers["location"]


async def load_views(transaction: TransactionFactory) -> dict[str, SavedView]:
    async with transaction() as session:
        return {view.name: view for view in await session.scalars(select(SavedView))}


async def open_menu(browser: httpx2.AsyncClient, address: str) -> str:
    page = await browser.get(address, follow_redirects=True)
    assert page.status_code == 200
    return page.text.split('id="view-menu"')[1].split("</details>")[0]


def hidden(menu: str, name: str) -> str:
    found = re.findall(rf'<form[^>]*views/[0-9a-f-]{{36}}".*?name="{name}" value="([^"]*)"', menu)
    return html.unescape(found[-1])


async def test_a_view_is_opened_by_its_address_and_by_its_name(
    alice, world, transaction, views_path
) -> None:
    address = await save(alice, views_path, "Urgent")
    opened = await alice.get(address)
    assert opened.status_code == 303
    path, _, query = opened.headers["location"].partition("?")
    view = (await load_views(transaction))["Urgent"]
    assert path == f"/boards/{world.board.id}"
    expected = {"view": "list", "priority": "high", "sort": "-due", "saved": str(view.id)}
    assert parse_qs(query) == {name: [value] for name, value in expected.items()}
    page = (await alice.get(opened.headers["location"])).text
    assert "No matching tasks." in page
    assert f'href="{address}"' in page  # in the command palette
    menu = await open_menu(alice, address)
    assert "Urgent" in menu
    assert "changed" not in menu
    assert re.findall(r'aria-current="true"><span[^>]*>([^<]*)<', menu) == ["Urgent"]


async def test_a_changed_view_says_so_and_is_saved(alice, transaction, views_path) -> None:
    address = await save(alice, views_path, "Urgent")
    board = (await alice.get(address)).headers["location"]
    changed = board.replace("priority=high", "priority=low")
    menu = await open_menu(alice, changed)
    assert "changed" in menu
    assert "Discard changes" in menu
    fields = {name: hidden(menu, name) for name in ("query", "shown.query")}
    saved = await alice.post(address, data=fields)
    assert saved.headers["location"] == address
    view = (await load_views(transaction))["Urgent"]
    assert (view.query, view.version) == ("view=list&priority=low&sort=-due", 2)
    assert "base=2" in (await alice.get(address)).headers["location"]
    assert "changed" not in await open_menu(alice, address)
    assert "Save changes" not in await open_menu(alice, address)


async def test_what_a_phone_shows_and_how_far_is_no_change(alice, views_path) -> None:
    address = await save(alice, views_path, "Urgent")
    board = (await alice.get(address)).headers["location"]
    assert "changed" not in await open_menu(alice, f"{board}&column=done&limit=100")


async def test_a_saved_calendar_opens_with_the_current_month(
    alice, transaction, views_path
) -> None:
    query = "view=calendar&month=2020-01&day=2020-01-01&priority=high"
    address = await save(alice, views_path, "Calendar", query=query)
    assert (await load_views(transaction))["Calendar"].query == "view=calendar&priority=high"
    board = (await alice.get(address)).headers["location"]
    assert "changed" not in await open_menu(alice, f"{board}&month=2020-01")
    assert "Calendar · Priority: High" in (await alice.get(views_path)).text


async def test_invalid_parameters_are_neither_saved_nor_shown(
    alice, transaction, views_path, world
) -> None:
    query = urlencode({"view": "gantt", "sort": "x", "agent": "x", "q": "a&b=c", "limit": "800"})
    address = await save(alice, views_path, "Odd", query=query)
    assert (await load_views(transaction))["Odd"].query == "q=a%26b%3Dc"
    async with transaction() as session:
        view = await session.scalar(select(SavedView))
        view.query = "view=\x01&sort=%00&saved=x&base=-1&columns=,,&q=%FF&&==&limit=²"
    assert (await alice.get(address, follow_redirects=True)).status_code == 200
    assert (await alice.get(views_path)).status_code == 200
    unknown = f"/boards/{world.board.id}?saved={world.board.id}&base=7"
    assert "changed" not in await open_menu(alice, unknown)
    assert 'data-query=""' in (await alice.get(unknown)).text


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"name": " "}, "Enter a name."),
        ({"name": "x" * 101}, "At most 100 characters."),
        ({"name": "urgent"}, "There is a view with this name."),
        ({"name": "\0"}, "cannot be stored"),
        (
            {
                "name": "Long",
                "query": urlencode({"q": "界" * 200, "tag": "界" * 200, "field": "界" * 99}),
            },
            "",
        ),
    ],
)
async def test_a_rejected_view_is_shown_with_its_error(
    alice, transaction, views_path, fields, text
) -> None:
    await save(alice, views_path, "Urgent")
    rejected = await alice.post(views_path, data={"query": QUERY, **fields})
    assert rejected.status_code in (409, 422)
    assert text in html.unescape(rejected.text)
    assert list(await load_views(transaction)) == ["Urgent"]


async def test_the_number_of_views_is_limited(alice, bob, world, transaction, views_path) -> None:
    async with transaction() as session:
        for number in range(MAX_VIEWS):
            for is_shared in (False, True):
                draft = SavedViewCreate(name=f"{number}", query="")
                await saved_views.create_saved_view(
                    session, world.alice, world.board, draft, is_shared=is_shared
                )
    own = await alice.post(views_path, data={"name": "More", "query": QUERY})
    assert "A board has at most 50 views of one person." in own.text
    shared = await bob.post(views_path, data={"name": "More", "query": QUERY, "shared": "on"})
    assert "A board has at most 50 shared views." in shared.text
    await save(bob, views_path, "More")


async def test_personal_views_are_seen_by_their_user_only(
    alice, bob, rita, transaction, views_path
) -> None:
    address = await save(rita, views_path, "Mine")  # who may only read the board
    await save(bob, views_path, "Mine")
    assert "Mine" in await open_menu(rita, address)
    assert (await bob.get(address)).status_code == 404
    assert (await bob.post(address, data={"name": "Yours"})).status_code == 404
    assert (await bob.post(f"{address}/deletions")).status_code == 404
    default = {"view_id": address.rpartition("/")[2]}
    assert (await bob.post(f"{views_path}/defaults", data=default)).status_code == 404
    assert "Mine" not in (await alice.get(views_path)).text
    assert (await rita.post(f"{address}/deletions")).status_code == 303
    async with transaction() as session:
        assert len((await session.scalars(select(SavedView))).all()) == 1
        types = [EventType.SAVED_VIEW_CREATED, EventType.SAVED_VIEW_DELETED]
        assert (await session.scalar(select(Event).where(Event.type.in_(types)))) is None


async def test_shared_views_are_changed_by_people_who_may_change_the_board(
    alice, bob, rita, transaction, views_path
) -> None:
    refused = await rita.post(views_path, data={"name": "All", "query": "", "shared": "on"})
    assert refused.status_code == 403
    assert 'name="shared"' not in (await rita.get(f"{views_path}/new")).text
    address = await save(alice, views_path, "Urgent", shared="on")
    menu = await open_menu(rita, address)
    assert "Urgent" in menu
    location = (await rita.get(address)).headers["location"]
    changed = await open_menu(rita, location.replace("high", "low"))
    assert "Save changes" not in changed
    assert "Save as new view" in changed
    assert "Rename" not in (await rita.get(views_path)).text
    assert (await rita.post(address, data={"name": "Mine"})).status_code == 403
    assert (await rita.post(f"{address}/deletions")).status_code == 403
    assert (await bob.post(address, data={"name": "Most urgent"})).status_code == 303
    assert (await bob.post(f"{address}/deletions")).status_code == 303
    async with transaction() as session:
        query = select(Event).where(Event.type.startswith("saved_view.")).order_by(Event.seq)
        events = (await session.scalars(query)).all()
    assert [event.type for event in events] == [
        EventType.SAVED_VIEW_CREATED,
        EventType.SAVED_VIEW_UPDATED,
        EventType.SAVED_VIEW_DELETED,
    ]
    assert events[1].data["changes"] == {"name": ["Urgent", "Most urgent"]}


async def test_people_without_access_find_no_views(alice, dana, charlie, views_path) -> None:
    address = await save(alice, views_path, "Urgent", shared="on")
    for browser, status in ((dana, 403), (charlie, 404)):
        for path in (views_path, f"{views_path}/new", address):
            assert (await browser.get(path)).status_code == status
        draft = {"name": "Theirs", "query": ""}
        posts: list[tuple[str, dict[str, Any]]] = [
            *((views_path, draft), (views_path, {**draft, "shared": "on"})),
            *((address, {"name": "Theirs"}), (f"{address}/deletions", {})),
            (f"{views_path}/defaults", {"view_id": address.rpartition("/")[2]}),
        ]
        for path, data in posts:
            assert (await browser.post(path, data=data)).status_code == status, path


async def test_a_view_belongs_to_its_board(alice, world, views_path) -> None:
    address = await save(alice, views_path, "Urgent", shared="on")
    id, elsewhere = address.rpartition("/")[2], f"/boards/{world.garden.id}/views"
    assert (await alice.get(f"{elsewhere}/{id}")).status_code == 404
    assert (await alice.post(f"{elsewhere}/{id}", data={"name": "x"})).status_code == 404
    assert (await alice.post(f"{elsewhere}/{id}/deletions")).status_code == 404
    moved = await alice.post(f"{elsewhere}/defaults", data={"view_id": id})
    assert moved.status_code == 404
    assert "saved=" not in await open_menu(alice, f"/boards/{world.garden.id}?saved={id}")


async def test_a_board_without_a_query_shows_the_default_view(
    alice, bob, world, transaction, views_path
) -> None:
    board = f"/boards/{world.board.id}"
    address = await save(alice, views_path, "Urgent", default="on", shared="on")
    page = (await alice.get(board)).text
    assert 'class="table table--tasks"' in page or "No matching tasks." in page
    [reload] = re.findall(r'id="board-view" hx-get="([^"]*)"', page)
    assert f"saved={address.rpartition('/')[2]}" in reload
    for plain in (f"{board}?view=board", f"{board}?q=report"):
        assert 'id="column-inbox"' in (await alice.get(plain)).text
    everything = (await alice.get(f"{board}?view=board")).text
    assert f'href="{board}?view=board"' in everything  # links stay at all tasks
    assert f'href="{board}"' not in everything.split('id="board-view"')[1].split("</main>")[0]
    part = (await alice.get(board, headers=HTMX)).text
    assert 'id="column-inbox"' in part
    assert 'id="column-inbox"' in (await bob.get(board)).text
    cleared = await alice.post(f"{views_path}/defaults", data={"query": ""})
    assert cleared.headers["location"] == board
    assert 'id="column-inbox"' in (await alice.get(board)).text
    other = await save(alice, views_path, "Second")
    for path in (address, other):
        await alice.post(f"{views_path}/defaults", data={"view_id": path.rpartition("/")[2]})
    async with transaction() as session:
        chosen = (await session.scalars(select(DefaultView.view_id))).all()
    assert [str(id) for id in chosen] == [other.rpartition("/")[2]]
    await alice.post(f"{other}/deletions")
    assert 'id="column-inbox"' in (await alice.get(board)).text
    await save(alice, views_path, "Third", default="on", query="priority=high")
    assert f'href="{board}?view=board"' in await open_menu(alice, board)


async def test_a_view_that_was_saved_meanwhile_is_not_overwritten(
    alice, bob, transaction, views_path
) -> None:
    address = await save(alice, views_path, "Urgent", shared="on")
    opened = (await alice.get(address)).headers["location"]
    mine, theirs = opened.replace("high", "low"), opened.replace("high", "medium")
    earlier, menu = await open_menu(alice, mine), await open_menu(bob, theirs)
    fields = {name: hidden(menu, name) for name in ("query", "shown.query")}
    assert (await bob.post(address, data=fields)).status_code == 303
    later = await open_menu(alice, mine)  # reloaded after the change of Bob
    assert "This view was saved again since you opened it." in later
    for shown in (earlier, later):
        fields = {name: hidden(shown, name) for name in ("query", "shown.query")}
        conflict = await alice.post(address, data=fields)
        assert conflict.status_code == 409
        assert "Priority: Medium" in conflict.text
        assert "Priority: Low" in conflict.text
        assert "Bob" in conflict.text
    [current] = re.findall(r'name="shown.query" value="([^"]*)"', conflict.text)
    resolved = {"query": fields["query"], "shown.query": current}
    assert (await alice.post(address, data=resolved)).status_code == 303
    assert "priority=low" in (await load_views(transaction))["Urgent"].query


async def test_a_name_that_somebody_else_changed_meanwhile_stays(
    alice, bob, transaction, views_path
) -> None:
    address = await save(alice, views_path, "Urgent", shared="on")
    page = await PlainPage(alice).open(views_path)
    opened = (await alice.get(address)).headers["location"]
    await bob.post(address, data={"name": "Most urgent"})
    menu = await open_menu(alice, opened.replace("high", "low"))
    assert "This view was saved again since you opened it." not in menu
    page.fill("Name", "Soon")
    await page.press("Rename")
    assert page.status == 409
    assert list(await load_views(transaction)) == ["Most urgent"]


async def test_a_rename_that_is_rejected_keeps_the_typed_name(alice, views_path) -> None:
    address = await save(alice, views_path, "Urgent")
    await save(alice, views_path, "Later")
    page = await alice.post(address, data={"name": "LATER"})
    assert page.status_code == 409
    assert 'value="LATER"' in page.text
    assert "There is a view with this name." in page.text
    assert "Priority: High" in page.text


async def test_a_view_describes_what_it_shows(alice, world, transaction, views_path) -> None:
    tag: Tag = make_tag(world.tern, "Bugs", slug="bugs")
    field, binding = world.make_custom_field(field_key="effort_points", label="Effort")
    async with transaction() as session:
        session.add_all([tag, field, binding])
    query = {"q": "<b>", "agent": str(world.worker.id), "tag": "bugs", "needs": "1", "done": "1"}
    query |= {"field": "effort_points", "value": "3", "columns": "title,due"}
    await save(alice, views_path, "Long", query=urlencode(query))
    page = html.unescape((await alice.get(views_path)).text)
    text = "Board · Filter: “<b>” · Needs you · Assignee: Worker · Tag: bugs · Effort: 3"
    assert f"{text} · Done column expanded · Columns: Task, Due" in page


async def test_the_list_shows_the_chosen_columns(alice, world, transaction) -> None:
    async with transaction() as session:
        session.add(world.make_task("One"))

    async def list_headings(query: str) -> list[str]:
        page = (await alice.get(f"/boards/{world.board.id}?view=list{query}")).text
        head = page.split("<thead>")[1].split("</thead>")[0]
        texts = re.findall(r'<th scope="col"[^>]*>(.*?)</th>', head, re.S)
        row = page.split("<tr id=")[1].split("</tr>")[0]
        assert len(re.findall(r"<t[dh][ >]", row)) == len(texts)
        assert f'colspan="{len(texts)}"' in page
        return [re.sub(r"<.*?>", "", text).strip() for text in texts][1:-1]

    usual = ["Task", "Flags", "Priority", "Assignee", "Tags", "Due", "Changed"]
    assert await list_headings("") == usual
    assert await list_headings("&columns=nothing") == usual
    assert await list_headings("&columns=title&columns=due&columns=priority") == [
        *("Task", "Priority", "Due")
    ]
    assert await list_headings("&columns=created,due,created,x") == ["Task", "Due", "Created"]
    assert await list_headings("&columns=approvals,description") == [
        *("Task", "Description", "Pending approvals")
    ]
    assert await list_headings("&columns=title") == ["Task"]
    pushed = await alice.get(
        f"/boards/{world.board.id}?view=list&columns=title&columns=due", headers=HTMX
    )
    assert pushed.headers["HX-Push-Url"].endswith("?view=list&columns=due")


async def test_choosing_the_default_view_stays_on_the_page(alice, world, views_path) -> None:
    board = f"/boards/{world.board.id}"
    address = await save(alice, views_path, "Urgent")
    opened = (await alice.get(address)).headers["location"]
    menu = (await alice.get(f"{opened}&q=report&month=2091-11")).text
    [form] = re.findall(r'action="[^"]*/views/defaults">(.*?)</form>', menu)
    fields = dict(re.findall(r'name="([^"]*)" value="([^"]*)"', form))
    fields["query"] = html.unescape(fields["query"])
    chosen = await alice.post(f"{views_path}/defaults", data=fields)
    assert chosen.headers["location"] == f"{board}?{fields['query']}"
    assert "q=report" in fields["query"]
    assert "saved=" in fields["query"]
    assert "Remove my default" in (await alice.get(chosen.headers["location"])).text
    removed = await alice.post(f"{views_path}/defaults")
    assert removed.headers["location"] == views_path
