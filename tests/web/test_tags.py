"""The list of tags, the tasks of a tag, and the forms that change it."""

import re
from typing import Any

import pytest
from sqlalchemy import select, update

from core.clock import now
from core.db.engine import TransactionFactory
from models import Tag, TagAssignment, Task, new_id
from tests.support.board_rows import make_tag, make_task
from tests.support.shown_forms import form_of
from tests.support.world import World

HTMX = {"HX-Request": "true"}
NEW = {"name": "Spring cleaning", "color": "#2F6F6A", "description": "Tidy up"}


def tag_task(tag: Tag, task: Task) -> TagAssignment:
    return TagAssignment(id=new_id(), task=task, tag=tag, created_at=now())


@pytest.fixture
async def tag(world: World, transaction: TransactionFactory) -> Tag:
    """Create the tag Words with two tasks on Launch and one on Garden."""
    tag = make_tag(world.tern, "Words", description="About texts")
    tasks = [make_task(world.board, "One"), make_task(world.board, "Two")]
    tasks.append(make_task(world.garden, "Three"))
    async with transaction() as session:
        session.add_all([tag, make_tag(world.tern, "Bugs"), *tasks])
        session.add_all([tag_task(tag, task) for task in tasks])
    return tag


@pytest.fixture
def tag_path(tag: Tag) -> str:
    return f"/tags/{tag.id}"


async def load_tags(transaction: TransactionFactory) -> dict[str, Tag]:
    async with transaction() as session:
        return {tag.name: tag for tag in await session.scalars(select(Tag))}


def list_names(page: str) -> list[str]:
    return re.findall(
        r'<tr data-item.*?<span class="trunc" dir="auto">(\w+)</span></span></a>', page, re.S
    )


async def test_members_see_the_tags_of_their_organization(
    alice, bob, rita, charlie, tag_path
) -> None:
    page = (await alice.get("/tags")).text
    assert list_names(page) == ["Bugs", "Words"]
    assert "About texts" in page
    assert "3 tasks" in page
    assert 'fill="#9e9e9e"' in page
    assert 'href="/tags/new"' in page
    for browser in (bob, rita):
        page = (await browser.get("/tags")).text
        assert list_names(page) == ["Bugs", "Words"]
        assert 'href="/tags/new"' not in page
        assert f'href="{tag_path}/edit"' not in page
    page = (await charlie.get("/tags")).text
    assert "No tags yet." in page


async def test_tags_are_sorted_and_filtered(alice, tag) -> None:
    assert list_names((await alice.get("/tags?sort=-name")).text) == ["Words", "Bugs"]
    assert list_names((await alice.get("/tags?sort=tasks")).text) == ["Bugs", "Words"]
    assert list_names((await alice.get("/tags?sort=-tasks")).text) == ["Words", "Bugs"]
    for sort in ("slug", "updated", "", "--name", "nothing"):
        assert len(list_names((await alice.get(f"/tags?sort={sort}")).text)) == 2
    page = (await alice.get("/tags?q=ORD&sort=-tasks")).text
    assert list_names(page) == ["Words"]
    assert "/tags?q=ORD&amp;sort=tasks" in page
    part = (await alice.get("/tags?q=words", headers=HTMX)).text
    assert "<html" not in part
    assert list_names(part) == ["Words"]
    for text in ("%25", "_", "%00", "x" * 300):
        assert "No matching tags." in (await alice.get(f"/tags?q={text}")).text or text == "%00"


async def test_many_tags_are_shown_page_by_page(alice, transaction, world) -> None:
    async with transaction() as session:
        session.add_all([make_tag(world.tern, f"Tag {number:03}") for number in range(205)])
    first = (await alice.get("/tags?sort=-name")).text
    assert first.count("data-item") == 100
    assert 'id="tags-count">205<' in first
    assert "1 to 100 of 205" in first
    assert 'href="/tags?sort=-name&amp;offset=100">Next' in first
    assert "Previous</a>" not in first
    for offset in (200, 299, 10_000):
        last = (await alice.get(f"/tags?sort=-name&offset={offset}")).text
        assert last.count("data-item") == 5
        assert 'hx-get="/tags?sort=-name&amp;offset=200"' in last
        assert 'href="/tags?sort=-name&amp;offset=100">Previous' in last
        assert "Next</a>" not in last


async def test_a_tag_leads_to_its_tasks_on_readable_boards(
    alice, bob, dana, charlie, tag_path, world
) -> None:
    page = (await alice.get(tag_path)).text
    assert page.index("Garden") < page.index("2 tasks")
    assert f'href="/boards/{world.board.id}?view=list&amp;tag=words"' in page
    page = (await bob.get(tag_path)).text.split('id="content"')[1]
    assert "Garden" not in page
    assert "Boards that you cannot read" in page
    assert "Boards that you cannot read" in (await dana.get(tag_path)).text
    assert (await charlie.get(tag_path)).status_code == 404
    board = (await alice.get(f"/boards/{world.board.id}?view=list&tag=words")).text
    assert "One" in board


async def test_an_admin_creates_a_tag(dana, transaction) -> None:
    assert (await dana.get("/tags/new")).status_code == 200
    answer = await dana.post("/tags", data=NEW)
    assert answer.status_code == 303
    assert answer.headers["Location"] == "/tags"
    tag = (await load_tags(transaction))["Spring cleaning"]
    assert (tag.slug, tag.color, tag.description) == ("spring-cleaning", "2f6f6a", "Tidy up")


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        ({"name": " "}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"slug": "words"}, "slug"),
        ({"slug": "x" * 201}, "slug"),
        ({"color": "red"}, "color"),
        ({"color": ""}, "color"),
        ({"color": "12345"}, "color"),
        ({"description": "x" * 20_001}, "description"),
    ],
)
async def test_an_error_is_shown_beside_its_field(
    alice, tag, tag_path, transaction, sent: dict[str, Any], field: str
) -> None:
    other = (await load_tags(transaction))["Bugs"]
    for path in ("/tags", f"/tags/{other.id}/edit"):
        answer = await alice.post(path, data=NEW | sent)
        assert answer.status_code in (409, 422)
        assert f'id="field-{field}-error"' in answer.text
        assert "Tidy up" in answer.text or field == "description"
    assert set(await load_tags(transaction)) == {"Bugs", "Words"}


async def test_an_admin_changes_a_tag(dana, tag, tag_path, transaction) -> None:
    page = (await dana.get(f"{tag_path}/edit")).text
    assert 'value="words"' in page
    assert "It is removed from 3 tasks." in page
    answer = await dana.post(f"{tag_path}/edit", data=NEW | {"slug": ""})
    assert answer.headers["Location"] == "/tags"
    changed = (await load_tags(transaction))["Spring cleaning"]
    assert (changed.id, changed.slug) == (tag.id, "spring-cleaning")
    assert (await dana.post(f"{tag_path}/edit", data=NEW)).status_code == 303


async def test_changes_of_two_admins_to_a_tag_are_both_kept(
    alice, dana, tag_path, transaction
) -> None:
    own = form_of((await alice.get(f"{tag_path}/edit")).text, "description")
    del own["form_id"], own["form_origin"]
    own |= {"name": "Words", "slug": "words", "color": "9e9e9e"}
    await dana.post(f"{tag_path}/edit", data=own | {"color": "112233"})
    await alice.post(f"{tag_path}/edit", data=own | {"description": "Mine"})
    changed = (await load_tags(transaction))["Words"]
    assert (changed.color, changed.description) == ("112233", "Mine")
    stale = await dana.post(f"{tag_path}/edit", data=own | {"description": "Hers"})
    assert stale.status_code == 409
    assert "Hers" in stale.text
    assert "Mine" in stale.text
    assert (await dana.post(f"{tag_path}/edit", data=own)).status_code == 303


async def test_a_tag_whose_name_has_hidden_characters_can_be_changed(
    dana, tag, tag_path, transaction
) -> None:
    hidden = "\u202eWords"
    async with transaction() as session:
        await session.execute(update(Tag).where(Tag.id == tag.id).values(name=hidden))
    own = form_of((await dana.get(f"{tag_path}/edit")).text, "description")
    own |= {"name": hidden, "slug": "words", "color": "112233"}
    assert (await dana.post(f"{tag_path}/edit", data=own)).status_code == 303
    assert (await load_tags(transaction))[hidden].color == "112233"


async def test_an_admin_deletes_a_tag(dana, tag_path, transaction) -> None:
    answer = await dana.post(f"{tag_path}/deletions")
    assert answer.headers["Location"] == "/tags"
    assert set(await load_tags(transaction)) == {"Bugs"}
    async with transaction() as session:
        assert (await session.scalars(select(TagAssignment))).all() == []
        assert len((await session.scalars(select(Task))).all()) == 3
    assert (await dana.post(f"{tag_path}/deletions")).status_code == 404


async def test_members_and_strangers_change_no_tags(
    bob, rita, charlie, tag_path, transaction
) -> None:
    for path, data in [("/edit", NEW), ("/deletions", {})]:
        for browser in (bob, rita):
            assert (await browser.post(tag_path + path, data=data)).status_code == 403
        assert (await charlie.post(tag_path + path, data=data)).status_code == 404
    assert (await charlie.get(f"{tag_path}/edit")).status_code == 404
    for browser in (bob, rita):
        assert (await browser.get("/tags/new")).status_code == 403
        assert (await browser.get(f"{tag_path}/edit")).status_code == 403
        assert (await browser.post("/tags", data=NEW)).status_code == 403
    assert set(await load_tags(transaction)) == {"Bugs", "Words"}
