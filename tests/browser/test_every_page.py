"""Every page that a person can open: whole, readable and without an error, in every look."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from playwright.async_api import ConsoleMessage, Page, expect
from starlette.routing import BaseRoute, Mount, Route

from tests.browser import onboardings
from tests.browser.attended import Beside, beside
from tests.browser.home import Home
from tests.browser.pages import PHONE, WIDE, faults_of, new_context, scrolls_sideways
from tests.openclaw.workshop import Workshop, working
from web.app import pages

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

PAGES = {
    "/welcome": ["/welcome?step=organization"],
    "/welcome/agents/{agent_id:uuid}": ["/welcome/agents/{agent}"],
    "/boards": ["/boards"],
    "/boards/new": ["/boards/new"],
    "/boards/{board_id:uuid}": [
        "/boards/{board}",
        "/boards/{board}?done=1&column=done",
        "/boards/{board}?view=list",
        "/boards/{board}?q=nothing+is+called+that",
        "/boards/{empty}",
        "/boards/{empty}?view=list",
        "/boards/{asked}",
    ],
    "/boards/{board_id:uuid}/settings": [
        "/boards/{board}/settings",
        "/boards/{drafted}/settings",
    ],
    "/boards/{board_id:uuid}/onboarding": [
        "/boards/{empty}/onboarding",
        "/boards/{unasked}/onboarding",
        "/boards/{waited}/onboarding",
        "/boards/{asked}/onboarding",
        "/boards/{asked}/onboarding?again=1",
        "/boards/{drafted}/onboarding",
        "/boards/{launched}/onboarding",
    ],
    "/boards/{board_id:uuid}/onboarding/review": [
        "/boards/{empty}/onboarding/review",
        "/boards/{drafted}/onboarding/review",
        "/boards/{launched}/onboarding/review",
    ],
    "/boards/{board_id:uuid}/onboarding/launch": [
        "/boards/{alone}/onboarding/launch",
        "/boards/{launched}/onboarding/launch",
    ],
    "/boards/{board_id:uuid}/tasks/new": ["/boards/{board}/tasks/new"],
    "/boards/{board_id:uuid}/tasks/{task_id:uuid}": [
        "/boards/{board}/tasks/{task}",
        "/boards/{empty}/tasks/{bare}",
        "/boards/{quay}/tasks/{worked_on}",
    ],
    "/agents": ["/agents", "/agents?board={empty}"],
    "/agents/new": ["/agents/new"],
    "/agents/{agent_id:uuid}": ["/agents/{agent}", "/agents/{docker}"],
    "/agents/{agent_id:uuid}/edit": ["/agents/{agent}/edit"],
    "/agents/{agent_id:uuid}/calls": ["/agents/{agent}/calls"],
    "/gateways": ["/gateways"],
    "/gateways/new": ["/gateways/new"],
    "/gateways/{gateway_id:uuid}": ["/gateways/{gateway}"],
    "/gateways/{gateway_id:uuid}/agents": [
        "/gateways/{workshop}/agents",
        "/gateways/{workshop}/agents?wait=1",
        "/gateways/{gateway}/agents?wait=1",
    ],
    "/gateways/{gateway_id:uuid}/sync": [
        "/gateways/{workshop}/sync",
        "/gateways/{workshop}/sync?wait=1",
        "/gateways/{gateway}/sync?wait=1",
    ],
    "/gateways/{gateway_id:uuid}/sessions": ["/gateways/{workshop}/sessions"],
    "/gateways/{gateway_id:uuid}/sessions/{key:path}": [
        "/gateways/{workshop}/sessions/agent:main:main",
        "/gateways/{workshop}/sessions/agent:main:main?wait=1",
        "/gateways/{gateway}/sessions/agent:main:nobody?wait=1",
    ],
    "/gateways/{gateway_id:uuid}/edit": ["/gateways/{gateway}/edit"],
    "/settings": ["/settings"],
    "/activity": ["/activity", "/activity?board={empty}"],
    "/approvals": [
        "/approvals?board={board}",
        "/approvals?state=decided",
        "/approvals?state=gateways",
        "/approvals?board={quay}",
        "/approvals?board={empty}",
    ],
    "/approvals/requests/{request_id:uuid}": [
        "/approvals/requests/{command}",
        "/approvals/requests/{question}",
        "/approvals/requests/{over}",
    ],
    "/approvals/{approval_id:uuid}": ["/approvals/{approval}", "/approvals/{decided}"],
}
"""The pages of people who are signed in, by their routes, each at the addresses that are opened."""

OTHERS = ["/docs", "/there-is-no-such-page"]
FOR_STRANGERS = {"/sign-in": ["/sign-in"], "/first-run": ["/first-run", "/first-run?token=old"]}

NO_PAGES = {
    "/welcome/organization": "shows what /welcome shows",
    "/boards/{board_id:uuid}/onboarding/answers": "shows how far it is",
    "/boards/{board_id:uuid}/onboarding/corrections": "shows how far it is",
    "/boards/{board_id:uuid}/onboarding/additions": "shows the review",
    "/boards/{board_id:uuid}/onboarding/confirmations": "shows the review",
    "/boards/{board_id:uuid}/onboarding/news": "a part",
    "/boards/{board_id:uuid}/deletions": "shows the settings of the board",
    "/agents/{agent_id:uuid}/tokens": "shows how the agent calls",
    "/gateways/{gateway_id:uuid}/checks": "shows the gateway",
    "/gateways/{gateway_id:uuid}/deletions": "shows the gateway",
    "/gateways/{gateway_id:uuid}/sync/progress": "a part",
    "/gateways/{gateway_id:uuid}/sessions/{key:path}/messages": "shows the session",
    "/settings/profile": "shows the settings",
    "/settings/password": "shows the settings",
    "/settings/tokens": "shows the settings",
    "/": "leads on",
    "/sign-in/oidc": "leads to the provider",
    "/sign-in/oidc/callback": "leads on, or shows what /sign-in shows",
    "/welcome/board": "leads on, once there is a board",
    "/welcome/agent": "leads on, once there is an agent",
    "/boards/{slug}": "leads to the board",
    "/boards/{board_id:uuid}/approvals": "leads to the questions of the board",
    "/events": "the live connection",
    "/rail": "a part",
    "/agents/table": "a part",
    "/agents/{agent_id:uuid}/messages": "a part",
    "/agents/{agent_id:uuid}/runs": "a part",
    "/activity/news": "a part",
    "/boards/{board_id:uuid}/columns": "a part",
    "/boards/{board_id:uuid}/crew": "a part",
    "/boards/{board_id:uuid}/tasks/{task_id:uuid}/conversation": "a part",
    "/boards/{board_id:uuid}/tasks/{task_id:uuid}/runs": "a part",
}
"""What else can be got, and why it is no page of its own."""


def routes_of(route: BaseRoute) -> Iterator[Route]:
    if isinstance(route, Mount):
        for inner in route.routes:
            yield from routes_of(inner)
    else:
        assert isinstance(route, Route)
        yield route


def test_no_page_is_forgotten() -> None:
    found = {route.path for route in routes_of(pages) if "GET" in (route.methods or ())}
    assert found == {*PAGES, *FOR_STRANGERS, *NO_PAGES}


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
        for theme in ("light", "dark"):
            await page.evaluate("theme => document.documentElement.dataset.theme = theme", theme)
            assert await faults_of(page) == [], (page.url, page.viewport_size, theme)
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


@pytest.fixture(scope="module")
async def world(home: Home) -> AsyncIterator[World]:
    ids = furnish(home)
    async with working() as workshop, beside(home, f"Quay of the {LONG}") as quay:
        ids |= await furnish_quay(quay)
        furnish_workshop(workshop)
        enter = partial(home.gateway, "Workshop", workshop.url, workshop.token)
        ids["workshop"] = (await asyncio.to_thread(enter))["id"]
        asker = await home.agent_on(workshop, f"mc-gateway-{ids['workshop']}")
        ids |= onboardings.furnish(home, asker, ids["workshop"], LONG)
        windows = [Window.of(await home.tab(viewport=size)) for size in (WIDE, PHONE)]
        yield World(home, ids, windows)
        for window in windows:
            await window.page.context.close()


@pytest.mark.parametrize("address", [one for many in PAGES.values() for one in many])
async def test_a_page(world: World, address: str) -> None:
    await world.visit(address)


@pytest.mark.parametrize("address", OTHERS)
async def test_a_page_beside_them(world: World, address: str) -> None:
    await world.visit(address, status=404 if "no-such" in address else 200)


@pytest.mark.parametrize("address", [one for many in FOR_STRANGERS.values() for one in many])
async def test_a_page_for_strangers(home: Home, address: str) -> None:
    for size in (WIDE, PHONE):
        context = await new_context(home.browser, home.installation, viewport=size)
        window = Window.of(await context.new_page())
        response = await window.page.goto(address)
        assert response
        await window.looks_well(response.status)
        await context.close()


async def _open_drawer(page: Page, ids: dict[str, str]) -> None:
    await page.locator(f"#task-{ids['task']} a").first.click()
    await expect(page.locator("#drawer h2").first).to_be_visible()


async def _open_new_task(page: Page, _ids: dict[str, str]) -> None:
    await page.keyboard.press("n")
    await page.keyboard.press("Enter")
    await expect(page.locator("#new-task [aria-invalid]")).to_be_visible()


async def _open_palette(page: Page, _ids: dict[str, str]) -> None:
    await page.keyboard.press("Control+k")
    await page.keyboard.type("theme")
    await expect(page.get_by_role("option", name="Use the dark theme")).to_be_visible()


async def _open_keys(page: Page, _ids: dict[str, str]) -> None:
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog", name="Shortcuts")).to_be_visible()


async def _open_filters(page: Page, _ids: dict[str, str]) -> None:
    await page.locator("#more-filters > summary").click()
    await expect(page.locator("#filter-agent")).to_be_visible()


async def _tick(page: Page, _ids: dict[str, str]) -> None:
    for box in await page.locator("[data-pick]").all():
        await box.check()
    await expect(page.get_by_role("toolbar")).to_be_visible()


async def _doubt(page: Page, ids: dict[str, str]) -> None:
    await _tick(page, ids)
    await page.get_by_role("toolbar").get_by_role("button", name="Approve").click()
    await expect(page.get_by_role("heading", name="under 80")).to_be_visible()


async def _lose_the_connection(page: Page, _ids: dict[str, str]) -> None:
    await page.evaluate("document.getElementById('banner').hidden = false")


async def _delete(page: Page, _ids: dict[str, str]) -> None:
    await page.locator("summary", has_text="Delete agent").click()
    await expect(page.get_by_text("for good?")).to_be_visible()


async def _remove(page: Page, _ids: dict[str, str]) -> None:
    await page.locator("summary", has_text="Remove gateway").click()
    await expect(page.get_by_text("has to be entered and approved again")).to_be_visible()


async def _hear_sessions(page: Page, _ids: dict[str, str]) -> None:
    await expect(page.locator("#sessions")).to_contain_text("94%")


async def _hear_agents(page: Page, _ids: dict[str, str]) -> None:
    await expect(page.get_by_role("heading", name="Link agents")).to_be_visible()


async def _link_none(page: Page, _ids: dict[str, str]) -> None:
    await page.get_by_role("button", name="Link", exact=True).click()
    await expect(page.get_by_text("Choose at least one.")).to_be_visible()


async def _link(page: Page, _ids: dict[str, str]) -> None:
    which = "writer" if page.viewport_size == WIDE else "main"
    await page.locator(f"[name=agent][value={which}]").check()
    await page.locator(f"[name='name:{which}']").fill(f"{LONG} {which}")
    await page.get_by_role("button", name="Link", exact=True).click()
    await expect(page.get_by_role("heading", level=1)).to_contain_text("Now tell it.")


async def _unfold(page: Page, _ids: dict[str, str]) -> None:
    await page.locator("#transcript summary").click()
    await expect(page.get_by_text("It answered:")).to_be_visible()


async def _open_rarely_needed(page: Page, _ids: dict[str, str]) -> None:
    await page.locator("summary", has_text="Rarely needed").click()
    await expect(page.get_by_text("Leave it off.")).to_be_visible()


async def _change_an_answer(page: Page, _ids: dict[str, str]) -> None:
    await page.locator(".change > summary").click()
    await expect(page.get_by_role("button", name="Change the answer")).to_be_visible()


async def _answer_nothing(page: Page, _ids: dict[str, str]) -> None:
    await page.get_by_role("button", name="Answer", exact=False).last.click()
    await expect(page.locator("[aria-invalid=true]")).to_have_count(1)


async def _begin_again(page: Page, _ids: dict[str, str]) -> None:
    await page.get_by_role("link", name="Begin again, or stop").click()
    await expect(page.get_by_role("dialog", name="Begin again?")).to_be_visible()


async def _read_a_file(page: Page, _ids: dict[str, str]) -> None:
    await page.locator("#preview summary").first.click()
    await expect(page.locator("#preview pre").first).to_be_visible()


Act = Callable[[Page, dict[str, str]], Awaitable[Any]]
OPENED: dict[str, tuple[str, Act]] = {
    "a task in its drawer": ("/boards/{board}?column=inbox", _open_drawer),
    "a new task that lacks its title": ("/boards/{board}", _open_new_task),
    "the palette": ("/boards", _open_palette),
    "the shortcuts": ("/settings", _open_keys),
    "more filters": ("/boards/{board}", _open_filters),
    "questions that are ticked": ("/approvals?board={board}", _tick),
    "doubtful questions": ("/approvals?board={board}", _doubt),
    "a lost connection": ("/boards/{board}", _lose_the_connection),
    "deleting an agent": ("/agents/{agent}", _delete),
    "an answer that is changed": ("/boards/{asked}/onboarding", _change_an_answer),
    "an answer that says nothing": ("/boards/{asked}/onboarding", _answer_nothing),
    "beginning again": ("/boards/{asked}/onboarding", _begin_again),
    "the files of a lead": ("/boards/{drafted}/onboarding/review", _read_a_file),
    "sessions of a gateway": ("/gateways/{workshop}/sessions", _hear_sessions),
    "what a tool was asked": ("/gateways/{workshop}/sessions/agent:main:main", _unfold),
    "agents to link": ("/gateways/{workshop}/agents", _hear_agents),
    "linking no agent": ("/gateways/{workshop}/agents?wait=1", _link_none),
    "an agent that was linked": ("/gateways/{workshop}/agents?wait=1", _link),
    "removing a gateway": ("/gateways/{gateway}", _remove),
    "what is rarely needed": ("/gateways/new", _open_rarely_needed),
}


@pytest.mark.parametrize("name", OPENED)
async def test_what_opens_on_a_page(world: World, name: str) -> None:
    address, act = OPENED[name]

    async def look(window: Window) -> None:
        await window.page.goto(address.format(**world.ids))
        await act(window.page, world.ids)
        await window.looks_well(422)

    await asyncio.gather(*[look(window) for window in world.windows])
