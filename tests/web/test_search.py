"""The search page, and the suggestions of the command palette and of text boxes."""

import re
from typing import Any

import httpx2
import pytest

from core.db.engine import TransactionFactory
from models import Comment, Status, Task, User, new_id
from services.search import TaskReference, queries
from tests.support.board_rows import make_task
from tests.support.world import World
from web.search import build_task_link
from web.ui.markdown import render_markdown

HTMX = {"HX-Request": "true"}
ATTACK = "Paint <i>the</i> heron"


@pytest.fixture
async def heron(transaction: TransactionFactory, world: World) -> Task:
    """A task on Launch with a comment, and tasks on the other boards."""
    task = world.make_task(ATTACK, status=Status.REVIEW, description="A <b>grey</b> heron")
    comment = Comment(
        id=new_id(),
        task=task,
        board_id=task.board_id,
        message="Which heron?",
        user_id=world.bob.id,
        created_at=task.created_at,
    )
    async with transaction() as session:
        session.add_all([task, comment])
        for board in (world.garden, world.charlies_board):
            session.add(make_task(await session.merge(board), f"Heron of {board.name}"))
    return task


def results(page: str) -> str:
    """Return what the page shows below the form."""
    return re.sub(r"\s+", " ", page.partition("</form>\n")[2].partition("</main>")[0])


async def test_results_lead_to_what_was_found(alice, world, heron) -> None:
    page = (await alice.get("/search?q=heron")).text
    shown = results(page)
    task_path = f"/boards/{world.board.id}/tasks/{heron.id}"
    assert f'href="{task_path}"' in shown
    assert f'href="{task_path}?comment=' in shown
    assert "Paint &lt;i&gt;the&lt;/i&gt; <mark>heron</mark>" in shown
    assert "A &lt;b&gt;grey&lt;/b&gt; <mark>heron</mark>" in shown
    assert "<i>the</i>" not in shown
    assert 'Tasks <span class="count">2</span>' in shown
    assert 'Comments <span class="count">1</span>' in shown
    assert "Heron of Charlie" not in page


async def test_filters_are_in_the_address(alice, world, heron) -> None:
    async def find(query: str) -> list[str]:
        shown = results((await alice.get(f"/search?q=heron&{query}")).text)
        return re.findall(r'id="found-([\w-]+)"', shown)

    assert len(await find("")) == 3
    assert await find("kind=task&board=" + str(world.board.id)) == [str(heron.id)]
    assert await find("status=review") == [str(heron.id)]
    assert len(await find(f"author={world.bob.id}")) == 1
    assert await find("until=2020-01-01") == []
    assert len(await find("since=2020-01-01&kind=comment")) == 1
    nonsense = "kind=x&board=x&status=x&assignee=x&author=x&since=x&until=0001-01-01&offset=-1"
    assert len(await find(nonsense)) == 3
    page = (await alice.get(f"/search?q=heron&board={world.board.id}&status=review")).text
    assert f'name="board" value="{world.board.id}"' in page
    assert 'name="q" value="heron"' in page


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("", "Search everything you can see."),
        ("?q=", "Search everything you can see."),
        ("?q=%00", "Search everything you can see."),
        ("?q=a", "Type at least two letters or digits."),
        ("?q=%26+%7C+%21", "Type at least two letters or digits."),
        ("?q=nothing-is-called-that", "No results."),
        ("?q=nothing&kind=task", "Search without filters"),
        ("?q=heron&offset=60", "There are no more results."),
        ("?q=" + "x" * 300, "Only the first 200 characters are searched."),
    ],
)
async def test_a_page_without_results_says_why(alice, heron, query, text) -> None:
    answer = await alice.get(f"/search{query}")
    assert answer.status_code == 200
    assert text in answer.text


async def test_results_have_pages(alice, world, transaction) -> None:
    async with transaction() as session:
        session.add_all([world.make_task(f"Heron {n}") for n in range(25)])
    first = results((await alice.get("/search?q=heron")).text)
    assert "1 to 20 of 25" in first
    assert '<a class="btn" href="/search?q=heron&amp;offset=20" rel="next"' in first
    second = results((await alice.get("/search?q=heron&offset=20")).text)
    assert "21 to 25 of 25" in second
    assert 'href="/search?q=heron" rel="prev"' in second
    assert 'rel="next"' not in second


async def test_limits_of_a_search_are_shown(alice, heron, monkeypatch) -> None:
    async def stop(*_: object, **__: object) -> Any:
        return queries.SearchResults(timed_out=True)

    monkeypatch.setattr("services.search.search_for_page", stop)
    assert "took too long and was stopped" in (await alice.get("/search?q=heron")).text


async def test_people_find_only_what_they_may_see(
    alice, bob, rita, dana, charlie, anonymous, world, heron
) -> None:
    expected = {alice: 2, bob: 1, rita: 1, dana: 0, charlie: 1}
    for client, count in expected.items():
        for path in ("/search?q=heron&kind=task", "/search/suggestions?q=heron"):
            page = (await client.get(path, headers=HTMX if "sugg" in path else {})).text
            found = set(re.findall(r'href="/boards/[\w-]+/tasks/([\w-]{36})"', page))
            assert len(found) == count, path
            assert (str(heron.id) in found) is (client in (alice, bob, rita))
    assert (await anonymous.get("/search?q=heron")).status_code == 303
    for path in ("/search/suggestions?q=x", "/suggestions/mentions", "/suggestions/tasks"):
        answer = await anonymous.get(path, headers=HTMX)
        assert (answer.status_code, answer.text) == (401, "")


async def test_the_palette_begins_with_the_board_of_the_page(alice, world, heron) -> None:
    path = f"/search/suggestions?q=heron&board={world.garden.id}"
    part = (await alice.get(path, headers=HTMX)).text
    titles = re.findall(r'<span id="found-\w+">(.*?)</span>', part)
    assert titles == ["Tasks on Garden", "Tasks", "Comments", "Search"]
    assert "Paint &lt;i&gt;the&lt;/i&gt; <mark>heron</mark>" in part
    assert 'href="/search?q=heron"' in part
    odd = (await alice.get("/search/suggestions?q=%22%3E%3Cbold%3E%26x&board=nonsense")).text
    assert 'href="/search?q=%22%3E%3Cbold%3E%26x"' in odd
    assert "<bold>" not in odd


async def test_the_palette_names_what_was_opened(alice, rita, charlie, world, heron) -> None:
    ids = ",".join(map(str, [heron.id, world.worker.id, world.charlies_board.id, "nonsense"]))
    path = f"/search/suggestions?recent={ids}"
    part = (await alice.get(path, headers=HTMX)).text
    assert "Recently opened" in part
    assert part.index(f"recent-{heron.id}") < part.index(f"recent-{world.worker.id}")
    assert str(world.charlies_board.id) not in part
    assert f'href="/boards/{world.garden.id}"' in part
    assert f'href="/boards/{world.garden.id}"' not in (await rita.get(path)).text
    assert str(heron.id) not in (await charlie.get(path)).text


async def test_people_lead_to_the_page_that_the_viewer_may_open(alice, bob, charlie, world) -> None:
    own_page = f'href="/people/{world.rita_member.id}"'
    for path in ("/search?q=rita", "/search/suggestions?q=rita"):
        assert own_page in (await alice.get(path)).text
        assert own_page not in (await bob.get(path)).text
        assert "<mark>Rita</mark>" in (await bob.get(path)).text
        assert "Rita" not in (await charlie.get(path)).text


def inserted(part: str) -> list[str]:
    return re.findall(r'data-insert="([^"]*)"', part)


async def test_mentions_and_tasks_of_a_board_are_suggested(rita, world, heron) -> None:
    board = f"board={world.board.id}"
    mentions = (await rita.get(f"/suggestions/mentions?{board}", headers=HTMX)).text
    assert "@Worker" in inserted(mentions)
    assert "@Bob" in inserted(mentions)
    assert "@Gardener" not in inserted(mentions)
    [link] = inserted((await rita.get(f"/suggestions/tasks?{board}&q=paint", headers=HTMX)).text)
    assert (
        link
        == rf"[Paint \&lt;i\&gt;the\&lt;/i\&gt; heron](/boards/{world.board.id}/tasks/{heron.id})"
    )


async def test_suggestions_need_access_to_the_board(dana, charlie, alice, world, heron) -> None:
    for kind in ("mentions", "tasks"):
        path = f"/suggestions/{kind}?board={world.board.id}"
        assert (await dana.get(path, headers=HTMX)).status_code == 403
        assert (await charlie.get(path, headers=HTMX)).status_code == 404
        for query in (f"?group={new_id()}", f"?board={new_id()}"):
            assert (await alice.get(f"/suggestions/{kind}{query}")).status_code == 404
        for query in ("", "?board=x", "?group=x", "?q=%00"):
            answer = await alice.get(f"/suggestions/{kind}{query}", headers=HTMX)
            assert (answer.status_code, answer.text.strip()) == (200, ""), query


@pytest.mark.parametrize(
    "title",
    ["Plain", "a [b](c) `d` *e* _f_ <g> ~h~ |i|", "\\", "Ask @lead, now", "x" * 500, "[", "]"],
)
def test_a_reference_to_a_task_is_rendered_as_a_link(title) -> None:
    task = TaskReference(new_id(), new_id(), title, Status.INBOX)
    text = build_task_link(task)
    html = render_markdown(f"See {text} soon").html
    path = f"/boards/{task.board_id}/tasks/{task.id}"
    assert html.count("<a ") == 1
    assert f'<a href="{path}" rel="nofollow noopener">' in html
    assert "mention" not in html
    assert "@" not in text
    assert len(text) < 300


async def test_the_language_is_chosen_from_the_palette(alice, transaction, world) -> None:

    for referer, leads_to in (
        ("http://mission.test/boards?q=x", "/boards?q=x"),
        ("http://mission.test/boards?lang=en", "/boards"),
        ("http://evil.test//evil.test/x", "/evil.test/x"),
        ("http://[", "/"),
        ("", "/"),
    ):
        answer = await alice.post(
            "/settings/language", data={"language": "de"}, headers={"Referer": referer}
        )
        assert (answer.status_code, answer.headers["Location"]) == (303, leads_to)
    async with transaction() as session:
        user = await session.get(User, world.alice.id)
        assert user
        assert user.language == "de"
    assert (await alice.post("/settings/language", data={"language": "x"})).status_code == 422


async def test_the_palette_offers_only_what_a_member_may_do(alice, bob, world) -> None:
    admin, member = [(await one.get("/settings")).text for one in (alice, bob)]
    for option in ("palette-stop", "palette--audit-shield-check", "palette--boards-new-plus"):
        assert f'id="{option}"' in admin
        assert f'id="{option}"' not in member
    assert str(world.board.id) not in admin.partition('id="palette"')[2].partition("</dialog>")[0]


async def test_the_palette_offers_new_tasks_on_the_boards_a_text_names(
    alice, bob, rita, charlie, world
) -> None:
    async def list_offers(browser: httpx2.AsyncClient, text: str, **more: str) -> list[str]:
        query = {"q": text, **more}
        found = await browser.get("/search/suggestions", params=query, headers=HTMX)
        return re.findall(r"New task on ([^<]*)</span>", found.text)

    for text in ("launch", "new task", "New Task on LAU", "aun"):
        assert await list_offers(bob, text) == ["Launch"], text
    for text in ("garden", "new task launchx", "%", "launch_", "/" * 200, "x " * 100, ""):
        assert await list_offers(bob, text) == [], text
    assert await list_offers(alice, "new task") == ["Garden", "Launch"]
    await alice.get(f"/boards/{world.board.id}")
    assert await list_offers(alice, "new", commands="1") == ["Launch", "Garden"]
    assert await list_offers(alice, "new", board=str(world.board.id)) == ["Garden"]
    assert await list_offers(rita, "launch") == await list_offers(charlie, "launch") == []
    commands = await alice.get("/search/suggestions?q=launch&commands=1", headers=HTMX)
    assert re.findall('id="found-[a-z]+"', commands.text) == ['id="found-new"']


async def test_a_board_comes_before_a_new_task_on_it(bob, world) -> None:
    found = (await bob.get("/search/suggestions?q=launch", headers=HTMX)).text
    place = found.index("New task on Launch")
    assert f'href="/boards/{world.board.id}"' in found[:place]
