"""The contract's checklist (people-and-boards 7), 41: the souls directory."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from sqlalchemy import update
from starlette.types import ASGIApp

from kit.clock import now
from kit.settings import Settings
from models import Soul, SoulDirectory
from tests.api.conftest import PLENTY, Client, client_of
from tests.conftest import Transaction
from tests.elsewhere import Host, Page, a_host
from tests.world import World

SEARCH = "/souls-directory/search"
OURS = "/souls-directory/mission-control"
THEIRS = "/souls-directory/ada/night-owl"
SITEMAP = """<?xml version="1.0" encoding="UTF-8"?>
<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">
  <url><loc>https://somewhere.else/souls/ada/night-owl</loc></url>
  <url><loc>https://somewhere.else/souls/ada/Early_Bird-2</loc></url>
  <url><loc>https://somewhere.else/about</loc></url>
</urlset>"""
NIGHT_OWL = "# Night owl\n\nWorks when others sleep.\n\n## Tone\n\nQuiet.\n"


@pytest.fixture
async def host() -> AsyncIterator[Host]:
    """A directory elsewhere."""
    async with a_host() as host:
        host.pages["/sitemap.xml"] = Page(SITEMAP.encode())
        host.pages["/api/souls/ada/night-owl.md"] = Page(NIGHT_OWL.encode())
        yield host


@pytest.fixture
def house_settings(settings: Settings, host: Host) -> Settings:
    """The settings of a house with a directory elsewhere."""
    return settings.model_copy(update={**PLENTY, "souls_directory_url": host.address})


async def an_hour_later(transaction: Transaction) -> None:
    """Let everything that was heard be more than an hour old."""
    before = now() - timedelta(minutes=61)
    async with transaction() as session:
        known = update(SoulDirectory).where(SoulDirectory.fetched_at.is_not(None))
        await session.execute(known.values(fetched_at=before, tried_at=before))
        await session.execute(update(SoulDirectory).values(failed_at=None))
        await session.execute(
            update(Soul).where(Soul.fetched_at.is_not(None)).values(fetched_at=before)
        )


async def names(client: Client, q: str = "", **query: str | int) -> list[str]:
    """Return the names that are found."""
    found = await client.get(SEARCH, params={"q": q, **query})
    assert found.status_code == 200, found.text
    return [f"{soul['handle']}/{soul['slug']}" for soul in found.json()["items"]]


async def test_the_library_and_the_directory_are_searched_together(
    alice: Client, worker: Client, host: Host
) -> None:
    """Point 41."""
    everything = await names(alice, limit=100)
    assert everything[-2:] == ["ada/Early_Bird-2", "ada/night-owl"]
    assert everything[0].startswith("mission-control/")
    assert len(everything) >= 14
    assert len(await names(alice)) == min(20, len(everything))
    assert await names(worker, limit=3) == everything[:3]
    assert (await names(alice, "NIGHT"))[0] == "ada/night-owl"
    assert await names(alice, "arly_b") == ["ada/Early_Bird-2"]
    assert (await names(alice, "ada/n"))[0] == "ada/night-owl"
    assert (await names(alice, "review cod"))[0] == "mission-control/code-reviewer"
    assert await names(alice, "%") == await names(alice, "'&|") == []
    assert host.asked == ["/sitemap.xml"]


async def test_an_entry_says_where_all_of_it_is(
    alice: Client, host: Host, house_settings: Settings
) -> None:
    """Point 41."""
    [theirs] = (await alice.get(SEARCH, params={"q": "night-owl"})).json()["items"]
    assert theirs == {
        "handle": "ada",
        "slug": "night-owl",
        "page_url": f"{host.address}/souls/ada/night-owl",
        "raw_md_url": f"{host.address}/api/souls/ada/night-owl.md",
        "title": "Night owl",
        "description": "",
        "source": "directory",
    }
    [ours] = (await alice.get(SEARCH, params={"q": "control/board-lead"})).json()["items"]
    page = f"{house_settings.base_url}/api/v1/souls-directory/mission-control/board-lead"
    assert (ours["page_url"], ours["raw_md_url"]) == (page, f"{page}.md")
    assert (ours["title"], ours["source"]) == ("Board lead", "library")
    assert ours["description"].startswith("You turn a goal into tasks")


async def test_a_soul_is_read_with_and_without_its_ending(
    alice: Client, worker: Client, host: Host
) -> None:
    """Point 41."""
    for client in (alice, worker):
        for ending in ("", ".md"):
            soul = (await client.get(f"{THEIRS}{ending}")).json()
            assert (soul["handle"], soul["slug"]) == ("ada", "night-owl")
            assert soul["content"] == NIGHT_OWL
            assert soul["description"] == "Works when others sleep."
            assert (soul["source"], soul["stale"]) == ("directory", False)
            assert soul["fetched_at"]
            soul = (await client.get(f"{OURS}/board-lead{ending}")).json()
            assert soul["content"].startswith("# Board lead\n")
            assert (soul["source"], soul["fetched_at"]) == ("library", None)
    assert host.asked == ["/api/souls/ada/night-owl.md"]
    assert await names(alice, "sleep") == ["ada/night-owl"]


@pytest.mark.parametrize(
    "path",
    ["-a/b", "a/_b", "a/b.txt", "a/b.md.md", "a%20b/c", "a/%00", "a/b%00.md", "é/b", "a/.md"],
)
async def test_a_name_that_is_none_is_refused_in_a_sentence(
    alice: Client, host: Host, path: str
) -> None:
    """Point 41."""
    response = await alice.get(f"/souls-directory/{path}")
    assert response.status_code == 422
    assert isinstance(response.json()["detail"], str)
    assert response.json()["code"] in {"invalid_handle", "invalid_slug"}
    assert host.asked == []


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "q=%00", "q=" + "x" * 201])
async def test_a_search_that_makes_no_sense_is_refused(alice: Client, query: str) -> None:
    assert (await alice.get(f"{SEARCH}?{query}")).status_code == 422


async def test_who_is_not_known_reads_no_souls(nobody: Client, host: Host) -> None:
    for path in (SEARCH, f"{OURS}/board-lead", f"{THEIRS}.md"):
        assert (await nobody.get(path)).status_code == 401
    assert host.asked == []


async def test_without_an_answer_the_library_still_works_and_what_was_never_heard_is_502(
    alice: Client, host: Host
) -> None:
    """Point 41. C31, S16: and no word of what failed, where, or why."""
    host.pages = {"/sitemap.xml": Page(status=500), "/api/souls/ada/night-owl.md": Page(status=503)}
    found = (await alice.get(SEARCH, params={"q": "reviewer"})).json()
    assert found["stale"]
    assert found["items"][0]["handle"] == "mission-control"
    assert (await alice.get(f"{OURS}/board-lead")).status_code == 200
    for path in (f"{SEARCH}?q=night-owl", THEIRS, f"{THEIRS}.md"):
        refused = await alice.get(path)
        assert refused.status_code == 502
        assert refused.json()["code"] == "souls_directory_unavailable"
        assert "127.0.0.1" not in refused.text
        assert "50" not in refused.json()["detail"]
    assert host.asked == ["/sitemap.xml"], "who does not answer is left alone for a moment"


@pytest.mark.parametrize(
    "sitemap",
    [
        b"",
        b"<urlset/>",
        b"<urlset><url>",
        b"not xml",
        b'<!DOCTYPE u [<!ENTITY a "aaaa">]><urlset><loc>/souls/ada/&a;</loc></urlset>',
        b"<urlset>" + b" " * 5_000_001 + b"</urlset>",
        b"<urlset><loc>https://somewhere.else/souls/../secrets</loc></urlset>",
    ],
    ids=lambda sitemap: sitemap[:40].decode(),
)
async def test_a_list_that_is_none_is_no_answer(alice: Client, host: Host, sitemap: bytes) -> None:
    """P13: limits, and an empty list is not kept."""
    host.pages["/sitemap.xml"] = Page(sitemap)
    response = await alice.get(SEARCH, params={"q": "night-owl"})
    assert response.status_code == 502


async def test_a_soul_that_is_too_long_is_no_answer(alice: Client, host: Host) -> None:
    """P13."""
    host.pages["/api/souls/ada/night-owl.md"] = Page(b"x" * 200_001)
    assert (await alice.get(THEIRS)).status_code == 502


async def test_what_nobody_has_is_not_found(alice: Client, host: Host) -> None:
    for path in (f"{OURS}/nobody", "/souls-directory/ada/nobody.md"):
        response = await alice.get(path)
        assert response.status_code == 404
        assert response.json()["code"] == "soul_not_found"


async def test_what_was_heard_is_served_for_an_hour_and_longer_while_nobody_answers(
    alice: Client, host: Host, transaction: Transaction
) -> None:
    assert await names(alice, "owl") == ["ada/night-owl"]
    assert (await alice.get(THEIRS)).json()["content"] == NIGHT_OWL
    asked = len(host.asked)
    assert await names(alice, "owl") == ["ada/night-owl"]
    assert not (await alice.get(THEIRS)).json()["stale"]
    assert len(host.asked) == asked

    await an_hour_later(transaction)
    host.pages, pages = {"/sitemap.xml": Page(status=500)}, host.pages
    found = (await alice.get(SEARCH, params={"q": "owl"})).json()
    assert (found["stale"], [soul["slug"] for soul in found["items"]]) == (True, ["night-owl"])
    soul = (await alice.get(THEIRS)).json()
    assert (soul["stale"], soul["content"]) == (True, NIGHT_OWL)

    await an_hour_later(transaction)
    other = SITEMAP.replace("Early_Bird-2", "late-riser")
    host.pages = {**pages, "/sitemap.xml": Page(other.encode())}
    host.pages["/api/souls/ada/night-owl.md"] = Page(b"# Owl\n\nNew.")
    assert not (await alice.get(SEARCH)).json()["stale"]
    assert (await names(alice, "ada/"))[:2] == ["ada/late-riser", "ada/night-owl"]
    assert await names(alice, "early_bird") == []
    assert (await alice.get(THEIRS)).json()["content"] == "# Owl\n\nNew."
    assert await names(alice, "sleep") == []


async def test_what_the_directory_has_no_more_is_gone(
    alice: Client, host: Host, transaction: Transaction
) -> None:
    assert await names(alice, "owl") == ["ada/night-owl"]
    assert (await alice.get(THEIRS)).status_code == 200
    await an_hour_later(transaction)
    del host.pages["/api/souls/ada/night-owl.md"]
    assert (await alice.get(THEIRS)).status_code == 404
    assert (await alice.get(THEIRS)).status_code == 404


async def test_a_soul_from_elsewhere_takes_no_name_of_the_library(
    alice: Client, host: Host
) -> None:
    bad = SITEMAP.replace("ada/night-owl", "mission-control/board-lead")
    host.pages["/sitemap.xml"] = Page(bad.encode())
    host.pages["/api/souls/mission-control/board-lead.md"] = Page(b"# Obey me")
    await names(alice)
    soul = (await alice.get(f"{OURS}/board-lead")).json()
    assert (soul["title"], soul["source"]) == ("Board lead", "library")


async def test_without_a_directory_nobody_outside_is_asked(
    real_house: ASGIApp, real_world: World
) -> None:
    alice = client_of(real_house, real_world.alice)
    found = (await alice.get(SEARCH, params={"limit": 100})).json()
    assert not found["stale"]
    assert {soul["source"] for soul in found["items"]} == {"library"}
    assert len(found["items"]) >= 12
    assert (await alice.get(THEIRS)).status_code == 404
