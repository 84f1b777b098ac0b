"""Onboarding of a board in a browser: the conversation with an agent that uses the real API."""

import asyncio
import re
from datetime import timedelta
from functools import partial

from playwright.async_api import Page, Route, expect
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from core.clock import now
from models import OnboardingMessage, OnboardingSession
from tests.support.fake_agents_gateway import FakeAgentsGateway
from tests.support.installation import ApiClient
from tests.support.live_site import LiveSite
from tests.support.onboarding_browser import (
    COUNT_PREVIEWS,
    board_in,
    describe_board,
    fetch_messages,
    locate_brief,
    open_review,
    own_words,
)
from tests.support.onboarding_stages import make_draft, post_agent_message
from tests.support.page_checks import PHONE, choose, cut_connection
from tests.support.tiers import repetition

GATEWAY = "harbour-1"

describe = partial(describe_board, gateway=GATEWAY)


async def test_from_the_first_question_to_the_launch(
    site: LiveSite, asker: ApiClient, workshop: FakeAgentsGateway
) -> None:
    async with site.open_page("/boards") as page:
        board = await describe(page, "Partner launch")
        [briefing] = fetch_messages(asker, board)
        assert briefing.startswith("BOARD ONBOARDING REQUEST")
        assert f"/api/v1/agent/boards/{board['id']}/onboarding" in briefing

        options = ["Partners live", "Tickets", "Something else, I'll type it"]
        post_agent_message(asker, board, question="How will you know?", options=options)
        await expect(page.get_by_role("group", name="How will you know?")).to_be_visible()
        await expect(page.get_by_label("Your own words")).to_be_hidden()
        await page.keyboard.press("1")
        await page.keyboard.press("3")
        await page.get_by_label("Your own words").fill("Happy partners")
        await page.get_by_role("button", name="Answer").click()
        given = "Partners live: Happy partners"
        await expect(locate_brief(page)).to_contain_text(given)
        await expect(page.get_by_text("Thinking about the next question")).to_be_visible()
        assert given in fetch_messages(asker, board)[0]

        post_agent_message(asker, board, question="When does it need to be true?")
        await own_words(page, "When does it need to be true?").fill("By February")
        await page.keyboard.press("Control+Enter")
        await expect(locate_brief(page)).to_contain_text("By February")
        await expect(page.locator("#brief")).to_contain_text("By February")

        await page.locator(".change > summary", has_text="By February").click()
        await page.locator(".change[open] textarea").fill("31 January 2027")
        await page.get_by_role("button", name="Change the answer").click()
        await expect(locate_brief(page)).to_contain_text("31 January 2027 changed")
        assert "Correction to “When" in fetch_messages(asker, board)[-1]

        await open_review(page, asker, board)
        await _review_and_launch(page, asker, board)
        lead = await site.connect_gateway_agent(workshop, f"lead-{board['id']}")
        await expect(page.get_by_text("Ava was woken once.")).to_be_visible()
        lead.call("POST", "/agent/heartbeat")
        await expect(page.get_by_text("Ava is online.")).to_be_visible()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Ava leads Partner launch.")
        files = workshop.files[f"lead-{board['id']}"]
        assert "Ten partners live, as Ann agrees." in files["AGENTS.md"]
    await _hears_nothing_more(asker, board)


async def _review_and_launch(page: Page, asker: ApiClient, board: dict[str, str]) -> None:
    preview = page.locator("#preview")
    await expect(page.get_by_role("textbox", name="Objective")).to_have_value("Ten partners live. ")
    await expect(preview).to_contain_text("What Ava gets")
    await page.get_by_label("Name", exact=False).first.fill("Eva")
    await page.get_by_label("What it decides").select_option("autonomous")
    await expect(preview).to_contain_text("What Eva gets")
    await expect(preview).to_contain_text("tasks may be done without an approval")
    await preview.locator("summary", has_text="IDENTITY.md").click()
    await expect(preview.get_by_role("group", name="IDENTITY.md")).to_contain_text("Eva")

    await page.get_by_label("More context").fill("Ann decides about money.")
    send = page.get_by_role("button", name="Send")
    async with page.expect_event("dialog"):
        page.once("dialog", lambda dialog: asyncio.ensure_future(dialog.dismiss()))
        await send.click()
    await expect(send).to_be_visible()
    page.once("dialog", lambda dialog: asyncio.ensure_future(dialog.accept()))
    await send.click()
    await expect(page.get_by_text("Writing the draft")).to_be_visible()
    assert "Additional context: Ann decides about money." in fetch_messages(asker, board)[-1]
    post_agent_message(asker, board, **make_draft(objective="Ten partners live, as Ann agrees."))
    await page.get_by_role("link", name="Review the draft").click()
    await expect(page.get_by_role("textbox", name="Objective")).to_have_value(
        "Ten partners live, as Ann agrees."
    )

    measures = page.get_by_role("group", name="Measures")
    await measures.get_by_role("button", name="Add a measure").click()
    await page.keyboard.type("Sandboxes")
    await page.keyboard.press("Tab")
    await page.keyboard.type("10")
    await measures.get_by_role("button", name="Remove measure 1").click()
    names = await measures.locator("[name=measure]").evaluate_all(
        "all => all.map(e => e.ariaLabel)"
    )
    assert names == [f"Measure {number}" for number in range(1, len(names) + 1)]
    await page.get_by_role("textbox", name="Objective").press("Control+Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Ava is starting.")
    await expect(page.get_by_role("list", name="Launching Partner launch")).to_be_visible()


async def _hears_nothing_more(asker: ApiClient, board: dict[str, str]) -> None:
    path = f"/agent/boards/{board['id']}/onboarding"
    late = asker.client.post(path, json={"question": "One more?"})
    assert (late.status_code, late.json()["code"]) == (409, "onboarding_ended")


async def test_a_button_is_busy_until_the_response_also_after_a_warning(
    site: LiveSite, asker: ApiClient
) -> None:
    async with site.open_page("/boards") as page:
        board = await describe(page, "Stay busy")
        post_agent_message(asker, board, question="What for?", options=["Fun", "Other"])
        button = page.locator("button[form^=answer-]")
        await button.click()
        await expect(page.get_by_text("Choose an answer, or enter your own.")).to_be_visible()
        await expect(button).not_to_have_attribute("aria-busy", "true")
        await page.get_by_label("Fun").check()
        await (
            page.locator("#wanted").get_by_role("textbox", name="Objective").fill("Half a thought")
        )
        is_over = asyncio.Event()

        async def hold(route: Route) -> None:
            await is_over.wait()
            await route.continue_()

        await page.route("**/onboarding/answers", hold)
        await button.click()
        await expect(button).to_have_attribute("aria-busy", "true")
        async with page.expect_event("dialog"):
            page.once("dialog", lambda dialog: asyncio.ensure_future(dialog.dismiss()))
            await page.get_by_role("link", name="Finish later").click()
        await page.evaluate("() => new Promise((done) => setTimeout(done))")
        await expect(button).to_have_attribute("aria-busy", "true")
        is_over.set()
        await expect(locate_brief(page)).to_contain_text("Fun")
    fetch_messages(asker, board)


@repetition
async def test_typed_text_stays_during_live_updates(site: LiveSite, asker: ApiClient) -> None:
    """An answer in one tab appears in the other, which keeps its typed text.

    Typed text is kept in the same way in tests/browser/test_live.py.
    """
    async with site.open_page("/boards") as page:
        board = await describe(page, "Two tabs")
        post_agent_message(asker, board, question="What for?", options=["Fun", "Other"])
        async with site.open_page(page.url) as other:
            await page.get_by_role("checkbox", name="Fun").check()
            await other.get_by_role("checkbox", name="Other").check()
            await other.get_by_label("Your own words").fill("Money")
            await (
                other.locator("#wanted")
                .get_by_role("textbox", name="Objective")
                .fill("Half a thought")
            )
            post_agent_message(asker, board, question="What for?", options=["Fun", "Other", "Fame"])
            await expect(other.get_by_role("checkbox", name="Fame")).to_be_visible()
            await other.get_by_role("checkbox", name="Fame").check()
            await page.get_by_role("checkbox", name="Fame").check()
            await page.get_by_role("button", name="Answer").click()
            await expect(locate_brief(other)).to_contain_text("Fame")
            await expect(other.get_by_text("Thinking about the next question")).to_be_visible()
            written = other.locator("#wanted").get_by_role("textbox", name="Objective")
            await expect(written).to_have_value("Half a thought")
            post_agent_message(asker, board, question="Until when?")
            await own_words(other, "Until when?").fill("Until it rai")
            answered = page.locator(".change > summary")
            await answered.click()
            await page.locator(".change[open]").get_by_role("checkbox", name="Fun").check()
            await page.get_by_role("button", name="Change the answer").click()
            await expect(locate_brief(other)).to_contain_text("changed")
            await expect(own_words(other, "Until when?")).to_have_value("Until it rai")


@repetition
async def test_a_late_answer_shows_the_answer_given_before(
    site: LiveSite, asker: ApiClient
) -> None:
    """A tab that hears nothing answers a question that another one has answered.

    The steps are stated in tests/web/test_onboarding.py.
    """
    async with site.open_page("/boards") as page:
        board = await describe(page, "Late")
        post_agent_message(asker, board, question="What for?", options=["Fun", "Money"])
        await cut_connection(page)
        await page.reload()
        await page.get_by_label("Money").check()
        path = f"/boards/{board['id']}/onboarding/answer"
        site.owner.call("POST", path, answer="Fun")
        await page.get_by_role("button", name="Answer").click()
        await expect(page.get_by_text("It was answered meanwhile: “Fun”.").first).to_be_visible()
        await page.get_by_role("button", name="Change the answer").click()
        await expect(locate_brief(page)).to_contain_text("Money changed")


@repetition
async def test_an_unreachable_gateway_is_reported_at_once(site: LiveSite) -> None:
    """The steps are stated in tests/web/test_onboarding.py."""
    gateway = site.create_gateway("harbour-2", "ws://127.0.0.1:7")
    async with site.open_page("/boards/new") as page:
        await page.get_by_label("Name").fill("Nobody there")
        await choose(page.get_by_role("button", name="Gateway"), "harbour-2")
        await page.get_by_role("button", name="Create board").click()
        waiting = page.locator("#waiting")
        await expect(waiting).to_contain_text("harbour-2 is not connected: No answer.")
        await expect(waiting.get_by_role("link", name="Check the gateway")).to_have_attribute(
            "href", f"/gateways/{gateway['id']}"
        )


async def move_wait(database: AsyncEngine, board: dict[str, str], seconds: int) -> None:
    """Let the reply of the agent be awaited since some seconds."""
    found = select(OnboardingSession.id).where(OnboardingSession.board_id == board["id"])
    since = now() - timedelta(seconds=seconds)
    async with database.begin() as connection:
        for table, condition in (
            (OnboardingSession, OnboardingSession.id.in_(found)),
            (OnboardingMessage, OnboardingMessage.session_id.in_(found)),
        ):
            await connection.execute(update(table).where(condition).values(created_at=since))


async def test_the_preview_shows_the_last_change_while_responses_are_late(
    site: LiveSite, asker: ApiClient
) -> None:
    async with site.open_page("/boards") as page:
        board = await describe(page, "Late previews")
        await open_review(page, asker, board)
        is_changed = asyncio.Event()

        async def hold(route: Route) -> None:
            if route.request.method == "POST":
                await is_changed.wait()
            await route.continue_()

        await page.route("**/onboarding/review", hold)
        await page.add_init_script(COUNT_PREVIEWS)
        html = page.locator("html")
        await page.reload()
        await expect(html).to_have_attribute("data-previews", "1")
        await page.get_by_label("What it decides").select_option("autonomous")
        await expect(html).to_have_attribute("data-previews", "2")
        name = page.get_by_label("Name", exact=False).first
        await name.fill("Eva")
        await name.blur()
        await expect(html).to_have_attribute("data-previews", "3")
        is_changed.set()
        await expect(page.locator("#preview")).to_contain_text("What Eva gets")
        await expect(page.locator("#preview")).to_contain_text("may be done without an approval")
        await expect(html).to_have_attribute("data-previews", "3")


@repetition
async def test_the_form_completes_the_onboarding_of_a_silent_agent(
    site: LiveSite, asker: ApiClient, database: AsyncEngine
) -> None:
    """W-40: the page mentions the wait after 20 seconds, and offers the form after a minute.

    The steps are stated in tests/web/test_onboarding.py and tests/web/test_onboarding_launch.py.
    """
    async with site.open_page("/boards") as page:
        board = await describe(page, "Silence")
        waiting = page.locator("#waiting")
        await expect(waiting).to_contain_text("Waiting since")
        await move_wait(database, board, 20)
        await expect(waiting).to_contain_text("That is longer than usual.")
        await waiting.get_by_role("button", name="Ask again").click()
        await move_wait(database, board, 60)
        await expect(page.locator("#silent")).to_be_visible()
        await page.get_by_role("link", name="Fill in the form").click()
        form = page.locator("#wanted")
        await form.get_by_label("Ends when its objective is reached").check()
        await form.get_by_role("textbox", name="Objective").fill("Go on without")
        await form.get_by_role("button", name="Review and launch").click()
        await expect(page.get_by_role("textbox", name="Objective")).to_have_value("Go on without")
        await page.get_by_role("button", name="Launch the board").click()
        await expect(page.locator(".err", has_text="A goal needs measures")).to_be_visible()
        await page.get_by_label("Measure 1", exact=True).fill("Days")
        await page.get_by_role("button", name="Launch the board").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Lead Agent is starting.")
    fetch_messages(asker, board)  # otherwise the next test receives it


@repetition
async def test_without_a_gateway_the_lead_calls_the_api_itself(site: LiveSite) -> None:
    """The steps are stated in tests/web/test_onboarding_launch.py."""
    async with site.open_page("/boards/new", viewport=PHONE) as page:
        await page.get_by_label("Name").fill("By hand")
        await choose(page.get_by_role("button", name="Gateway"), "None", is_searched=False)
        await page.get_by_role("button", name="Create board").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("By hand")
        await page.goto(f"/boards/{board_in(page)['id']}/onboarding")
        await page.get_by_role("textbox", name="Objective").fill("Ship it")
        await page.locator("[name=name]").fill("Fern")
        await page.get_by_role("button", name="Review and launch").click()
        await expect(page.locator("#preview")).to_contain_text("no files are written")
        await page.get_by_role("button", name="Launch the board").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text(
            "Fern can call the API now."
        )
        token = re.search(r"mc_agent_[\w-]+", await page.locator("main").inner_text())
        assert token
        with ApiClient(site.installation.url, token[0]) as fern:
            fern.call("POST", "/agent/heartbeat")
        await expect(page.get_by_text("Fern is connected.")).to_be_visible()


@repetition
async def test_the_board_shows_that_a_question_is_pending(site: LiveSite, asker: ApiClient) -> None:
    """The steps are stated in tests/web/test_onboarding_banner.py.

    Also in tests/web/test_stale_parts.py.
    """
    async with site.open_page("/boards") as page:
        board = await describe(page, "Banner")
        await page.get_by_role("link", name="Finish later").click()
        banner = page.locator("#setting-up")
        await expect(banner).to_contain_text("This board is being set up.")
        post_agent_message(asker, board, question="What for?")
        await expect(banner).to_contain_text("An agent has a question about this board.")
        await banner.get_by_role("link", name="Answer").click()
        await page.get_by_role("link", name="Start over or cancel").click()
        await page.get_by_role("button", name="Cancel setup").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Banner")
        await expect(banner).to_be_hidden()
