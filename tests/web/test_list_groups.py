"""The groups of the list of a board."""

import re
from datetime import timedelta

import pytest
from sqlalchemy import delete, select

from core.clock import now
from models import Priority, Status, Tag, TagAssignment, Task
from tests.support.board_pages import keep
from tests.support.tiers import repetition

TITLES = re.compile(
    r'scope="rowgroup"[^>]*>([^<]*) <span class="dim">(\d+)|hx-push-url="true">([^<]*)</a>'
)


async def list_groups(client, address: str) -> list[str]:
    """Return the headings with their numbers, and the titles of the tasks."""
    page = (await client.get(address)).text
    return [f"{name} {count}".strip() or title for name, count, title in TITLES.findall(page)]


@pytest.fixture
async def grouped_path(board_path, world, transaction) -> str:
    times = {"organization_id": world.tern.id, "created_at": now(), "updated_at": now()}
    tags = [Tag(name=name, slug=name.lower(), **times) for name in ("Zoo", "Art")]
    day = timedelta(days=1)
    late = world.make_task("Late", due_at=now() - 2 * day, priority=Priority.HIGH)
    soon = world.make_task("Soon", due_at=now() + 3 * day, assigned_agent_id=world.worker.id)
    past = world.make_task("Past", due_at=now() - 2 * day, status=Status.DONE)
    free = world.make_task("Free", assigned_user_id=world.bob.id)
    await keep(transaction, *tags, late, soon, past, free)
    tagged = [(late, tags[0]), (late, tags[1]), (soon, tags[0])]
    links = [TagAssignment(task_id=a.id, tag_id=b.id, created_at=now()) for a, b in tagged]
    await keep(transaction, *links)
    return f"{board_path}?view=list&sort=title"


async def test_the_list_is_grouped_by_what_the_address_says(alice, world, grouped_path) -> None:
    bob = world.bob.display_name
    groups = {
        "due": [
            *("Overdue 1", "Late", "Next 7 days 1", "Soon"),
            *("Past, done 1", "Past", "No due date 1", "Free"),
        ],
        "priority": ["High 1", "Late", "Medium 3", "Free", "Soon", "Past"],
        "tag": ["Art 1", "Late", "Zoo 1", "Soon", "No tag 2", "Free", "Past"],
        "assignee": [f"{bob} 1", "Free", "Worker 1", "Soon", "Unassigned 2", "Late", "Past"],
    }
    for group, expected in groups.items():
        assert await list_groups(alice, f"{grouped_path}&group={group}") == expected
    by_status = ["Inbox 3", "Free", "Late", "Soon", "Done 1", "Past"]
    for address in ("", "&group=x", "&group="):
        assert await list_groups(alice, f"{grouped_path}{address}") == by_status


async def test_groups_keep_filters_and_are_saved_in_views(alice, grouped_path) -> None:
    address = f"{grouped_path}&group=priority&priority=high"
    assert await list_groups(alice, address) == ["High 1", "Late"]
    page = (await alice.get(address)).text
    assert '<input type="hidden" name="group" value="priority">' in page
    assert "group=due" in page


ROW = re.compile(r'<tr id="task-([^"]*)"')
GROUPINGS = ["", "due", "priority", "tag", "assignee"]


@pytest.fixture
async def long_path(board_path, world, transaction) -> str:
    """Fill a group of each grouping with more tasks than two pages show."""
    many = [world.make_task(f"Task {number % 7}") for number in range(120)]
    await keep(transaction, *many)
    return f"{board_path}?view=list&sort=title"


def find_links(html: str) -> dict[str, str]:
    """Return the addresses of the link to more rows: of a page, and of the part."""
    [link] = re.findall(r'<a class="more"[^>]*>', html) or [""]
    found = dict(re.findall(r'(href|hx-get)="([^"]*)"', link))
    return {name: address.replace("&amp;", "&") for name, address in found.items()}


@pytest.mark.parametrize("group", GROUPINGS)
async def test_more_rows_of_a_group_follow_its_first_ones(alice, long_path, group) -> None:
    html = (await alice.get(f"{long_path}&group={group}")).text
    ids = ROW.findall(html)
    assert len(ids) == 50
    while links := find_links(html):
        html = (await alice.get(links["hx-get"])).text
        ids += ROW.findall(html)
    assert (len(ids), len({*ids})) == (120, 120)


@pytest.mark.parametrize("group", GROUPINGS)
async def test_a_group_is_read_page_by_page_without_scripts(alice, long_path, group) -> None:
    html = (await alice.get(f"{long_path}&group={group}")).text
    address, pages = find_links(html)["href"], [ROW.findall(html)]
    for words in ("Next", "Previous"):
        html = (await alice.get(address)).text
        pages.append(ROW.findall(html))
        [link] = re.findall(rf'href="([^"]*)">{words}<', html)
        address = link.replace("&amp;", "&")
    first, second, last = *pages[:2], ROW.findall((await alice.get(address)).text)
    assert [len(page) for page in pages] == [50, 50, 20]
    assert not {*first} & {*second}
    assert last == second  # before the third page


async def test_a_reload_has_as_many_rows_as_the_page_shows(
    alice, world, transaction, long_path, board_path
) -> None:
    await keep(transaction, world.make_task("Above", status=Status.REVIEW))
    part = f"{board_path}/columns?view=list&sort=title"
    for shown, number in [("is.inbox=100", 101), ("", 51), ("is.inbox=99999", 121), ("x=y&==", 51)]:
        html = (await alice.get(part, headers={"List-Rows": shown})).text
        assert len(ROW.findall(html)) == number
    after_view_of_board = f"{part}&more=inbox.100"
    html = (await alice.get(after_view_of_board, headers={"List-Rows": "is.inbox=120"})).text
    assert len(ROW.findall(html)) == 121
    by_tag = f"{part}&group=tag"
    html = (await alice.get(by_tag, headers={"List-Rows": "none=100"})).text
    assert len(ROW.findall(html)) == 100
    known = ",".join(re.findall(r'data-hash="([^"]*)"', html))
    headers = {"List-Rows": "none=100", "Board-Cards": known}
    html = (await alice.get(by_tag, headers=headers)).text
    assert html.count("data-keep=") == len(ROW.findall(html)) == 100
    assert "Select “Task" not in html


@pytest.mark.parametrize(
    "group",  # the header is read before anything is grouped
    [pytest.param(one, marks=() if one == "tag" else repetition) for one in GROUPINGS],
)
@pytest.mark.parametrize(
    "shown", ["is.%00=60", "is.%FF%ED%A0%80=60", "none=60&" * 8_000, "%" * 64_000, "=" * 64_000]
)
async def test_hostile_numbers_of_rows_are_ignored(alice, grouped_path, group, shown) -> None:
    response = await alice.get(f"{grouped_path}&group={group}", headers={"List-Rows": shown})
    assert response.status_code == 200
    assert len(ROW.findall(response.text)) == 4


async def test_no_rows_follow_when_the_tasks_after_them_are_gone(
    alice, transaction, long_path
) -> None:
    html = (await alice.get(long_path)).text
    async with transaction() as session:
        await session.execute(delete(Task).where(Task.id.not_in(ROW.findall(html))))
    rows = (await alice.get(find_links(html)["hx-get"])).text
    assert (ROW.findall(rows), find_links(rows)) == ([], {})


async def find_first_changed(client, transaction, path: str, query: str) -> list[str]:
    """Change the first two tasks that match, and return the changed ones, sorted."""
    sent = {"all": "2", "priority": "low"}
    assert (await client.post(f"{path}/changes{query}", data=sent)).status_code == 303
    async with transaction() as session:
        found = await session.scalars(select(Task.id).where(Task.priority == Priority.LOW))
        return sorted(map(str, found))


@pytest.mark.parametrize("order", ["", "&sort=title", "&sort=-created"])
@pytest.mark.parametrize("group", GROUPINGS)
async def test_the_first_tasks_that_change_are_those_shown_first(
    alice, transaction, board_path, grouped_path, group, order
) -> None:
    query = f"?view=list&group={group}{order}"
    rows = ROW.findall((await alice.get(f"{board_path}{query}")).text)
    changed = await find_first_changed(alice, transaction, board_path, query)
    assert changed == sorted(rows[:2])


async def test_the_first_tasks_of_the_board_are_those_of_the_first_sections(
    alice, world, transaction, board_path
) -> None:
    undecided, *others = (world.make_task(name, status=Status.REVIEW) for name in "abc")
    await keep(transaction, undecided, *others)
    await keep(transaction, *world.make_approval(undecided))
    changed = await find_first_changed(alice, transaction, board_path, "")
    assert str(undecided.id) in changed
    cards = re.findall(r'<li[^>]* id="task-([^"]*)"', (await alice.get(board_path)).text)
    assert changed == sorted(cards[:2])


async def test_more_rows_are_read_only_by_members_of_the_board(
    alice, bob, world, board_path
) -> None:
    rows = "rows?view=list&only=is.inbox"
    assert (await bob.get(f"/boards/{world.garden.id}/{rows}")).status_code in {403, 404}
    assert (await alice.get(f"{board_path}/{rows}&after=x&shown=x")).status_code == 200
    for unknown in ("only=is.x", "only=none", "only=none&group=due", "only=none&group=priority"):
        assert (await alice.get(f"{board_path}/rows?view=list&{unknown}")).status_code == 404
        page = (await alice.get(f"{board_path}?view=list&{unknown}")).text
        assert "Something went wrong" not in page


async def test_a_list_shows_a_limited_number_of_groups(
    alice, world, transaction, grouped_path, monkeypatch
) -> None:
    monkeypatch.setattr("services.tasks.board_queries.MAX_GROUPS", 2)
    monkeypatch.setattr("services.tasks.MAX_GROUPS", 2)
    address = f"{grouped_path}&group=tag&x=1"
    assert await list_groups(alice, address) == ["Art 1", "Late", "Zoo 1", "Soon"]
    assert "Not all groups are shown." in (await alice.get(address)).text
