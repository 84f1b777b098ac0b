"""On a phone every page can be reached."""

import re

import pytest
from playwright.async_api import Page, ViewportSize, expect

from tests.support.live_site import LiveSite
from tests.support.page_checks import (
    LIST_SMALL_TARGETS,
    PHONE,
    WIDE,
    list_axe_violations,
    list_overflowing,
)
from tests.support.tiers import mark_repetitions, repetition

IN_MORE = {
    "Dashboard": "/dashboard",
    "Search": "/search",
    "Board groups": "/groups",
    "Gateways": "/gateways",
    "Souls": "/souls",
    "Skills": "/skills",
    "People": "/people",
    "Audit": "/audit",
    "Settings": "/settings",
}


def more_of(page: Page):
    return page.get_by_role("navigation", name="Sections").locator("details")


@pytest.mark.parametrize("scripts", [True, pytest.param(False, marks=repetition)])
async def test_more_leads_to_all_other_pages(site: LiveSite, scripts: bool) -> None:
    page = await site.new_tab(viewport=PHONE, java_script_enabled=scripts)
    await page.goto("/boards")
    await more_of(page).locator("summary").click()
    for name, path in IN_MORE.items():
        link = more_of(page).get_by_role("link", name=re.compile(f"^{name}"))
        await expect(link).to_have_attribute("href", path)
        box = await link.bounding_box()
        assert box
        assert box["height"] >= 44
        assert box["y"] >= 0
        await link.click(trial=True)  # nothing covers it
    await link.click()
    await expect(page).to_have_url(re.compile(f"{path}$"))
    await expect(more_of(page).locator("summary")).to_have_attribute("aria-current", "true")
    await more_of(page).locator("summary").click()
    await expect(more_of(page).get_by_role("button", name="Sign out")).to_be_visible()
    if scripts:
        await more_of(page).get_by_role("button", name="Theme").click()
        await expect(page.locator("html")).to_have_attribute("data-theme", "light")
    await page.context.close()


@repetition
async def test_the_menu_more_is_accessible_and_changes_the_theme(site: LiveSite) -> None:
    """Its buttons are stated above, and Escape in tests/browser/test_board.py."""
    async with site.open_page("/activity", viewport=PHONE) as page:
        summary = more_of(page).locator("summary")
        await summary.click()
        assert await list_axe_violations(page, with_layout=True) == []
        assert not await list_overflowing(page)
        await more_of(page).get_by_role("button", name="Theme").click()
        await expect(page.locator("html")).to_have_attribute("data-theme", "light")
        await summary.click()
        await page.keyboard.press("Escape")
        await expect(more_of(page)).not_to_have_attribute("open", "")
        await expect(summary).to_be_focused()


@repetition
async def test_a_board_is_filtered_by_text(site: LiveSite) -> None:
    """As in tests/browser/test_history.py; test_board.py has the filters of a narrow bar."""
    board = site.create_board("Pocket filters")
    for title in ("Paint the door", "Hang the sign"):
        site.create_task(board, title)
    async with site.open_page(f"/boards/{board['id']}", viewport=PHONE) as page:
        await page.locator("#more-filters > summary").click()
        await page.get_by_label("Search tasks").fill("door")
        await expect(page.locator(".card")).to_have_count(1)
        await expect(page.get_by_role("button", name="Blocked")).to_be_visible()
        await page.get_by_label("Show all").click()
        await expect(page.locator(".card")).to_have_count(2)
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("button", name="Blocked")).to_be_hidden()


@repetition
@pytest.mark.parametrize(("size", "top"), [(WIDE, 170), (PHONE, 300)])
async def test_the_cards_of_a_board_begin_near_the_top(site: LiveSite, size, top: int) -> None:
    board = site.create_board("The quality assurance of all products " * 2, objective="Ship it")
    for number in range(9):
        agent, task = site.create_agent(board, f"Juniper {number}"), site.create_task(board, "Ask")
        site.request_approval(agent, board, task, "Ask")
    async with site.open_page(f"/boards/{board['id']}?column=inbox", viewport=size) as page:
        box = await page.locator(".card").first.bounding_box()
        assert box
        assert box["y"] <= top
        for words in ("Pause agents", "Chat", "1 more"):  # written, not only drawn
            shown = page.get_by_text(words).filter(visible=True)
            await expect(shown.first).to_be_in_viewport(ratio=0.9)
        assert not await list_overflowing(page)


async def test_the_buttons_of_the_drawer_are_large_enough(site: LiveSite) -> None:
    board = site.create_board("Pocket drawer")
    task = site.create_task(board, "Paint the door")
    async with site.open_page(f"/boards/{board['id']}", viewport=PHONE) as page:
        await page.locator(f"#task-{task['id']} a").first.click()
        buttons = page.locator(".drawer :is(.btn, .prop, summary)").filter(visible=True)
        await expect(buttons.first).to_be_visible()
        sizes = [await one.bounding_box() for one in await buttons.all()]
        assert len(sizes) > 8
        assert [box for box in sizes if not box or box["height"] < 43.9] == []
        assert not await list_overflowing(page)


async def test_no_toast_covers_a_comment_that_was_not_sent(site: LiveSite) -> None:
    board = site.create_board("Pocket tunnel")
    task = site.create_task(board, "Paint the door")
    async with site.open_page(f"/boards/{board['id']}", viewport=PHONE) as page:
        await page.locator(f"#task-{task['id']} a").first.click()
        composer = page.locator(".drawer__foot")
        await composer.locator("textarea").fill("In red?")
        await page.route("**/comments*", lambda route: route.abort())
        await composer.get_by_role("button", name="Send").click()
        toast = page.get_by_role("alert").filter(has_text="Not sent: the server does not answer.")
        await expect(toast).to_be_visible()
        above, below = await toast.bounding_box(), await composer.bounding_box()
        assert above
        assert below
        assert above["y"] + above["height"] <= below["y"]
        await expect(composer.locator("textarea")).to_have_value("In red?")


async def test_the_bar_of_a_task_between_others_fits(site: LiveSite) -> None:
    board = site.create_board("Pocket bar")
    tasks = [site.create_task(board, title) for title in ("Paint", "Hang", "Clean")]
    address = f"/boards/{board['id']}/tasks/{tasks[1]['id']}"
    async with site.open_page(address, viewport={"width": 320, "height": 640}) as page:
        await expect(page.get_by_role("link", name="Previous task")).to_be_visible()
        await expect(page.get_by_role("link", name="Next task")).to_be_visible()
        assert not await list_overflowing(page)
        await page.get_by_label("More actions").click()
        await expect(page.get_by_role("button", name="Copy link")).to_be_visible()
        assert not await list_overflowing(page)


@repetition
async def test_the_requester_of_an_approval_can_be_asked(site: LiveSite) -> None:
    """The steps are stated in tests/web/test_approval_decisions.py.

    Also in tests/browser/test_approvals.py.
    """
    board = site.create_board("Pocket question")
    agent = site.create_agent(board)
    task = site.create_task(board, "Paint the door")
    approval = site.request_approval(agent, board, task, "Paint the door")
    async with site.open_page(f"/approvals/{approval['id']}", viewport=PHONE) as page:
        await expect(page.get_by_text("Original request").first).to_be_visible()
        await page.locator("summary", has_text="Ask a question").click()
        await page.get_by_label("Ask Juniper").fill("Which colour?")
        await page.get_by_role("button", name="Ask", exact=True).click()
        await expect(page.locator("article").get_by_text("Question asked")).to_be_visible()
        assert not await list_overflowing(page)


@pytest.mark.parametrize(
    "kind", ["task.complete", pytest.param("deploy.release", marks=repetition)]
)
async def test_the_bar_of_a_decision_leaves_room_for_the_request(site: LiveSite, kind) -> None:
    board = site.create_board("Pocket decision", require_approval_for_done=True)
    agent, task = site.create_agent(board, "Juniper the Explorer"), site.create_task(board, "Paint")
    site.update_task(board, task, status="review")
    wanted = {"action_type": kind, "task_id": task["id"], "confidence": 60}
    path = f"/agent/boards/{board['id']}/approvals"
    asked = agent.call("POST", path, payload={"reason": "It is ready."}, **wanted)
    address = f"/approvals/{asked['id']}"
    async with site.open_page(address, viewport=PHONE, locale="de") as page:
        await page.evaluate("document.fonts.ready")  # with others the buttons need another row
        box = await page.locator(".decide").bounding_box()
        assert box
        assert box["height"] <= 160
        assert await page.evaluate(LIST_SMALL_TARGETS) == []
        await page.locator(".decide summary", has_text="Rückfrage").click()
        await expect(page.locator(".decide textarea")).to_be_in_viewport(ratio=1)
        assert not await list_overflowing(page)


@pytest.mark.parametrize("width", mark_repetitions([1440, 1280, 1024, 360], (1440, 360)))
async def test_the_main_button_of_a_decision_is_beside_the_other(site: LiveSite, width) -> None:
    board = site.create_board("Wide decision", require_approval_for_done=True)
    agent, task = site.create_agent(board), site.create_task(board, "Paint")
    asked = site.request_approval(agent, board, task, "Paint it?")
    size: ViewportSize = {"width": width, "height": 800}
    async with site.open_page(f"/approvals/{asked['id']}", viewport=size, locale="de") as page:
        rejected = await page.locator(".decide > [value=rejected]").bounding_box()
        approved = await page.locator(".decide > [value=approved]").bounding_box()
        assert rejected
        assert approved
        assert rejected["y"] == approved["y"]
        await expect(page.locator(".decide > [value=completed]")).to_be_visible()
        note = await page.locator(".decide__note").bounding_box()
        assert note
        assert note["width"] > 170
        await page.locator(".decide summary", has_text="Rückfrage").click()
        await expect(page.locator(".decide textarea")).to_be_in_viewport(ratio=1)


IS_IN_ORDER = """() => {
  const shown = [...document.querySelectorAll(
    ".decide input:not([type=hidden]), .decide > .drop > summary, .decide > button"
  )].map((one) => one.getBoundingClientRect());
  const isBeside = (one, next) => next.left >= one.right && next.bottom > one.top;
  const follows = (one, next) => next.top >= one.bottom || isBeside(one, next);
  return shown.length > 3 && shown.slice(1).every((next, at) => follows(shown[at], next));
}"""  # each control of the bar is below the one before it, or to the right of it


@pytest.mark.parametrize("kind", ["task.complete", "deploy.release"])
async def test_the_controls_of_a_decision_are_in_the_order_of_the_tab_key(
    site: LiveSite, kind
) -> None:
    board = site.create_board("Ordered decision", require_approval_for_done=True)
    agent, task = site.create_agent(board), site.create_task(board, "Paint")
    wanted = {"action_type": kind, "task_id": task["id"], "confidence": 90}
    path = f"/agent/boards/{board['id']}/approvals"
    asked = agent.call("POST", path, payload={"reason": "It is ready."}, **wanted)
    async with site.open_page(f"/approvals/{asked['id']}", locale="de") as page:
        await page.evaluate("document.fonts.ready")
        for width in (360, 800, 1024, 1100, 1440):
            await page.set_viewport_size({"width": width, "height": 800})
            assert await page.evaluate(IS_IN_ORDER), width


async def test_a_request_opens_at_its_top(site: LiveSite) -> None:
    board = site.create_board("Long list")
    agent = site.create_agent(board)
    for number in range(8):
        task = site.create_task(board, f"Task {number}")
        site.request_approval(agent, board, task, f"Number {number}?")
    async with site.open_page(f"/approvals?board={board['id']}", viewport=PHONE) as page:
        rows = page.locator("#inbox [data-item]")
        await expect(rows).to_have_count(8)
        await page.evaluate("scrollTo(0, 300)")
        await page.wait_for_function("() => scrollY === 300")
        await rows.nth(5).get_by_role("link").first.evaluate("link => link.click()")
        await expect(page.locator("#detail h2")).to_be_in_viewport()
        await page.wait_for_function("() => scrollY === 0")


@repetition
async def test_the_states_of_the_inbox_are_reached_by_touch_and_by_keys(site: LiveSite) -> None:
    """The steps are stated in tests/web/test_approval_inbox.py."""
    board = site.create_board("Pocket inbox")
    site.request_approval(site.create_agent(board), board, site.create_task(board, "Sand"), "Sand")
    async with site.open_page(
        f"/approvals?board={board['id']}", viewport={"width": 360, "height": 740}
    ) as page:
        states = page.get_by_role("navigation", name="State")
        for name, address in [("Decided", "state=decided"), ("Waiting", f"board={board['id']}$")]:
            link = states.get_by_role("link", name=re.compile(f"^{name}"))
            await expect(link).to_be_in_viewport(ratio=1)
            await link.focus()
            await page.keyboard.press("Enter")
            await expect(page).to_have_url(re.compile(address))
            assert not await list_overflowing(page)
            await expect(states.locator("[aria-current=page]")).to_contain_text(name)


async def test_the_note_beside_the_buttons_of_a_new_task_is_one_line(site: LiveSite) -> None:
    board = site.create_board("Narrow dialog")
    async with site.open_page(
        f"/boards/{board['id']}", viewport={"width": 360, "height": 740}
    ) as page:
        await page.get_by_role("link", name="New task", exact=True).click()
        note = await page.get_by_text("Goes to Inbox").bounding_box()
        assert note
        assert note["width"] > note["height"]
