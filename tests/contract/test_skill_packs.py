"""Packs of skills: added, fetched from their archives, and changed."""

import pytest
from sqlalchemy import select

from core.db.engine import TransactionFactory
from core.http.outbound import OutboundOutcome, OutboundResult
from models import Event, EventType, Gateway, SkillVersion
from services.skills import DEFAULT_PACKS
from services.skills.discovery import WARNINGS
from tests.support.api_fixtures import Client
from tests.support.skill_archives import (
    COMMIT,
    FILES,
    OTHER_COMMIT,
    REPOSITORY,
    ArchiveHost,
    make_tar,
    make_zip,
)
from tests.support.skills_api import (
    MARKETPLACE,
    PACKS,
    add_pack,
    api_app,
    call,
    gateway,
    host,
    list_cards,
    sync,
)

__all__ = ["api_app", "gateway", "host"]


async def test_a_pack_is_added_changed_and_deleted(alice: Client) -> None:
    pack = await add_pack(alice, source_url=f" {REPOSITORY}.git/ ", metadata_={"a": 1})
    assert (pack["source_url"], pack["name"], pack["branch"]) == (REPOSITORY, "skills", "main")
    assert (pack["metadata"], pack["skill_count"], pack["revision"]) == ({"a": 1}, 0, None)
    again = await add_pack(alice, name="Ours", description="x", branch="v 1")
    assert (again["id"], again["name"], again["branch"]) == (pack["id"], "Ours", "main")
    path = f"{PACKS}/{pack['id']}"
    body = {"source_url": REPOSITORY, "branch": "v1"}
    changed = await call(alice, "PATCH", path, json=body)
    assert (changed["name"], changed["description"], changed["branch"]) == ("skills", None, "v1")
    other = await add_pack(alice, source_url=f"{REPOSITORY}-2")
    assert [one["id"] for one in await call(alice, "GET", PACKS)] == [other["id"], pack["id"]]
    taken = {"source_url": other["source_url"]}
    assert (await call(alice, "PATCH", path, 409, json=taken))["code"] == "skill_pack_exists"
    assert await call(alice, "DELETE", path) == {"ok": True}
    await call(alice, "GET", path, 404)


@pytest.mark.parametrize("url", ["https://gitlab.com/a/b", "http://github.com/a/b", "x", "  "])
async def test_other_addresses_of_packs_are_400(alice: Client, url: str) -> None:
    answer = await call(alice, "POST", PACKS, 400, json={"source_url": url})
    assert answer["code"] == "pack_url_invalid"
    pack = await add_pack(alice)
    await call(alice, "PATCH", f"{PACKS}/{pack['id']}", 400, json={"source_url": url})


async def test_a_pack_is_synchronized(
    alice: Client, gateway: Gateway, host: ArchiveHost, transaction: TransactionFactory
) -> None:
    """W-19."""
    pack = await add_pack(alice)
    first = await sync(alice, pack)
    expected = {"ok": True, "pack_id": pack["id"], "warnings": [], "removed": 0}
    assert first == {**expected, "synced": 2, "created": 2, "updated": 0}
    assert await sync(alice, pack) == {**expected, "synced": 2, "created": 0, "updated": 0}
    read = await call(alice, "GET", f"{PACKS}/{pack['id']}")
    assert (read["skill_count"], read["revision"]) == (2, COMMIT)
    large = {f"planner/{number}.md": "" for number in range(200)}
    host.put({**FILES, "writer/style.md": "Long.", **large}, commit=OTHER_COMMIT)
    changed = await sync(alice, pack)
    assert (changed["updated"], changed["removed"]) == (1, 1)
    assert changed["warnings"] == [f"planner: {WARNINGS['too_many_files']}"]
    [skill] = await list_cards(alice, gateway)
    assert (skill["revision"], skill["source_url"]) == (
        OTHER_COMMIT,
        f"{REPOSITORY}/tree/main/writer",
    )
    async with transaction() as session:
        assert len(list(await session.scalars(select(SkillVersion)))) == 1
        events = [event.type for event in await session.scalars(select(Event))]
    assert events.count(EventType.SKILL_PACK_SYNCED) == 3


async def test_the_branch_of_a_pack_is_fetched(alice: Client, host: ArchiveHost) -> None:
    """W-19."""
    pack = await add_pack(alice, branch="v1/next")
    answer = await sync(alice, pack, 502)
    assert answer["code"] == "skill_pack_unavailable"
    assert host.requested == [f"{REPOSITORY}/archive/v1/next.tar.gz"]


@pytest.mark.parametrize("target", ["https://other.example/a.tgz", "/a.tgz"])
async def test_redirects_are_followed_over_https(
    alice: Client, host: ArchiveHost, target: str
) -> None:
    [address] = host.archives
    host.results[address] = OutboundResult(OutboundOutcome.REDIRECTED, 302, {"location": target})
    place = target if target.startswith("https") else f"https://github.com{target}"
    host.archives[place] = host.archives[address]
    pack = await add_pack(alice)
    assert (await sync(alice, pack))["created"] == 2
    for location in (
        "http://other.example/a.tgz",
        "file:///etc/passwd",
        "https://u:p@x/a",
        address,
    ):
        host.results[address] = OutboundResult(
            OutboundOutcome.REDIRECTED, 302, {"location": location}
        )
        await sync(alice, pack, 502)
    assert not any(url.startswith(("http:", "file:")) for url in host.requested)


@pytest.mark.parametrize(
    "outcome", [OutboundOutcome.ADDRESS_FORBIDDEN, OutboundOutcome.TIMEOUT, OutboundOutcome.TLS]
)
async def test_an_archive_that_cannot_be_fetched_is_502(
    alice: Client, host: ArchiveHost, outcome: OutboundOutcome
) -> None:
    [address] = host.archives
    host.results[address] = OutboundResult(outcome)
    assert outcome.value in (await sync(alice, await add_pack(alice), 502))["detail"]
    host.results[address] = OutboundResult(OutboundOutcome.DELIVERED, 200, body=b"<html>")
    answer = await sync(alice, await add_pack(alice), 502)
    assert answer["code"] == "skill_archive_invalid"


async def test_an_archive_at_another_address_is_a_pack(
    alice: Client, host: ArchiveHost, gateway: Gateway
) -> None:
    url = "https://packs.example/skills.zip"
    host.archives[url] = make_zip(FILES)
    pack = await add_pack(alice, source_url=url)
    assert (await sync(alice, pack))["created"] == 2
    addresses = {one["source_url"] for one in await list_cards(alice, gateway)}
    assert addresses == {f"{url}#writer", f"{url}#planner"}


async def test_a_new_organization_has_the_default_packs(alice: Client, host: ArchiveHost) -> None:
    """C26, fixed."""
    await call(alice, "POST", "/organizations", json={"name": "Another"})
    packs = await call(alice, "GET", PACKS)
    assert {pack["source_url"] for pack in packs} == {*DEFAULT_PACKS}
    assert {(pack["skill_count"], pack["fetched_at"]) for pack in packs} == {(0, None)}
    assert host.requested == []


async def test_another_branch_keeps_the_skills(
    alice: Client, gateway: Gateway, host: ArchiveHost
) -> None:
    pack = await add_pack(alice)
    await sync(alice, pack)
    before = {one["name"]: one["id"] for one in await list_cards(alice, gateway)}
    host.archives[f"{REPOSITORY}/archive/v2.tar.gz"] = make_tar(FILES, commit=OTHER_COMMIT)
    body = {"source_url": pack["source_url"], "branch": "v2"}
    await call(alice, "PATCH", f"{PACKS}/{pack['id']}", json=body)
    result = await sync(alice, pack)
    assert (result["created"], result["updated"], result["removed"]) == (0, 2, 0)
    cards = await list_cards(alice, gateway)
    assert {one["name"]: one["id"] for one in cards} == before
    assert all("/tree/v2/" in one["source_url"] for one in cards)


async def test_a_skill_that_was_added_by_its_address_stays(
    alice: Client, gateway: Gateway, host: ArchiveHost
) -> None:
    pack = await add_pack(alice)
    url = f"{REPOSITORY}/tree/v1.2/skills/other"
    added = await call(alice, "POST", MARKETPLACE, json={"source_url": url})
    assert (await sync(alice, pack))["removed"] == 0
    assert added["id"] in {one["id"] for one in await list_cards(alice, gateway)}
