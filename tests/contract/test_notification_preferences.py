"""What a user is notified of, where and when, in the API."""

from typing import Any

import pytest

from core.db.engine import TransactionFactory
from models import NotificationKind
from services.notifications import KINDS_BY_GROUP
from tests.support.api_fixtures import Client
from tests.support.api_objects import CHANNEL_ID, create_api_objects, read_all_rows
from tests.support.world import World

PATH = "/notifications/preferences"
DEFAULTS = {
    "quiet_from": None,
    "quiet_until": None,
    "wakes_for_urgent": False,
    "digest": "off",
    "digest_at": "08:00",
    "escalate_to_user_id": None,
    "escalate_after_minutes": None,
    "time_zone": "UTC",
    "version": 1,
}
TABLES = ("notification_preferences", "notification_settings")
Choices = dict[tuple[str, str | None, str | None], bool]


def read_choices(preferences: dict[str, Any]) -> Choices:
    return {
        (one["kind"], one["board_id"], one["channel_id"]): one["is_enabled"]
        for one in preferences["choices"]
    }


@pytest.fixture
async def channel(world: World, transaction: TransactionFactory) -> str:
    """Store a channel of Alice."""
    async with transaction() as session:
        await create_api_objects(session, world)
    return str(CHANNEL_ID)


async def test_without_a_choice_the_defaults_are_returned(alice: Client, channel: str) -> None:
    response = await alice.get(PATH)
    found = response.json()
    choices = read_choices(found)
    assert found == DEFAULTS | {"choices": found["choices"]}
    assert response.headers["ETag"].startswith('"1-')
    kinds = {kind for kinds in KINDS_BY_GROUP.values() for kind in kinds}
    kinds -= {NotificationKind.INVITATION}
    assert choices.keys() == {(kind, None, place) for kind in kinds for place in (None, channel)}
    off = {choice for choice, is_enabled in choices.items() if not is_enabled}
    assert off == {("task_changed", None, channel), ("agent_offline", None, channel)}


async def test_only_what_is_sent_changes(alice: Client, channel: str, world: World) -> None:
    schedule = {"quiet_from": "22:30", "quiet_until": "06:00", "wakes_for_urgent": True}
    first = (await alice.patch(PATH, json=schedule)).json()
    assert first == DEFAULTS | schedule | {"choices": first["choices"], "version": 2}
    board = str(world.board.id)
    sent = [
        {"kind": "mention", "is_enabled": False},
        {"kind": "mention", "board_id": board, "channel_id": channel, "is_enabled": False},
    ]
    second = (await alice.patch(PATH, json={"choices": sent, "digest": "daily"})).json()
    changed = {("mention", None, None): False, ("mention", board, channel): False}
    assert read_choices(second) == read_choices(first) | changed
    assert (second["quiet_from"], second["digest"], second["version"]) == ("22:30", "daily", 3)
    assert (await alice.get(PATH)).json() == second
    reset = {"choices": [one | {"is_enabled": None} for one in sent]}
    third = (await alice.patch(PATH, json=reset)).json()
    assert read_choices(third) == read_choices(first)
    without = {"quiet_from": None, "quiet_until": None}
    assert (await alice.patch(PATH, json=without)).json()["quiet_from"] is None


async def test_a_second_person_is_chosen_and_removed(
    bob: Client, alice: Client, world: World
) -> None:
    person = {"escalate_to_user_id": str(world.alice.id), "escalate_after_minutes": 30}
    found = (await bob.patch(PATH, json=person)).json()
    assert found == DEFAULTS | person | {"choices": found["choices"], "version": 2}
    assert (await alice.get(PATH)).json()["version"] == 1
    removed = (await bob.patch(PATH, json={"escalate_to_user_id": None})).json()
    assert removed["escalate_after_minutes"] is None


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"quiet_from": "22:00"}, "quiet_hours_incomplete"),
        ({"quiet_from": "22:00", "quiet_until": "22:00"}, "quiet_hours_empty"),
        ({"quiet_from": "24:00", "quiet_until": "06:00"}, None),
        ({"quiet_from": "22:00Z", "quiet_until": "06:00"}, None),
        ({"quiet_from": "1" * 1_000_000, "quiet_until": "06:00"}, None),
        ({"digest_at": None}, None),
        ({"digest": "weekly"}, None),
        ({"escalate_to_user_id": "charlie", "escalate_after_minutes": 5}, "person_invalid"),
        ({"escalate_to_user_id": "bob"}, "minutes_invalid"),
        ({"escalate_to_user_id": "bob", "escalate_after_minutes": 10_081}, None),
        ({"choices": [{"kind": "mention"}]}, None),
        ({"choices": [{"kind": "nothing", "is_enabled": True}]}, None),
        ({"choices": [{"kind": "invitation", "is_enabled": False}]}, "kind_not_configurable"),
        ({"choices": [{"kind": "mention", "is_enabled": True}] * 2}, "choice_repeated"),
        ({"choices": [{"kind": "mention", "is_enabled": True}] * 1_001}, None),
        (
            {"choices": [{"kind": "gateway_away", "board_id": "own", "is_enabled": False}]},
            "kind_without_board",
        ),
        (
            {"choices": [{"kind": "mention", "channel_id": "another", "is_enabled": False}]},
            "unknown_channel",
        ),
    ],
)
async def test_what_cannot_be_chosen_is_refused(
    alice: Client, world: World, transaction: TransactionFactory, body: Any, code: str | None
) -> None:
    ids = {"bob": world.bob.id, "charlie": world.charlie.id, "own": world.board.id}
    if "escalate_to_user_id" in body:
        body = body | {"escalate_to_user_id": str(ids[body["escalate_to_user_id"]])}
    for choice in body.get("choices", [])[:1]:
        if choice.get("board_id"):
            choice["board_id"] = str(ids["own"])
        if choice.get("channel_id"):
            choice["channel_id"] = str(CHANNEL_ID)
    response = await alice.patch(PATH, json=body)
    assert response.status_code == 422, response.text
    assert code is None or response.json()["code"].endswith(code)
    async with transaction() as session:
        rows = await read_all_rows(session)
    assert not any(rows.get(table) for table in TABLES)
    assert (await alice.get(PATH)).json()["version"] == 1


async def test_boards_and_channels_of_others_cannot_be_chosen(
    bob: Client, channel: str, world: World
) -> None:
    async def send(**place: Any) -> tuple[int, str]:
        choice = {"kind": "mention", "is_enabled": False} | place
        response = await bob.patch(PATH, json={"choices": [choice]})
        return response.status_code, response.json()["code"]

    assert (await send(board_id=str(world.charlies_board.id)))[0] == 404
    assert (await send(board_id=str(world.garden.id)))[0] == 403
    assert await send(channel_id=channel) == (422, "unknown_channel")
    assert (await bob.get(PATH)).json()["version"] == 1


async def test_choices_for_a_board_end_with_the_right_to_read_it(
    bob: Client, alice: Client, world: World
) -> None:
    choice = {"kind": "mention", "board_id": str(world.board.id), "is_enabled": False}
    found = (await bob.patch(PATH, json={"choices": [choice]})).json()
    assert ("mention", str(world.board.id), None) in read_choices(found)
    access = {"all_boards_read": False, "all_boards_write": False, "board_access": []}
    member = f"/organizations/me/members/{world.bob_member.id}/access"
    assert (await alice.put(member, json=access)).status_code == 200
    found = (await bob.get(PATH)).json()
    assert {one["board_id"] for one in found["choices"]} == {None}
    assert (await bob.patch(PATH, json=found)).status_code == 200


async def test_an_old_version_of_the_preferences_changes_nothing(alice: Client) -> None:
    known = (await alice.get(PATH)).headers["ETag"]
    assert (await alice.patch(PATH, json={"digest": "hourly"})).status_code == 200
    stale = await alice.patch(PATH, json={"digest": "daily"}, headers={"If-Match": known})
    assert (stale.status_code, stale.json()["code"]) == (412, "stale")
    assert (await alice.get(PATH)).json()["digest"] == "hourly"
    wrong = await alice.patch(PATH, json={"quiet_from": "08:00"}, headers={"If-Match": known})
    assert wrong.status_code == 422, "other errors take precedence"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"digest": "daily"}, 412),
        ({"quiet_from": "22:00"}, 422),
        ({"choices": [{"kind": "mention", "channel_id": "0" * 32, "is_enabled": False}]}, 422),
        ({"choices": [{"kind": "mention", "board_id": "0" * 32, "is_enabled": False}]}, 404),
    ],
)
async def test_other_errors_precede_an_old_version(
    alice: Client, body: dict[str, Any], status: int
) -> None:
    headers = {"If-Match": '"99-x"'}
    assert (await alice.patch(PATH, json=body, headers=headers)).status_code == status
    assert (await alice.get(PATH)).json()["version"] == 1


async def test_the_version_increases_only_with_a_change(alice: Client, channel: str) -> None:
    choice = {"kind": "mention", "channel_id": channel, "is_enabled": False}
    schedule = {"quiet_from": "22:00", "quiet_until": "06:00", "choices": [choice]}
    first = await alice.patch(PATH, json=schedule)
    assert first.json()["version"] == 2
    for body in ({}, schedule, first.json()):
        again = await alice.patch(PATH, json=body)
        assert again.json() == first.json()
        assert again.headers["ETag"] == first.headers["ETag"]
    for version, value in ((3, None), (3, True), (4, False)):
        body = {"choices": [choice | {"is_enabled": value}]}
        assert (await alice.patch(PATH, json=body)).json()["version"] == version


async def test_a_member_of_another_organization_has_other_preferences(
    charlie: Client, alice: Client
) -> None:
    assert (await charlie.get(PATH)).json()["digest"] == "off"
    changed = await charlie.patch(PATH, json={"digest": "hourly"})
    assert (changed.status_code, changed.json()["digest"]) == (200, "hourly")
    assert (await charlie.get(PATH)).json() == changed.json()
    assert (await alice.get(PATH)).json()["digest"] == "off"


@pytest.mark.parametrize("method", ["GET", "PATCH"])
async def test_agents_and_strangers_have_no_preferences(
    worker: Client, anonymous: Client, method: str
) -> None:
    body = {"digest": "hourly"} if method == "PATCH" else None
    assert (await anonymous.request(method, PATH, json=body)).status_code == 401
    assert (await worker.request(method, PATH, json=body)).status_code in (401, 403)
