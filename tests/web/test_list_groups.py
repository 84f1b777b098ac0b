"""The groups of the list of a board."""

import re
from datetime import timedelta

import pytest

from core.clock import now
from models import Priority, Status, Tag, TagAssignment
from tests.support.board_pages import keep

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


async def test_a_long_group_shows_more_tasks(alice, board_path, world, transaction) -> None:
    await keep(transaction, *(world.make_task(f"Task {number}") for number in range(60)))
    shown = await list_groups(alice, f"{board_path}?view=list&group=due")
    assert (shown[0], len(shown)) == ("No due date 60", 51)
    page = (await alice.get(f"{board_path}?view=list&group=due")).text
    [rest] = re.findall(r'class="more" id="more-0" href="([^"]*)"', page)
    assert len(await list_groups(alice, rest.replace("&amp;", "&"))) == 61
