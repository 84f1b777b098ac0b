"""An agent on a gateway asks, a person answers in a browser, and the agent goes on."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import expect

from tests.browser.attended import Beside, beside
from tests.browser.home import Home
from tests.browser.pages import PHONE, faults_of, new_context, scrolls_sideways
from tests.openclaw.fake import soon

COLOUR: dict[str, Any] = {
    "questionId": "colour",
    "header": "Colour",
    "question": "Which colour shall it have?",
    "options": [{"label": "Blue", "description": "Calm."}, {"label": "Red"}],
    "isOther": True,
}


@pytest.fixture(scope="module")
async def there(home: Home) -> AsyncIterator[Beside]:
    async with beside(home, "Quay") as there:
        yield there


async def test_a_question_comes_live_is_answered_once_and_says_by_whom(there: Beside) -> None:
    async with there.home.open("/approvals") as page:
        before = int(await page.locator("#rail").get_attribute("data-needs") or 0)
        asked = await there.request("rm -rf ./build\npython -m build")
        row = page.locator(f"#request-{asked['id']}")
        if before:  # questions that were there are not pushed away by a new one
            await page.locator("#needs-new a").click()
        await expect(row).to_be_visible()
        await expect(page.locator("#rail")).to_have_attribute("data-needs", str(before + 1))
        await row.locator("a").click()
        await expect(page.get_by_role("heading", name="May it run this command?")).to_be_visible()
        exact = page.get_by_role("group", name="The exact command")
        assert await exact.inner_text() == "rm -rf ./build\npython -m build"
        assert await faults_of(page) == []
        await page.get_by_role("button", name="Allow once").click()
        await expect(page.locator("#detail").get_by_text("You allowed it once")).to_be_visible()
        await expect(page.locator("#detail").get_by_text("had the answer")).to_be_visible()
        await expect(row).to_have_attribute("aria-current", "true")
        await expect(page.locator("#rail")).to_have_attribute("data-needs", str(before))
        assert await page.locator("[data-undo]").count() == 0
        assert await faults_of(page) == []
    approval = there.fake.approvals["ask rm -rf ./build\npython -m build"]
    assert approval["decision"] == "allow-once"


async def test_what_somebody_else_answers_meanwhile_is_seen_at_once(there: Beside) -> None:
    asked = await there.request("ls elsewhere")
    async with there.home.open(f"/approvals/requests/{asked['id']}") as page:
        await expect(page.get_by_role("button", name="Deny")).to_be_visible()
        await there.fake.decide("ask ls elsewhere", "deny", by="Rosa's phone")
        answered = page.locator("#detail").get_by_text("Rosa's phone denied it")
        await expect(answered).to_be_visible()
        await expect(page.get_by_role("button", name="Deny")).to_have_count(0)


async def test_on_a_phone_the_command_and_both_answers_fit(there: Beside) -> None:
    asked = await there.request("echo " + "Donaudampfschifffahrt" * 20)
    async with there.home.open(f"/approvals/requests/{asked['id']}", viewport=PHONE) as page:
        for name in ("Deny", "Allow once"):
            box = await page.get_by_role("button", name=name).bounding_box()
            assert box
            assert box["height"] >= 44
            assert box["y"] + box["height"] <= PHONE["height"]
        assert not await scrolls_sideways(page)
        await page.get_by_role("button", name="Deny").click()
        await expect(page.locator("#detail").get_by_text("You denied it")).to_be_visible()


async def test_by_keys_a_command_is_allowed_only_where_it_is_shown(there: Beside) -> None:
    asked = await there.request("ls by key")
    async with there.home.open(f"/approvals/requests/{asked['id']}") as page:
        await page.get_by_role("button", name="Allow once").wait_for()
        await page.keyboard.press("a")
        await expect(page.locator("#detail").get_by_text("You allowed it once")).to_be_visible()


async def test_without_scripts_questions_are_answered_as_well(there: Beside) -> None:
    await there.fake.ask_person("ask colour", COLOUR, agent=there.key)
    asked = await there.asked("ask colour")
    home = there.home
    context = await new_context(
        home.browser, home.installation, storage_state=home.kept, java_script_enabled=False
    )
    page = await context.new_page()
    await page.goto(f"/approvals/requests/{asked['id']}")
    await page.locator("#decide-" + asked["id"]).get_by_role("button", name="Answer").last.click()
    await expect(page.get_by_role("alert")).to_contain_text("Answer: Which colour")
    await page.get_by_label("Or in your own words").fill("Mauve")
    await page.locator("#decide-" + asked["id"]).get_by_role("button", name="Answer").last.click()
    await expect(page.locator("#detail").get_by_text("You answered it")).to_be_visible()
    await context.close()
    await soon(lambda: there.fake.questions["ask colour"]["status"] == "answered")
    answers = there.fake.questions["ask colour"]["answers"]
    assert answers == {"answers": {"colour": ["Mauve"]}}


async def test_a_run_is_watched_while_it_goes_on(there: Beside) -> None:
    tool = {"kind": "tool", "toolCallId": "c-1", "name": "exec", "title": "Exec make"}
    there.fake.going_on[there.session] = {"runId": "run-1", "text": "", "events": []}
    async with there.home.open(f"/agents/{there.agent['id']}") as page:
        doing = page.locator(f"#runs-{there.agent['id']}")
        await there.fake.step("run-1", there.key, "lifecycle", phase="model")
        await expect(doing.get_by_text("Thinks")).to_be_visible()
        await there.fake.step("run-1", there.key, "item", **tool, phase="start")
        await there.fake.step("run-1", there.key, "command_output", output="one\ntwo")
        await expect(doing.get_by_role("log")).to_have_text("one\ntwo")
        assert await faults_of(page) == []
        asked = await there.request("ls in a run")
        await there.fake.step("run-1", there.key, "lifecycle", phase="waiting-approval")
        await doing.get_by_role("link", name="Answer it").click()
        await page.wait_for_url(f"**/approvals/requests/{asked['id']}")
        await page.get_by_role("button", name="Deny").click()
        await expect(page.locator("#detail").get_by_text("You denied it")).to_be_visible()
    there.fake.going_on.clear()
    async with there.home.open(f"/agents/{there.agent['id']}") as page:
        await there.fake.step("run-1", there.key, "lifecycle", phase="end")
        await expect(page.get_by_text("Last at work on its gateway")).to_be_visible()
