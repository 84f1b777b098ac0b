"""Sign-in with a real OpenID provider in a browser, where cookies and policies apply."""

from collections.abc import Iterator

import pytest
from playwright.async_api import Browser, Page, expect

from tests.support.fake_oidc_provider import CLIENT_ID, CLIENT_SECRET
from tests.support.installation import Installation, find_free_port
from tests.support.installed_packages import PackagesMissing
from tests.support.live_site import OWNER
from tests.support.page_checks import (
    PHONE,
    list_axe_violations,
    list_overflowing,
    new_context,
)
from tests.support.real_oidc_provider import run_provider
from tests.support.tiers import repetition


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation with a provider, that nobody has used yet."""
    port = find_free_port()
    try:
        with run_provider(f"http://127.0.0.1:{port}/sign-in/oidc/callback") as provider:
            environment = {
                "OIDC_ISSUER": provider.issuer,
                "OIDC_CLIENT_ID": CLIENT_ID,
                "OIDC_CLIENT_SECRET": CLIENT_SECRET,
                "OIDC_NAME": "The real provider",
            }
            data = tmp_path_factory.mktemp("with_a_provider") / "data"
            installation = Installation(data, port, environment)
            yield installation.start()
            installation.stop()
    except PackagesMissing as reason:
        pytest.skip(str(reason))


async def sign_in_elsewhere(tab: Page, name: str) -> None:
    """Sign in at the provider."""
    await tab.goto("/sign-in?next=/settings")
    await tab.get_by_role("link", name="Continue with The real provider").click()
    await tab.locator("[name=login]").fill(name)
    await tab.locator("[name=password]").fill("any")
    await tab.get_by_role("button", name="Sign-in").click()
    await tab.get_by_role("button", name="Continue").click()


@repetition
async def test_users_sign_in_with_a_provider_and_connect_an_account(
    browser: Browser, installation: Installation
) -> None:
    """The steps are stated in tests/oidc/test_sign_in.py and tests/oidc/test_accounts.py."""
    context = await new_context(browser, installation, java_script_enabled=False)
    tab = await context.new_page()
    await sign_in_elsewhere(tab, "olga")
    await expect(tab.get_by_role("alert")).to_contain_text("Nobody has signed in yet.")

    await tab.goto(installation.link)
    await tab.locator("[name=link]").fill(installation.link)  # without scripts it is pasted
    await tab.get_by_role("button", name="Open").click()
    for field, value in OWNER.items():
        await tab.locator(f"[name={field}]").fill(value)
    await tab.locator("form button[type=submit]").click()
    await expect(tab).not_to_have_url(installation.link)
    await context.close()

    context = await new_context(browser, installation, viewport=PHONE)
    tab = await context.new_page()
    await sign_in_elsewhere(tab, "olga")
    await expect(tab.get_by_role("alert")).to_contain_text("Sign in with it once")
    assert await list_axe_violations(tab) == []
    assert not await list_overflowing(tab)
    await tab.locator("[name=email]").fill(OWNER["email"])
    await tab.locator("[name=password]").fill(OWNER["password"])
    await tab.get_by_role("button", name="Sign in", exact=True).click()
    await expect(tab).to_have_url(f"{installation.url}/welcome")
    await tab.locator("[name=name]").fill("Tern")
    await tab.get_by_role("button", name="Save and continue").click()
    await expect(tab.get_by_text("Create your first board")).to_be_visible()
    await context.close()

    people = [
        ("olga", "/settings", OWNER["name"]),
        ("nora", "/welcome", "nora of the real provider"),
    ]
    for name, place, shown in people:
        context = await new_context(browser, installation)
        tab = await context.new_page()
        await sign_in_elsewhere(tab, name)
        await expect(tab).to_have_url(installation.url + place)
        if place == "/welcome":  # the account is new
            await tab.locator("[name=name]").fill("Novak")
            await tab.get_by_role("button", name="Save and continue").click()
            await tab.goto("/settings")
        await expect(tab.locator("[name=name]").first).to_have_value(shown)
        await context.close()
