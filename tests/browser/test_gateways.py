"""Connecting a gateway in a browser, with a fake gateway."""

import asyncio
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.support.fake_agents_gateway import FakeAgentsGateway, run_fake_agents_gateway
from tests.support.fake_gateway import (
    TOKEN,
    ErrorResponse,
    FakeGateway,
    run_fake_gateway,
    wait_until,
)
from tests.support.installation import ApiClient
from tests.support.live_site import LiveSite
from tests.support.page_checks import choose
from tests.support.tiers import repetition
from tests.support.tls_certificates import PrivateCa

SOON = 10.0  # seconds until a solved problem is shown


@pytest.fixture
async def fake() -> AsyncIterator[FakeGateway]:
    async with run_fake_agents_gateway() as fake:
        yield fake


async def enter(page: Page, name: str, fake: FakeGateway, token: str = TOKEN) -> None:
    """Fill the form in, and go to the page of the gateway."""
    await page.goto("/gateways/new")
    await page.get_by_label("Name").fill(name)
    await page.get_by_label("Address").fill(fake.url)
    await page.get_by_label("Token", exact=True).fill(token)
    await page.get_by_role("button", name="Connect").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text(name)


def state(page: Page):
    return page.locator("#gateway-now header").get_by_role("status")


@repetition
async def test_an_approved_device_updates_the_connection_checks(
    site: LiveSite, fake: FakeGateway
) -> None:
    """Market need 1: within ten seconds, without a reload or any input.

    See tests/web/test_gateway_checks.py and tests/web/test_stale_parts.py for the page.

    The connection is in tests/services/test_gateway_supervisor.py.
    """
    fake.requires_pairing = True
    async with site.open_page("/gateways") as page:
        await enter(page, "Turns green", fake)
        await expect(state(page)).to_have_text("Not approved on the gateway")
        await expect(page.locator(".step[data-s=fail] pre")).to_have_text(
            "openclaw devices approve req-123"
        )
        await page.evaluate("window.stayed = true")
        rail = page.locator("#rail a", has_text="Gateways")
        await expect(rail).to_contain_text("not connected")

        fake.approve_device()
        began = time.monotonic()
        await expect(state(page)).to_have_text("Connected")
        assert time.monotonic() - began < SOON
        await expect(page.locator(".step[data-s=done]")).to_have_count(9)
        assert await page.evaluate("window.stayed")

        fake.connect_error = {"code": "UNAVAILABLE", "details": {"reason": "startup-sidecars"}}
        await fake.close_connections(4000)
        await expect(state(page)).to_have_text("Handshake refused")
        fake.connect_error = None
        await expect(state(page)).to_have_text("Connected")


@repetition
async def test_a_changed_token_is_checked_at_once(site: LiveSite, fake: FakeGateway) -> None:
    """The steps are stated in tests/web/test_gateway_checks.py.

    Also in tests/services/test_gateway_supervisor.py.
    """
    async with site.open_page("/gateways") as page:
        await enter(page, "Wrong token", fake, token="wrong")
        await expect(state(page)).to_have_text("Token refused")
        await page.get_by_role("link", name="Edit the connection").click()
        await expect(page.get_by_label("Token", exact=True)).to_have_value("")
        await page.get_by_label("Token", exact=True).fill(TOKEN)
        await page.get_by_role("button", name="Save").click()
        await expect(state(page)).to_have_text(re.compile("Connected|Reachable"))
        await expect(state(page)).to_have_text("Connected")


async def test_a_ca_certificate_is_taken_from_a_file(site: LiveSite, tmp_path: Path) -> None:
    file, large = tmp_path / "ca.pem", tmp_path / "large.pem"
    file.write_text(PrivateCa.create().pem)
    large.write_text("x" * 70_000)
    async with site.open_page("/gateways/new") as page:
        await page.get_by_text("Advanced").click()
        field = page.get_by_label("CA certificate")
        upload = page.get_by_label("take it from a file")
        await upload.set_input_files(large)
        await expect(field).to_have_value("")
        await upload.set_input_files(file)
        await expect(field).to_have_value(re.compile("^-----BEGIN CERTIFICATE-----"))


@repetition
async def test_a_gateway_with_a_certificate_of_its_own_ca_is_connected(
    site: LiveSite, tmp_path: Path
) -> None:
    """The steps are stated in tests/web/test_gateway_faults.py and tests/openclaw/test_tls.py."""
    ca = PrivateCa.create()
    tls = ca.create_tls_context(tmp_path)
    async with (
        run_fake_gateway(FakeAgentsGateway(), tls=tls) as secure,
        site.open_page("/gateways") as page,
    ):
        await enter(page, "Own CA", secure)
        await expect(state(page)).to_have_text("Certificate not trusted")
        await page.get_by_role("link", name="Edit the connection").click()
        await page.get_by_text("Advanced").click()
        await page.get_by_label("CA certificate").fill(ca.pem)
        await page.get_by_label("Token", exact=True).fill(TOKEN)
        await page.get_by_role("button", name="Save").click()
        await expect(state(page)).to_have_text("Connected")
        await expect(page.get_by_text("CN=Office CA")).to_be_visible()


@asynccontextmanager
async def a_workshop(site: LiveSite, name: str) -> AsyncGenerator[tuple[FakeAgentsGateway, str]]:
    """A gateway with an agent, and the address of the page about it."""
    async with run_fake_agents_gateway() as workshop:
        entered = await asyncio.to_thread(site.create_gateway, name, workshop.url, workshop.token)
        yield workshop, f"/gateways/{entered['id']}"


@repetition
async def test_a_session_transcript_updates_by_itself(site: LiveSite) -> None:
    """The steps are stated in tests/web/test_gateway_sessions.py and tests/browser/test_chat.py."""
    messages = [{"role": "user", "content": f"Line {n}"} for n in range(60)]
    async with a_workshop(site, "Talks") as (workshop, address), site.open_page(address) as page:
        workshop.handlers["chat.history"] = lambda _: {
            "messages": [
                *messages,
                *[{"role": "user", "content": text} for text in list_messages_to_main(workshop)],
                *[{"role": "assistant", "content": f"Yes: {text}"} for text in answered],
            ]
        }
        answered: list[str] = []
        workshop._session("agent:main:main")
        await page.get_by_role("link", name="Sessions").click()
        await page.get_by_role("link", name="agent:main:main").click()
        await expect(page.get_by_text("Line 59")).to_be_in_viewport()
        await expect(page.get_by_text("Line 1", exact=True)).not_to_be_in_viewport()

        box = page.get_by_label("Message")
        await box.fill("Are you there?")
        await box.press("Enter")
        await expect(page.locator("#transcript").get_by_text("Are you there?")).to_be_in_viewport()
        await expect(box).to_have_value("")
        await box.fill("I am writing")
        answered.extend(list_messages_to_main(workshop))
        await expect(page.get_by_text("Yes: Are you there?")).to_be_in_viewport()
        await expect(box).to_have_value("I am writing")
        await box.press("Enter")
        await expect(page.locator("#transcript").get_by_text("I am writing")).to_be_visible()
        assert list_messages_to_main(workshop) == ["Are you there?", "I am writing"]


@repetition
async def test_a_message_that_a_gateway_rejects_stays_in_the_form(site: LiveSite) -> None:
    """The steps are stated in tests/web/test_gateway_sessions.py."""
    async with a_workshop(site, "Refuses") as (workshop, address), site.open_page(address) as page:
        await page.goto(f"{address}/sessions/agent%3Amain%3Amain")
        await expect(page.get_by_text("No messages yet.")).to_be_visible()
        send, workshop.handlers["chat.send"] = workshop.handlers["chat.send"], refuse
        box = page.get_by_label("Message")
        await box.fill("Once only")
        await box.press("Enter")
        await expect(page.locator("#toasts")).to_contain_text("does not grant these rights")
        await expect(box).to_have_value("Once only")
        workshop.handlers["chat.send"] = send
        await box.press("Enter")
        await expect(page.locator("#transcript")).to_contain_text("Once only")
        assert list_messages_to_main(workshop) == ["Once only"]
        sent = [params for method, params in workshop.calls if method == "chat.send"]
        first, second = [params for params in sent if params["message"] == "Once only"]
        assert first["idempotencyKey"] == second["idempotencyKey"]


def list_messages_to_main(workshop: FakeAgentsGateway) -> list[str]:
    return [text for key, text in workshop.sent_messages if key == "agent:main:main"]


def refuse(_params: dict[str, Any]) -> Any:
    raise ErrorResponse("FORBIDDEN", details={"missingScope": "operator.write"})


@repetition
@pytest.mark.parametrize("with_scripts", [True, False])
async def test_existing_agents_can_be_linked_and_unlinked(
    site: LiveSite, with_scripts: bool
) -> None:
    """The steps are stated in tests/web/test_gateway_agents.py."""
    site.create_board("Another")  # the first board is chosen already
    board = site.create_board(f"Linking {with_scripts}")
    async with a_workshop(site, f"Links {with_scripts}") as (workshop, address):
        workshop.entries["writer"] = {"name": "Wanda", "workspace": "/home/wanda"}
        page = await site.new_tab(java_script_enabled=with_scripts)
        await page.goto(f"{address}/agents{'' if with_scripts else '?wait=1'}")
        await page.get_by_role("checkbox", name="Wanda").check()
        if with_scripts:
            await choose(page.locator("#field-board_id"), board["name"])
        else:
            await page.locator("#field-board_id").click()
            await page.get_by_role("search").get_by_role("searchbox").fill(board["name"])
            await page.get_by_role("button", name="Search", exact=True).click()
            await page.locator("#content").get_by_role("link", name=board["name"]).click()
        await page.get_by_role("button", name="Link", exact=True).click()
        await expect(page.get_by_role("heading", level=1)).to_have_text(
            "Agent linked. Now give it its instructions."
        )
        token = await page.locator(".copy code").inner_text()
        with ApiClient(site.installation.url, token) as agent:
            assert agent.call("POST", "/agent/heartbeat")["name"] == "Wanda"
        await page.goto(f"{address}/agents?wait=1")
        await page.locator("summary", has_text="Unlink").click()
        await page.get_by_role("button", name="Unlink Wanda").click()
        await expect(page.get_by_role("checkbox", name="Wanda")).to_be_visible()
        assert not any("writer" in repr(params) for _, params in workshop.changes)
        await page.context.close()


@repetition
async def test_a_gateway_is_edited_and_its_agent_files_are_updated(site: LiveSite) -> None:
    """The steps are stated in tests/web/test_file_sync.py and tests/web/test_gateways.py."""
    async with run_fake_agents_gateway() as fake, site.open_page("/gateways") as page:
        await enter(page, "Ferry", fake)
        [found] = [
            one for one in site.owner.call("GET", "/gateways")["items"] if one["name"] == "Ferry"
        ]
        board = site.create_board("Crossing", gateway_id=found["id"])
        made = site.owner.call("POST", "/agents", name="Oarsman", board_id=board["id"])
        await site.connect_gateway_agent(fake, f"mc-{made['id']}")
        files = fake.files[f"mc-{made['id']}"]
        files["AGENTS.md"] = "Changed on the gateway."
        await page.get_by_role("link", name="Edit", exact=True).click()
        await page.get_by_label("Name").fill("Ferry 2")
        await page.get_by_role("button", name="Save").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Ferry 2")
        tabs = page.get_by_role("navigation", name="About Ferry 2")
        await tabs.get_by_role("link", name="Agents").click()
        await expect(page.locator("#content")).to_contain_text("Oarsman")
        await tabs.get_by_role("link", name="Files").click()
        await choose(page.locator("#field-board_id"), "Crossing")
        await page.get_by_label("Overwrite what agents have changed").check()
        await page.get_by_role("button", name="Compare files").click()
        # The agent of the gateway has another name now, which its files may have already.
        oarsman = page.locator("#changes").get_by_role("article", name="Oarsman")
        changed = oarsman.locator("details", has_text="AGENTS.md")
        await changed.locator("summary").click()
        await expect(changed.locator("del")).to_contain_text(["Changed on the gateway."])
        await page.get_by_role("button", name=re.compile("^Update")).click()
        await expect(page.get_by_text("2 agents are being updated.")).to_be_visible()
        await expect(page.locator("#progress .step", has_text="Oarsman")).to_be_visible()
        await wait_until(lambda: files["AGENTS.md"] != "Changed on the gateway.")
        await page.goto("/dashboard")
        await expect(page.locator("#dashboard-gateways")).to_contain_text("Ferry 2")
        await expect(page.locator("#dashboard-sessions")).to_be_visible()
