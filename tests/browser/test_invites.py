"""A user signs up by an invite link."""

from playwright.async_api import Page, expect

from tests.support.full_site import CheckedPage
from tests.support.live_site import LiveSite
from tests.support.page_checks import PHONE, WIDE, in_sizes, new_context
from tests.support.tiers import repetition


async def open_link(page: Page, link: str) -> None:
    await page.goto("about:blank")  # another part after the # alone loads no page
    await page.goto(link)


@repetition
@in_sizes(WIDE, PHONE)
async def test_an_invited_user_signs_up_by_the_link(site: LiveSite, size) -> None:
    """The steps are stated in tests/web/test_invites.py and tests/browser/test_people.py."""
    email = f"rita-{size['width']}@example.com"
    invite = site.owner.call("POST", "/organizations/me/invites", invited_email=email)
    link = f"{site.installation.url}/invite#{invite['token']}"
    context = await new_context(site.browser, site.installation, viewport=size)
    window = CheckedPage.watch(await context.new_page())
    page = window.page
    await open_link(page, link)
    await window.check()
    await page.get_by_label("Your name").fill("Rita")
    await page.get_by_label("Password", exact=True).fill("a password of Rita's")
    await page.get_by_role("button", name="Create account").click()
    await expect(page.locator("#content")).to_be_visible()
    await expect(page.get_by_role("button", name="Create account")).to_have_count(0)

    await open_link(page, link)
    await expect(page.locator("h1")).to_have_text("This link is not valid.")
    await window.check(410)
    again = site.owner.call("POST", "/organizations/me/invites", invited_email=f"x{email}")
    await page.goto("/settings")  # another part after the # alone would load no page
    await open_link(page, f"{site.installation.url}/invite#{again['token']}")
    await expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    await window.check()
    await context.close()
