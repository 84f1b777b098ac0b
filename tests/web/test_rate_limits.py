"""Rate limits of page requests."""

import pytest

from core.config.settings import Settings

HTMX = {"HX-Request": "true"}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Few pages, and more calls than that."""
    return settings.model_copy(update={"rate_limit_pages": 3})


@pytest.mark.parametrize("headers", [{}, HTMX])
async def test_page_requests_are_rate_limited(alice, bob, headers) -> None:
    for _ in range(3):
        assert (await alice.get("/rail", headers=HTMX)).status_code == 200
    refused = await alice.get("/boards", headers=headers)

    assert refused.status_code == 429
    assert 0 < int(refused.headers["Retry-After"]) <= 60
    assert "Too many requests." in refused.text
    assert ("<html" in refused.text) == (not headers)
    assert (await alice.post("/sign-out")).status_code == 429
    assert (await alice.get("/static/app.css")).status_code == 200
    assert (await bob.get("/boards")).status_code == 200


async def test_unknown_pages_count_against_the_limit(alice) -> None:
    pages = [await alice.get("/nowhere/at/all") for _ in range(4)]
    assert [page.status_code for page in pages] == [404, 404, 404, 429]


async def test_the_event_stream_does_not_count(alice) -> None:
    answers = [await alice.get("/events?after=x") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [422] * 4
