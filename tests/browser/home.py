"""A house that is lived in: an owner with a browser, a board, and an agent at work."""

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from playwright.async_api import Browser, BrowserContext, Page

from tests.browser.pages import new_context
from tests.installation import LOCAL_TOKEN, Api, Installation
from tests.openclaw.workshop import Workshop

TOKEN = re.compile(r"AUTH_TOKEN=(mc_agent_[\w-]+)")
OWNER = {"name": "Olga Ruiz", "email": "olga@example.com", "password": "correct horse battery"}


@dataclass
class Home:
    """What the browser tests are about."""

    browser: Browser
    installation: Installation
    owner: Api
    kept: Any  # the owner's cookies
    agents: list[Api] = field(default_factory=list)

    async def context(self, **options: Any) -> BrowserContext:
        """Open the owner's browser."""
        return await new_context(
            self.browser, self.installation, storage_state=self.kept, **options
        )

    async def tab(self, **options: Any) -> Page:
        """Open a tab in a browser of the owner's."""
        return await (await self.context(**options)).new_page()

    @asynccontextmanager
    async def open(self, address: str, **options: Any) -> AsyncGenerator[Page]:
        """Open a page in a browser of the owner's. None of its scripts may fail."""
        page = await self.tab(**options)
        failures: list[str] = []
        page.on("pageerror", lambda error: failures.append(str(error)))
        await page.goto(address)
        yield page
        await page.context.close()
        assert failures == []

    def board(self, name: str = "Launch", **fields: Any) -> dict[str, Any]:
        return self.owner.board(name, **fields)

    def task(self, board: dict[str, Any], title: str, **fields: Any) -> dict[str, Any]:
        return self.owner.call("POST", f"/boards/{board['id']}/tasks", title=title, **fields)

    def tasks(self, board: dict[str, Any]) -> dict[str, dict[str, Any]]:
        """Return the tasks of a board by title, as the server has them."""
        found = self.owner.call("GET", f"/boards/{board['id']}/tasks")["items"]
        return {task["title"]: task for task in found}

    def change(self, board: dict[str, Any], task: dict[str, Any], **changes: Any) -> None:
        """Let the owner change a task from elsewhere."""
        path = f"/boards/{board['id']}/tasks/{task['id']}"
        self.owner.client.patch(path, json=changes).raise_for_status()

    def agent(self, board: dict[str, Any], name: str = "Juniper") -> Api:
        made = self.owner.call("POST", "/agents", name=name, board_id=board["id"])
        agent = Api(self.installation.url, made["token"])
        self.agents.append(agent)
        return agent

    def gateway(self, name: str, url: str, token: str = "secret") -> dict[str, Any]:
        """Enter a gateway, which need not be there."""
        return self.owner.call(
            "POST", "/gateways", name=name, url=url, workspace_root="/agents", token=token
        )

    async def agent_on(self, workshop: Workshop, key: str) -> Api:
        """Return an agent of a gateway that calls with the token which it finds in its files."""
        async with asyncio.timeout(60):
            while not (found := TOKEN.search(workshop.files.get(key, {}).get("AGENTS.md", ""))):
                await asyncio.sleep(0.1)
        agent = Api(self.installation.url, found[1])
        self.agents.append(agent)
        return agent

    def ask(
        self, agent: Api, board: dict[str, Any], task: dict[str, Any], title: str, sure: int = 88
    ) -> Any:
        """Let an agent ask about a task."""
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


async def move_in(browser: Browser, installation: Installation) -> Home:
    """Become the owner, by the link."""
    owner = Api(installation.url, LOCAL_TOKEN)
    owner.call("POST", "/auth/bootstrap")
    context = await new_context(browser, installation)
    page = await context.new_page()
    await page.goto(installation.link)
    for name, value in OWNER.items():
        await page.locator(f"[name={name}]").fill(value)
    await page.get_by_role("button", name="Become the owner").click()
    await page.wait_for_url("**/boards**")
    kept = await context.storage_state()
    await context.close()
    return Home(browser, installation, owner, kept)
