"""Fixtures for tests in a real browser with a real installation."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from cli.test import BROWSERS
from models import Board, Organization
from tests.support.fake_agents_gateway import FakeAgentsGateway, run_fake_agents_gateway
from tests.support.full_site import FullSite, fill_site, open_full_site
from tests.support.installation import LOCAL_AUTH, ApiClient, Installation, find_free_port
from tests.support.live_site import LiveSite, set_up_site
from tests.support.page_checks import PATIENCE, new_context
from tests.support.people_rows import (
    cookie_secret,
    make_board_access,
    make_member,
    make_sign_in,
    make_user,
)
from tests.support.world import new_id
from web.auth.viewer import SESSION_COOKIE

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--renderer-process-limit=1",  # the tabs of a context share one, which starts once
    "--in-process-gpu",
    "--js-flags=--max-optimized-bytecode-size=0",  # a page is too short-lived to optimize for
]
TIME_TO_UNDO = 15  # seconds: long enough to undo a series of decisions on a busy machine

expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Start a new installation."""
    folder = tmp_path_factory.mktemp("installation")
    installation = Installation(folder / "data", find_free_port(), {"APPROVAL_UNDO_SECONDS": "1"})
    yield installation.start()
    installation.stop()


def find_browser() -> str:
    """Return the path of an installed browser."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    assert program, "the browser tests need Chrome or Chromium: install one of them"
    return program


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=find_browser(), args=FLAGS)
        yield browser
        await browser.close()


@pytest.fixture(scope="session")
async def site(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[LiveSite]:
    """Start a site with an owner. The tests share it, so each test creates its own boards."""
    environment = {"APPROVAL_UNDO_SECONDS": str(TIME_TO_UNDO), "APP_ENV": "development"}
    environment["OUTBOUND_ALLOW_PRIVATE"] = "127.0.0.0/8"  # receivers of webhooks
    data = tmp_path_factory.mktemp("lived_in") / "data"
    installation = Installation(data, find_free_port(), LOCAL_AUTH | environment).start()
    site = await set_up_site(browser, installation)
    yield site
    site.close()
    installation.stop()


@pytest.fixture(scope="session")
async def site_ids(site: LiveSite) -> AsyncIterator[dict[str, str]]:
    """Create objects of every kind in the site, and return their ids by name."""
    async with fill_site(site) as ids:
        yield ids


@pytest.fixture(scope="module")
async def world(site: LiveSite, site_ids: dict[str, str]) -> AsyncIterator[FullSite]:
    """Open the site with objects of every kind in two windows."""
    async with open_full_site(site, site_ids) as world:
        yield world


@pytest.fixture
async def tab(browser: Browser, installation: Installation) -> AsyncIterator[Page]:
    """Open a tab without a session."""
    context = await new_context(browser, installation)
    yield await context.new_page()
    await context.close()


@pytest.fixture
async def database(site: LiveSite) -> AsyncIterator[AsyncEngine]:
    dsn = site.installation.database().dsn
    engine = create_async_engine(dsn.replace("postgresql:", "postgresql+asyncpg:", 1))
    yield engine
    await engine.dispose()


@pytest.fixture
def board(site: LiveSite) -> dict[str, Any]:
    return site.create_board("Busy")


@pytest.fixture
async def bob(
    browser: Browser,
    site: LiveSite,
    database: AsyncEngine,
    board: dict[str, Any],
) -> AsyncIterator[BrowserContext]:
    """Open the browser of a new member, Bob Hall, who can read the board."""
    async with AsyncSession(database, expire_on_commit=False) as session, session.begin():
        shared = await session.get_one(Board, board["id"])
        organization = await session.get_one(Organization, shared.organization_id)
        user = make_user(f"Bob {new_id()}", organization)  # a unique address
        user.name = "Bob Hall"
        member = make_member(organization, user)
        session.add_all([user, member, make_sign_in(user)])
        await session.flush()
        session.add(make_board_access(member, shared))
    context = await new_context(browser, site.installation)
    url = site.installation.url
    await context.add_cookies([{"name": SESSION_COOKIE, "value": cookie_secret(user), "url": url}])
    yield context
    await context.close()


@pytest.fixture(scope="module")
async def workshop() -> AsyncIterator[FakeAgentsGateway]:
    """Run a gateway for the tests of a module."""
    async with run_fake_agents_gateway() as workshop:
        yield workshop


@pytest.fixture(scope="module")
async def asker(
    request: pytest.FixtureRequest, site: LiveSite, workshop: FakeAgentsGateway
) -> ApiClient:
    """Return the agent of the gateway that the module names, with the token in its files."""
    name = request.module.GATEWAY
    entered = await asyncio.to_thread(site.create_gateway, name, workshop.url, workshop.token)
    return await site.connect_gateway_agent(workshop, f"mc-gateway-{entered['id']}")
