"""The page that links existing agents of a gateway."""

import html
import re
from typing import Any

import httpx2
import pytest
from sqlalchemy import select

from core.db.engine import TransactionFactory
from models import Agent, Gateway
from tests.support.fake_agents_gateway import FakeAgentsGateway
from tests.support.world import World
from tests.web.conftest import Browsers

HTMX = {"HX-Request": "true"}
OURS = "mc-0193a5c2-7d1e-7c63-9a58-2f1d8f0b6a11"


@pytest.fixture
def address(gateway: Gateway, fake_gateway: FakeAgentsGateway) -> str:
    others = {
        "writer": {"name": "Wanda", "workspace": "/home/wanda"},
        "painter": {"name": "Pablo", "workspace": "/home/pablo"},
        OURS: {"name": "Lost one"},
    }
    fake_gateway.entries.update(others)
    fake_gateway.calls.clear()
    return f"/gateways/{gateway.id}/agents"


@pytest.fixture
def typed(world: World) -> dict[str, Any]:
    return {"agent": ["writer"], "board_id": str(world.garden.id), "kind": "worker"}


def tokens(page: str) -> list[str]:
    return re.findall(r'<code class="trunc">(mc_agent_[\w-]+)</code>', page)


async def linked(transaction: TransactionFactory) -> list[Agent]:
    async with transaction() as session:
        query = select(Agent).where(Agent.is_linked).order_by(Agent.name)
        return list(await session.scalars(query))


async def test_gateway_agents_are_listed_with_their_local_agents(
    alice: httpx2.AsyncClient, address: str, fake_gateway: FakeAgentsGateway
) -> None:
    page = (await alice.get(address)).text
    assert 'hx-trigger="load"' in page
    assert fake_gateway.calls == []
    for answer in (
        await alice.get(address, headers=HTMX),
        await alice.get(f"{address}?wait=1"),
    ):
        found = re.findall(r'type="checkbox" name="agent" value="([\w-]+)"', answer.text)
        assert found == ["main", "writer", "painter"]
        assert "/home/wanda" in answer.text
        assert re.search(r"<b[^>]*>Worker</b></a><span[^>]*>On <a[^>]*>Launch</a>", answer.text)
        assert re.search(
            r"<b[^>]*>Lost one</b><span[^>]*>Belongs to another Mission Control", answer.text
        )


async def test_selected_agents_are_linked_and_tokens_shown_once(
    alice: httpx2.AsyncClient,
    address: str,
    typed: dict[str, Any],
    transaction: TransactionFactory,
    browsers: Browsers,
    fake_gateway: FakeAgentsGateway,
) -> None:
    wanted = typed | {"agent": ["writer", "painter"], "name:painter": "Paula"}
    page = await alice.post(address, data=wanted)
    assert page.status_code == 200
    assert page.headers["Cache-Control"] == "no-store"
    assert [one.name for one in await linked(transaction)] == ["Paula", "Wanda"]
    first, second = tokens(page.text)
    text = html.unescape(page.text)
    for token in (first, second):
        assert f"AUTH_TOKEN={token}" in text
        response = await browsers(None).get(
            "/api/v1/agent/boards", headers={"X-Agent-Token": token}
        )
        assert response.json()["items"][0]["name"] == "Garden"
    assert "WORKSPACE_PATH=/home/wanda" in text
    assert "AGENT_NAME=Paula" in text
    assert fake_gateway.changes == []

    after = (await alice.get(f"{address}?wait=1")).text
    assert tokens(after) == []
    assert re.findall(r'type="checkbox" name="agent" value="([\w-]+)"', after) == ["main"]
    assert after.count("</svg>Linked</span>") == 2


async def test_a_new_token_shows_the_instructions_of_a_linked_agent(
    alice: httpx2.AsyncClient, address: str, typed: dict[str, Any], transaction: TransactionFactory
) -> None:
    [before] = tokens((await alice.post(address, data=typed)).text)
    [wanda] = await linked(transaction)
    answer = await alice.post(f"/agents/{wanda.id}/tokens", follow_redirects=True)
    page = html.unescape(answer.text)
    [token] = set(re.findall(r"AUTH_TOKEN=(mc_agent_[\w-]+)", page))
    assert token != before
    assert "AGENT_NAME=Wanda" in page
    again = (await alice.get(f"/agents/{wanda.id}/tokens")).text
    assert "AUTH_TOKEN=" not in again


async def test_a_linked_agent_may_lead(
    alice: httpx2.AsyncClient, address: str, typed: dict[str, Any], transaction: TransactionFactory
) -> None:
    page = await alice.post(address, data=typed | {"kind": "lead"})
    assert "# You also lead a board in Mission Control" in page.text
    [wanda] = await linked(transaction)
    assert wanda.is_board_lead


@pytest.mark.parametrize(
    ("wrong", "status", "sentence"),
    [
        ({"agent": []}, 422, "Choose at least one."),
        ({"board_id": "x"}, 422, "Choose one of those that are offered."),
        ({"board_id": "0193a5c2-7d1e-7c63-9a58-2f1d8f0b6a11"}, 404, ""),
        ({"agent": ["nobody"]}, 404, ""),
        ({"agent": [OURS]}, 422, ""),
        ({"name:writer": "gardener"}, 409, "Another agent of this board has that name."),
        ({"name:writer": "a" * 101}, 422, "This is too long"),
        ({"kind": "boss"}, 422, "Choose one of those that are offered."),
        ({"agent": ["writer", "painter"], "kind": "lead"}, 409, "leads this board already."),
    ],
)
async def test_an_invalid_link_keeps_the_submitted_values(
    alice: httpx2.AsyncClient,
    address: str,
    typed: dict[str, Any],
    transaction: TransactionFactory,
    wrong: dict[str, Any],
    status: int,
    sentence: str,
) -> None:
    page = await alice.post(address, data=typed | {"name:painter": "Kept"} | wrong)
    assert page.status_code == status
    assert sentence in page.text
    assert await linked(transaction) == []
    if sentence:
        assert 'value="Kept"' in page.text
        assert ('value="writer" checked' in page.text) == ("writer" in (typed | wrong)["agent"])


async def test_an_unreachable_gateway_is_shown_and_nothing_is_linked(
    alice: httpx2.AsyncClient,
    address: str,
    typed: dict[str, Any],
    transaction: TransactionFactory,
    fake_gateway: FakeAgentsGateway,
) -> None:
    fake_gateway.connect_error = {
        "code": "INVALID_REQUEST",
        "details": {"code": "AUTH_TOKEN_MISMATCH"},
    }
    assert "Harbour did not answer." in (await alice.get(address, headers=HTMX)).text
    refused = await alice.post(address, data=typed)
    assert refused.status_code == 502
    assert "Harbour did not answer." in refused.text
    assert await linked(transaction) == []


async def test_an_unlinked_agent_continues_to_run(
    alice: httpx2.AsyncClient,
    address: str,
    typed: dict[str, Any],
    transaction: TransactionFactory,
    fake_gateway: FakeAgentsGateway,
    world: World,
) -> None:
    await alice.post(address, data=typed)
    [wanda] = await linked(transaction)
    its_page = (await alice.get(f"/agents/{wanda.id}/settings")).text
    assert "Unlink Wanda?" in its_page
    assert "It keeps running" in its_page
    for other in (world.worker.id, world.lead.id):
        assert (await alice.post(f"{address}/{other}/endings")).status_code == 404
    gone = await alice.post(f"{address}/{wanda.id}/endings")
    assert (gone.status_code, gone.headers["Location"]) == (303, f"{address}?wait=1")
    assert await linked(transaction) == []
    assert "writer" in fake_gateway.listed_agents()
    assert fake_gateway.changes == []


async def test_only_admins_link_agents_to_boards_they_can_change(
    alice: httpx2.AsyncClient,
    bob: httpx2.AsyncClient,
    dana: httpx2.AsyncClient,
    charlie: httpx2.AsyncClient,
    address: str,
    typed: dict[str, Any],
    transaction: TransactionFactory,
    world: World,
) -> None:
    for browser, status in ((bob, 403), (charlie, 404)):
        for query in ("", "?wait=1"):
            assert (await browser.get(address + query)).status_code == status
        assert (await browser.post(address, data=typed)).status_code == status
    assert (await dana.post(address, data=typed)).status_code == 403
    theirs = typed | {"board_id": str(world.charlies_board.id)}
    assert (await alice.post(address, data=theirs)).status_code == 404
    assert "there is none yet" in (await dana.get(f"{address}?wait=1")).text
    assert await linked(transaction) == []

    await alice.post(address, data=typed)
    [wanda] = await linked(transaction)
    for browser, status in ((bob, 403), (dana, 403), (charlie, 404)):
        assert (await browser.post(f"{address}/{wanda.id}/endings")).status_code == status
    hers = (await dana.get(f"{address}?wait=1")).text
    assert "On a board that you cannot read" in hers
    assert f"/agents/{wanda.id}" not in hers
