"""The pages of a long conversation: earlier comments, and the page that a comment is on."""

import re
import time
from datetime import timedelta
from html import unescape
from itertools import cycle

import pytest

from core.clock import now
from core.db.engine import TransactionFactory
from models import Comment, Event, EventType, Task, new_id
from tests.support.board_pages import keep
from tests.support.cpu_time import MAX_CPU_SECONDS
from tests.support.task_pages import HTMX, IN_DRAWER, IN_PAGE, task, task_path
from tests.support.tiers import repetition
from tests.support.world import World
from web.ui.formatted_texts import RENDERED

__all__ = ["task", "task_path"]

COMMENTS = 1_000


@pytest.fixture
async def comments(transaction: TransactionFactory, world: World, task: Task) -> list[Comment]:
    """A thousand comments, and after them as many events as a page has."""
    start = now() - timedelta(hours=1)
    made = [
        Comment(
            id=new_id(),
            board_id=world.board.id,
            task_id=task.id,
            message=f"Comment {number}.",
            created_at=start + timedelta(seconds=number),
        )
        for number in range(COMMENTS)
    ]
    place = {"organization_id": world.tern.id, "board_id": world.board.id, "task_id": task.id}
    common = {"type": EventType.TASK_UPDATED, "data": {}, "created_at": now(), **place}
    await keep(transaction, *made, *(Event(id=new_id(), **common) for _ in range(200)))
    return made


def list_comments(page: str) -> list[int]:
    return [int(number) for number in re.findall(r"<p>Comment (\d+)\.</p>", page)]


def find_link(page: str, name: str) -> str:
    """Return the address of the part that a link of the conversation loads, or ""."""
    conversation = page.partition('id="conversation"')[2]
    found = re.search(
        rf'<a class="btn btn--sm" href="[^"]*" hx-get="([^"]*)"[^>]*>{name}<', conversation
    )
    return unescape(found[1]) if found else ""


async def test_every_comment_is_on_a_page(alice, task_path, comments) -> None:
    page = await alice.get(f"{task_path}?show=comments")
    assert list_comments(page.text) == list(range(COMMENTS - 30, COMMENTS))
    page = await alice.get(find_link(page.text, "Show earlier"), headers=HTMX)
    shown = list_comments(page.text)
    assert len(shown) == 200
    assert not find_link(page.text, "Show earlier")
    assert not find_link(page.text, "Later")
    while address := find_link(page.text, "Earlier"):
        assert address.startswith(f"{task_path}/conversation?show=comments&before=")
        page = await alice.get(address, headers=HTMX)
        shown[:0] = list_comments(page.text)
        assert find_link(page.text, "Later")
        assert find_link(page.text, "Newest") == f"{task_path}/conversation?show=comments"
    assert shown == list(range(COMMENTS))


async def test_events_do_not_hide_comments(alice, task_path, comments) -> None:
    everything = await alice.get(task_path)
    assert list_comments(everything.text) == []
    more = await alice.get(find_link(everything.text, "Show earlier"), headers=HTMX)
    earlier = await alice.get(find_link(more.text, "Earlier"), headers=HTMX)
    assert list_comments(earlier.text) == list(range(COMMENTS - 200, COMMENTS))
    only = await alice.get(f"{task_path}?show=comments")
    assert list_comments(only.text) == list(range(COMMENTS - 30, COMMENTS))


async def test_links_to_pages_work_without_scripts(alice, task_path, comments) -> None:
    page = (await alice.get(f"{task_path}?view=list&show=comments")).text
    for name, shown in (("Show earlier", 200), ("Earlier", 400)):
        href = re.search(rf'href="([^"]*)#conversation"[^>]*>{name}<', page)
        assert href
        address = unescape(href[1])
        assert address.startswith(f"{task_path}?view=list&show=comments&")
        page = (await alice.get(address)).text
        assert list_comments(page)[0] == COMMENTS - shown


async def test_an_update_keeps_the_first_shown_entry(alice, bob, task_path, comments) -> None:
    page = (await alice.get(f"{task_path}?show=comments")).text
    shown = list_comments(page)
    reload = re.search(r'id="conversation"[^>]* hx-get="([^"]*)"', page)
    assert reload
    await bob.post(f"{task_path}/comments", data={"message": "Comment 5000."})
    updated = (await alice.get(unescape(reload[1]), headers=HTMX)).text
    assert list_comments(updated) == [*shown, 5000]
    first = re.search(r'name="first" value="([^"]*)" form="edit-comment"', updated)
    assert first
    data = {"message": "Comment 6000.", "show": "comments", "first": first[1]}
    answer = await alice.post(f"{task_path}/comments", data=data, headers=HTMX)
    assert list_comments(answer.text) == [*shown, 5000, 6000]


async def test_an_update_shows_at_most_a_whole_page(alice, bob, task_path, comments) -> None:
    page = (await alice.get(f"{task_path}?show=comments&entries=more")).text
    first = re.search(r'name="first" value="([^"]*)"', page)
    assert first
    await bob.post(f"{task_path}/comments", data={"message": "Comment 5000."})
    path = f"{task_path}/conversation?show=comments&first={first[1]}"
    updated = (await alice.get(path, headers=HTMX)).text
    assert list_comments(updated) == [*list_comments(page), 5000][1:]


async def test_all_new_comments_are_shown_at_first(
    alice, bob, transaction, task_path, comments
) -> None:
    await alice.get(task_path)
    for number in range(40):
        await bob.post(f"{task_path}/comments", data={"message": f"Comment {2_000 + number}."})
    page = (await alice.get(task_path)).text
    assert list_comments(page) == list(range(2_000, 2_040))
    assert page.index('id="new"') < page.index("<p>Comment 2000.</p>")


async def test_the_address_of_a_comment_shows_its_page(alice, task_path, comments, world) -> None:
    for number in (0, 500, COMMENTS - 1):
        page = (await alice.get(f"{task_path}?comment={comments[number].id}")).text
        assert number in list_comments(page)
        assert f'id="c-{comments[number].id}"' in page
    found = (await alice.get("/search?q=777")).text
    assert f'href="{task_path}?comment={comments[777].id}#c-{comments[777].id}"' in found


async def test_invalid_pages_are_ignored(alice, task_path, comments, world) -> None:
    for bad in ("", "x" * 5000, "0", str(world.board.id), "%00", f"{comments[0].id}0"):
        page = await alice.get(
            f"{task_path}?show=comments&comment={bad}&before={bad}&after={bad}&first={bad}"
        )
        assert page.status_code == 200
        assert list_comments(page.text)[-1] == COMMENTS - 1


@pytest.mark.parametrize("headers", [IN_PAGE, IN_DRAWER])
async def test_a_reloaded_task_shows_the_same_page(alice, task_path, comments, headers) -> None:
    part = (
        await alice.get(f"{task_path}?show=comments&before={comments[300].id}", headers=headers)
    ).text
    assert list_comments(part) == list(range(100, 300))
    assert 'hx-include="#conversation > [name]"' in part
    place = f'<input type="hidden" name="before" value="{comments[300].id}">'
    shown = '<input type="hidden" name="show" value="comments" form="edit-comment">'
    assert f"{shown}{place}" in part
    reload = re.search(r'id="conversation"[^>]* hx-get="([^"]*)"', part)
    assert reload
    again = (await alice.get(unescape(reload[1]), headers=HTMX)).text
    assert list_comments(again) == list(range(100, 300))


async def test_a_new_comment_shows_the_newest_page(alice, task_path, comments) -> None:
    await alice.get(f"{task_path}?before={comments[300].id}")
    answer = await alice.post(f"{task_path}/comments", data={"message": "Mine."}, headers=HTMX)
    assert "<p>Mine.</p>" in answer.text


async def test_a_new_comment_keeps_the_filter(alice, task_path, comments) -> None:
    path = f"{task_path}/comments?view=list"
    page = (await alice.get(f"{task_path}?show=comments")).text
    assert '<input type="hidden" name="show" value="comments" form="edit-comment">' in page
    for shown, has_events in (("comments", False), ("", True), ("x", True)):
        data = {"message": "Mine.", "show": shown}
        part = (await alice.post(path, data=data, headers=HTMX)).text
        answer = await alice.post(path, data=data)
        whole = await alice.get(answer.headers["Location"])
        rejected = await alice.post(path, data=data | {"message": " "})
        assert rejected.status_code == 422
        for html in (part, whole.text, rejected.text):
            assert "<p>Mine.</p>" in html
            assert ('class="tl__e tl__e--event"' in html) == has_events
            assert ('name="show" value="comments"' in html) != has_events
            assert f'href="{task_path}?view=list' in html


async def test_pages_of_a_conversation_need_access(charlie, task_path, comments) -> None:
    for parameter in ("comment", "before", "after"):
        for path in (task_path, f"{task_path}/conversation"):
            answer = await charlie.get(f"{path}?{parameter}={comments[0].id}")
            assert answer.status_code == 404


@repetition
async def test_hostile_comments_do_not_hold_the_event_loop(
    alice, transaction, world, task_path, task
) -> None:
    """See tests/web/test_formatted_texts.py, and tests/trust/test_event_loop_holds.py for the time.

    The CPU time of this thread is that of the event loop, which no other request can have.
    """
    path = f"{task_path}?entries=more"
    RENDERED.clear()
    units = (
        "(\n> ~~~\n",
        "*a_",
        "**_*",
        "- a\n",
        "[a](b ",
        "`a``b",
        "> > a\nb\n",
        "a|b\n-|-\nc|d\n\n",
    )
    texts = [
        f"<script>alert({number})</script>{unit * (20_000 // len(unit) - 20)}the end of {number}"
        for number, unit in zip(range(60), cycle(units), strict=False)
    ]
    place = {"board_id": world.board.id, "task_id": task.id, "created_at": now()}
    comments = [Comment(id=new_id(), message=text, **place) for text in [*texts, "**ordinary**"]]
    await keep(transaction, *comments)
    start = time.thread_time()
    first = (await alice.get(path)).text
    assert time.thread_time() - start < MAX_CPU_SECONDS
    assert "<strong>ordinary</strong>" in first
    assert first.count("Shown as plain text because") > 20
    second = (await alice.get(path)).text
    assert (
        0 < second.count("Shown as plain text because") < first.count("Shown as plain text because")
    )
    for page in (first, second):
        assert all(f"the end of {number}<" in page for number in range(60))
        assert "<script>alert" not in page
    RENDERED.clear()
