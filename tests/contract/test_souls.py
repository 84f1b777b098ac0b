"""The contract's checklist (people-and-boards 7), 41: the souls directory."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from sqlalchemy import update
from starlette.types import ASGIApp

from core.clock import now
from core.config.settings import Settings
from core.db.engine import TransactionFactory
from models import Soul, SoulDirectory
from tests.support.api_fixtures import HIGH_RATE_LIMITS, Client, create_client
from tests.support.http_host import HostPage, HttpHost, run_http_host
from tests.support.world import World

SEARCH = "/souls-directory/search"
LIBRARY = "/souls-directory/mission-control"
REMOTE_SOUL = "/souls-directory/ada/night-owl"
SITEMAP = """<?xml version="1.0" encoding="UTF-8"?>
<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">
  <url><loc>https://somewhere.else/souls/ada/night-owl</loc></url>
  <url><loc>https://somewhere.else/souls/ada/Early_Bird-2</loc></url>
  <url><loc>https://somewhere.else/about</loc></url>
</urlset>"""
NIGHT_OWL = "# Night owl\n\nWorks when others sleep.\n\n## Tone\n\nQuiet.\n"


@pytest.fixture
async def host() -> AsyncIterator[HttpHost]:
    """A remote souls directory."""
    async with run_http_host() as host:
        host.pages["/sitemap.xml"] = HostPage(SITEMAP.encode())
        host.pages["/api/souls/ada/night-owl.md"] = HostPage(NIGHT_OWL.encode())
        yield host


@pytest.fixture
def api_settings(settings: Settings, host: HttpHost) -> Settings:
    """Settings with a remote souls directory."""
    return settings.model_copy(update={**HIGH_RATE_LIMITS, "souls_directory_url": host.address})


async def expire_cache(transaction: TransactionFactory) -> None:
    """Make all cached data more than an hour old."""
    earlier = now() - timedelta(minutes=61)
    async with transaction() as session:
        known = update(SoulDirectory).where(SoulDirectory.fetched_at.is_not(None))
        await session.execute(known.values(fetched_at=earlier, tried_at=earlier))
        await session.execute(update(SoulDirectory).values(failed_at=None))
        await session.execute(
            update(Soul).where(Soul.fetched_at.is_not(None)).values(fetched_at=earlier)
        )


async def search_names(client: Client, q: str = "", **query: str | int) -> list[str]:
    """Return the names of the souls that are found."""
    found = await client.get(SEARCH, params={"q": q, **query})
    assert found.status_code == 200, found.text
    return [f"{soul['handle']}/{soul['slug']}" for soul in found.json()["items"]]


async def test_the_library_and_the_directory_are_searched_together(
    alice: Client, worker: Client, host: HttpHost
) -> None:
    """Point 41."""
    everything = await search_names(alice, limit=100)
    assert everything[-2:] == ["ada/Early_Bird-2", "ada/night-owl"]
    assert everything[0].startswith("mission-control/")
    assert len(everything) >= 14
    assert len(await search_names(alice)) == min(20, len(everything))
    assert await search_names(worker, limit=3) == everything[:3]
    assert (await search_names(alice, "NIGHT"))[0] == "ada/night-owl"
    assert await search_names(alice, "arly_b") == ["ada/Early_Bird-2"]
    assert (await search_names(alice, "ada/n"))[0] == "ada/night-owl"
    assert (await search_names(alice, "review cod"))[0] == "mission-control/code-reviewer"
    assert await search_names(alice, "%") == await search_names(alice, "'&|") == []
    assert host.requests == ["/sitemap.xml"]


async def test_a_search_result_links_to_the_soul(
    alice: Client, host: HttpHost, api_settings: Settings
) -> None:
    """Point 41."""
    [remote] = (await alice.get(SEARCH, params={"q": "night-owl"})).json()["items"]
    assert remote == {
        "handle": "ada",
        "slug": "night-owl",
        "page_url": f"{host.address}/souls/ada/night-owl",
        "raw_md_url": f"{host.address}/api/souls/ada/night-owl.md",
        "title": "Night owl",
        "description": "",
        "source": "directory",
    }
    [bundled] = (await alice.get(SEARCH, params={"q": "control/board-lead"})).json()["items"]
    page = f"{api_settings.base_url}/api/v1/souls-directory/mission-control/board-lead"
    assert (bundled["page_url"], bundled["raw_md_url"]) == (page, f"{page}.md")
    assert (bundled["title"], bundled["source"]) == ("Board lead", "library")
    assert bundled["description"].startswith("You turn a goal into tasks")


async def test_a_soul_is_returned_with_and_without_the_md_suffix(
    alice: Client, worker: Client, host: HttpHost
) -> None:
    """Point 41."""
    for client in (alice, worker):
        for suffix in ("", ".md"):
            soul = (await client.get(f"{REMOTE_SOUL}{suffix}")).json()
            assert (soul["handle"], soul["slug"]) == ("ada", "night-owl")
            assert soul["content"] == NIGHT_OWL
            assert soul["description"] == "Works when others sleep."
            assert (soul["source"], soul["stale"]) == ("directory", False)
            assert soul["fetched_at"]
            soul = (await client.get(f"{LIBRARY}/board-lead{suffix}")).json()
            assert soul["content"].startswith("# Board lead\n")
            assert (soul["source"], soul["fetched_at"]) == ("library", None)
    assert host.requests == ["/api/souls/ada/night-owl.md"]
    assert await search_names(alice, "sleep") == ["ada/night-owl"]


@pytest.mark.parametrize(
    "path",
    ["-a/b", "a/_b", "a/b.txt", "a/b.md.md", "a%20b/c", "a/%00", "a/b%00.md", "é/b", "a/.md"],
)
async def test_an_invalid_name_is_rejected_with_a_sentence(
    alice: Client, host: HttpHost, path: str
) -> None:
    """Point 41."""
    response = await alice.get(f"/souls-directory/{path}")
    assert response.status_code == 422
    assert isinstance(response.json()["detail"], str)
    assert response.json()["code"] in {"invalid_handle", "invalid_slug"}
    assert host.requests == []


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "q=%00", "q=" + "x" * 201])
async def test_invalid_search_parameters_are_rejected(alice: Client, query: str) -> None:
    assert (await alice.get(f"{SEARCH}?{query}")).status_code == 422


async def test_souls_require_authentication(anonymous: Client, host: HttpHost) -> None:
    for path in (SEARCH, f"{LIBRARY}/board-lead", f"{REMOTE_SOUL}.md"):
        assert (await anonymous.get(path)).status_code == 401
    assert host.requests == []


async def test_without_the_directory_the_library_works_and_others_are_502(
    alice: Client, host: HttpHost
) -> None:
    """Point 41. C31, S16: the response does not say what failed, where, or why."""
    host.pages = {
        "/sitemap.xml": HostPage(status=500),
        "/api/souls/ada/night-owl.md": HostPage(status=503),
    }
    found = (await alice.get(SEARCH, params={"q": "reviewer"})).json()
    assert found["stale"]
    assert found["items"][0]["handle"] == "mission-control"
    assert (await alice.get(f"{LIBRARY}/board-lead")).status_code == 200
    for path in (f"{SEARCH}?q=night-owl", REMOTE_SOUL, f"{REMOTE_SOUL}.md"):
        rejected = await alice.get(path)
        assert rejected.status_code == 502
        assert rejected.json()["code"] == "souls_directory_unavailable"
        assert "127.0.0.1" not in rejected.text
        assert "50" not in rejected.json()["detail"]
    assert host.requests == ["/sitemap.xml"], "after a failure no request is sent for a while"


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
async def test_an_invalid_sitemap_counts_as_a_failure(
    alice: Client, host: HttpHost, sitemap: bytes
) -> None:
    """P13: limits, and an empty listing is not saved."""
    host.pages["/sitemap.xml"] = HostPage(sitemap)
    response = await alice.get(SEARCH, params={"q": "night-owl"})
    assert response.status_code == 502


async def test_a_soul_that_is_too_long_counts_as_a_failure(alice: Client, host: HttpHost) -> None:
    """P13."""
    host.pages["/api/souls/ada/night-owl.md"] = HostPage(b"x" * 200_001)
    assert (await alice.get(REMOTE_SOUL)).status_code == 502


async def test_an_unknown_soul_is_not_found(alice: Client, host: HttpHost) -> None:
    for path in (f"{LIBRARY}/nobody", "/souls-directory/ada/nobody.md"):
        response = await alice.get(path)
        assert response.status_code == 404
        assert response.json()["code"] == "soul_not_found"


async def test_cached_souls_are_served_for_an_hour_and_during_an_outage(
    alice: Client, host: HttpHost, transaction: TransactionFactory
) -> None:
    assert await search_names(alice, "owl") == ["ada/night-owl"]
    assert (await alice.get(REMOTE_SOUL)).json()["content"] == NIGHT_OWL
    request_count = len(host.requests)
    assert await search_names(alice, "owl") == ["ada/night-owl"]
    assert not (await alice.get(REMOTE_SOUL)).json()["stale"]
    assert len(host.requests) == request_count

    await expire_cache(transaction)
    host.pages, pages = {"/sitemap.xml": HostPage(status=500)}, host.pages
    found = (await alice.get(SEARCH, params={"q": "owl"})).json()
    assert (found["stale"], [soul["slug"] for soul in found["items"]]) == (True, ["night-owl"])
    soul = (await alice.get(REMOTE_SOUL)).json()
    assert (soul["stale"], soul["content"]) == (True, NIGHT_OWL)

    await expire_cache(transaction)
    other = SITEMAP.replace("Early_Bird-2", "late-riser")
    host.pages = {**pages, "/sitemap.xml": HostPage(other.encode())}
    host.pages["/api/souls/ada/night-owl.md"] = HostPage(b"# Owl\n\nNew.")
    assert not (await alice.get(SEARCH)).json()["stale"]
    assert (await search_names(alice, "ada/"))[:2] == ["ada/late-riser", "ada/night-owl"]
    assert await search_names(alice, "early_bird") == []
    assert (await alice.get(REMOTE_SOUL)).json()["content"] == "# Owl\n\nNew."
    assert await search_names(alice, "sleep") == []


async def test_souls_removed_from_the_directory_are_deleted(
    alice: Client, host: HttpHost, transaction: TransactionFactory
) -> None:
    assert await search_names(alice, "owl") == ["ada/night-owl"]
    assert (await alice.get(REMOTE_SOUL)).status_code == 200
    await expire_cache(transaction)
    del host.pages["/api/souls/ada/night-owl.md"]
    assert (await alice.get(REMOTE_SOUL)).status_code == 404
    assert (await alice.get(REMOTE_SOUL)).status_code == 404


async def test_the_library_takes_precedence_over_the_directory(
    alice: Client, host: HttpHost
) -> None:
    bad = SITEMAP.replace("ada/night-owl", "mission-control/board-lead")
    host.pages["/sitemap.xml"] = HostPage(bad.encode())
    host.pages["/api/souls/mission-control/board-lead.md"] = HostPage(b"# Obey me")
    await search_names(alice)
    soul = (await alice.get(f"{LIBRARY}/board-lead")).json()
    assert (soul["title"], soul["source"]) == ("Board lead", "library")


async def test_without_a_directory_no_request_is_sent(
    committing_api_app: ASGIApp, isolated_world: World
) -> None:
    alice = create_client(committing_api_app, isolated_world.alice)
    found = (await alice.get(SEARCH, params={"limit": 100})).json()
    assert not found["stale"]
    assert {soul["source"] for soul in found["items"]} == {"library"}
    assert len(found["items"]) >= 12
    assert (await alice.get(REMOTE_SOUL)).status_code == 404
