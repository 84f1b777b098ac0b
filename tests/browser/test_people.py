"""Invitations, access to boards, and the organization in a browser."""

import asyncio
from typing import Any

from playwright.async_api import BrowserContext, expect

from tests.support.live_site import LiveSite
from tests.support.page_checks import (
    PHONE,
    WIDE,
    in_sizes,
    list_axe_violations,
    list_overflowing,
    new_context,
)
from tests.support.tiers import repetition

WITHOUT_CLIPBOARD = """() => {
  Object.defineProperty(window, "isSecureContext", { value: false });
  addEventListener("copy", () => { window.copied = document.activeElement.value; });
}"""
"""A page that was loaded with http:// from another host has no access to the clipboard."""


@repetition
@in_sizes(WIDE, PHONE)
async def test_people_are_invited_in_a_dialog(site: LiveSite, size) -> None:
    """The steps are stated in tests/web/test_people.py."""
    names = [f"{name}-{size['width']}@example.com" for name in ("ida", "jon")]
    async with site.open_page("/people", viewport=size) as page:
        await expect(page.locator("#live[data-state=live]")).to_be_attached()
        await page.get_by_role("link", name="Invite").focus()
        await page.keyboard.press("Enter")
        dialog = page.get_by_role("dialog", name="Invite a person")
        email = dialog.get_by_label("E-mail")
        await expect(email).to_be_focused()
        await email.fill("alice@example.com")
        await page.get_by_label("None", exact=True).check()
        await dialog.get_by_role("button", name="Create invitation link").click()
        await expect(dialog.get_by_text("Choose at least one board.")).to_be_visible()
        await expect(dialog.get_by_label("None", exact=True)).to_be_focused()
        await dialog.get_by_label("Read", exact=True).check()
        links = []
        for name in names:
            await email.fill(name)
            await dialog.get_by_role("button", name="Create invitation link").click()
            created = page.get_by_role("dialog", name="Invitation link")
            await expect(created.get_by_role("button", name="Copy the link")).to_be_focused()
            links.append(await created.locator(".copy code").inner_text())
            await expect(page.locator("tr", has_text=name)).to_have_count(1)
            assert await list_axe_violations(page) == []
            assert await created.evaluate("dialog => dialog.scrollWidth <= dialog.clientWidth")
            await created.get_by_role("link", name="Create another").click()
            await expect(email).to_have_value("")
            await expect(email).to_be_focused()
        assert len(set(links)) == len(names)
        await page.keyboard.press("Escape")
        await expect(dialog).to_be_hidden()
        await expect(page.get_by_role("link", name="Invite")).to_be_focused()
        assert page.url.endswith("/people")


@in_sizes(WIDE, PHONE)
async def test_a_new_link_of_an_invite_is_shown_in_a_dialog(site: LiveSite, size) -> None:
    emails = [f"{name}-{size['width']}@example.com" for name in ("lea", "max")]
    tokens = [
        site.owner.call("POST", "/organizations/me/invites", invited_email=email)["token"]
        for email in emails
    ]
    async with site.open_page("/people", viewport=size) as page:
        await expect(page.locator("#live[data-state=live]")).to_be_attached()
        button = page.get_by_role("button", name=f"Create a new link for {emails[0]}")
        dialog = page.get_by_role("dialog", name="Invitation link")
        await page.evaluate(WITHOUT_CLIPBOARD)
        links = []
        for close in ("Escape", "Enter"):
            await button.focus()
            await page.keyboard.press("Enter")
            await expect(dialog.get_by_role("button", name="Copy the link")).to_be_focused()
            links.append(await dialog.locator(".copy code").inner_text())
            await page.keyboard.press("Enter")
            assert await page.evaluate("copied") == links[-1]
            await expect(dialog.get_by_role("button", name="Copied")).to_be_focused()
            invites = page.locator("#invites-title ~ table tbody tr")
            await expect(invites.first).to_contain_text(emails[0])  # the list was reloaded
            assert await list_axe_violations(page) == []
            assert await dialog.evaluate("dialog => dialog.scrollWidth <= dialog.clientWidth")
            assert not await list_overflowing(page)
            if close == "Enter":
                await dialog.get_by_role("button", name="Close").last.focus()
            await page.keyboard.press(close)
            await expect(dialog).to_be_hidden()
            await expect(button).to_be_focused()
        await expect(page.locator("tr", has_text=emails[0])).to_have_count(1)
        assert page.url.endswith("/people")
        valid = [link.partition("#")[2] for link in links]
        assert len({*tokens, *valid}) == 4
        await page.goto(links[0])
        await expect(page.locator("h1")).to_have_text("This link is not valid.")
        await page.goto("/people")
        await page.goto(links[1])
        await expect(page.get_by_text(emails[0]).first).to_be_visible()


@repetition
async def test_the_number_of_people_follows_the_members(site: LiveSite) -> None:
    """The steps are stated in tests/web/test_stale_parts.py."""
    async with site.open_page("/people") as page:
        await expect(page.locator("#live[data-state=live]")).to_be_attached()
        before = int(await page.locator("#count-people").inner_text())
        invite = site.owner.call(
            "POST", "/organizations/me/invites", invited_email="kim@example.com"
        )
        context = await new_context(site.browser, site.installation)
        invited = await context.new_page()
        await invited.goto(f"{site.installation.url}/invite#{invite['token']}")
        await invited.get_by_label("Your name").fill("Kim")
        await invited.get_by_label("Password", exact=True).fill("a password of Kim's")
        await invited.get_by_role("button", name="Create account").click()
        await expect(page.locator("#count-people")).to_have_text(str(before + 1))
        await context.close()


async def test_an_open_page_says_that_rights_changed_or_ended(
    site: LiveSite, board: dict[str, Any], bob: BrowserContext
) -> None:
    members = "/organizations/me/members"
    found = site.owner.call("GET", f"{members}?limit=200")["items"]
    [member] = [
        one for one in found if any(it["board_id"] == board["id"] for it in one["board_access"])
    ]
    page = await bob.new_page()
    await page.goto("/activity")
    await expect(page.locator("#live[data-state=live]")).to_be_attached()
    site.owner.call("PUT", f"{members}/{member['id']}/access", all_boards_read=True)
    notice = page.locator("#rights-changed")
    await expect(notice).to_contain_text("Your rights have changed")
    await page.clock.install()
    await notice.get_by_role("button", name="Reload").click()
    await expect(notice).to_be_hidden()
    await expect(page.locator("#live[data-state=live]")).to_be_attached()
    site.owner.call("DELETE", f"{members}/{member['id']}")
    banner = page.locator("#not-shared")
    async with asyncio.timeout(60):
        while not await banner.is_visible():
            await page.evaluate("dispatchEvent(new Event('focus'))")  # connects at once
            await asyncio.sleep(0.02)
    await expect(banner).to_contain_text("You no longer have access to this page.")
    await page.clock.run_for(10_000)
    await expect(page.locator("#banner")).to_be_hidden()
    await banner.get_by_role("button", name="Reload").click()
    await expect(page.get_by_text("removed you from")).to_be_visible()
    assert await list_axe_violations(page) == []


async def test_a_text_that_the_browser_does_not_copy_is_selected(site: LiveSite) -> None:
    email = "kai@example.com"
    site.owner.call("POST", "/organizations/me/invites", invited_email=email)
    async with site.open_page("/people") as page:
        await page.evaluate(
            "() => { navigator.clipboard.writeText = () => Promise.reject(new Error('no')); }"
        )
        await page.get_by_role("button", name=f"Create a new link for {email}").click()
        dialog = page.get_by_role("dialog", name="Invitation link")
        link = await dialog.locator(".copy code").inner_text()
        await dialog.get_by_role("button", name="Copy the link").click()
        field = page.get_by_role("textbox", name="Not copied. Copy the selected text.")
        await expect(field).to_be_focused()
        selected = "area => area.value.slice(area.selectionStart, area.selectionEnd)"
        assert await field.evaluate(selected) == link
        assert await list_axe_violations(page) == []
