"""Killed while it carries messages to a gateway: each is heard once, and in order."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.installation import LOCAL, LOCAL_TOKEN, Api, Installation, free_port
from tests.openclaw.fake import TOKEN
from tests.openclaw.talking import Talking, talking
from tests.openclaw.workshop import Fault

LINES = 12
KILLED_AT = (4,)  # messages that are on their way when everything is killed
PATIENCE = 90  # seconds: what a worker held that was killed, another takes over after its lease


async def until(is_so: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not is_so():
            await asyncio.sleep(0.1)


def settle_in(api: Api, fake: Talking) -> dict[str, Any]:
    """Put a board with a lead on the gateway."""
    place: Any = {"name": "Workshop", "url": fake.url, "workspace_root": "/agents", "token": TOKEN}
    gateway = api.call("POST", "/gateways", **place)
    board = api.board("Launch", gateway_id=gateway["id"])
    lead: Any = {"name": "Ada", "board_id": board["id"], "is_board_lead": True}
    api.call("POST", "/agents", **lead)
    return board


def say(api: Api, board: dict[str, Any], *lines: str) -> None:
    for line in lines:
        api.call("POST", f"/boards/{board['id']}/memory", content=line, tags=["chat"])


class Killer:
    """Kills the app while messages are on their way to the gateway, before they are answered."""

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


async def test_what_is_on_its_way_when_everything_is_killed_is_heard_once_and_in_order(
    tmp_path: Path,
) -> None:
    installation = Installation(tmp_path / "data", free_port(), LOCAL)
    await asyncio.to_thread(installation.start)
    async with talking(is_quick=True) as fake:
        with Api(installation.url, LOCAL_TOKEN) as api:
            api.call("POST", "/auth/bootstrap")
            board = await asyncio.to_thread(settle_in, api, fake)
            session = f"agent:lead-{board['id']}:main"
            await until(lambda: fake.heard_in(session))  # its first words
            lines = [f"Line {number}." for number in range(LINES)]
            await asyncio.to_thread(say, api, board, "/pause", *lines, "/resume")
            killer = Killer(installation)
            fake.fault = killer.fault

        def chats() -> list[str]:
            return [text for text in fake.heard_in(session) if text.startswith("BOARD CHAT")]

        for _ in range(len(KILLED_AT)):
            await until(lambda: killer.has_killed)
            killer.has_killed = False
            await asyncio.to_thread(installation.start)
        await until(lambda: len(chats()) >= LINES)
        await asyncio.to_thread(installation.stop)
    assert [line for text in chats() for line in lines if line in text] == lines
