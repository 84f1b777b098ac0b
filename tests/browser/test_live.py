"""Open pages receive updates, also after connection failures."""

import asyncio
import re
from uuid import UUID

import asyncpg
from playwright.async_api import Page, Request, Route, expect

from tests.support.live_site import OWNER, LiveSite
from tests.support.page_checks import OWN_CONNECTION, close_context, new_context, set_hidden
from tests.support.tiers import repetition

LOST_DELAY = 5_000  # ms without a connection until the banner appears, as in static/live.js
RETRY_DELAY = 30_000  # ms: longer than any delay in static/live_hub.js


def live_state(page: Page, state: str):
    return expect(page.locator(f".live[data-state={state}]").first)


@repetition
async def test_two_open_pages_update_each_other(site: LiveSite) -> None:
    """As in tests/browser/test_shared_connection.py and tests/browser/test_board.py."""
    board = site.create_board(name="Two pages")
    task = site.create_task(board, "Paint the door")
    one, other = await site.new_tab(), await site.new_tab()
    for page in (one, other):
        await page.goto(f"/boards/{board['id']}")
    card = f"#task-{task['id']}"

    await one.locator(card).hover()
    await one.locator(card).get_by_role("button", name="Actions for “").click()
    await one.locator("#card-menu").get_by_role("button", name="In progress").click()

    for page in (one, other):
        await expect(page.locator(f"[data-status=in_progress] {card}")).to_be_visible()
        await page.context.close()


async def test_a_failed_connection_is_reported_and_retried(site: LiveSite) -> None:
    board = site.create_board(name="First try")
    page = await site.new_tab()
    is_away = True

    async def answer(route: Route) -> None:
        await (route.fulfill(status=503) if is_away else route.continue_())

    await page.add_init_script(OWN_CONNECTION)
    await page.route("**/events?**", answer)
    await page.clock.install()
    async with page.expect_response("**/events?**"):
        await page.goto(f"/boards/{board['id']}")
    await page.clock.run_for(LOST_DELAY)
    await live_state(page, "lost").to_be_visible()
    await expect(page.locator("#banner")).to_be_visible()
    task = site.create_task(board, "Heard after all")
    is_away = False
    await page.clock.run_for(RETRY_DELAY)
    await expect(page.locator(f"#task-{task['id']}")).to_be_visible()
    await expect(page.locator("#banner")).to_be_hidden()
    await live_state(page, "live").to_be_visible()
    await close_context(page.context)


async def test_a_page_connects_even_if_a_script_loads_late(site: LiveSite) -> None:
    board = site.create_board(name="Late script")
    page = await site.new_tab()

    async def come_late(route: Route) -> None:
        await asyncio.sleep(0.5)
        await route.continue_()

    await page.route("**/app.js*", come_late)
    await page.goto(f"/boards/{board['id']}")

    await live_state(page, "live").to_be_visible()
    await close_context(page.context)


async def test_a_script_that_fails_does_not_stop_the_others(site: LiveSite) -> None:
    page = await site.new_tab()
    failures: list[str] = []
    page.on("pageerror", lambda error: failures.append(error.message))

    async def break_script(route: Route) -> None:
        response = await route.fetch()
        text = (await response.text()).replace(
            "// print.js\ntry {", "// print.js\ntry { throw new Error('broken');"
        )
        await route.fulfill(response=response, body=text)

    await page.route("**/app.js*", break_script)
    await page.goto("/boards")

    await live_state(page, "live").to_be_visible()
    assert failures == ["broken"]
    await close_context(page.context)


@repetition
async def test_a_page_reports_a_killed_server_and_catches_up(site: LiveSite) -> None:
    """As in the test of a failed connection, and that of a hidden tab."""
    board = site.create_board(name="Outage")
    page = await site.new_tab()
    await page.goto(f"/boards/{board['id']}")
    await live_state(page, "live").to_be_visible()

    site.installation.kill()
    await live_state(page, "lost").to_be_visible()
    await expect(page.locator("#banner, .banner").first).to_be_visible()
    site.installation.start()
    task = site.create_task(board, "Made after the outage")

    await expect(page.locator(f"#task-{task['id']}")).to_be_visible()
    await live_state(page, "live").to_be_visible()
    await page.context.close()


async def test_without_an_answer_of_the_server_nothing_is_replaced(site: LiveSite) -> None:
    board = site.create_board(name="Behind a proxy")
    task = site.create_task(board, "Paint the door")
    body = "<html><head><title>502</title></head><body><h1>Bad Gateway</h1></body></html>"

    async def answer_as_a_proxy(route: Route) -> None:
        await route.fulfill(status=502, content_type="text/html", body=body)

    async with site.open_page(f"/boards/{board['id']}") as page:
        link, error = page.locator(f"#task-{task['id']} h3 a"), page.get_by_role("alert")
        await page.route("**/tasks/**", answer_as_a_proxy)
        await link.focus()
        await page.keyboard.press("Shift+ArrowRight")
        await expect(error).to_contain_text("Not sent: the server does not answer.")
        await link.click()
        await expect(error.last).to_contain_text("Not loaded. Try again.")
        await expect(page.locator("#drawer")).to_be_hidden()
        await expect(page.get_by_text("Bad Gateway")).to_have_count(0)
        await page.unroute("**/tasks/**")
        await page.route("**/tasks/**", lambda route: route.abort())
        await link.click()
        await expect(error).to_have_count(2)  # the same message once
        await error.last.get_by_role("button", name="Dismiss").click()
        await expect(error).to_have_count(1)
        await expect(page.locator(f"[data-status=inbox] #task-{task['id']}")).to_be_visible()


@repetition
async def test_pages_catch_up_after_a_database_restart(site: LiveSite) -> None:
    """As after an outage of the server; tests/live/test_event_feed.py has that of the database."""
    board = site.create_board(name="Database")
    page = await site.new_tab()
    await page.goto(f"/boards/{board['id']}")
    await live_state(page, "live").to_be_visible()

    site.installation.kill_database()
    task = await _as_soon_as_it_works(site, board)

    await expect(page.locator(f"#task-{task['id']}")).to_be_visible()
    await page.context.close()


async def _as_soon_as_it_works(site: LiveSite, board) -> dict:
    async with asyncio.timeout(60):
        while True:
            answer = site.owner.client.post(f"/boards/{board['id']}/tasks", json={"title": "Back"})
            if answer.status_code == 200:
                return answer.json()
            assert answer.status_code == 503
            await asyncio.sleep(0.1)


async def test_typed_text_is_never_replaced(site: LiveSite) -> None:
    board = site.create_board(name="Typing")
    task = site.create_task(board, "Talk about it")
    agent = site.create_agent(board)
    page = await site.new_tab()
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


async def test_a_hidden_tab_disconnects_and_catches_up(site: LiveSite) -> None:
    board = site.create_board(name="Hidden")
    page = await _open_and_hide(site, board)
    task = site.create_task(board, "Made in the dark")
    await page.evaluate(set_hidden(False))

    await expect(page.locator(f"#task-{task['id']}")).to_be_visible()
    await page.context.close()


async def _open_and_hide(site: LiveSite, board) -> Page:
    """Open a board, and hide its tab until it has no connection any more."""
    page = await site.new_tab()
    await page.add_init_script(OWN_CONNECTION)
    await page.goto(f"/boards/{board['id']}")
    await live_state(page, "live").to_be_visible()
    ended = asyncio.get_running_loop().create_future()

    def over(request: Request) -> None:
        if "/events" in request.url and not ended.done():
            ended.set_result(True)

    page.on("requestfailed", over)
    page.on("requestfinished", over)
    await page.evaluate(set_hidden(True))
    await asyncio.wait_for(ended, 90)
    return page


@repetition
async def test_a_session_ended_elsewhere_receives_no_events(site: LiveSite) -> None:
    """As in tests/live/test_stream_ends.py and tests/browser/test_shared_connection.py."""
    board = site.create_board(name="Ended")
    here, elsewhere = await site.new_tab(), await _other_sign_in(site)
    await here.goto(f"/boards/{board['id']}")
    await elsewhere.goto(f"/boards/{board['id']}")
    await live_state(elsewhere, "live").to_be_visible()

    await here.goto("/settings")
    await here.get_by_role("button", name=re.compile("all others|other sessions", re.I)).click()
    await expect(elsewhere.locator("#signed-out")).to_be_visible()
    await here.goto(f"/boards/{board['id']}")
    await live_state(here, "live").to_be_visible()
    site.create_task(board, "Not for everybody")
    await expect(here.get_by_text("Not for everybody")).to_be_visible()
    await expect(elsewhere.get_by_text("Not for everybody")).to_have_count(0)
    await here.context.close()
    await elsewhere.context.close()


async def _other_sign_in(site: LiveSite) -> Page:
    context = await new_context(site.browser, site.installation)
    page = await context.new_page()
    await page.goto("/sign-in")
    await page.locator("[name=email]").fill(OWNER["email"])
    await page.locator("[name=password]").fill(OWNER["password"])
    await page.locator("[name=password]").press("Enter")
    await expect(page.locator("#rail")).to_be_visible()
    return page


async def test_a_page_reloads_after_what_it_has_missed_was_deleted(site: LiveSite) -> None:
    """It was without a connection for longer than events are kept."""
    board = site.create_board(name="Long away")
    page = await _open_and_hide(site, board)
    task = site.create_task(board, "Made long ago")
    connection = await asyncpg.connect(site.installation.database().dsn)
    deleted = "delete from activity_events where task_id = $1 returning organization_id, seq"
    organization_id, seq = await connection.fetchrow(deleted, UUID(task["id"]))
    await connection.execute(
        "insert into event_retention (id, organization_id, position, deleted_seq)"
        " values (gen_random_uuid(), $1, 0, $2)",
        organization_id,
        seq,
    )
    await connection.close()
    site.create_task(board, "Made now")
    await page.evaluate(set_hidden(False))
    await expect(page.locator(f"#task-{task['id']}")).to_be_visible()
    await page.context.close()
