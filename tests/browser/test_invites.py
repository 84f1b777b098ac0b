"""Somebody is invited, and comes in by the link, with scripts and without them."""

import pytest
from playwright.async_api import expect

from tests.browser.furnished import Window
from tests.browser.home import Home
from tests.browser.pages import PHONE, WIDE, new_context


@pytest.mark.parametrize(("size", "scripts"), [(WIDE, True), (PHONE, True), (WIDE, False)])
async def test_a_newcomer_comes_in_by_the_link(home: Home, size, scripts: bool) -> None:
    email = f"rita-{size['width']}-{scripts}@example.com".lower()
    invite = home.owner.call("POST", "/organizations/me/invites", invited_email=email)
    link = f"/invite?token={invite['token']}"
    options = {"viewport": size, "java_script_enabled": scripts}
    context = await new_context(home.browser, home.installation, **options)
    window = Window.of(await context.new_page())
    page = window.page
    await page.goto(link)
    if scripts:
        await window.looks_well()
    await page.get_by_label("Your name").fill("Rita")
    await page.get_by_label("Password", exact=True).fill("a password of Rita's")
    await page.get_by_role("button", name="Create account").click()
    await expect(page.locator("#content")).to_be_visible()
    await expect(page.get_by_role("button", name="Create account")).to_have_count(0)

    await page.goto(link)
    await expect(page.locator("h1")).to_have_text("This link opens nothing.")
    if scripts:
        await window.looks_well(410)
    again = home.owner.call("POST", "/organizations/me/invites", invited_email=f"x{email}")
    await page.goto(f"/invite?token={again['token']}")
    await expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    if scripts:
        await window.looks_well()
    await context.close()
