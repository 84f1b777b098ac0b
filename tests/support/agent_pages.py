"""The forms and pages of agents: what is sent, and what is shown."""

import html
import re
import shlex
from itertools import pairwise

import pytest

HTMX = {"HX-Request": "true"}


@pytest.fixture
def new(world) -> dict[str, str]:
    return {"name": "Juniper", "board_id": str(world.board.id), "role": "Release engineer"}


@pytest.fixture
def address(world) -> str:
    return f"/agents/{world.worker.id}"


def shown_token(page: str) -> str:
    found = re.findall(r'<code class="trunc">(mc_agent_[\w-]+)</code>', page)
    assert len(found) == 1
    return found[0]


def commands(page: str) -> list[str]:
    found = re.findall(r"<pre [^>]*>(curl .*?)</pre>", page, re.DOTALL)
    return [html.unescape(command) for command in found]


async def call(browsers, command: str):
    """Send the request of a curl command."""
    words = shlex.split(command.replace("\\\n", " "))
    assert words[:3] == ["curl", "-sS", "-X"]
    method, address, rest = words[3], words[4], words[5:]
    headers = [value.split(": ", 1) for flag, value in pairwise(rest) if flag == "-H"]
    bodies = [value for flag, value in pairwise(rest) if flag == "-d"]
    server, path = address.split("/api/", 1)
    assert server == "http://127.0.0.1:8000"
    return await browsers(None).request(
        method, f"/api/{path}", headers=dict(headers), content=bodies[0] if bodies else None
    )
