"""A worker sends notifications to real receivers, as soon as their cause is committed."""

import asyncio
import re
from ipaddress import ip_network

import worker.main
from models import ChannelKind, NotificationKind
from services.channels.store import encrypt_config
from tests.support.http_receiver import run_http_receiver
from tests.support.mail_server import run_mail_server
from tests.support.notification_harness import NotificationHarness
from tests.support.worker_harness import NOTIFIED_ONLY, until
from web.notifications.messages import MessageRenderer


async def test_a_worker_sends_a_mention_by_email_and_to_a_webhook(
    isolated_settings, isolated_transaction, isolated_world
) -> None:
    async with run_http_receiver() as receiver, run_mail_server() as mail_server:
        settings = isolated_settings.model_copy(
            update={
                "outbound_allow_private": (ip_network("127.0.0.0/8"),),
                "smtp_security": "none",
                **mail_server.settings,
            }
        )
        harness = NotificationHarness(settings, isolated_transaction, isolated_world)
        configs = [
            (ChannelKind.SLACK, {"url": f"{receiver.address}/services/secret"}),
            (ChannelKind.EMAIL, {"address": "alice@example.com"}),
        ]
        for kind, config in configs:
            channel_id = await harness.add_channel(isolated_world.alice, kind.value, kind)
            encrypted = encrypt_config(harness.cipher, channel_id, config)
            await harness.change_channel(channel_id, encrypted_config=encrypted)
        stop = asyncio.Event()
        render = MessageRenderer("https://mc.example").render
        working = asyncio.create_task(
            worker.main.run(settings, stop, intervals=NOTIFIED_ONLY, render=render)
        )
        try:

            async def have_all_arrived() -> bool:
                return bool(receiver.requests and mail_server.mails)

            await harness.notify(
                NotificationKind.MENTION, isolated_world.alice, actor=isolated_world.bob
            )
            await until(have_all_arrived)
        finally:
            stop.set()
            await asyncio.wait_for(working, 20)
        assert receiver.requests[0].json["text"] == "Bob mentioned you: Write"
        [mail] = mail_server.mails
        assert mail["Subject"] == "Bob mentioned you: Write"
        part = mail.get_body(("html",))
        assert part is not None
        html = part.get_content()
        assert re.search(r'href="https://mc.example/boards/[\w-]+/chat"', html)
