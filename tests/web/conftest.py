"""Fixtures for tests of pages: clients of the users, a gateway, and an onboarding agent."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx2
import pytest

from core.config.settings import Settings
from core.db.engine import TransactionFactory
from core.db.listen import PostgresListener
from models import Agent, Gateway, Status, Task, User
from openclaw import DeviceIdentity
from services import events
from tests.support.app_on_transactions import build_app_on
from tests.support.fake_agents_gateway import FakeAgentsGateway, run_fake_agents_gateway
from tests.support.fake_gateway import TOKEN
from tests.support.gateway_rows import SESSION_KEY, make_gateway, make_main_agent
from tests.support.onboarding_forms import PostAgentMessage
from tests.support.people_rows import cookie_secret, token_secret
from tests.support.secret_key import CIPHER
from tests.support.skill_archives import ArchiveHost
from tests.support.world import World
from web.auth.viewer import SESSION_COOKIE

Browsers = Callable[[User | None], httpx2.AsyncClient]

SAME_ORIGIN_HEADERS = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture
def archive_host() -> ArchiveHost:
    """Return the host of all archives of packs."""
    return ArchiveHost()


@pytest.fixture
async def browsers(
    settings: Settings, transaction: TransactionFactory, request: pytest.FixtureRequest
) -> AsyncIterator[Browsers]:
    """Return a function that opens a client with the session of a user."""
    has_host = "archive_host" in request.fixturenames
    state = {"archive_client": request.getfixturevalue("archive_host")} if has_host else {}
    listener = PostgresListener()
    feed = events.EventFeed(transaction, listener)
    mission_control = build_app_on(
        settings, transaction, listener=listener, event_feed=feed, **state
    )
    opened: list[httpx2.AsyncClient] = []

    def browser(
        user: User | None = None, *, client: tuple[str, int] = ("127.0.0.1", 123), **options: Any
    ) -> httpx2.AsyncClient:
        opened_now = httpx2.AsyncClient(
            transport=httpx2.ASGITransport(mission_control, client=client),
            base_url="http://mission.test",
            headers=SAME_ORIGIN_HEADERS,
            cookies={SESSION_COOKIE: cookie_secret(user)} if user else {},
            **options,
        )
        opened.append(opened_now)
        return opened_now

    yield browser
    for client in opened:
        await client.aclose()


@pytest.fixture
def anonymous(browsers: Browsers) -> httpx2.AsyncClient:
    """Return a client without a session."""
    return browsers(None)


@pytest.fixture
def alice(browsers: Browsers, world: World) -> httpx2.AsyncClient:
    """Return the client of Alice, the owner of Tern."""
    return browsers(world.alice)


@pytest.fixture
def bob(browsers: Browsers, world: World) -> httpx2.AsyncClient:
    """Return the client of Bob, who can change Launch."""
    return browsers(world.bob)


@pytest.fixture
def rita(browsers: Browsers, world: World) -> httpx2.AsyncClient:
    """Return the client of Rita, who can read Launch."""
    return browsers(world.rita)


@pytest.fixture
def dana(browsers: Browsers, world: World) -> httpx2.AsyncClient:
    """Return the client of Dana, an admin without access to boards."""
    return browsers(world.dana)


@pytest.fixture
def charlie(browsers: Browsers, world: World) -> httpx2.AsyncClient:
    """Return the client of Charlie, who is not a member of Tern."""
    return browsers(world.charlie)


@pytest.fixture
def board_path(world: World) -> str:
    """Return the path of Launch."""
    return f"/boards/{world.board.id}"


@pytest.fixture
async def task(transaction: TransactionFactory, world: World) -> Task:
    """Create a task in progress on Launch, whose title looks like HTML."""
    task = world.make_task("Write the <script>alert(1)</script>", status=Status.IN_PROGRESS)
    async with transaction() as session:
        session.add(task)
    return task


@pytest.fixture
async def fake_gateway() -> AsyncIterator[FakeAgentsGateway]:
    async with run_fake_agents_gateway() as fake_gateway:
        yield fake_gateway


@pytest.fixture
async def gateway(
    world: World, fake_gateway: FakeAgentsGateway, transaction: TransactionFactory
) -> Gateway:
    """Create the gateway of Tern with the worker of Launch in the session SESSION_KEY."""
    gateway = make_gateway(world.tern, "Harbour", url=fake_gateway.url)
    gateway.encrypted_token = CIPHER.encrypt(TOKEN, f"gateways.token:{gateway.id}")
    gateway.encrypted_device = CIPHER.encrypt(
        DeviceIdentity.generate().seed, f"gateways.device:{gateway.id}"
    )
    async with transaction() as session:
        session.add(gateway)
        await session.flush()
        session.add(make_main_agent(gateway)[0])
        worker = await session.get(Agent, world.worker.id)
        assert worker
        worker.gateway_id, worker.openclaw_session_id = gateway.id, SESSION_KEY
    fake_gateway.entries["mc-1"] = {"name": "Worker"}
    fake_gateway.files["mc-1"] = {}
    for key in (SESSION_KEY, "agent:main:main"):
        fake_gateway._session(key)
    return gateway


@pytest.fixture
def onboarding_path(world: World) -> str:
    """Return the path of the onboarding of Launch."""
    return f"/boards/{world.board.id}/onboarding"


@pytest.fixture
def garden_onboarding_path(world: World) -> str:
    """Return the path of the onboarding of a board without gateway and lead."""
    return f"/boards/{world.garden.id}/onboarding"


@pytest.fixture
async def main_agent(transaction: TransactionFactory, world: World) -> Agent:
    """Create the main agent of the gateway of Launch."""
    gateway = make_gateway(world.tern)
    rows = make_main_agent(gateway)
    async with transaction() as session:
        session.add(gateway)
        await session.flush()
        session.add_all(rows)
        board = await session.merge(world.board)
        board.gateway_id = gateway.id
        await session.delete(await session.get_one(Agent, world.lead.id))
    return rows[0]


@pytest.fixture
def post_agent_message(browsers: Browsers, main_agent: Agent, world: World) -> PostAgentMessage:
    """Return a function that posts a message of the agent over the API."""
    headers = {"Authorization": f"Bearer {token_secret(main_agent)}"}
    api = browsers(None)

    async def say(content: object, status: int = 200) -> dict[str, Any]:
        path = f"/api/v1/agent/boards/{world.board.id}/onboarding"
        answer = await api.post(path, json=content, headers=headers)
        assert answer.status_code == status, answer.text
        return answer.json()

    return say
