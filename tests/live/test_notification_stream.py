"""The pages of a user learn that the notifications of this user have changed, and no others."""

from functools import partial

import pytest

from core.db.listen import PostgresListener
from models import NotificationKind, new_id
from services import notifications, tags
from services.notifications import NewNotification, NotificationStreams
from tests.support.page_stream import open_page, server_url

__all__ = ["server_url"]


@pytest.fixture
def new(isolated_world) -> NewNotification:
    world = isolated_world
    return NewNotification(
        NotificationKind.MENTION,
        world.tern.id,
        "comment:1",
        user_ids=[world.bob.id],
        board=world.board,
    )


async def test_only_the_pages_of_the_user_are_told(
    url, isolated_transaction, isolated_world, new
) -> None:
    world = isolated_world
    async with (
        open_page(url, world.alice) as other,
        open_page(url, world.bob) as page,
        open_page(url, world.bob) as second,
    ):
        async with isolated_transaction() as session:
            await notifications.notify(session, [new])
        for one in (page, second):
            await one.wait_for("notifications")
        async with isolated_transaction() as session:
            await notifications.resolve(session, [new.kind], [new.key])
        await page.wait_for("notifications")
        assert other.names.empty()


async def test_a_page_that_has_missed_events_reads_its_notifications(
    url, isolated_transaction, isolated_world, new
) -> None:
    world = isolated_world
    async with isolated_transaction() as session:
        await notifications.notify(session, [new])
        await tags.create_tag(session, world.alice_member, tags.TagCreate(name="News"))
    async with open_page(url, world.bob) as page:
        assert page.names.empty()
    async with open_page(url, world.bob, **{"Last-Event-ID": "0"}) as page:
        await page.wait_for("notifications")


def test_pages_read_their_notifications_after_an_interruption() -> None:
    listener = PostgresListener()
    streams = NotificationStreams(listener)
    woken: list[str] = []
    pages = [
        streams.join(new_id(), partial(woken.append, name), may_have_missed=False)
        for name in ("one", "other")
    ]
    listener.report_missed_notification()
    assert woken == ["one", "other"]
    assert all(page.has_change for page in pages)
