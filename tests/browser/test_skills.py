"""A pack of skills is uploaded, its updates are reviewed, and a skill is installed on a gateway."""

import asyncio
import re
from typing import Any

import pytest
from playwright.async_api import FilePayload, Page, Route, expect

from services.skills import DEFAULT_PACKS
from tests.support.fake_agents_gateway import run_fake_agents_gateway
from tests.support.fake_gateway import wait_until
from tests.support.live_site import LiveSite
from tests.support.page_checks import list_axe_violations, list_overflowing
from tests.support.skill_archives import FILES, WRITER, make_zip
from tests.support.tiers import repetition
from web.ui.render import TOAST_HEADERS


def make_upload(files: dict[str, str]) -> FilePayload:
    return {"name": "pack.zip", "mimeType": "application/zip", "buffer": make_zip(files)}


async def upload(page: Page, files: dict[str, str]) -> None:
    """Upload an archive, and open the page that shows what it changes."""
    form = page.locator("form[action='/skills/packs/uploads']")
    await form.get_by_label("Name").fill("Pressroom")
    await form.get_by_label("Archive").set_input_files(make_upload(files))
    await form.get_by_role("button", name="Upload").click()


@repetition
async def test_a_pack_is_reviewed_and_a_skill_is_installed(site: LiveSite) -> None:
    """The steps are stated in tests/web/test_skills.py and tests/web/test_skill_forms.py."""
    async with run_fake_agents_gateway() as fake, site.open_page("/skills") as page:
        gateway = await asyncio.to_thread(site.create_gateway, "Press", fake.url, fake.token)
        await site.connect_gateway_agent(fake, f"mc-gateway-{gateway['id']}")
        await page.get_by_role("navigation", name="Skills").get_by_text("Packs").click()
        await page.get_by_role("link", name="Add a pack").click()
        await upload(page, {"a.md": "No skill"})
        await expect(page.get_by_label("Archive")).to_have_attribute("aria-invalid", "true")
        await expect(page.get_by_label("Branch, tag or commit")).to_have_value("main")
        await upload(page, FILES)
        update = page.locator("#update")
        await expect(update.locator("li")).to_have_count(2)
        assert await list_axe_violations(page) == []
        await update.get_by_role("button", name="Accept the update").click()
        await expect(update).to_have_count(0)

        await page.get_by_role("link", name="2 skills").click()
        await page.get_by_role("searchbox", name="Search").fill("report")
        await page.get_by_label("Risk").select_option("low")
        await page.get_by_role("button", name="Filter").click()
        await expect(page.locator("#skills tbody tr")).to_have_count(1)
        await page.get_by_role("link", name="Report writer").click()
        row = page.locator(f"#on-{gateway['id']}")
        await expect(row).to_contain_text("Not installed.")
        await row.get_by_role("link", name="Review and install").click()
        await expect(page.locator("#content")).to_contain_text("Writes reports.")
        assert not await list_overflowing(page)
        await page.get_by_role("button", name="Request the installation").click()
        await expect(row).not_to_contain_text("Not installed.")
        await wait_until(lambda: any("INSTALL REQUEST" in text for text in list_texts(fake)))

        await page.goto("/skills/packs/new")
        long = f"{WRITER}Cite sources.{' And so on.' * 60}\n"
        await upload(page, {"writer/SKILL.md": long, "new/SKILL.md": "# New"})
        for title in ("Added", "Changed", "Removed"):
            await expect(update.locator("summary", has_text=title)).to_be_visible()
        await update.get_by_role("button", name="Accept the update").click()
        await page.goto("/skills?q=report")
        await page.get_by_role("link", name="Report writer").click()
        await expect(row).to_contain_text("Update available")
        await expect(page.locator("pre")).to_contain_text("And so on.")
        await page.set_viewport_size({"width": 360, "height": 800})
        assert not await list_overflowing(page)
        await row.get_by_role("link", name="Review and install").click()
        await expect(page.locator(".diff ins", has_text="Cite sources.")).to_be_visible()
        await page.get_by_role("button", name="Request the installation").click()
        await expect(row).not_to_contain_text("Update available")
        await row.get_by_role("link", name="Review", exact=True).click()
        await page.locator("summary", has_text="Remove from this gateway").click()
        await page.get_by_role("button", name="Request the removal").click()
        await expect(row).to_contain_text("Removal requested")

        await page.goto("/skills/packs")
        await page.get_by_role("link", name="Pressroom").click()
        await page.locator("summary", has_text="Delete pack").click()
        await page.locator("#end").get_by_role("button", name="Delete pack").click()
        await expect(page.get_by_role("link", name="Pressroom")).to_have_count(0)


def list_texts(fake: Any) -> list[str]:
    return [text for _, text in fake.sent_messages]


@repetition
async def test_all_packs_are_fetched_one_after_another(site: LiveSite) -> None:
    """The requests are answered here: they would need the hosts of the packs.

    As below, and in tests/web/test_skill_selections.py.
    """
    paths: list[str] = []
    running: list[int] = []

    async def answer(route: Route) -> None:
        paths.append(route.request.url)
        running.append(await route.request.frame.locator(".is-running:visible").count())
        body = f'<span role="status">Answer {len(paths)}</span>'
        await route.fulfill(content_type="text/html", body=body)

    async with site.open_page("/skills/packs") as page:
        await page.route(re.compile(r"/skills/packs/[\w-]+/fetches$"), answer)
        await page.get_by_role("button", name="Fetch all packs").click()
        states = page.locator("#pack-fetches [role=status]")
        await expect(states.first).to_be_attached()
        count = await states.count()
        assert count >= len(DEFAULT_PACKS)
        for number in range(count):
            await expect(states.nth(number)).to_have_text(f"Answer {number + 1}")
        assert set(running) == {1}
        assert len(set(paths)) == len(paths) == count


async def test_a_failed_fetch_is_shown_in_its_row_and_the_others_follow(site: LiveSite) -> None:
    """The requests are answered here: the first is lost, the second is an error of the server."""
    paths: list[str] = []

    async def answer(route: Route) -> None:
        paths.append(route.request.url)
        if len(paths) == 1:
            await route.abort()
        elif len(paths) == 2:
            headers = {"Content-Type": "text/html", **TOAST_HEADERS}
            body = '<div class="toast" data-toast>Broken</div>'
            await route.fulfill(status=500, headers=headers, body=body)
        else:
            await route.fulfill(content_type="text/html", body='<span role="status">Done</span>')

    async with site.open_page("/skills/packs") as page:
        await page.route(re.compile(r"/skills/packs/[\w-]+/fetches$"), answer)
        url = "https://packs.example/three.zip"
        site.owner.call("POST", "/skills/packs", source_url=url, name="Three")
        await page.get_by_role("button", name="Fetch all packs").click()
        states = page.locator("#pack-fetches [role=status]")
        for number, text in enumerate(["Failed", "Failed", "Done"]):
            row = states.nth(number)
            await expect(row).to_contain_text(text)
            await expect(row.locator(":is(.is-waiting, .is-running):visible")).to_have_count(0)
        assert await states.nth(0).locator(".is-failed").is_visible()


@repetition
@pytest.mark.parametrize("scripts", [True, pytest.param(False, marks=repetition)])
async def test_selected_skills_are_deleted(site: LiveSite, scripts: bool) -> None:
    """The steps are stated in tests/web/test_skill_selections.py.

    Also in tests/browser/test_trash.py.
    """
    names = [f"{word} {scripts}" for word in ("Heron", "Egret", "Stork")]
    for name in names:
        url = f"https://skills.example/{name.replace(' ', '-')}"
        site.owner.call("POST", "/skills/marketplace", source_url=url, name=name)
    async with site.open_page("/skills", java_script_enabled=scripts) as page:
        for name in names[:2]:
            await page.get_by_role("checkbox", name=f"Select “{name}”").check()
        if scripts:
            await expect(page.locator("#delete-selected")).to_contain_text("2 selected")
        await page.locator("#delete-selected").get_by_role("button", name="Delete").click()
        await expect(page.get_by_role("heading", name="Delete 2 skills?")).to_be_visible()
        for name in names[:2]:
            await expect(page.get_by_role("listitem").filter(has_text=name)).to_be_visible()
        await page.get_by_role("button", name="Delete").click()
        await expect(page.get_by_text("2 skills deleted.")).to_be_visible()
        await expect(page.get_by_role("link", name=names[0])).to_have_count(0)
        await expect(page.get_by_role("link", name=names[2])).to_be_visible()
