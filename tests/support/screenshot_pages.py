"""The pages of the screenshots: the name, the address, and what is done before the picture."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from playwright.async_api import Page

Preparation = Callable[[Page], Awaitable[object]]


@dataclass(frozen=True)
class PictureOf:
    """A page, or a dialog on it. The name is that of the files."""

    name: str
    address: str
    prepare: Preparation | None = None
    is_public: bool = False  # seen by people who are not signed in
    has_scripts: bool = True
    is_error: bool = False


def press(*keys: str) -> Preparation:
    """Return a preparation that presses keys one after the other."""

    async def prepare(page: Page) -> None:
        for key in keys:
            await page.keyboard.press(key)

    return prepare


def click(selector: str, opens: str = "") -> Preparation:
    """Return a preparation that clicks on the first element of a selector, which opens another."""

    async def prepare(page: Page) -> None:
        await page.locator(selector).first.click()
        if opens:
            await page.locator(opens).wait_for()

    return prepare


async def cause_conflict(page: Page) -> None:
    """Save a description that another window has changed in the meantime."""
    other = await page.context.new_page()
    for one in (page, other):
        await one.goto(page.url)
        await one.locator("#edit-text > summary").click()
    size = page.viewport_size or {}
    text = f"Lead with the two breaking changes ({size.get('width')} px)."
    for one, words in ((other, f"{text} Link each to its step."), (page, text)):
        await one.locator("#task-description").fill(f"Write for customers.\n{words}")
        await one.locator("form:has(#task-description) [type=submit]").first.click()
        await one.wait_for_load_state()
    await other.close()


FIRST_RUN = PictureOf("first-run", "", is_public=True)
"""The page of the link that a new installation prints; it works once."""

PICTURES = [
    PictureOf("sign-in", "/sign-in", is_public=True),
    PictureOf("first-run-used-link", "/first-run", is_public=True, is_error=True),
    PictureOf("invite", "/invite#{invite}", is_public=True),
    PictureOf("password", "/password", is_public=True),
    PictureOf("sign-in-again", "/sign-in/again"),
    PictureOf("welcome", "/welcome?step=organization"),
    PictureOf("welcome-agent", "/welcome/agents/{agent}"),
    PictureOf("dashboard", "/dashboard"),
    PictureOf("approvals", "/approvals"),
    PictureOf("approvals-decided", "/approvals?state=decided"),
    PictureOf("approvals-gateways", "/approvals?state=gateways"),
    PictureOf("approval", "/approvals/{approval}"),
    PictureOf("approval-decided", "/approvals/{decided}"),
    PictureOf("approval-why", "/approvals/{decided}/why"),
    PictureOf("gateway-request-command", "/approvals/requests/{command}"),
    PictureOf("gateway-request-question", "/approvals/requests/{question}"),
    PictureOf("notifications", "/notifications"),
    PictureOf("my-tasks", "/my-tasks"),
    PictureOf("activity", "/activity"),
    PictureOf("search", "/search?q=release"),
    PictureOf("boards", "/boards"),
    PictureOf("board", "/boards/{board}"),
    PictureOf("board-list", "/boards/{board}?view=list"),
    PictureOf("board-calendar", "/boards/{board}?view=calendar"),
    PictureOf("board-filter-without-result", "/boards/{board}?q=nothing+is+called+that"),
    PictureOf("board-empty", "/boards/{empty}"),
    PictureOf("board-feed", "/boards/{board}/feed"),
    PictureOf("board-trash", "/boards/{board}/trash"),
    PictureOf("board-views", "/boards/{board}/views"),
    PictureOf("board-view-new", "/boards/{board}/views/new?view=list&priority=high"),
    PictureOf("board-new", "/boards/new"),
    PictureOf("board-settings", "/boards/{board}/settings"),
    PictureOf("board-webhooks", "/boards/{board}/webhooks"),
    PictureOf("board-webhook", "/boards/{board}/webhooks/{webhook}"),
    PictureOf("board-webhook-action", "/boards/{board}/webhooks/{webhook}/action"),
    PictureOf("board-webhook-payload", "/boards/{board}/webhooks/{webhook}/payloads/{payload}"),
    PictureOf("board-policy", "/boards/{board}/policy"),
    PictureOf("board-chat", "/boards/{board}/chat"),
    PictureOf("board-notes", "/boards/{board}/notes"),
    PictureOf("board-note-edit", "/boards/{board}/notes/{note}/edit"),
    PictureOf(
        "board-task-drawer",
        "/boards/{board}",
        click("[data-needs] h3 a:visible", opens="#drawer[data-shows]"),
    ),
    PictureOf("board-new-task", "/boards/{board}", click("[data-open=new-task]:visible")),
    PictureOf("task", "/boards/{board}/tasks/{task}"),
    PictureOf("task-run", "/boards/{billing}/tasks/{worked_on}"),
    PictureOf("task-new", "/boards/{board}/tasks/new"),
    PictureOf("task-descriptions", "/boards/{board}/tasks/{task}/descriptions"),
    PictureOf("task-why", "/boards/{board}/tasks/{task}/why"),
    PictureOf("task-conflict", "/boards/{board}/tasks/{task}", cause_conflict, has_scripts=False),
    PictureOf("onboarding", "/boards/{unasked}/onboarding"),
    PictureOf("onboarding-waiting", "/boards/{waited}/onboarding"),
    PictureOf("onboarding-question", "/boards/{asked}/onboarding"),
    PictureOf("onboarding-review", "/boards/{drafted}/onboarding/review"),
    PictureOf("onboarding-launch", "/boards/{launched}/onboarding/launch"),
    PictureOf("agents", "/agents"),
    PictureOf("agent-new", "/agents/new"),
    PictureOf("agent", "/agents/{agent}"),
    PictureOf("agent-on-gateway", "/agents/{docker}"),
    PictureOf("agent-runs", "/agents/{docker}/runs"),
    PictureOf("agent-messages", "/agents/{agent}/messages"),
    PictureOf("agent-message-why", "/agents/{agent}/messages/{message}/why"),
    PictureOf("agent-settings", "/agents/{agent}/settings"),
    PictureOf("agent-calls", "/agents/{agent}/calls"),
    PictureOf("agent-soul", "/agents/{docker}/soul"),
    PictureOf("agent-files", "/agents/{docker}/files?wait=1"),
    PictureOf("agent-file", "/agents/{docker}/files/SOUL.md?wait=1"),
    PictureOf("agent-file-edit", "/agents/{docker}/files/SOUL.md/edit"),
    PictureOf("agent-file-history", "/agents/{docker}/files/SOUL.md/history"),
    PictureOf("groups", "/groups"),
    PictureOf("group-new", "/groups/new"),
    PictureOf("group", "/groups/{group}"),
    PictureOf("group-chat", "/groups/{group}/chat"),
    PictureOf("group-notes", "/groups/{group}/notes"),
    PictureOf("gateways", "/gateways"),
    PictureOf("gateway-new", "/gateways/new"),
    PictureOf("gateway", "/gateways/{gateway}"),
    PictureOf("gateway-agents", "/gateways/{gateway}/agents?wait=1"),
    PictureOf("gateway-sync", "/gateways/{gateway}/sync?wait=1"),
    PictureOf("gateway-sessions", "/gateways/{gateway}/sessions"),
    PictureOf("gateway-session", "/gateways/{gateway}/sessions/agent:main:main?wait=1"),
    PictureOf("gateway-edit", "/gateways/{gateway}/edit"),
    PictureOf("souls", "/souls"),
    PictureOf("soul", "/souls/mission-control/code-reviewer"),
    PictureOf("skills", "/skills"),
    PictureOf("skill", "/skills/{skill}"),
    PictureOf("skill-install", "/skills/{skill}/gateways/{gateway}"),
    PictureOf("skill-packs", "/skills/packs"),
    PictureOf("skill-pack", "/skills/packs/{pack}"),
    PictureOf("skill-pack-new", "/skills/packs/new"),
    PictureOf("people", "/people"),
    PictureOf("people-invite", "/people/invites/new"),
    PictureOf("member", "/people/{member}"),
    PictureOf("organization", "/organization/about"),
    PictureOf("tags", "/tags"),
    PictureOf("tag-new", "/tags/new"),
    PictureOf("tag", "/tags/{tag}"),
    PictureOf("fields", "/fields"),
    PictureOf("field-new", "/fields/new"),
    PictureOf("field-edit", "/fields/{field}/edit"),
    PictureOf("webhooks", "/webhooks"),
    PictureOf("webhook-new", "/webhooks/new"),
    PictureOf("webhook", "/webhooks/{endpoint}"),
    PictureOf("settings", "/settings"),
    PictureOf("settings-notifications", "/settings/notifications"),
    PictureOf("settings-channels", "/settings/channels"),
    PictureOf("settings-channel", "/settings/channels/{channel}"),
    PictureOf("settings-account", "/settings/account"),
    PictureOf("policy", "/settings/policy"),
    PictureOf("policy-try", "/settings/policy?try=1"),
    PictureOf("policy-rule", "/settings/policy/rules/{shared_rule}"),
    PictureOf("audit", "/audit"),
    PictureOf("api-reference", "/docs"),
    PictureOf("components", "/design"),
    PictureOf("not-found", "/there-is-no-such-page", is_error=True),
    PictureOf("command-palette", "/dashboard", press("Control+k")),
    PictureOf("shortcuts", "/dashboard", press("?")),
]
