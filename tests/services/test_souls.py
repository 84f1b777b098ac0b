"""The library of souls, and how souls and lists of them are read."""

import re
from contextlib import suppress
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some
from sqlalchemy import delete, event, update

from kit.clock import now
from kit.errors import Invalid
from models import Soul, SoulDirectory
from services import souls
from services.souls.finding import found_in
from services.souls.reading import Listed, Unreadable, described, listed_in, named
from services.souls.rules import is_name
from services.souls.shipped import FOLDER, Written, written
from tests.services.test_search import plan_of, well_known

LONGEST_SOUL = 20_000  # characters that a gateway takes of a file
PARTS = {"Who you are", "What you never do", "How you report", "When you ask for approval", "Tone"}


@pytest.mark.parametrize("soul", written(), ids=lambda soul: soul.slug)
def test_a_soul_of_the_library_says_what_an_agent_needs(soul: Written) -> None:
    assert is_name(soul.slug)
    assert soul.title
    assert 40 <= len(soul.description) <= 400
    assert 40 <= soul.content.count("\n") <= 90
    assert len(soul.content) < LONGEST_SOUL
    headings = set(re.findall(r"^## (.*)$", soul.content, re.MULTILINE))
    assert headings >= PARTS
    assert any(heading.startswith("How you work") for heading in headings)
    assert "{{" not in soul.content
    assert "{%" not in soul.content


def test_the_library_has_many_souls_and_no_two_that_are_alike() -> None:
    assert len(written()) == len(list(FOLDER.iterdir())) >= 14
    for index in (1, 2, 3):
        assert len({soul[index] for soul in written()}) == len(written())
    lines = [line for soul in written() for line in soul.content.splitlines() if len(line) > 40]
    assert len(set(lines)) > 0.99 * len(lines)


async def test_the_library_follows_its_files(session: Any) -> None:
    await souls.look(session, "")
    await session.execute(update(Soul).values(content="# Old", title="Old"))
    await session.execute(delete(Soul).where(Soul.slug == "tester"))
    gone = update(Soul).where(Soul.slug == "planner").values(slug="given-up")
    await session.execute(gone)
    assert len(await souls.search(session, souls.Remote(), "old", 100)) == len(written()) - 1

    await session.execute(update(SoulDirectory).values(edition="of yesterday"))
    await souls.look(session, "")
    entries = await souls.search(session, souls.Remote(), "", 100)
    assert [entry.slug for entry in entries] == [soul.slug for soul in written()]
    assert {entry.title for entry in entries} == {soul.title for soul in written()}


async def test_looking_and_searching_are_a_statement_each(session: Any) -> None:
    await souls.look(session, "")
    connection = (await session.connection()).sync_connection
    sent: list[str] = []

    def listen(*told: Any) -> None:
        sent.append(told[2])

    event.listen(connection, "before_cursor_execute", listen)
    remote = await souls.look(session, "")
    assert not await souls.is_first_to_ask(session, remote)
    await souls.search(session, remote, "review", 20)
    await souls.find(session, remote, "mission-control", "tester")
    event.remove(connection, "before_cursor_execute", listen)
    assert len(sent) == 3


async def test_words_of_souls_are_looked_up_in_their_index(session: Any) -> None:
    remote = await souls.look(session, "http://127.0.0.1:1")
    listed = [Listed("somebody", f"soul-{n}") for n in range(3_000)]
    await souls.keep_list(session, remote, listed)
    await well_known(session, "souls")
    assert "ix_souls_words" in await plan_of(session, found_in(remote, "heron"))


async def test_a_directory_that_did_not_answer_is_left_alone_for_a_moment(session: Any) -> None:
    remote = await souls.look(session, "http://127.0.0.1:1")
    assert await souls.is_first_to_ask(session, remote)
    remote = await souls.keep_list(session, remote, None)
    assert not await souls.is_first_to_ask(session, remote)
    found = await souls.find(session, remote, "ada", "night-owl")
    assert not found.is_due(remote, now())
    assert found.is_due(remote, now() + timedelta(seconds=31))

    earlier = now() - timedelta(seconds=31)
    await session.execute(update(SoulDirectory).values(tried_at=earlier, failed_at=earlier))
    assert await souls.is_first_to_ask(session, remote)


async def test_what_another_directory_has_told_is_not_shown(session: Any) -> None:
    first = await souls.look(session, "http://first.example")
    await souls.keep_list(session, first, [Listed("ada", "night-owl")])
    second = await souls.look(session, "http://second.example")
    assert second.fetched_at is None
    await souls.keep_list(session, second, [Listed("ada", "day-owl")])
    for remote, slugs in ((first, ["night-owl"]), (second, ["day-owl"]), (souls.Remote(), [])):
        found = await souls.search(session, remote, "owl", 20)
        assert [entry.slug for entry in found] == slugs


def test_a_list_names_each_soul_once_whatever_hosts_it_tells_of() -> None:
    places = [
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
    found = listed_in("<s>" + "".join(f"<loc>{place}</loc>" for place in places) + "</s>")
    assert found == [Listed("ada", "one"), Listed("bob", "two-2")]
    latin = '<?xml version="1.0" encoding="ISO-8859-1"?><s><loc>/souls/a/b</loc></s>'
    assert listed_in(latin) == [Listed("a", "b")]
    with_names = '<m:s xmlns:m="urn:x"><m:loc><![CDATA[/souls/a/b]]></m:loc></m:s>'
    assert listed_in(with_names) == [Listed("a", "b")]


def test_a_list_with_a_document_type_is_refused_before_anything_grows() -> None:
    laughs = '<!ENTITY a "ha">' + "".join(
        f'<!ENTITY {name} "{f"&{before};" * 10}">' for before, name in pairwise("abcdefghi")
    )
    with pytest.raises(Unreadable, match="document type"):
        listed_in(f"<!DOCTYPE s [{laughs}]><s><loc>/souls/a/&i;</loc></s>")
    outside = '<!DOCTYPE s SYSTEM "file:///etc/passwd"><s><loc>/souls/a/b</loc></s>'
    with pytest.raises(Unreadable, match="document type"):
        listed_in(outside)


def test_a_list_that_is_too_long_is_refused() -> None:
    places = "".join(f"<loc>/souls/a/s{n}</loc>" for n in range(20_001))
    with pytest.raises(Unreadable, match="more than"):
        listed_in(f"<s>{places}</s>")


@given(some.text())
def test_whatever_a_list_says_it_is_read_or_refused(said: str) -> None:
    for sitemap in (said, f"<s><loc>{said}</loc></s>", f"<s><loc>/souls/{said}</loc></s>"):
        with suppress(Unreadable):
            assert all(is_name(part) for soul in listed_in(sitemap) for part in soul)


@given(some.text())
def test_whatever_a_soul_says_it_has_a_title(said: str) -> None:
    title, description = described(said, "night-owl")
    assert title
    assert len(title) <= 200
    assert len(description) <= 400


def test_a_title_is_made_of_the_slug_where_there_is_none() -> None:
    assert named("night-owl_2") == "Night owl 2"
    assert described("Just a text.\n\n# Later", "night-owl") == ("Night owl", "Just a text.")
    assert described("\n\n# Owl\n\n\nOne\ntwo.\n\nThree.", "x") == ("Owl", "One two.")


@pytest.mark.parametrize("name", ["", "-a", "_a", "a b", "a.b", "a/b", "é", "a\n", "x" * 101])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(Invalid, match="handle"):
        souls.check_names(name, "fine")
    with pytest.raises(Invalid, match="slug"):
        souls.check_names("Fine-1_", name)
