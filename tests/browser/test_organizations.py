"""The organizations of a user, the profile and the account in a browser."""

import re

from playwright.async_api import BrowserContext, Locator, Page, expect

from tests.support.live_site import LiveSite
from tests.support.page_checks import new_context
from tests.support.tiers import repetition


def find_switch(page: Page) -> Locator:
    return page.locator("#organizations")


async def switch_to(page: Page, name: str) -> None:
    await find_switch(page).locator("summary").click()
    await find_switch(page).get_by_role("button", name=name).click()


async def test_all_tabs_show_the_organization_that_is_opened_in_one(bob: BrowserContext) -> None:
    page, other = await bob.new_page(), await bob.new_page()
    await page.goto("/organization/about")
    await other.goto("/boards")
    old = (await page.get_by_role("heading", level=1).inner_text()).strip()
    await page.locator("summary", has_text="New organization").click()
    await page.get_by_label("Name of the new organization").fill("Heronry")
    await page.get_by_role("button", name="Create organization").click()
    await expect(find_switch(other)).to_contain_text("Heronry")  # the other tab reloads

    await page.goto("/organization/about")
    await switch_to(page, old)
    await expect(find_switch(other)).to_contain_text(old)


@repetition
async def test_a_user_changes_the_profile_and_deletes_the_account(bob: BrowserContext) -> None:
    """The steps are stated in tests/web/test_settings.py and tests/web/test_account_deletion.py."""
    page = await bob.new_page()
    # The time zone of the browser is stored first: a later change of it would be a conflict.
    async with page.expect_response("**/settings/time-zone"):
        await page.goto("/gateways")
    await expect(page.locator("#content")).to_contain_text("can change your rights")
    await page.goto("/settings")
    you, known = page.locator("#you"), page.locator("#known")
    await you.get_by_label("Name", exact=True).fill("Bob Hill")
    await you.get_by_label("Pronouns").fill("they/them")
    await you.get_by_label("Time zone").fill("Mars/Base")
    await you.get_by_role("button", name="Save").click()
    await expect(you.get_by_label("Time zone")).to_have_attribute("aria-invalid", "true")
    await you.get_by_label("Time zone").fill("Asia/Tokyo")
    await you.get_by_role("button", name="Save").click()
    await expect(page.locator("#saved")).to_contain_text("Saved")
    await expect(page.locator("#rail .me")).to_contain_text("Bob Hill")
    await known.get_by_label("Notes").fill("Ask before noon.")
    await known.get_by_role("button", name="Save").click()
    await expect(known.get_by_label("Notes")).to_have_value("Ask before noon.")

    tokens = page.locator("#tokens")
    await tokens.get_by_label("What is it for?").fill("Weekly figures")
    await tokens.get_by_role("button", name="Create token").click()
    await expect(tokens.locator(".copy code")).to_be_visible()
    await tokens.get_by_role("button", name="Revoke").click()
    await expect(tokens.get_by_text("You have no tokens.")).to_be_visible()

    await you.get_by_label("Language").select_option("Deutsch")
    await you.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Einstellungen")
    await you.get_by_label("Sprache").select_option("English")
    await you.get_by_role("button", name="Speichern").click()

    await page.get_by_role("link", name="Delete account").last.click()
    confirmation = page.get_by_label(re.compile("^Type .* to confirm"))
    label = await page.locator("label", has_text="to confirm").inner_text()
    await confirmation.fill(label.removeprefix("Type ").removesuffix(" to confirm"))
    await page.get_by_role("button", name="Delete account").click()
    await expect(page).to_have_url(re.compile("/account-deleted"))
    await page.goto("/boards")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")


async def test_a_typed_password_can_be_shown(site: LiveSite) -> None:
    context = await new_context(site.browser, site.installation)
    page = await context.new_page()
    await page.goto("/sign-in")
    password = page.get_by_label("Password", exact=True)
    await password.fill("secret")
    await page.get_by_role("button", name="Show what is typed").click()
    await expect(password).to_have_attribute("type", "text")
    await context.close()


async def test_an_empty_time_zone_is_that_of_the_browser(bob: BrowserContext) -> None:
    page = await bob.new_page()
    session = await bob.new_cdp_session(page)
    await session.send("Emulation.setTimezoneOverride", {"timezoneId": "Pacific/Auckland"})
    await page.goto("/settings")
    zone = page.get_by_label("Time zone")
    await expect(zone).to_have_value("Pacific/Auckland")
    await zone.fill("Asia/Tokyo")
    await page.locator("form", has=zone).get_by_role("button", name="Save").click()
    await expect(page.locator("#saved")).to_contain_text("Saved")
    await page.goto("/settings")
    await expect(zone).to_have_value("Asia/Tokyo")
