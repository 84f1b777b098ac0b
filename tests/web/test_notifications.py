"""The page of notifications, and how they become read."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest

from core.clock import now
from core.db.engine import TransactionFactory
from models import Notification, NotificationKind, Status, User, new_id
from tests.support.board_rows import make_notification
from tests.support.world import World

HTMX = {"HX-Request": "true", "HX-Request-Type": "partial"}
Kind = NotificationKind
Add = Callable[..., Awaitable[Notification]]


@pytest.fixture
def add(world: World, transaction: TransactionFactory) -> Add:
    async def add(user: User, **fields: Any) -> Notification:
        notification = make_notification(world.board, user, **fields)
        async with transaction() as session:
            session.add(notification)
        return notification

    return add


async def is_read(transaction: TransactionFactory, id: UUID) -> bool:
    async with transaction() as session:
        return (await session.get_one(Notification, id)).read_at is not None


async def test_a_notification_says_what_has_happened_and_where(bob, add, world) -> None:
    data = {"title": "Write <i>it</i>", "excerpt": "Look, <b>Bob</b>"}
    one = await add(world.bob, actor_agent_id=world.worker.id, data=data, count=3)
    await add(world.alice, data={"title": "Not for Bob"})
    page = (await bob.get("/notifications")).text
    assert f'href="/notifications/{one.id}">{world.worker.name} mentioned you: Write &lt;i' in page
    assert "Look, &lt;b&gt;Bob" in page
    assert world.board.name in page
    assert "3 times" in page
    assert "(unread)" in page
    assert "Not for Bob" not in page


async def test_without_notifications_the_page_says_what_comes(bob) -> None:
    assert "No notifications yet." in (await bob.get("/notifications")).text
    narrowed = (await bob.get("/notifications?unread=1")).text
    assert "No matching notifications." in narrowed
    assert 'href="/notifications"' in narrowed


async def test_notifications_show_plain_comments_and_what_is_over(bob, add, world) -> None:
    await add(world.bob, data={"title": "Write", "excerpt": "- **Look** at `it`"})
    await add(world.bob, kind=Kind.DUE_SOON, read_at=now(), resolved_at=now())
    page = (await bob.get("/notifications")).text
    assert ">Look at it</p>" in page
    assert "no longer open" in page


async def test_every_page_shows_the_number_of_unread_ones(bob, rita, add, world) -> None:
    for _ in range(2):
        await add(world.bob)
    await add(world.bob, read_at=now())
    await add(world.bob, resolved_at=now())
    for address in ("/activity", "/notifications/count"):
        page = (await bob.get(address)).text
        assert page.count('<span class="count">2</span><span class="vh"> unread') == 2
    assert "unread</span>" not in (await rita.get("/notifications/count")).text


@pytest.mark.parametrize(
    ("kind", "data", "count"),
    [
        (Kind.APPROVAL_PENDING, {"question": "Deploy?"}, 0),
        (Kind.APPROVAL_UNDECIDED, {"question": "Deploy?"}, 0),
        (Kind.QUESTION, {"title": "Write", "question_id": "1"}, 0),
        (Kind.QUESTION, {"title": "Launch"}, 1),  # of the lead, in the chat
        (Kind.DECIDED, {"question": "Deploy?", "status": "approved"}, 1),
    ],
)
async def test_what_needs_somebody_is_not_counted_again_as_unread(
    bob, add, world, kind, data, count
) -> None:
    await add(world.bob, kind=kind, data=data)
    for address in ("/activity", "/notifications/count"):
        page = (await bob.get(address)).text
        assert page.count('<span class="count">1</span><span class="vh"> unread') == 2 * count
    assert "(unread)" in (await bob.get("/notifications")).text


async def test_filters_are_links(bob, add, world) -> None:
    await add(world.bob, data={"title": "A mention"})
    await add(world.bob, data={"title": "Read before"}, read_at=now())
    await add(world.bob, kind=Kind.AGENT_OFFLINE, data={"name": "Bee"})
    unread = (await bob.get("/notifications?unread=1&group=tasks", headers=HTMX)).text
    assert "A mention" in unread
    assert "Read before" not in unread
    assert "Bee is offline" not in unread
    agents = (await bob.get(f"/notifications?group=agents&board={world.board.id}")).text
    assert "Bee is offline" in agents
    assert "A mention" not in agents
    ignored = await bob.get("/notifications?group=nothing&board=x&offset=-3&unread=yes")
    assert "Read before" in ignored.text


async def test_the_list_has_pages(bob, add, world, monkeypatch) -> None:
    monkeypatch.setattr("web.notifications.views.PAGE_SIZE", 2)
    for number in range(3):
        await add(world.bob, data={"title": f"Number {number}"})
    first = (await bob.get("/notifications")).text
    assert "Number 0" not in first
    assert 'href="/notifications?offset=2">Earlier' in first
    second = (await bob.get("/notifications?offset=2")).text
    assert "Number 0" in second
    assert "Number 2" not in second
    assert (await bob.get("/notifications?offset=999999999999")).status_code == 200


async def test_opening_one_reads_it_and_leads_to_its_object(bob, add, transaction, world) -> None:
    task_id = new_id()
    one = await add(world.bob, task_id=task_id)
    response = await bob.get(f"/notifications/{one.id}")
    assert response.status_code == 303
    assert response.headers["Location"] == f"/boards/{world.board.id}/tasks/{task_id}"
    assert await is_read(transaction, one.id)


async def test_one_can_be_marked_as_read_and_unread(bob, add, transaction, world) -> None:
    one = await add(world.bob)
    path = f"/notifications/{one.id}/readings?group=tasks"
    response = await bob.post(f"{path}&offset=50", data={"read": "1"})
    assert response.headers["Location"] == "/notifications?group=tasks&offset=50"
    assert await is_read(transaction, one.id)
    response = await bob.post(path, data={"read": "0"}, headers=HTMX)
    assert not await is_read(transaction, one.id)
    assert "(unread)" in response.text
    assert 'id="more-unread" hx-swap-oob' in response.text
    assert (await bob.post(path, data={"read": "maybe"})).status_code == 422


async def test_all_of_a_filter_are_marked_as_read(bob, add, transaction, world) -> None:
    mention, stop = await add(world.bob), await add(world.bob, kind=Kind.AGENTS_STOPPED)
    response = await bob.post("/notifications/readings?group=agents")
    assert response.headers["Location"] == "/notifications?group=agents"
    assert await is_read(transaction, stop.id)
    assert not await is_read(transaction, mention.id)
    assert "Mark all as read" not in (await bob.post("/notifications/readings", headers=HTMX)).text
    assert await is_read(transaction, mention.id)


async def test_notifications_of_others_do_not_exist(bob, charlie, add, transaction, world) -> None:
    of_alice = await add(world.alice)
    hidden = await add(world.bob, board_id=world.garden.id)
    for one in (of_alice, hidden):
        for client in (bob, charlie):
            assert (await client.get(f"/notifications/{one.id}")).status_code == 404
            response = await client.post(f"/notifications/{one.id}/readings", data={"read": "1"})
            assert response.status_code == 404
        assert not await is_read(transaction, one.id)


async def test_a_page_reads_the_notifications_about_its_object(
    alice, add, transaction, world
) -> None:
    task = world.make_task(status=Status.REVIEW)
    [approval, *links] = world.make_approval(task)
    async with transaction() as session:
        session.add_all([task, approval, *links])
    about = {
        f"/boards/{world.board.id}/tasks/{task.id}": {"task_id": task.id},
        f"/approvals/{approval.id}": {
            "approval_id": approval.id,
            "kind": Kind.APPROVAL_PENDING,
        },
        f"/agents/{world.worker.id}": {"agent_id": world.worker.id, "kind": Kind.AGENT_HELD},
        f"/boards/{world.board.id}/chat": {"kind": Kind.QUESTION},
    }
    for path, fields in about.items():
        one, other = await add(world.alice, **fields), await add(world.bob, **fields)
        page = await alice.get(path)
        assert page.status_code == 200, path
        assert await is_read(transaction, one.id), path
        assert not await is_read(transaction, other.id), path
        assert 'id="notification-count"' in page.text


async def test_texts_are_in_the_language_of_the_reader(bob, add, world) -> None:
    await add(world.bob, kind=Kind.AGENT_OFFLINE, data={"name": "Bee"})
    page = (await bob.get("/notifications?lang=de")).text
    assert "Bee ist offline" in page
    assert "Als gelesen markieren" in page
