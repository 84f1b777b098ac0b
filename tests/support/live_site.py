"""A site with an owner who has a browser, and helpers that create objects."""

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
from playwright.async_api import Browser, BrowserContext, Page

from tests.support.fake_agents_gateway import FakeAgentsGateway
from tests.support.installation import LOCAL_TOKEN, TIMEOUT, ApiClient, Installation
from tests.support.page_checks import close_context, new_context

TOKEN = re.compile(r"AUTH_TOKEN=(mc_agent_[\w-]+)")
APPROVE = re.compile(r"^Approve( \(.*\))?( A)?$")  # without "Approve and move to Done"
FIRST_PAGE = re.compile("/(welcome|dashboard)$")  # of an owner: the second one if there is the demo
OWNER = {"name": "Olga Ruiz", "email": "olga@example.com", "password": "correct horse battery"}


def headline(title: str) -> str:
    """Return the headline of an approval to complete a task with this title."""
    return f"Complete the task “{title.removesuffix('?')}”?"


@dataclass
class LiveSite:
    """A running installation and its owner."""

    browser: Browser
    installation: Installation
    owner: ApiClient
    storage_state: Any  # cookies of the owner
    agents: list[ApiClient] = field(default_factory=list)
    shared_context: BrowserContext | None = None  # of pages that tests open one after another
    is_shared_context_used: bool = False

    async def context(self, **options: Any) -> BrowserContext:
        """Open a browser context of the owner."""
        return await new_context(
            self.browser, self.installation, storage_state=self.storage_state, **options
        )

    async def new_tab(self, **options: Any) -> Page:
        """Open a tab of the owner."""
        return await (await self.context(**options)).new_page()

    @asynccontextmanager
    async def open_page(
        self, address: str, *, has_own_context: bool = False, **options: Any
    ) -> AsyncGenerator[Page]:
        """Open a page of the owner, and fail if one of its scripts fails.

        Its context is that of earlier pages, unless one of them is open, or there are options
        besides the size. With `has_own_context` the test may change it, such as its clock.
        """
        has_options = bool(options.keys() - {"viewport"})
        is_own = has_own_context or has_options or self.is_shared_context_used
        context = await (self.context(**options) if is_own else self._use_shared_context())
        failures: list[str] = []
        try:
            page = await context.new_page()
            page.on("pageerror", lambda error: failures.append(str(error)))
            if "viewport" in options:
                await page.set_viewport_size(options["viewport"])
            await page.goto(address)
            yield page
        finally:
            await (close_context(context) if is_own else self._clear_shared_context(context))
        assert failures == []

    async def _use_shared_context(self) -> BrowserContext:
        """Return a context that has compiled the scripts already, and whose renderer runs."""
        self.is_shared_context_used = True
        if self.shared_context is None:
            self.shared_context = await self.context()
            page = await self.shared_context.new_page()  # it stays open
            await page.goto("/healthz")
        return self.shared_context

    async def _clear_shared_context(self, context: BrowserContext) -> None:
        """Close the pages that a test has opened, and delete what they have stored."""
        kept, *others = context.pages
        has_fake_clock = await kept.evaluate("'__pwClock' in globalThis")
        assert not has_fake_clock, "a test that replaces the clock needs has_own_context=True"
        for page in others:
            await page.unroute_all(behavior="ignoreErrors")
            await page.close()
        session = await context.new_cdp_session(kept)
        everything = {"origin": self.installation.url, "storageTypes": "all"}
        await session.send("Storage.clearDataForOrigin", everything)
        await session.detach()
        await context.add_cookies(self.storage_state["cookies"])
        self.is_shared_context_used = False

    def open_pages(self) -> httpx2.Client:
        """Return a client that opens the pages of the owner, as a browser does."""
        cookies = {one["name"]: one["value"] for one in self.storage_state["cookies"]}
        headers = {"Sec-Fetch-Site": "same-origin"}
        address = self.installation.url
        return httpx2.Client(base_url=address, cookies=cookies, headers=headers, timeout=TIMEOUT)

    def create_file_version(self, agent_id: str, content: str) -> str:
        """Change a file of an agent, and return the id of the stored version."""
        path = f"/agents/{agent_id}/files/SOUL.md"
        with self.open_pages() as client:
            [base] = re.findall(r'name="version" value="(\w*)"', client.get(f"{path}/edit").text)
            client.post(path, data={"content": content, "version": base})
            history = client.get(f"{path}/history").text
        return str(re.findall(rf'href="{path}/history/([\w-]+)"', history)[0])

    def create_board(self, name: str = "Launch", **fields: Any) -> dict[str, Any]:
        return self.owner.create_board(name, **fields)

    def create_task(self, board: dict[str, Any], title: str, **fields: Any) -> dict[str, Any]:
        return self.owner.call("POST", f"/boards/{board['id']}/tasks", title=title, **fields)

    def list_tasks(self, board: dict[str, Any]) -> dict[str, dict[str, Any]]:
        """Return the tasks of a board by title."""
        found = self.owner.call("GET", f"/boards/{board['id']}/tasks")["items"]
        return {task["title"]: task for task in found}

    def update_task(self, board: dict[str, Any], task: dict[str, Any], **changes: Any) -> None:
        """Update a task as the owner, outside the browser."""
        path = f"/boards/{board['id']}/tasks/{task['id']}"
        self.owner.client.patch(path, json=changes).raise_for_status()

    def create_agent(self, board: dict[str, Any], name: str = "Juniper") -> ApiClient:
        made = self.owner.call("POST", "/agents", name=name, board_id=board["id"])
        agent = ApiClient(self.installation.url, made["token"])
        self.agents.append(agent)
        return agent

    def create_gateway(self, name: str, url: str, token: str = "secret") -> dict[str, Any]:
        """Create a gateway, which may be unreachable."""
        return self.owner.call(
            "POST", "/gateways", name=name, url=url, workspace_root="/agents", token=token
        )

    async def connect_gateway_agent(self, fake_gateway: FakeAgentsGateway, key: str) -> ApiClient:
        """Return an agent of a gateway with the token from its files."""
        async with asyncio.timeout(60):
            while not (found := TOKEN.search(fake_gateway.files.get(key, {}).get("AGENTS.md", ""))):
                await asyncio.sleep(0.02)
        agent = ApiClient(self.installation.url, found[1])
        self.agents.append(agent)
        return agent

    def request_approval(
        self,
        agent: ApiClient,
        board: dict[str, Any],
        task: dict[str, Any],
        title: str,
        sure: int = 88,
    ) -> Any:
        """Request the approval of a task as an agent."""
        return agent.call(
            "POST",
            f"/agent/boards/{board['id']}/approvals",
            action_type="task.complete",
            task_id=task["id"],
            confidence=sure,
            payload={"title": title, "reason": "It is ready."},
        )

    def close(self) -> None:
        for api in (self.owner, *self.agents):
            api.client.close()


async def set_up_site(
    browser: Browser, installation: Installation, first_page: re.Pattern[str] = FIRST_PAGE
) -> LiveSite:
    """Create the owner by the first-run link, which leads to the first page."""
    owner = ApiClient(installation.url, LOCAL_TOKEN)
    context = await new_context(browser, installation)
    page = await context.new_page()
    await page.goto(installation.link)
    for name, value in OWNER.items():
        await page.locator(f"[name={name}]").fill(value)
    await page.get_by_role("button", name="Become the owner").click()
    await page.wait_for_url(first_page)
    owner.call("POST", "/auth/bootstrap")
    kept = await context.storage_state()
    await context.close()
    return LiveSite(browser, installation, owner, kept)
