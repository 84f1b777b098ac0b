"""A house with something of everything in it, and windows in which it is looked at."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from playwright.async_api import ConsoleMessage, Page, expect

from tests.browser import onboardings
from tests.browser.attended import Beside, beside
from tests.browser.home import Home
from tests.browser.pages import PHONE, WIDE, faults_of, scrolls_sideways
from tests.openclaw.workshop import Workshop, working

LONG = "Donaudampfschifffahrtsgesellschaftskapitänsmützenabzeichenverleihung"
TEXT = f"""## Why

A [link](https://example.com/{LONG.lower()}/{LONG.lower()}), `{LONG}{LONG}`, and

| Port | What is loaded there | Who asked for it |
| ---- | -------------------- | ---------------- |
| Vienna | {LONG} | {LONG} |

```
{LONG} {LONG} {LONG}
```
"""


LOOKS: dict[str, tuple[str, ...]] = {"light": (), "dark": ("color-contrast",)}
"""The themes, with the rules that have to be looked at in each: a theme changes colours only."""


@dataclass
class Window:
    """A browser's page, and what its console complained about."""

    page: Page
    complaints: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, page: Page) -> "Window":
        window = cls(page)
        page.on("pageerror", lambda error: window.complaints.append(str(error)))
        page.on("console", window.hear)
        return window

    def hear(self, said: ConsoleMessage) -> None:
        if said.type == "error":
            self.complaints.append(said.text)

    async def looks_well(self, status: int = 200) -> None:
        """One heading, nothing to scroll sideways, no fault in either theme, and no complaint."""
        page = self.page
        await expect(page.locator("h1")).to_have_count(1)
        for theme, rules in LOOKS.items():
            await page.evaluate("theme => document.documentElement.dataset.theme = theme", theme)
            assert await faults_of(page, *rules) == [], (page.url, page.viewport_size, theme)
        assert not await scrolls_sideways(page), (page.url, page.viewport_size)
        complaints, self.complaints = self.complaints, []
        if status >= 400:  # the browser complains of the page's own status, rightly
            complaints = [one for one in complaints if f"status of {status}" not in one]
        assert complaints == [], (page.url, page.viewport_size)


@dataclass
class World:
    """What is looked at: everything has long words in it, and something of everything is there."""

    home: Home
    ids: dict[str, str]
    windows: list[Window]  # a wide one, and a phone

    async def visit(self, address: str, status: int = 200) -> None:
        """Open an address in both windows, and look."""
        await asyncio.gather(*[self._visit(window, address, status) for window in self.windows])

    async def _visit(self, window: Window, address: str, status: int) -> None:
        response = await window.page.goto(address.format(**self.ids))
        assert response
        assert response.status == status
        await window.looks_well(status)


def furnish(home: Home) -> dict[str, str]:
    """Put boards into a house, with tasks and questions, and a gateway that nobody answers at."""
    board = home.board(f"Ports of the {LONG}", objective=f"Know all {LONG} by heart")
    empty = home.board("Nothing here yet", description=LONG)
    agent = home.agent(board, f"Juniper {LONG}"[:100])
    first = home.task(board, f"Find {LONG}", priority="high", due_at="2020-01-01T00:00:00")
    task = home.task(
        board, f"Learn {LONG}{LONG}", description=TEXT, depends_on_task_ids=[first["id"]]
    )
    done = home.task(board, f"Have learnt {LONG}")
    home.change(board, done, status="done")
    for each in (first, task):
        path = f"/agent/boards/{board['id']}/tasks/{each['id']}/comments"
        agent.call("POST", path, message=TEXT)
    for content, tags in [(TEXT, ["chat"]), (TEXT, ["decision", LONG[:60]])]:
        agent.call("POST", f"/agent/boards/{board['id']}/memory", content=content, tags=tags)
    for content in (TEXT, "/pause", "/resume"):
        path = f"/boards/{board['id']}/memory"
        home.owner.call("POST", path, content=content, tags=["chat"])
    decided = home.ask(agent, board, done, f"Was {LONG} learnt?")
    path = f"/boards/{board['id']}/approvals/{decided['id']}"
    home.owner.client.patch(path, json={"status": "approved"}).raise_for_status()
    asked = home.ask(agent, board, task, f"May I learn {LONG}{LONG}?", sure=40)
    home.ask(agent, board, first, "May I begin?")
    gateway = home.gateway(f"Gateway of the {LONG}", f"ws://127.0.0.1:9/{LONG[:30]}/{'x' * 200}")
    [me] = home.owner.call("GET", f"/agents?board_id={board['id']}")["items"]
    return {
        "board": board["id"],
        "empty": empty["id"],
        "agent": me["id"],
        "gateway": gateway["id"],
        "task": task["id"],
        "bare": home.task(empty, "Bare")["id"],
        "approval": asked["id"],
        "decided": decided["id"],
    }


def furnish_workshop(workshop: Workshop) -> None:
    """Let there be agents to link, and a session in which much was said."""
    workshop.entries["writer"] = {"name": LONG, "workspace": f"/home/{LONG}/{LONG}"}
    workshop.entries["mc-0193a5c2-7d1e-7c63-9a58-2f1d8f0b6a11"] = {"name": LONG}
    row = {"key": "agent:main:main", "agentId": "main", "label": LONG, "status": "failed"}
    tokens = {"totalTokens": 120_000, "contextTokens": 128_000, "updatedAt": 1_795_603_318_964}
    workshop.sessions[row["key"]] = row | tokens
    call = {"type": "toolCall", "id": "1", "name": "exec", "arguments": {"command": LONG * 3}}
    messages = [
        {"role": "user", "content": TEXT, "timestamp": 1_795_603_318_964},
        {"role": "assistant", "content": [{"type": "text", "text": TEXT}, call]},
        {"role": "toolResult", "toolCallId": "1", "content": LONG * 9, "isError": True},
        {"role": "custom", "content": LONG},
        {"role": "assistant", "content": [], "stopReason": "error", "errorMessage": LONG * 2},
    ]
    said = {"messages": messages, "hasMore": True, "sessionInfo": {"hasActiveRun": True}}
    workshop.methods["chat.history"] = lambda _: said


async def furnish_quay(quay: Beside) -> dict[str, str]:
    """Let an agent on a gateway ask and work."""
    asked: Any = {"questionId": "port", "header": "Port", "question": f"Which {LONG}?"}
    asked |= {"options": [{"label": LONG, "description": TEXT}, {"label": "None"}]}
    asked |= {"isOther": True}
    many = asked | {"questionId": "ports", "multiSelect": True}
    over = await quay.request(f"cat {LONG}")
    await quay.fake.decide(over["request_id"], "deny")
    command = await quay.request(f"rm -rf {LONG}/{LONG}\n\u202e{LONG}", warningText=TEXT)
    await quay.fake.ask_person("ask", asked, many, agent=quay.key)
    task = await asyncio.to_thread(quay.home.task, quay.board, f"Unload {LONG}")
    change = {"status": "in_progress", "assigned_agent_id": quay.agent["id"]}
    await asyncio.to_thread(lambda: quay.home.change(quay.board, task, **change))
    quay.fake.going_on[quay.session] = {"runId": "run-1", "text": "", "events": []}
    tool = {"kind": "tool", "name": "exec", "title": LONG * 2, "error": LONG * 2}
    for number in range(3):
        for phase in ("start", "end"):
            id = f"c-{number}"
            step = tool | {"toolCallId": id, "phase": phase, "status": "failed"}
            await quay.fake.step("run-1", quay.key, "item", **step)
    await quay.fake.step("run-1", quay.key, "command_output", output=TEXT * 5)
    await quay.fake.step("run-1", quay.key, "lifecycle", phase="waiting-approval")
    return {
        "quay": quay.board["id"],
        "docker": quay.agent["id"],
        "worked_on": task["id"],
        "command": command["id"],
        "question": (await quay.asked("ask"))["id"],
        "over": over["id"],
    }


@asynccontextmanager
async def furnished(home: Home) -> AsyncGenerator[dict[str, str]]:
    """Furnish a house, and return the ids of what is in it, by what it is."""
    ids = furnish(home)
    async with working() as workshop, beside(home, f"Quay of the {LONG}") as quay:
        ids |= await furnish_quay(quay)
        furnish_workshop(workshop)
        enter = partial(home.gateway, "Workshop", workshop.url, workshop.token)
        ids["workshop"] = (await asyncio.to_thread(enter))["id"]
        asker = await home.agent_on(workshop, f"mc-gateway-{ids['workshop']}")
        ids |= onboardings.furnish(home, asker, ids["workshop"], LONG)
        yield ids


@asynccontextmanager
async def looked_at(home: Home, ids: dict[str, str]) -> AsyncGenerator[World]:
    """Open two windows of a house. An open page goes on listening, so they are closed again."""
    windows = [Window.of(await home.tab(viewport=size)) for size in (WIDE, PHONE)]
    try:
        yield World(home, ids, windows)
    finally:
        for window in windows:
            await window.page.context.close()
