"""The browsers of the tests: each is somebody's, or nobody's."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx2
import pytest
from starlette.types import Receive, Scope, Send

import app
from kit.doorbell import Doorbell
from kit.settings import Settings
from models import Agent, Gateway, User
from openclaw import Device
from services import events
from tests.conftest import Transaction
from tests.openclaw.fake import TOKEN
from tests.openclaw.workshop import Workshop, working
from tests.web.onboarding import Says
from tests.world import SEAL, World, a_gateway, a_main, cookie_of, token_of
from web.auth import COOKIE

Browsers = Callable[[User | None], httpx2.AsyncClient]

KEY = "agent:mc-1:main"  # of the session of an agent on a gateway
OUR_OWN_PAGE = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture
async def browsers(settings: Settings, transaction: Transaction) -> AsyncIterator[Browsers]:
    """Opens the browser of somebody, whose requests come from our own pages."""
    mission_control = app.build(settings)
    doorbell = Doorbell()
    state = app.state_of(settings, transaction, doorbell, events.Feed(transaction, doorbell))
    opened: list[httpx2.AsyncClient] = []

    async def app_with_state(scope: Scope, receive: Receive, send: Send) -> None:
        await mission_control({**scope, "state": dict(state)}, receive, send)

    def browser(
        user: User | None = None, *, client: tuple[str, int] = ("127.0.0.1", 123), **options: Any
    ) -> httpx2.AsyncClient:
        opened_now = httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app_with_state, client=client),
            base_url="http://mission.test",
            headers=OUR_OWN_PAGE,
            cookies={COOKIE: cookie_of(user)} if user else {},
            **options,
        )
        opened.append(opened_now)
        return opened_now

    yield browser
    for client in opened:
        await client.aclose()


@pytest.fixture
def nobody(browsers: Browsers) -> httpx2.AsyncClient:
    """A browser that nobody has signed in with."""
    return browsers(None)


@pytest.fixture
def alice(browsers: Browsers, world: World) -> httpx2.AsyncClient:
    """The browser of Alice, who owns Tern."""
    return browsers(world.alice)


@pytest.fixture
def bob(browsers: Browsers, world: World) -> httpx2.AsyncClient:
    """The browser of Bob, who changes Launch."""
    return browsers(world.bob)


@pytest.fixture
def rita(browsers: Browsers, world: World) -> httpx2.AsyncClient:
    """The browser of Rita, who reads Launch."""
    return browsers(world.rita)


@pytest.fixture
def dana(browsers: Browsers, world: World) -> httpx2.AsyncClient:
    """The browser of Dana, an admin without any board."""
    return browsers(world.dana)


@pytest.fixture
def charlie(browsers: Browsers, world: World) -> httpx2.AsyncClient:
    """The browser of Charlie, for whom Tern does not exist."""
    return browsers(world.charlie)


@pytest.fixture
async def workshop() -> AsyncIterator[Workshop]:
    async with working() as workshop:
        yield workshop


@pytest.fixture
async def gateway(world: World, workshop: Workshop, transaction: Transaction) -> Gateway:
    """The gateway of Tern, on which is the worker of Launch, in the session KEY."""
    gateway = a_gateway(world.tern, "Harbour", url=workshop.url)
    gateway.sealed_token = SEAL.close(TOKEN, f"gateways.token:{gateway.id}")
    gateway.sealed_device = SEAL.close(Device.new().seed, f"gateways.device:{gateway.id}")
    async with transaction() as session:
        session.add(gateway)
        await session.flush()
        session.add(a_main(gateway)[0])
        worker = await session.get(Agent, world.worker.id)
        assert worker
        worker.gateway_id, worker.openclaw_session_id = gateway.id, KEY
    workshop.entries["mc-1"] = {"name": "Worker"}
    for key in (KEY, "agent:main:main"):
        workshop._session(key)
    return gateway


@pytest.fixture
def here(world: World) -> str:
    """Where Launch is set up."""
    return f"/boards/{world.board.id}/onboarding"


@pytest.fixture
def garden(world: World) -> str:
    """Where a board without a gateway and without a lead is set up."""
    return f"/boards/{world.garden.id}/onboarding"


@pytest.fixture
async def main(transaction: Transaction, world: World) -> Agent:
    """The agent of the gateway that serves Launch."""
    gateway = a_gateway(world.tern)
    rows = a_main(gateway)
    async with transaction() as session:
        session.add(gateway)
        await session.flush()
        session.add_all(rows)
        board = await session.merge(world.board)
        board.gateway_id = gateway.id
        await session.delete(await session.get_one(Agent, world.lead.id))
    return rows[0]


@pytest.fixture
def says(browsers: Browsers, main: Agent, world: World) -> Says:
    """Lets the agent say something over the API."""
    headers = {"Authorization": f"Bearer {token_of(main)}"}
    api = browsers(None)

    async def say(content: object, status: int = 200) -> dict[str, Any]:
        path = f"/api/v1/agent/boards/{world.board.id}/onboarding"
        answer = await api.post(path, json=content, headers=headers)
        assert answer.status_code == status, answer.text
        return answer.json()

    return say
