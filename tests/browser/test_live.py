"""Open pages follow what happens, whatever happens to their connection."""

import asyncio
import re

from playwright.async_api import Page, Request, Route, expect

from tests.browser.home import OWNER, Home
from tests.browser.pages import new_context


def live_state(page: Page, state: str):
    return expect(page.locator(f".live[data-state={state}]").first)


async def test_two_open_pages_follow_each_other(home: Home) -> None:
    board = home.board(name="Two pages")
    task = home.task(board, "Paint the door")
    one, other = await home.tab(), await home.tab()
    for page in (one, other):
        await page.goto(f"/boards/{board['id']}")
    card = f"#task-{task['id']}"

    await one.locator(card).hover()
    await one.locator(f"{card} summary").click()
    await one.locator(f"{card} form").get_by_role("button", name="In progress").click()

    for page in (one, other):
        await expect(page.locator(f"[data-status=in_progress] {card}")).to_be_visible()
        await page.context.close()


async def test_a_first_connection_that_fails_is_tried_again(home: Home) -> None:
    board = home.board(name="First try")
    page = await home.tab()
    tries = 0

    async def fail_at_first(route: Route) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            await route.fulfill(status=503)
        else:
            await route.continue_()

    await page.route("**/events?**", fail_at_first)
    await page.goto(f"/boards/{board['id']}")
    await live_state(page, "live").to_be_visible(timeout=20_000)

    task = home.task(board, "Heard after all")

    await expect(page.locator(f"#task-{task['id']}")).to_be_visible()
    assert tries >= 2
    await page.context.close()


async def test_a_page_goes_live_also_if_one_of_its_scripts_comes_late(home: Home) -> None:
    board = home.board(name="Late script")
    page = await home.tab()

    async def come_late(route: Route) -> None:
        await asyncio.sleep(0.5)
        await route.continue_()

    await page.route("**/hx-sse*", come_late)
    await page.goto(f"/boards/{board['id']}")

    await live_state(page, "live").to_be_visible(timeout=20_000)
    await page.context.close()


async def test_a_page_whose_server_was_killed_says_so_and_catches_up(home: Home) -> None:
    board = home.board(name="Outage")
    page = await home.tab()
    await page.goto(f"/boards/{board['id']}")
    await live_state(page, "live").to_be_visible(timeout=20_000)

    home.installation.kill()
    await live_state(page, "lost").to_be_visible(timeout=20_000)
    await expect(page.locator("#banner, .banner").first).to_be_visible()
    home.installation.start()
    task = home.task(board, "Made after the outage")

    await expect(page.locator(f"#task-{task['id']}")).to_be_visible(timeout=60_000)
    await live_state(page, "live").to_be_visible(timeout=20_000)
    await page.context.close()


async def test_a_database_that_dies_comes_back_and_open_pages_catch_up(home: Home) -> None:
    board = home.board(name="Database")
    page = await home.tab()
    await page.goto(f"/boards/{board['id']}")
    await live_state(page, "live").to_be_visible(timeout=20_000)

    home.installation.kill_database()
    task = await _as_soon_as_it_works(home, board)

    await expect(page.locator(f"#task-{task['id']}")).to_be_visible(timeout=30_000)
    await page.context.close()


async def _as_soon_as_it_works(home: Home, board) -> dict:
    async with asyncio.timeout(30):
        while True:
            answer = home.owner.client.post(f"/boards/{board['id']}/tasks", json={"title": "Back"})
            if answer.status_code == 200:
                return answer.json()
            assert answer.status_code == 503
            await asyncio.sleep(0.1)


async def test_what_somebody_types_is_never_replaced(home: Home) -> None:
    board = home.board(name="Typing")
    task = home.task(board, "Talk about it")
    agent = home.agent(board)
    page = await home.tab()
    await page.goto(f"/boards/{board['id']}/tasks/{task['id']}")
    composer = page.locator("textarea[name=message]")
    await composer.fill("Half a sent")

    agent.call("POST", f"/agent/boards/{board['id']}/tasks/{task['id']}/comments", message="Hello!")

    await expect(page.get_by_text("Hello!")).to_be_visible()
    await expect(composer).to_have_value("Half a sent")
    await composer.press_sequentially("ence.")
    await page.get_by_role("button", name="Send").click()
    await expect(page.get_by_text("Half a sentence.")).to_be_visible()
    await expect(composer).to_have_value("")
    await page.context.close()


async def test_a_hidden_tab_holds_no_connection_and_catches_up(home: Home) -> None:
    board = home.board(name="Hidden")
    page = await home.tab()
    await page.goto(f"/boards/{board['id']}")
    await live_state(page, "live").to_be_visible(timeout=20_000)
    ended = asyncio.get_running_loop().create_future()

    def over(request: Request) -> None:
        if "/events" in request.url and not ended.done():
            ended.set_result(True)

    page.on("requestfailed", over)
    page.on("requestfinished", over)

    hide = """hidden => {
        Object.defineProperty(document, 'hidden', {value: hidden, configurable: true});
        const state = hidden ? 'hidden' : 'visible';
        Object.defineProperty(document, 'visibilityState', {value: state, configurable: true});
        document.dispatchEvent(new Event('visibilitychange'));
    }"""
    await page.evaluate(hide, True)
    await asyncio.wait_for(ended, 90)
    task = home.task(board, "Made in the dark")
    await page.evaluate(hide, False)

    await expect(page.locator(f"#task-{task['id']}")).to_be_visible(timeout=30_000)
    await page.context.close()


async def test_a_session_that_is_ended_elsewhere_hears_nothing_any_more(home: Home) -> None:
    board = home.board(name="Ended")
    here, elsewhere = await home.tab(), await _other_sign_in(home)
    await here.goto(f"/boards/{board['id']}")
    await elsewhere.goto(f"/boards/{board['id']}")
    await live_state(elsewhere, "live").to_be_visible(timeout=20_000)

    await here.goto("/settings")
    await here.get_by_role("button", name=re.compile("all others|other sessions", re.I)).click()
    await asyncio.sleep(5)  # the promise: nothing is heard after five seconds
    home.task(board, "Not for everybody")

    await elsewhere.wait_for_timeout(2_000)  # only to show that nothing comes
    await expect(elsewhere.get_by_text("Not for everybody")).to_have_count(0)
    await here.context.close()
    await elsewhere.context.close()


async def _other_sign_in(home: Home) -> Page:
    context = await new_context(home.browser, home.installation)
    page = await context.new_page()
    await page.goto("/sign-in")
    await page.locator("[name=email]").fill(OWNER["email"])
    await page.locator("[name=password]").fill(OWNER["password"])
    await page.locator("[name=password]").press("Enter")
    await expect(page.locator("#rail")).to_be_visible()
    return page
