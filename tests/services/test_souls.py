"""The bundled library of souls, the cache, and the parsing of sitemaps and souls."""

import re
from contextlib import suppress
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some
from sqlalchemy import delete, update

from core.clock import now
from core.errors import Invalid
from models import Soul, SoulDirectory
from services import souls
from services.souls.directory_client import (
    DirectoryEntry,
    InvalidSitemap,
    is_valid_name,
    parse_sitemap,
)
from services.souls.store import (
    BUNDLED_FOLDER,
    BundledSoul,
    extract_summary,
    load_bundled_souls,
    search_query,
    title_from_slug,
)
from tests.support.query_plans import explain, refresh_statistics
from tests.support.statement_counter import count_statements

MAX_SOUL_LENGTH = 20_000  # characters of a file that a gateway reads
SECTIONS = {
    "Who you are",
    "What you never do",
    "How you report",
    "When you ask for approval",
    "Tone",
}


@pytest.mark.parametrize("soul", load_bundled_souls(), ids=lambda soul: soul.slug)
def test_bundled_souls_contain_all_required_sections(soul: BundledSoul) -> None:
    assert is_valid_name(soul.slug)
    assert soul.title
    assert 40 <= len(soul.description) <= 400
    assert 40 <= soul.content.count("\n") <= 90
    assert len(soul.content) < MAX_SOUL_LENGTH
    headings = set(re.findall(r"^## (.*)$", soul.content, re.MULTILINE))
    assert headings >= SECTIONS
    assert any(heading.startswith("How you work") for heading in headings)
    assert "{{" not in soul.content
    assert "{%" not in soul.content


def test_the_library_has_many_distinct_souls() -> None:
    assert len(load_bundled_souls()) == len(list(BUNDLED_FOLDER.iterdir())) >= 14
    for index in (1, 2, 3):
        assert len({soul[index] for soul in load_bundled_souls()}) == len(load_bundled_souls())
    lines = [
        line
        for soul in load_bundled_souls()
        for line in soul.content.splitlines()
        if len(line) > 40
    ]
    assert len(set(lines)) > 0.99 * len(lines)


async def test_the_library_follows_its_files(session: Any) -> None:
    await souls.load_directory(session, "")
    await session.execute(update(Soul).values(content="# Old", title="Old"))
    await session.execute(delete(Soul).where(Soul.slug == "tester"))
    renamed = update(Soul).where(Soul.slug == "planner").values(slug="given-up")
    await session.execute(renamed)
    assert (
        len(await souls.search_souls(session, souls.RemoteDirectory(), "old", 100))
        == len(load_bundled_souls()) - 1
    )

    await session.execute(update(SoulDirectory).values(edition="of yesterday"))
    await souls.load_directory(session, "")
    entries = await souls.search_souls(session, souls.RemoteDirectory(), "", 100)
    assert [entry.slug for entry in entries] == [soul.slug for soul in load_bundled_souls()]
    assert {entry.title for entry in entries} == {soul.title for soul in load_bundled_souls()}


async def test_loading_and_searching_take_one_statement_each(session: Any) -> None:
    await souls.load_directory(session, "")
    with count_statements(await session.connection()) as sent:
        remote = await souls.load_directory(session, "")
        assert not await souls.claim_fetch(session, remote)
        await souls.search_souls(session, remote, "review", 20)
        await souls.find_soul(session, remote, "mission-control", "tester")
    assert len(sent) == 3


async def test_the_search_for_words_uses_the_index(session: Any) -> None:
    remote = await souls.load_directory(session, "http://127.0.0.1:1")
    listing = [DirectoryEntry("ada", f"soul-{n}") for n in range(3_000)]
    await souls.save_listing(session, remote, listing)
    await refresh_statistics(session, "souls")
    assert "ix_souls_words" in await explain(session, search_query(remote, "heron"))


async def test_after_a_failure_the_directory_is_not_fetched_for_a_while(session: Any) -> None:
    remote = await souls.load_directory(session, "http://127.0.0.1:1")
    assert await souls.claim_fetch(session, remote)
    remote = await souls.save_listing(session, remote, None)
    assert not await souls.claim_fetch(session, remote)
    found = await souls.find_soul(session, remote, "ada", "night-owl")
    assert not found.needs_fetch(remote, now())
    assert found.needs_fetch(remote, now() + timedelta(seconds=31))

    earlier = now() - timedelta(seconds=31)
    await session.execute(update(SoulDirectory).values(tried_at=earlier, failed_at=earlier))
    assert await souls.claim_fetch(session, remote)


async def test_souls_of_another_directory_are_not_shown(session: Any) -> None:
    first = await souls.load_directory(session, "http://first.example")
    await souls.save_listing(session, first, [DirectoryEntry("ada", "night-owl")])
    second = await souls.load_directory(session, "http://second.example")
    assert second.fetched_at is None
    await souls.save_listing(session, second, [DirectoryEntry("ada", "day-owl")])
    for remote, slugs in (
        (first, ["night-owl"]),
        (second, ["day-owl"]),
        (souls.RemoteDirectory(), []),
    ):
        found = await souls.search_souls(session, remote, "owl", 20)
        assert [entry.slug for entry in found] == slugs


async def test_a_part_of_a_name_is_found_without_its_accents(session: Any) -> None:
    remote = await souls.load_directory(session, "http://127.0.0.1:1")
    await souls.save_listing(session, remote, [DirectoryEntry("ada", "night-owl")])
    [found] = await souls.search_souls(session, remote, "T-\u00d6wl", 20)
    assert found.slug == "night-owl"


def test_a_sitemap_lists_each_soul_once_for_any_host() -> None:
    urls = [
        "https://a.example/souls/ada/one",
        " http://b.example/souls/ada/one/ ",
        "/souls/bob/two-2",
        "https://a.example/souls/ada",
        "https://a.example/souls/ada/one/more",
        "https://a.example/souls/../etc",
        "https://[broken/souls/ada/three",
        "https://a.example/souls/ada/" + "x" * 200,
        "",
    ]
    found = parse_sitemap("<s>" + "".join(f"<loc>{url}</loc>" for url in urls) + "</s>")
    assert found == [DirectoryEntry("ada", "one"), DirectoryEntry("bob", "two-2")]
    latin = '<?xml version="1.0" encoding="ISO-8859-1"?><s><loc>/souls/a/b</loc></s>'
    assert parse_sitemap(latin) == [DirectoryEntry("a", "b")]
    with_names = '<m:s xmlns:m="urn:x"><m:loc><![CDATA[/souls/a/b]]></m:loc></m:s>'
    assert parse_sitemap(with_names) == [DirectoryEntry("a", "b")]


def test_a_sitemap_with_a_document_type_is_rejected_before_expansion() -> None:
    entities = '<!ENTITY a "ha">' + "".join(
        f'<!ENTITY {name} "{f"&{before};" * 10}">' for before, name in pairwise("abcdefghi")
    )
    with pytest.raises(InvalidSitemap, match="document type"):
        parse_sitemap(f"<!DOCTYPE s [{entities}]><s><loc>/souls/a/&i;</loc></s>")
    outside = '<!DOCTYPE s SYSTEM "file:///etc/passwd"><s><loc>/souls/a/b</loc></s>'
    with pytest.raises(InvalidSitemap, match="document type"):
        parse_sitemap(outside)


def test_a_sitemap_that_is_too_long_is_rejected() -> None:
    locations = "".join(f"<loc>/souls/a/s{n}</loc>" for n in range(20_001))
    with pytest.raises(InvalidSitemap, match="more than"):
        parse_sitemap(f"<s>{locations}</s>")


@given(some.text())
def test_any_sitemap_is_parsed_or_rejected(text: str) -> None:
    for sitemap in (text, f"<s><loc>{text}</loc></s>", f"<s><loc>/souls/{text}</loc></s>"):
        with suppress(InvalidSitemap):
            assert all(is_valid_name(part) for soul in parse_sitemap(sitemap) for part in soul)


@given(some.text())
def test_any_soul_content_has_a_title(content: str) -> None:
    title, description = extract_summary(content, "night-owl")
    assert title
    assert len(title) <= 200
    assert len(description) <= 400


def test_a_missing_title_is_made_from_the_slug() -> None:
    assert title_from_slug("night-owl_2") == "Night owl 2"
    assert extract_summary("Just a text.\n\n# Later", "night-owl") == ("Night owl", "Just a text.")
    assert extract_summary("\n\n# Owl\n\n\nOne\ntwo.\n\nThree.", "x") == ("Owl", "One two.")


@pytest.mark.parametrize("name", ["", "-a", "_a", "a b", "a.b", "a/b", "é", "a\n", "x" * 101])
def test_invalid_names_are_detected(name: str) -> None:
    with pytest.raises(Invalid, match="handle"):
        souls.check_names(name, "fine")
    with pytest.raises(Invalid, match="slug"):
        souls.check_names("Fine-1_", name)
