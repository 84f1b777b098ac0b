"""Pickers: their options, who sees them, and how a value is chosen without scripts."""

import re
from urllib.parse import urlencode

import httpx2
import pytest

from models import Status, new_id
from services.pickers import MAX_COUNT, PickerKind
from tests.support.board_pages import keep
from tests.support.board_rows import make_agent, make_board, make_tag
from tests.support.plain_browser import PlainPage
from web.pickers import MAX_CHOSEN

HTMX = {"HX-Request": "true"}


async def list_names(client: httpx2.AsyncClient, address: str, **query: str) -> list[str]:
    """Return the names of the options that a picker lists."""
    path = f"{address}{'&' if '?' in address else '?'}{urlencode(query)}"
    answer = await client.get(path, headers=HTMX)
    assert answer.status_code == 200, answer.text
    return re.findall(r'data-name="([^"]*)"', answer.text)


async def test_options_are_a_page_by_name_with_their_number(alice, world, transaction) -> None:
    agents = [make_agent(f"Agent {number:04}", world.board) for number in range(MAX_COUNT + 1)]
    await keep(transaction, *agents)
    names = await list_names(alice, "/pick/agents?name=agent")
    assert names == [f"Agent {number:04}" for number in range(20)]
    answer = await alice.get("/pick/agents?name=agent", headers=HTMX)
    assert "20 of 1,000+" in answer.text
    assert len(answer.content) < 12_000
    for text in ("T 0917", "917 agent"):
        assert await list_names(alice, "/pick/agents", q=text) == ["Agent 0917"]
    for text in ("%25_/", "agent+%5C", "agent+x"):
        assert "No results." in (await alice.get(f"/pick/agents?q={text}", headers=HTMX)).text


async def test_an_admin_is_led_to_create_what_is_missing(alice, bob, world, transaction) -> None:
    link = 'href="/tags/new"'
    for headers in (HTMX, {}):
        empty = (await alice.get("/pick/tags?name=tag_ids", headers=headers)).text
        assert "No tags yet." in empty
        assert link in empty
        as_member = (await bob.get("/pick/tags?name=tag_ids", headers=headers)).text
        assert "No tags yet." in as_member
        assert link not in as_member
        searched = (await alice.get("/pick/tags?name=tag_ids&q=urgent", headers=headers)).text
        assert "No results." in searched
        assert "No tags yet." not in searched
    await keep(transaction, make_tag(world.tern, "Urgent"))
    for path in ("/pick/tags", "/pick/tag-slugs"):
        assert link not in (await alice.get(path, headers=HTMX)).text


async def test_what_was_chosen_lately_is_first(alice, world, transaction) -> None:
    tags = [make_tag(world.tern, f"Tag {number:02}") for number in range(30)]
    foreign = make_tag(world.plover, "Foreign")
    await keep(transaction, *tags, foreign)
    recent = f"{tags[25].id},{foreign.id},no-id,{tags[3].id}"
    names = await list_names(alice, "/pick/tags", recent=recent)
    assert names[:4] == ["Tag 25", "Tag 03", "Tag 00", "Tag 01"]
    assert len(names) == len(set(names)) == 20


async def test_a_value_that_cannot_be_stored_is_unknown(alice, board_path) -> None:
    for query in ("recent=%00,x", "q=%00", "name=tag&return=/x%3Ftag%3D%2500"):
        for headers in (HTMX, {}):
            answer = await alice.get(f"/pick/tag-slugs?{query}", headers=headers)
            assert answer.status_code == 200, query
    for query in ("pick.tag=%00", "tag=%00"):
        assert (await alice.get(f"{board_path}?{query}")).status_code == 200, query


async def test_options_are_those_that_the_member_may_read(alice, bob, rita, world) -> None:
    assert await list_names(bob, "/pick/boards") == ["Launch"]
    assert await list_names(rita, "/pick/changeable-boards") == []
    assert world.gardener.name not in await list_names(bob, "/pick/agents")
    assert world.gardener.name in await list_names(alice, "/pick/agents")
    workers = await list_names(alice, f"/pick/assignees?board={world.board.id}")
    assert world.lead.name not in workers
    assert {world.worker.name, "Bob", "Rita"} <= set(workers)
    assert "Dana" not in workers
    garden = f"board={world.garden.id}"
    for client, kind, query, status in [
        (bob, "assignees", garden, 403),
        (bob, "assignees", f"board={world.charlies_board.id}", 404),
        (bob, "tasks", "", 404),
        (bob, "gateways", "", 403),
        (bob, "skill-packs", "", 403),
        (bob, "nothing", "", 404),
    ]:
        answer = await client.get(f"/pick/{kind}?{query}", headers=HTMX)
        assert answer.status_code == status, kind


@pytest.mark.parametrize("kind", PickerKind)
async def test_nobody_finds_what_belongs_to_others(kind, charlie, alice, world) -> None:
    board = {"board": str(world.charlies_board.id)} if kind in ("assignees", "tasks") else {}
    ours = set(await list_names(alice, f"/pick/{kind}", board=str(world.board.id)))
    assert ours.isdisjoint(await list_names(charlie, f"/pick/{kind}", **board))


async def test_a_task_cannot_depend_on_itself_or_its_dependents(alice, world, transaction) -> None:
    first, second = world.make_task("First"), world.make_task("Second", status=Status.DONE)
    await keep(transaction, first, second)
    address = f"/pick/tasks?board={world.board.id}&task={first.id}"
    assert await list_names(alice, address) == ["Second"]
    assert await list_names(alice, address, q="seco") == ["Second"]
    assert await list_names(alice, address, q="...") == []


async def test_a_task_is_made_with_a_picker_without_scripts(
    alice, world, board_path, transaction
) -> None:
    await keep(transaction, *(make_tag(world.tern, name) for name in ("Rope", "Sail")))
    page = await PlainPage(alice).open(f"{board_path}/tasks/new")
    page.fill("Title", "Mend the sail")
    page.fill("Priority", "High")
    await page.press("Let")
    assert page.heading == "Choose an agent or a person"
    page.fill("Search", "bob")
    await page.press("Search")
    await page.follow("Bob")
    assert page.get_field("Title").value == "Mend the sail"
    assert page.get_field("Priority").value == "High"
    assert "Nothing has changed yet" not in page.text
    for name in ("Rope", "Sail"):
        await page.press("Add", "new-task-form")
        await page.follow(name)
    await page.press("Add", "new-task-form")
    await page.follow("Remove Rope")
    assert page.get("button", "Bob").is_shown
    await page.press("Add task")
    assert "Mend the sail" in page.text
    assert "Sail" in page.part("column-inbox")
    assert "Rope" not in page.part("column-inbox")
    assert "Bob" in page.part("column-inbox")


async def test_a_rejected_form_keeps_the_names_of_what_was_chosen(alice, world, board_path) -> None:
    fields = {"title": "", "assignee": str(world.worker.id)}
    page = (await alice.post(f"{board_path}/tasks", data=fields)).text
    assert f'name="assignee" value="{world.worker.id}"' in page
    assert re.search(rf'id="new-assignee-value".*{world.worker.name}', page)


@pytest.mark.parametrize(
    "back",
    ["//evil.example/", "https://evil.example", "/\\evil.example", "/\t/\t//evil.example"],
)
async def test_a_picker_leads_only_to_own_pages(alice, back) -> None:
    query = urlencode({"name": "agent", "return": back})
    page = await PlainPage(alice).open(f"/pick/agents?{query}")
    links = [one.attributes["href"] for one in page.part("content").find_all("a")]
    assert links
    assert not [link for link in links if "evil" in link]


async def test_a_value_is_put_into_the_address_of_the_page(alice, world) -> None:
    query = {"name": "agent", "return": "/activity?agent=x&q=%26&offset=50", "none": 1}
    page = await PlainPage(alice).open(f"/pick/agents?{urlencode(query)}")
    link = page.get("a", world.worker.name).attributes["href"]
    assert link == f"/activity?q=%26&agent={world.worker.id}"
    assert page.get("a", "No choice").attributes["href"] == "/activity?q=%26"


async def test_a_form_is_kept_only_for_its_user(alice, bob, world, board_path) -> None:
    page = await PlainPage(alice).open(f"{board_path}/tasks/new")
    page.fill("Title", "Secret plan")
    await page.press("Let")
    other = await PlainPage(bob).open(page.address)
    await other.follow(world.worker.name)
    assert other.get_field("Title").value == ""


async def test_long_names_and_numbers_do_no_harm(alice, world, transaction) -> None:
    await keep(transaction, make_board("<b>" + "x" * 200, world.tern))
    text = (await alice.get("/pick/boards", headers=HTMX)).text
    assert "&lt;b&gt;" in text
    assert "<b>x" not in text
    for name, value in [("q", "("), ("offset", "9"), ("recent", ","), ("name", "a")]:
        query = f"{name}={value * 5_000}"
        assert (await alice.get(f"/pick/boards?{query}", headers=HTMX)).status_code == 200


async def test_the_page_of_a_picker_does_not_grow_with_the_square_of_its_values(
    alice, world, board_path
) -> None:
    def get_address(*values: object) -> str:
        back = f"/activity?{urlencode([('a', value) for value in values])}"
        return f"/pick/agents?{urlencode({'name': 'a', 'several': 1, 'return': back})}"

    page = await alice.get(get_address(*(new_id() for _ in range(MAX_CHOSEN))))
    assert page.status_code == 200
    assert page.text.count("Remove<span") == MAX_CHOSEN
    assert len(page.content) < 2_000_000
    refused = [
        await alice.get(get_address(*range(3_000))),
        await alice.get(get_address("x" * 20_000)),
        await alice.get(get_address(*("&" * 300 for _ in range(40)))),
    ]
    for answer in refused:
        assert answer.status_code == 422
        assert "Too many values" in answer.text
        assert len(answer.content) < 1_000_000
    for count, length in [(1_900, 200), (50, 40_000), (1, 2_000_000)]:
        data = {"a": [f"{number:0{length}}" for number in range(count)]}
        left = await alice.post("/pick/agents?name=a&several=1", data=data)
        page = await alice.get(left.headers["Location"])
        assert page.status_code == 200
        assert len(page.content) < 200_000


async def test_tasks_are_assigned_and_tagged_without_scripts(
    alice, world, board_path, transaction
) -> None:
    tasks = [world.make_task("Coil the rope"), world.make_task("Bail the boat")]
    await keep(transaction, *tasks, make_tag(world.tern, "Deck"))
    page = await PlainPage(alice).open(f"{board_path}/tasks/{tasks[0].id}")
    await page.press("Assignee:")
    await page.follow("Rita")
    await page.press("Save: Rita")
    assert page.get("button", "Rita").is_shown
    await page.press("Choose", "task-dependencies")
    await page.follow("Bail the boat", "content")
    await page.press("Add", "task-dependencies")
    assert "Bail the boat" in page.part("task-dependencies")

    await page.open(f"{board_path}?view=list")
    page.check("Select “Bail the boat”")
    await page.press("Add a tag")
    assert page.heading == "Add a tag"
    assert "For 1 selected task" in page.text
    await page.follow("Deck")
    assert "open" in page.part("bulk-tags").attributes
    await page.press("Save: Deck")
    await page.open(f"{board_path}/tasks/{tasks[1].id}")
    assert "Deck" in page.part("edit-tags")


@pytest.mark.parametrize("rest", [b"&x=1" * 2_000, b"&description=caf%E9", b"&description=\xff"])
async def test_a_form_that_cannot_be_read_is_kept_in_part(alice, board_path, rest) -> None:
    html = (await alice.get(f"{board_path}/tasks/new")).text
    origin = re.findall(r'name="form_origin" value="([^"]*)"', html)
    body = urlencode({"form_origin": origin[0], "title": "Mend the sail"}).encode() + rest
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await alice.post("/pick/assignees?name=assignee", content=body, headers=headers)
    assert answer.status_code == 422
    assert "at most 2,000 values" in answer.text
    [back] = re.findall(rf'href="({board_path}/tasks/new[?]kept=[^"]*)"', answer.text)
    page = await PlainPage(alice).open(back)
    assert page.get_field("Title").value == "Mend the sail"
    assert "could not be read" in page.text
