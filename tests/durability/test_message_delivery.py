"""A kill during the delivery of messages: each is received once and in order."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg

from tests.support.fake_agents_gateway import Fault
from tests.support.fake_chat_gateway import FakeChatGateway, run_fake_chat_gateway
from tests.support.fake_gateway import TOKEN
from tests.support.installation import (
    LOCAL_AUTH,
    LOCAL_TOKEN,
    ApiClient,
    Installation,
    find_free_port,
)
from tests.support.tiers import IS_COMPLETE_RUN

LINES, KILLED_AT = (12, (4,)) if IS_COMPLETE_RUN else (5, (2,))
"""The messages, and the numbers of the sends during which the app is killed."""
TIMEOUT = 90  # seconds: another worker takes over after the lease has expired


async def wait_until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(TIMEOUT):
        while not condition():
            await asyncio.sleep(0.1)


def create_board(api: ApiClient, fake: FakeChatGateway) -> dict[str, Any]:
    """Create a board with a lead on the gateway."""
    fields: Any = {"name": "Workshop", "url": fake.url, "workspace_root": "/agents", "token": TOKEN}
    gateway = api.call("POST", "/gateways", **fields)
    board = api.create_board("Launch", gateway_id=gateway["id"])
    lead: Any = {"name": "Ada", "board_id": board["id"], "is_board_lead": True}
    api.call("POST", "/agents", **lead)
    return board


def post_chat(api: ApiClient, board: dict[str, Any], *lines: str) -> None:
    for line in lines:
        api.call("POST", f"/boards/{board['id']}/memory", content=line, tags=["chat"])


async def end_claims(installation: Installation) -> None:
    """End the claims and leases of a killed process, which others would wait for."""
    connection = await asyncpg.connect(installation.database().dsn)
    await connection.execute("update gateways set lease_expires_at = now()")
    await connection.execute(
        "update agent_messages set next_attempt_at = now() where state = 'queued'"
    )
    await connection.close()


class Killer:
    """Kills the app while a message is sent to the gateway, before the response."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self.sent = 0
        self.has_killed = False

    def fault(self, method: str, params: dict[str, Any]) -> Fault:
        if method == "chat.send" and params["message"].startswith("BOARD CHAT"):
            self.sent += 1
            if self.sent in KILLED_AT:
                self.installation.kill()
                self.has_killed = True
        return None


async def test_messages_survive_a_kill_once_and_in_order(
    tmp_path: Path,
) -> None:
    installation = Installation(tmp_path / "data", find_free_port(), LOCAL_AUTH)
    await asyncio.to_thread(installation.start)
    async with run_fake_chat_gateway(ends_turns_at_once=True) as fake:
        with ApiClient(installation.url, LOCAL_TOKEN) as api:
            api.call("POST", "/auth/bootstrap")
            board = await asyncio.to_thread(create_board, api, fake)
            session = f"agent:lead-{board['id']}:main"
            await wait_until(lambda: fake.messages_in(session))  # the wake-up message
            lines = [f"Line {number}." for number in range(LINES)]
            await asyncio.to_thread(post_chat, api, board, "/pause", *lines, "/resume")
            killer = Killer(installation)
            fake.fault = killer.fault

        def chats() -> list[str]:
            return [text for text in fake.messages_in(session) if text.startswith("BOARD CHAT")]

        for _ in range(len(KILLED_AT)):
            await wait_until(lambda: killer.has_killed)
            killer.has_killed = False
            if not IS_COMPLETE_RUN:
                await end_claims(installation)
            await asyncio.to_thread(installation.start)
        await wait_until(lambda: len(chats()) >= LINES)
        await asyncio.to_thread(installation.stop)
    assert [line for text in chats() for line in lines if line in text] == lines
