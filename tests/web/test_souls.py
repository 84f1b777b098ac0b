"""The search of souls, and a soul that is compared with that of an agent and applied."""

import re
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import select, update

from core.config.settings import Settings
from core.db.engine import TransactionFactory
from models import Agent, AgentFileVersion, Event, EventType, new_id
from services.souls.store import load_bundled_souls
from tests.support.http_host import HostPage, HttpHost, run_http_host
from web.ui.text_comparison import MAX_LINES, list_changes

SITEMAP = """<?xml version="1.0" encoding="UTF-8"?>
<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">
  <url><loc>https://somewhere.else/souls/ada/night-owl</loc></url>
</urlset>"""
NIGHT_OWL = "# Night owl\n\nWorks when others <script>alert(1)</script> **sleep**.\n"
REVIEWER = "/souls/mission-control/code-reviewer"
OWL = "/souls/ada/night-owl"


@pytest.fixture
async def host() -> AsyncIterator[HttpHost]:
    """A remote souls directory."""
    async with run_http_host() as host:
        host.pages["/sitemap.xml"] = HostPage(SITEMAP.encode())
        host.pages["/api/souls/ada/night-owl.md"] = HostPage(NIGHT_OWL.encode())
        yield host


@pytest.fixture
def settings(settings: Settings, request: pytest.FixtureRequest) -> Settings:
    """Settings with the remote directory, for tests that have one."""
    if "host" not in request.fixturenames:
        return settings
    host = request.getfixturevalue("host")
    return settings.model_copy(update={"souls_directory_url": host.address})


async def load_agent(transaction: TransactionFactory, agent: Agent) -> Agent:
    async with transaction() as session:
        return await session.get_one(Agent, agent.id, populate_existing=True)


async def set_soul(transaction: TransactionFactory, agent: Agent, soul: str) -> None:
    async with transaction() as session:
        await session.execute(update(Agent).where(Agent.id == agent.id).values(soul_template=soul))


def read_form(page: str) -> dict[str, str]:
    """Return the hidden fields of the form that applies a soul."""
    form = page.split('/applications"')[1].split("</form>")[0]
    return dict(re.findall(r'name="(\w+)" value="([^"]*)"', form))


async def test_souls_are_found_by_their_words(alice) -> None:
    page = (await alice.get("/souls")).text
    assert page.count('class="line-row"') == len(load_bundled_souls())
    assert "The setting <code>SOULS_DIRECTORY_URL</code>" in page
    page = (await alice.get("/souls?q=review+cod")).text
    assert f'href="{REVIEWER}?q=review+cod"' in page
    for text in ("xyzzy", "%00", "x" * 300, "%25"):
        answer = await alice.get(f"/souls?q={text}")
        assert answer.status_code == 200
        assert "No matching souls." in answer.text or text == "%00"


async def test_a_soul_is_shown_as_sanitized_markdown(alice, host) -> None:
    assert "Night owl" in (await alice.get("/souls")).text
    page = (await alice.get(OWL)).text
    assert "<strong>sleep</strong>" in page
    assert "<script>alert" not in page
    assert "From the directory, fetched" in page
    assert "Part of Mission Control" in (await alice.get(REVIEWER)).text


async def test_a_missing_soul_is_not_found(alice) -> None:
    assert (await alice.get("/souls/mission-control/nobody")).status_code == 404
    assert (await alice.get("/souls/mission-control/a%20b")).status_code == 422


async def test_only_admins_see_souls(bob, rita, dana, world, transaction) -> None:
    for browser in (bob, rita):
        for path in ("/souls", REVIEWER):
            assert (await browser.get(path)).status_code == 403
        sent = {"agent_id": str(world.worker.id), "shown": ""}
        assert (await browser.post(f"{REVIEWER}/applications", data=sent)).status_code == 403
    assert (await load_agent(transaction, world.worker)).soul_template is None
    options = (await dana.get("/pick/soul-agents", headers={"HX-Request": "true"})).text
    assert "No results." in options


async def test_agents_of_others_are_not_compared(dana, charlie, world) -> None:
    compared = f"{REVIEWER}?agent={world.worker.id}"
    assert (await charlie.get(compared)).status_code == 404
    assert (await dana.get(compared)).status_code == 403
    for sent in (f"{world.worker.id}", "x", f"{new_id()}"):
        form = {"agent_id": sent, "shown": ""}
        answer = await charlie.post(f"{REVIEWER}/applications", data=form)
        assert answer.status_code in (404, 422)
    assert (await charlie.get(f"{REVIEWER}?agent=x")).status_code == 200


async def test_a_soul_is_compared_and_applied(alice, world, transaction) -> None:
    await set_soul(transaction, world.worker, "# Code reviewer\n\nOld <b>words</b>")
    page = (await alice.get(f"{REVIEWER}?agent={world.worker.id}")).text
    assert '<del dir="auto">Old &lt;b&gt;words&lt;/b&gt;</del>' in page
    assert "<ins " in page
    assert "is on no gateway" in page
    sent = read_form(page)
    answer = await alice.post(f"{REVIEWER}/applications", data=sent)
    assert (answer.status_code, answer.headers["Location"]) == (303, f"/agents/{world.worker.id}")
    content = next(soul.content for soul in load_bundled_souls() if soul.slug == "code-reviewer")
    assert (await load_agent(transaction, world.worker)).soul_template == content.strip()
    async with transaction() as session:
        events = (await session.scalars(select(Event).filter_by(agent_id=world.worker.id))).all()
        versions = await session.scalars(
            select(AgentFileVersion.content).order_by(AgentFileVersion.id)
        )
        assert versions.all() == ["# Code reviewer\n\nOld <b>words</b>", content.strip()]
    assert [event.type for event in events] == [EventType.AGENT_UPDATED]
    page = (await alice.get(f"{REVIEWER}?agent={world.worker.id}")).text
    assert "has exactly this soul" in page
    assert "/applications" not in page


async def test_an_agent_without_a_soul_gets_one(alice, world, transaction, host) -> None:
    page = (await alice.get(f"{OWL}?agent={world.lead.id}")).text
    assert "has no soul of its own yet" in page
    assert (await alice.post(f"{OWL}/applications", data=read_form(page))).status_code == 303
    assert (await load_agent(transaction, world.lead)).soul_template == NIGHT_OWL.strip()


async def test_a_soul_is_not_applied_over_one_that_was_not_shown(alice, world, transaction) -> None:
    sent = read_form((await alice.get(f"{REVIEWER}?agent={world.worker.id}")).text)
    await set_soul(transaction, world.worker, "Written meanwhile")
    answer = await alice.post(f"{REVIEWER}/applications", data=sent)
    assert answer.status_code == 409
    assert "This was changed meanwhile." in answer.text
    assert '<del dir="auto">Written meanwhile</del>' in answer.text
    assert (await load_agent(transaction, world.worker)).soul_template == "Written meanwhile"
    assert read_form(answer.text)["shown"] != sent["shown"]
    assert (await alice.post(f"{REVIEWER}/applications", data={})).status_code == 422


async def test_agents_that_are_linked_are_not_offered(alice, world, transaction) -> None:
    async with transaction() as session:
        linked = await session.get_one(Agent, world.worker.id)
        linked.is_linked = True
    options = (await alice.get("/pick/soul-agents", headers={"HX-Request": "true"})).text
    assert f'value="{world.worker.id}"' not in options
    assert f'value="{world.lead.id}"' in options


async def test_an_unreachable_directory_says_what_can_be_done(alice, host, world) -> None:
    host.pages = dict.fromkeys(host.pages, HostPage(status=503))
    page = (await alice.get("/souls")).text
    assert "The directory of souls does not answer." in page
    assert host.address in page
    assert "SOULS_DIRECTORY_URL" in page
    assert "Code reviewer" in page
    assert "No matching souls." in (await alice.get("/souls?q=xyzzy")).text
    answer = await alice.get(OWL)
    assert answer.status_code == 502
    assert "Try again" in answer.text
    assert (await alice.get(REVIEWER)).status_code == 200
    sent = {"agent_id": str(world.worker.id), "shown": ""}
    assert (await alice.post(f"{OWL}/applications", data=sent)).status_code == 502


def test_long_texts_are_not_compared_line_by_line() -> None:
    old, new = "a\n" * MAX_LINES, "b\n" * MAX_LINES
    signs = [line.sign for line in list_changes(old + "c", new + "d")]
    assert signs == ["-"] * (MAX_LINES + 1) + ["+"] * (MAX_LINES + 1)
    assert list_changes("a\u2028b", "a\u2028b") == []
    assert [line.sign for line in list_changes("", "a")] == ["+"]
