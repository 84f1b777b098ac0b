"""The page of all components: only in development, for signed-in users."""

import re
from collections import Counter

import pytest

from core.config.settings import Settings
from tests.support.component_states import COMPONENTS


@pytest.fixture
def settings(settings: Settings, request: pytest.FixtureRequest) -> Settings:
    return settings.model_copy(update={"app_env": getattr(request, "param", "development")})


@pytest.mark.parametrize("settings", ["production"], indirect=True)
async def test_the_page_of_components_does_not_exist_in_production(alice) -> None:
    assert (await alice.get("/design")).status_code == 404


def test_production_is_the_default() -> None:
    assert Settings().app_env == "production"


async def test_every_component_is_shown_in_every_state(alice) -> None:
    page = (await alice.get("/design")).text
    shown = page[page.index("<main") : page.index('id="toasts"')]
    for component, states in COMPONENTS.items():
        missing = [state for state, mark in states.items() if not re.search(mark, shown)]
        assert missing == [], component


async def test_no_element_id_is_used_twice(alice, anonymous) -> None:
    assert (await anonymous.get("/design")).status_code == 303
    page = await alice.get("/design")
    assert page.status_code == 200
    counts = Counter(re.findall(r'\sid="([^"]+)"', page.text))
    assert [id for id, count in counts.items() if count > 1] == []
