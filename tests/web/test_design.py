"""The page of all components: only in development, for signed-in users."""

import re

import pytest

from core.config.settings import Settings


@pytest.fixture
def settings(settings: Settings, request: pytest.FixtureRequest) -> Settings:
    return settings.model_copy(update={"app_env": getattr(request, "param", "development")})


@pytest.mark.parametrize("settings", ["production"], indirect=True)
async def test_the_page_of_components_does_not_exist_in_production(alice) -> None:
    assert (await alice.get("/design")).status_code == 404


def test_production_is_the_default() -> None:
    assert not Settings().is_development


async def test_the_page_shows_every_class_of_component(alice, anonymous) -> None:
    assert (await anonymous.get("/design")).status_code == 303
    page = await alice.get("/design")
    assert page.status_code == 200
    shown = {name for found in re.findall(r'class="([^"]*)"', page.text) for name in found.split()}
    wanted = {"card", "ask", "toast", "note", "beat", "meter", "diff", "bubble", "empty", "plot"}
    assert wanted | {"skel", "step", "menu", "dlg", "tile", "table", "tag", "err"} <= shown


async def test_a_card_is_shown_in_every_state(alice) -> None:
    page = (await alice.get("/design")).text
    cards = page[page.index('id="design-cards"') : page.index('id="design-approvals"')]
    for mark in ("data-needs", "data-blocked", "data-refused", "data-unread", "due--over"):
        assert mark in cards, mark
    assert "Needs an approval before Done" in cards
    assert "Waits for an approval" in cards
