"""A house that is lived in: an owner with a browser, a board, and an agent at work."""

from dataclasses import dataclass
from typing import Any

from playwright.async_api import Browser, BrowserContext, Page

from tests.browser.conftest import new_context
from tests.installation import LOCAL_TOKEN, Api, Installation

OWNER = {"name": "Olga Ruiz", "email": "olga@example.com", "password": "correct horse battery"}


@dataclass
class Home:
    """What the browser tests are about."""

    browser: Browser
    installation: Installation
    owner: Api
    kept: Any  # the owner's cookies

    async def context(self, **options: Any) -> BrowserContext:
        """Open the owner's browser."""
        return await new_context(
            self.browser, self.installation, storage_state=self.kept, **options
        )

    async def tab(self, **options: Any) -> Page:
        """Open a tab in a browser of the owner's."""
        return await (await self.context(**options)).new_page()

    def board(self, **fields: Any) -> dict[str, Any]:
        return self.owner.board(**fields)

    def task(self, board: dict[str, Any], title: str, **fields: Any) -> dict[str, Any]:
        return self.owner.call("POST", f"/boards/{board['id']}/tasks", title=title, **fields)

    def agent(self, board: dict[str, Any], name: str = "Juniper") -> Api:
        made = self.owner.call("POST", "/agents", name=name, board_id=board["id"])
        return Api(self.installation.url, made["token"])

    def ask(self, agent: Api, board: dict[str, Any], task: dict[str, Any], title: str) -> Any:
        """Let an agent ask about a task."""
        return agent.call(
            "POST",
            f"/agent/boards/{board['id']}/approvals",
            action_type="task.complete",
            task_id=task["id"],
            confidence=88,
            payload={"title": title, "reason": "It is ready."},
        )


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
