"""File synchronization of a gateway's agents."""

import html
import re
from typing import Any

import httpx2
import pytest

from core.clock import now
from core.db.engine import TransactionFactory
from models import Agent, Board, DesiredState, Gateway, ProvisioningStep
from tests.support.fake_agents_gateway import FakeAgentsGateway
from tests.support.world import World

HTMX = {"HX-Request": "true"}
ALL = {"asked": "1", "include_main": "on"}


@pytest.fixture
async def address(
    gateway: Gateway, world: World, fake_gateway: FakeAgentsGateway, transaction: TransactionFactory
) -> str:
    """Return the sync page of the gateway of Launch, whose worker has its own files."""
    fake_gateway.files["mc-1"] = {"SOUL.md": "I paint.", "AGENTS.md": "Old."}
    async with transaction() as session:
        board = await session.get_one(Board, world.board.id)
        board.gateway_id = gateway.id
        row = await session.get_one(Agent, world.worker.id)
        row.desired_state, row.observed_generation = DesiredState.RUNNING, 1
    fake_gateway.calls.clear()
    return f"/gateways/{gateway.id}/sync"


async def get_plan(browser: httpx2.AsyncClient, address: str, **options: str) -> str:
    answer = await browser.get(address, params=ALL | options, headers=HTMX)
    assert answer.status_code == 200
    return answer.text


async def worker_now(transaction: TransactionFactory, world: World) -> Agent:
    async with transaction() as session:
        return await session.get_one(Agent, world.worker.id)


async def test_the_page_is_shown_before_the_gateway_is_queried(
    alice: httpx2.AsyncClient, address: str, fake_gateway: FakeAgentsGateway
) -> None:
    page = (await alice.get(address)).text
    assert 'hx-trigger="load"' in page
    assert re.search(r'name="include_main" value="on" checked', page)
    assert "Launch" in page
    assert fake_gateway.calls == []


async def test_a_preview_writes_nothing(
    alice: httpx2.AsyncClient,
    address: str,
    fake_gateway: FakeAgentsGateway,
    transaction: TransactionFactory,
    world: World,
) -> None:
    for page in (
        await get_plan(alice, address),
        (await alice.get(address, params=ALL | {"wait": "1"})).text,
    ):
        assert "files to write." in page
        assert '<ins dir="auto"># You are a worker in Mission Control</ins>' in page
        assert '<del dir="auto">Old.</del>' in page
        assert "Update 1 agent" in page
        assert "The configuration of the gateway stays as it is." in page
    assert fake_gateway.changes == []
    assert (await worker_now(transaction, world)).generation == 0


async def test_a_sync_writes_what_the_preview_showed(
    alice: httpx2.AsyncClient, address: str, transaction: TransactionFactory, world: World
) -> None:
    done = await alice.post(address, data={"include_main": "on", "rotate_tokens": "on"})
    assert done.status_code == 200
    assert "1 agent is being updated." in done.text
    worker = await worker_now(transaction, world)
    assert (worker.generation, worker.step) == (1, ProvisioningStep.CREATE)
    part = (await alice.get(f"{address}/progress", headers=HTMX)).text
    assert re.search(r'data-s="now">.*<span class="step__t" dir="auto">Worker</span>', part)
    assert "<html" not in part


async def test_options_are_kept_from_preview_to_sync(
    alice: httpx2.AsyncClient, address: str, world: World
) -> None:
    options = {"board_id": str(world.board.id), "overwrite": "on", "reset_sessions": "on"}
    page = await get_plan(alice, address, **options)
    hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page))
    del hidden["form_origin"], hidden["form_id"]
    assert hidden == {"include_main": "on"} | options
    assert "is overwritten" in page
    assert "Their sessions are reset" in page


async def test_a_problem_is_shown_and_nothing_is_started(
    alice: httpx2.AsyncClient,
    address: str,
    fake_gateway: FakeAgentsGateway,
    transaction: TransactionFactory,
    world: World,
) -> None:
    fake_gateway.connect_error = {
        "code": "INVALID_REQUEST",
        "details": {"code": "AUTH_TOKEN_MISMATCH"},
    }
    page = html.unescape(await get_plan(alice, address))
    assert "The token is wrong" in page
    assert ">Update" not in page
    done = await alice.post(address, data={"include_main": "on"})
    assert "Nothing was started" in done.text
    assert (await worker_now(transaction, world)).generation == 0


async def test_paused_boards_are_skipped(
    alice: httpx2.AsyncClient, address: str, transaction: TransactionFactory, world: World
) -> None:
    async with transaction() as session:
        (await session.get_one(Board, world.board.id)).paused_at = now()
    page = await get_plan(alice, address)
    assert "skipped: " in page


@pytest.mark.parametrize("wrong", [{"board_id": "x"}])
async def test_invalid_options_are_shown_again(
    alice: httpx2.AsyncClient, address: str, fake_gateway: FakeAgentsGateway, wrong: dict[str, Any]
) -> None:
    for page in (
        await alice.get(address, params=ALL | wrong),
        await alice.post(address, data=wrong),
    ):
        assert page.status_code == 422
        assert "Choose one of those that are offered." in page.text
    assert fake_gateway.calls == []


async def test_only_admins_sync_files_of_their_gateways(
    bob: httpx2.AsyncClient,
    dana: httpx2.AsyncClient,
    charlie: httpx2.AsyncClient,
    address: str,
    fake_gateway: FakeAgentsGateway,
) -> None:
    for browser, status in ((bob, 403), (charlie, 404)):
        for path in (address, f"{address}?wait=1&asked=1", f"{address}/progress"):
            for headers in ({}, HTMX):
                assert (await browser.get(path, headers=headers)).status_code == status
        assert (await browser.post(address, data={})).status_code == status
    assert fake_gateway.calls == []
    hers = await get_plan(dana, address)
    assert "I paint" not in hers
    assert "skipped: " in hers
