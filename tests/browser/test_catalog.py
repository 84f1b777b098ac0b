"""Tags, custom fields and souls in a browser."""

import re

from playwright.async_api import expect

from tests.support.live_site import LiveSite
from tests.support.page_checks import PHONE, choose, list_axe_violations, list_overflowing
from tests.support.tiers import repetition

LIST_OF_FIELDS = re.compile(r"/fields(\?|$)")


async def test_a_tag_is_created_with_a_generated_slug(site: LiveSite) -> None:
    async with site.open_page("/tags/new", viewport=PHONE) as page:
        await page.get_by_label("Name", exact=True).fill("Spring Cleaning 1")
        await page.get_by_role("button", name="Use from name").click()
        await expect(page.get_by_label("Slug")).to_have_value("spring-cleaning-1")
        await page.get_by_label("Colour", exact=True).fill("2F6F6A")
        await expect(page.get_by_label("Pick a colour")).to_have_value("#2f6f6a")
        await expect(page.locator("[data-preview] rect")).to_have_attribute("fill", "#2f6f6a")
        await page.get_by_label("Pick a colour").fill("#c0392b")
        await expect(page.get_by_label("Colour", exact=True)).to_have_value("c0392b")
        assert await list_axe_violations(page) == []
        assert not await list_overflowing(page)
        await page.get_by_role("button", name="Create tag").click()
        await page.get_by_label("Filter tags by name").press_sequentially("cleaning 1")
        await expect(page.locator("#tags [data-item]")).to_have_count(1)


async def test_the_form_of_a_field_shows_the_key_of_its_name(site: LiveSite) -> None:
    async with site.open_page("/fields/new") as page:
        await page.get_by_label("Name", exact=True).fill("Größe 1")
        await expect(page.locator("#field-field_key")).to_have_attribute("placeholder", "grosse_1")


@repetition
async def test_a_field_is_required_set_and_filtered(site: LiveSite) -> None:
    """See test_custom_fields, test_task_fields and test_field_filters in tests/web."""
    board = site.create_board("Fielded")
    task = site.create_task(board, "Weigh anchor")
    async with site.open_page("/fields/new") as page:
        await page.get_by_label("Name", exact=True).fill("weight")
        await page.get_by_label("Type", exact=True).select_option("Whole number")
        await page.get_by_label("Required").check()
        await choose(page.locator("#boards"), "Fielded")
        await page.keyboard.press("Escape")
        await page.get_by_role("button", name="Create field").click()
        await page.wait_for_url(LIST_OF_FIELDS)
        await page.goto(f"/boards/{board['id']}/tasks/{task['id']}")
        fields = page.locator("#task-fields")
        await expect(fields).to_contain_text("Missing")
        await fields.locator("summary").click()
        await fields.get_by_label("weight").press("Enter")
        await expect(fields).to_contain_text("Enter a value.")
        await fields.get_by_label("weight").fill("12")
        await fields.get_by_label("weight").press("Enter")
        await expect(fields.locator("summary")).to_contain_text("12")
        await expect(fields).not_to_contain_text("Missing")
        assert await list_axe_violations(page) == []

        await page.goto(f"/boards/{board['id']}")
        await page.locator("#more-filters > summary").click()
        await page.locator("#filter-field").select_option("weight")
        await page.locator("#filter-value").fill("13")
        await expect(page.get_by_text("Weigh anchor")).to_have_count(0)
        await page.locator("#filter-value").fill("12")
        await expect(page.get_by_text("Weigh anchor")).to_be_visible()
