"""An agent on a gateway asks, a user answers in a browser, and the agent continues."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import expect

from tests.browser.test_decision_guard import stopped_page
from tests.support.fake_gateway import wait_until
from tests.support.gateway_recordings import load_recording
from tests.support.gateway_site import GatewaySite, run_gateway_site
from tests.support.live_site import LiveSite
from tests.support.page_checks import (
    PHONE,
    list_axe_violations,
    list_overflowing,
)
from tests.support.tiers import repetition

COLOUR: dict[str, Any] = {
    "questionId": "colour",
    "header": "Colour",
    "question": "Which colour shall it have?",
    "options": [{"label": "Blue", "description": "Calm."}, {"label": "Red"}],
    "isOther": True,
}


@pytest.fixture(scope="module")
async def gateway_site(site: LiveSite) -> AsyncIterator[GatewaySite]:
    async with run_gateway_site(site, "Quay") as gateway_site:
        yield gateway_site


async def test_a_question_appears_live_and_is_answered_once(gateway_site: GatewaySite) -> None:
    address = f"/approvals?board={gateway_site.board['id']}"
    async with gateway_site.site.open_page(address) as page:
        before = int(await page.locator("#rail").get_attribute("data-needs") or 0)
        request = await gateway_site.request_command("rm -rf ./build\npython -m build")
        row = page.locator(f"#request-{request['id']}")
        await expect(row).to_be_visible()
        await expect(page.locator("#rail")).to_have_attribute("data-needs", str(before + 1))
        await row.locator("a").click()
        await expect(page.get_by_role("heading", name="Allow this command?")).to_be_visible()
        exact = page.get_by_role("group", name="Exact command")
        assert await exact.inner_text() == "rm -rf ./build\npython -m build"
        assert await list_axe_violations(page, with_layout=True) == []
        await expect(page.get_by_role("button", name="Allow once")).to_be_enabled()
        await page.keyboard.press("a")
        await expect(page.locator("#detail").get_by_text("You allowed it once")).to_be_visible()
        await expect(
            page.locator("#detail").get_by_text("Quay received the answer")
        ).to_be_visible()
        await expect(row).to_have_attribute("aria-current", "true")
        await expect(page.locator("#rail")).to_have_attribute("data-needs", str(before))
        assert await page.locator("[data-undo]").count() == 0
        assert await list_axe_violations(page) == []
    approval = gateway_site.gateway.approvals["ask rm -rf ./build\npython -m build"]
    assert approval["decision"] == "allow-once"


async def test_a_resolution_by_another_user_appears_at_once(gateway_site: GatewaySite) -> None:
    request = await gateway_site.request_command("ls elsewhere")
    async with gateway_site.site.open_page(f"/approvals/requests/{request['id']}") as page:
        await expect(page.get_by_role("button", name="Deny")).to_be_visible()
        await gateway_site.gateway.decide_elsewhere("ask ls elsewhere", "deny", by="Rosa's phone")
        answered = page.locator("#detail").get_by_text("Rosa's phone denied it")
        await expect(answered).to_be_visible()
        await expect(page.get_by_role("button", name="Deny")).to_have_count(0)


@repetition
async def test_a_phone_shows_the_command_and_both_decisions(gateway_site: GatewaySite) -> None:
    """The same page is checked on a phone in tests/browser/test_tool_calls.py."""
    request = await gateway_site.request_command("echo " + "Donaudampfschifffahrt" * 20)
    async with gateway_site.site.open_page(
        f"/approvals/requests/{request['id']}", viewport=PHONE
    ) as page:
        for name in ("Deny", "Allow once"):
            box = await page.get_by_role("button", name=name).bounding_box()
            assert box
            assert box["height"] >= 44
            assert box["y"] + box["height"] <= PHONE["height"]
        assert not await list_overflowing(page)
        await page.get_by_role("button", name="Deny").click()
        await expect(page.locator("#detail").get_by_text("You denied it")).to_be_visible()


async def test_ctrl_enter_answers_a_question_only_after_half_a_second(
    gateway_site: GatewaySite,
) -> None:
    await gateway_site.gateway.ask_questions("colour", COLOUR, agent=gateway_site.agent_key)
    request = await gateway_site.wait_for_request("colour")
    address = f"/approvals/requests/{request['id']}"
    async with stopped_page(gateway_site.site, address) as stopped:
        words = stopped.page.get_by_label("Or in your own words")
        await words.fill("Green")
        await words.press("Control+Enter")
        await stopped.expect_ignored()
        assert gateway_site.gateway.resolutions == {}
        await stopped.pass_time(500)
        await words.press("Control+Enter")
        await expect(stopped.page.locator("#detail dd", has_text="Green")).to_be_visible()


@repetition
async def test_a_run_updates_while_it_continues(gateway_site: GatewaySite) -> None:
    """The steps are stated in tests/web/test_runs.py and tests/services/test_runs.py."""
    tool = {"kind": "tool", "toolCallId": "c-1", "name": "exec", "title": "Exec make"}
    gateway_site.gateway.active_runs[gateway_site.session_key] = {
        "runId": "run-1",
        "text": "",
        "events": [],
    }
    async with gateway_site.site.open_page(f"/agents/{gateway_site.agent['id']}") as page:
        doing = page.locator(f"#runs-{gateway_site.agent['id']}")
        await gateway_site.gateway.send_run_step(
            "run-1", gateway_site.agent_key, "lifecycle", phase="model"
        )
        await expect(doing.get_by_text("Thinks")).to_be_visible()
        await gateway_site.gateway.send_run_step(
            "run-1", gateway_site.agent_key, "item", **tool, phase="start"
        )
        await gateway_site.gateway.send_run_step(
            "run-1", gateway_site.agent_key, "command_output", output="one\ntwo"
        )
        await expect(doing.get_by_role("log")).to_have_text("one\ntwo")
        assert await list_axe_violations(page) == []
        request = await gateway_site.request_command("ls in a run")
        await gateway_site.gateway.send_run_step(
            "run-1", gateway_site.agent_key, "lifecycle", phase="waiting-approval"
        )
        await doing.get_by_role("link", name="Answer it").click()
        await page.wait_for_url(f"**/approvals/requests/{request['id']}")
        await page.get_by_role("button", name="Deny").click()
        await expect(page.locator("#detail").get_by_text("You denied it")).to_be_visible()
    gateway_site.gateway.active_runs.clear()
    async with gateway_site.site.open_page(f"/agents/{gateway_site.agent['id']}") as page:
        await gateway_site.gateway.send_run_step(
            "run-1", gateway_site.agent_key, "lifecycle", phase="end"
        )
        await expect(page.get_by_text("Last run on its gateway")).to_be_visible()


@repetition
async def test_an_automation_is_allowed_permanently_and_its_grant_revoked(
    gateway_site: GatewaySite,
) -> None:
    """The steps are stated in tests/web/test_gateway_request_content.py.

    Also in tests/web/test_command_grants.py.
    """
    recorded = load_recording()["requests"]["automation"]["request"]
    names = ("scope", "envKeys", "allowedDecisions", "cronExecutionSource", "cronOperationBinding")
    more = {name: recorded[name] for name in names}
    request = await gateway_site.request_command(recorded["command"], **more)
    gateways = await gateway_site.call("GET", "/gateways")
    [gateway] = [one for one in gateways["items"] if one["name"] == "Quay"]
    site, path = gateway_site.site, f"/approvals/requests/{request['id']}"
    async with site.open_page(path, viewport=PHONE) as page:
        grant = page.get_by_text("The automation Nightly always asks to run this command.")
        await expect(grant).to_be_visible()
        assert not await list_overflowing(page)
        assert await list_axe_violations(page) == []
        button = page.get_by_role("button", name="Allow permanently")
        box = await button.bounding_box()
        assert box
        assert box["x"] + box["width"] <= PHONE["width"]
        await button.click()
        await expect(
            page.locator("#detail").get_by_text("You allowed it permanently")
        ).to_be_visible()
    await wait_until(lambda: bool(gateway_site.gateway.grants))
    async with site.open_page(f"/gateways/{gateway['id']}/grants") as page:
        revoke = page.get_by_role("button", name="Revoke Nightly always")
        await expect(page.get_by_role("link", name="allowed by")).to_be_visible()
        assert await list_axe_violations(page) == []
        await revoke.click()
        await expect(page.get_by_text("Revoked", exact=True).first).to_be_visible()
        await expect(revoke).to_have_count(0)
        assert gateway_site.gateway.grants[0]["revokedAtMs"]
