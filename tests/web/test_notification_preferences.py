"""The page on which users choose what they are notified of, where and when."""

import re
from collections.abc import Mapping

import httpx2
import pytest
from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.engine import TransactionFactory
from models import BoardAccess, ChannelKind, Member, NotificationChannel, NotificationKind, new_id
from services import notifications
from services.notifications import Choice, NotificationPreferencesUpdate, Preferences
from tests.support.board_rows import make_board
from tests.support.people_rows import make_board_access
from tests.support.plain_browser import PlainPage
from tests.support.world import World

PATH = "/settings/notifications"
Kind = NotificationKind


@pytest.fixture
async def channel(world: World, transaction: TransactionFactory) -> NotificationChannel:
    channel = NotificationChannel(
        id=new_id(),
        user_id=world.bob.id,
        organization_id=world.tern.id,
        kind=ChannelKind.NTFY,
        name="Phone <b>",
        encrypted_config="",
        paused_at=now(),
        confirmed_at=now(),
        created_at=now(),
        updated_at=now(),
    )
    async with transaction() as session:
        session.add(channel)
    return channel


async def save_choices(
    session: AsyncSession, member: Member, choices: Mapping[Choice, bool | None]
) -> None:
    locked = await notifications.lock_preferences(session, member)
    rows = [
        {**choice._asdict(), "is_enabled": is_enabled} for choice, is_enabled in choices.items()
    ]
    changes = NotificationPreferencesUpdate.of(choices=rows)
    await notifications.update_preferences(session, member, locked, changes)


async def load(transaction: TransactionFactory, member: Member) -> Preferences:
    async with transaction() as session:
        return await notifications.load_preferences(session, member)


async def read_hashes(client: httpx2.AsyncClient, address: str = PATH) -> dict[str, str]:
    """Return the hidden fields of the forms on the page."""
    page = (await client.get(address)).text
    return dict(re.findall(r'name="(shown\.[^"]+)" value="([^"]+)"', page))


async def test_the_table_shows_kinds_channels_and_defaults(bob, channel) -> None:
    page = (await bob.get(PATH)).text
    assert "Phone &lt;b&gt;" in page
    assert "paused" in page
    assert f'name="mention.{channel.id}" value="on" aria-label="Mention: Phone' in page
    boxes = dict(re.findall(r'name="([\w.-]+)" value="on" aria-label="[^"]*"( checked)?', page))
    assert boxes["mention.app"] == boxes[f"mention.{channel.id}"] == " checked"
    assert boxes["task_changed.app"] == " checked"
    assert boxes[f"task_changed.{channel.id}"] == ""
    assert "invitation.app" not in boxes


async def test_without_a_channel_the_page_says_so(rita) -> None:
    assert "You have no channels yet" in (await rita.get(PATH)).text


async def test_choices_are_saved(bob, channel, transaction, world) -> None:
    hashes = await read_hashes(bob)
    on = {name.removeprefix("shown."): "on" for name in hashes if name.endswith(".app")}
    del on["due_soon.app"]
    response = await bob.post(f"{PATH}/choices", data=hashes | on)
    assert response.headers["Location"].startswith(f"{PATH}?saved=")
    found = (await load(transaction, world.bob_member)).stored
    assert found[Choice(Kind.DUE_SOON)] is False
    assert found[Choice(Kind.MENTION, None, channel.id)] is False
    assert Choice(Kind.MENTION) not in found
    assert Choice(Kind.TASK_CHANGED, None, channel.id) not in found


async def test_a_form_without_a_new_channel_does_not_switch_it_off(
    bob, transaction, world, channel
) -> None:
    hashes = await read_hashes(bob)
    without_channel = {name: value for name, value in hashes.items() if name.endswith(".app")}
    await bob.post(f"{PATH}/choices", data=without_channel)
    found = (await load(transaction, world.bob_member)).stored
    assert {choice.channel_id for choice in found} == {None}


async def test_a_board_has_choices_of_its_own(bob, channel, transaction, world) -> None:
    address = f"{PATH}?board={world.board.id}"
    page = (await bob.get(address)).text
    assert "As for all boards: on" in page
    assert "agents_stopped.app" not in page
    data = await read_hashes(bob, address)
    data |= {f"mention.{channel.id}": "0", "assigned.app": "1", "due_soon.app": "perhaps"}
    response = await bob.post(f"{PATH}/choices?board={world.board.id}", data=data)
    assert response.headers["Location"].startswith(f"{address}&saved=")
    assert (await load(transaction, world.bob_member)).stored == {
        Choice(Kind.MENTION, world.board.id, channel.id): False,
        Choice(Kind.ASSIGNED, world.board.id): True,
    }
    board_page = await PlainPage(bob).open(address)
    assert board_page.get_field("Mention: Phone <b>").value == "Off"
    assert board_page.get_field("Task assigned to you: In Mission Control").value == "On"
    page = (await bob.get(PATH)).text
    assert f'{PATH}?board={world.board.id}" dir="auto">{world.board.name}</a>' in page


async def test_boards_with_choices_are_the_readable_ones_by_name(
    alice, bob, transaction, world
) -> None:
    boards = [make_board(f"Board {number:02}", world.tern) for number in range(30, 0, -1)]
    async with transaction() as session:
        session.add_all(boards)
        await session.flush()
        for member in (world.alice_member, world.bob_member):
            session.add_all(
                [make_board_access(member, board) for board in boards if member is world.bob_member]
            )
            await session.flush()
            choices = {Choice(Kind.ASSIGNED, board.id): True for board in boards}
            await save_choices(session, member, choices)
        is_bobs = BoardAccess.organization_member_id == world.bob_member.id
        lost = [board.id for board in boards if board.name != "Board 17"]
        await session.execute(delete(BoardAccess).where(is_bobs, BoardAccess.board_id.in_(lost)))

    async def list_names(client: httpx2.AsyncClient) -> list[str]:
        part = (await client.get(PATH)).text.partition("Boards with own choices:")[2]
        return re.findall(r'dir="auto">([^<]*)</a>', part.partition("</p>")[0])

    assert await list_names(bob) == ["Board 17"]
    assert await list_names(alice) == [f"Board {number:02}" for number in range(1, 21)]


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_boards_of_others_have_no_choices(bob, charlie, world, method) -> None:
    for client, board in ((bob, world.charlies_board), (charlie, world.board)):
        path = PATH if method == "GET" else f"{PATH}/choices"
        response = await client.request(method, f"{path}?board={board.id}", data={})
        assert response.status_code == 404
    response = await bob.get(f"{PATH}?board={world.garden.id}")
    assert response.status_code == 403


@pytest.mark.parametrize("id", ["1", "%00", "00000000-0000-0000-0000-00000000000g"])
async def test_choices_for_no_board_change_none_for_all_boards(bob, transaction, world, id) -> None:
    hashes = await read_hashes(bob)
    response = await bob.post(f"{PATH}/choices?board={id}", data=hashes)
    assert response.status_code == 404
    assert not (await load(transaction, world.bob_member)).stored
    assert (await bob.get(f"{PATH}?board={id}")).status_code == 404
    assert (await bob.get(f"{PATH}?board=")).status_code == 200


async def test_a_choice_that_was_not_changed_is_not_written(bob, transaction, world) -> None:
    hashes = await read_hashes(bob)
    on = {name.removeprefix("shown."): "on" for name in hashes if name.endswith(".app")}
    async with transaction() as session:
        choices: dict[Choice, bool | None] = {Choice(Kind.MENTION): False}
        await save_choices(session, world.bob_member, choices)
    del on["assigned.app"]
    assert (await bob.post(f"{PATH}/choices", data=hashes | on)).status_code == 303
    found = (await load(transaction, world.bob_member)).stored
    assert found == {Choice(Kind.MENTION): False, Choice(Kind.ASSIGNED): False}


async def test_a_board_choice_that_others_changed_conflicts(bob, transaction, world) -> None:
    address = f"?board={world.board.id}"
    hashes = await read_hashes(bob, f"{PATH}{address}")
    choice = Choice(Kind.MENTION, world.board.id)
    async with transaction() as session:
        await save_choices(session, world.bob_member, {choice: True})
    data = hashes | {"mention.app": "0"}
    response = await bob.post(f"{PATH}/choices{address}", data=data)
    assert response.status_code == 409
    assert "Mention: In Mission Control" in response.text
    assert (await load(transaction, world.bob_member)).stored == {choice: True}


async def test_the_schedule_is_saved_and_conflicts_are_shown(bob, transaction, world) -> None:
    hashes = await read_hashes(bob)
    data = {"quiet_from": "22:00", "quiet_until": "06:30", "digest": "daily", "digest_at": "09:15"}
    response = await bob.post(f"{PATH}/schedule", data=hashes | data)
    assert response.status_code == 303
    settings = (await load(transaction, world.bob_member)).settings
    assert (str(settings.quiet_from), settings.digest) == ("22:00:00", "daily")
    page = (await bob.get(PATH)).text
    assert 'name="quiet_until" type="time" value="06:30"' in page
    late = await bob.post(f"{PATH}/schedule", data=hashes | data | {"digest": "hourly"})
    assert late.status_code == 409
    assert "Once an hour" in late.text
    assert "Once a day" in late.text


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({"quiet_from": "22:00"}, "Quiet hours need a beginning and an end."),
        ({"quiet_from": "25:00"}, "Write a time like 08:00."),
        ({"quiet_from": "22:00Z"}, "Write a time like 08:00."),
        ({"digest_at": ""}, "Enter a value."),
        ({"digest": "weekly"}, "Choose one of those that are offered."),
        ({"escalate_after_minutes": "x"}, "Write a whole number."),
        ({"escalate_after_minutes": "5"}, "Choose the second person"),
        ({"escalate_to_user_id": "rita"}, "Choose between 1 and"),
        (
            {"escalate_to_user_id": "rita", "escalate_after_minutes": "5"},
            "This person cannot decide",
        ),
    ],
)
async def test_a_schedule_that_cannot_work_is_explained(bob, world, data, text) -> None:
    if "escalate_to_user_id" in data:
        data = data | {"escalate_to_user_id": str(world.rita.id)}
    response = await bob.post(f"{PATH}/schedule", data=data)
    assert response.status_code == 422
    assert text in response.text


async def test_the_page_names_the_time_zone(bob, rita) -> None:
    assert "UTC" in (await rita.get(PATH)).text
    await bob.post("/settings/profile", data={"section": "you", "timezone": "Asia/Tokyo"})
    assert "Asia/Tokyo" in (await bob.get(PATH)).text
