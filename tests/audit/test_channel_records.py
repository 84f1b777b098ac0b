"""The audit records changes of channels: who sends what leaves, and where, but no secrets."""

import json
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from models import AuditRecord, ChannelKind, NotificationChannel
from services import channels
from services.channels import ChannelForm, ChannelUpdate
from tests.support.browser_subscription import BrowserSubscription
from tests.support.secret_key import CIPHER
from tests.support.world import World

SECRETS = {
    ChannelKind.NTFY: {"url": "https://ntfy.sh/a-secret-topic", "token": "tk_0123456789abc"},
    ChannelKind.TELEGRAM: {"token": f"123456:{'s3cret' * 6}", "chat_id": "-1001"},
    ChannelKind.SLACK: {"url": "https://hooks.slack.example/services/T0/secret"},
    ChannelKind.WEBHOOK: {"url": "https://receiver.example/secret-path"},
}


async def create(
    session: AsyncSession, world: World, kind: ChannelKind, config: dict[str, str]
) -> NotificationChannel:
    fields = ChannelForm(kind=kind, name="Mine", **config)
    return await channels.create_channel(session, world.bob_member, CIPHER, fields)


async def list_recorded(session: AsyncSession, world: World) -> list[AuditRecord]:
    query = select(AuditRecord).where(AuditRecord.organization_id == world.tern.id)
    found = (await session.scalars(query.order_by(AuditRecord.sequence))).all()
    return [one for one in found if one.object_kind == "channel"]


def values(records: list[AuditRecord]) -> list[tuple[str, Any, Any]]:
    return [(one.action, one.before, one.after) for one in records]


async def test_changes_of_a_channel_are_recorded(session: AsyncSession, world: World) -> None:
    channel = await create(session, world, ChannelKind.NTFY, SECRETS[ChannelKind.NTFY])
    await channels.update_channel(session, channel, ChannelUpdate.of(name="Phone", is_paused=True))
    await channels.update_channel(session, channel, ChannelUpdate.of(name="Phone"))
    await channels.delete_channel(session, channel, CIPHER)
    records = await list_recorded(session, world)
    at = {"kind": "ntfy", "receiver": "ntfy.sh"}
    assert values(records) == [
        ("channel.created", None, at),
        (
            "channel.updated",
            {"name": "Mine", "is_paused": False},
            {"name": "Phone", "is_paused": True},
        ),
        ("channel.deleted", at, None),
    ]
    assert {one.object_id for one in records} == {str(channel.id)}


async def test_no_secret_of_a_channel_is_recorded(session: AsyncSession, world: World) -> None:
    for kind, config in SECRETS.items():
        await create(session, world, kind, config)
    recorded = json.dumps(values(await list_recorded(session, world)))
    assert "receiver.example" in recorded
    for config in SECRETS.values():
        assert not [
            value for name, value in config.items() if name != "chat_id" and value in recorded
        ]
    assert "ecret" not in recorded


async def test_a_confirmed_address_and_a_renewed_browser_are_recorded(
    session: AsyncSession, world: World
) -> None:
    mail = await create(session, world, ChannelKind.EMAIL, {"address": "olga@elsewhere.example"})
    code = await channels.create_code(session, mail, CIPHER)
    wrong = await channels.confirm_channel(session, mail, CIPHER, "wrong")
    right = await channels.confirm_channel(session, mail, CIPHER, code)
    assert (wrong is None, right) == (False, None)
    subscription = BrowserSubscription("https://push.example/1").config
    for _ in range(2):
        await create(session, world, ChannelKind.PUSH, subscription)
    actions = [action for action, _, _ in values(await list_recorded(session, world))]
    assert actions == [
        *("channel.created", "channel.updated"),  # the e-mail address
        *("channel.created", "channel.deleted", "channel.created"),  # the browser
    ]
