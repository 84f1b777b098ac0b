"""The files of a gateway's agents: what would be written, and having it written."""

import html
import re
from typing import Any

import httpx2
import pytest

from kit.clock import now
from models import Agent, Board, DesiredState, Gateway, Step
from tests.conftest import Transaction
from tests.openclaw.workshop import Workshop
from tests.world import World

HTMX = {"HX-Request": "true"}
ALL = {"asked": "1", "include_main": "on"}


@pytest.fixture
async def address(
    gateway: Gateway, world: World, workshop: Workshop, transaction: Transaction
) -> str:
    """The page of the gateway on which Launch is; its worker is there, with files of its own."""
    workshop.files["mc-1"] = {"SOUL.md": "I paint.", "AGENTS.md": "Old."}
    async with transaction() as session:
        board = await session.get_one(Board, world.board.id)
        board.gateway_id = gateway.id
        row = await session.get_one(Agent, world.worker.id)
        row.desired_state, row.observed_generation = DesiredState.RUNNING, 1
    workshop.calls.clear()
    return f"/gateways/{gateway.id}/sync"


async def looked(browser: httpx2.AsyncClient, address: str, **wishes: str) -> str:
    answer = await browser.get(address, params=ALL | wishes, headers=HTMX)
    assert answer.status_code == 200
    return answer.text


async def worker_now(transaction: Transaction, world: World) -> Agent:
    async with transaction() as session:
        return await session.get_one(Agent, world.worker.id)


async def test_the_page_is_there_before_the_gateway_is_asked(
    alice: httpx2.AsyncClient, address: str, workshop: Workshop
) -> None:
    page = (await alice.get(address)).text
    assert 'hx-trigger="load"' in page
    assert re.search(r'name="include_main" value="on" checked', page)
    assert "Launch" in page
    assert workshop.calls == []


async def test_what_would_be_written_is_shown_and_nothing_is_written(
    alice: httpx2.AsyncClient,
    address: str,
    workshop: Workshop,
    transaction: Transaction,
    world: World,
) -> None:
    for page in (
        await looked(alice, address),
        (await alice.get(address, params=ALL | {"wait": "1"})).text,
    ):
        assert "files to write." in page
        assert "<ins># You are a worker in Mission Control</ins>" in page
        assert "<del>Old.</del>" in page
        assert "Bring 1 agent up to date" in page
    assert workshop.changes == []
    assert (await worker_now(transaction, world)).generation == 0


async def test_it_is_written_for_whom_it_was_shown(
    alice: httpx2.AsyncClient, address: str, transaction: Transaction, world: World
) -> None:
    done = await alice.post(address, data={"include_main": "on", "rotate_tokens": "on"})
    assert done.status_code == 200
    assert "1 agent is brought up to date." in done.text
    worker = await worker_now(transaction, world)
    assert (worker.generation, worker.step) == (1, Step.CREATE)
    part = (await alice.get(f"{address}/progress", headers=HTMX)).text
    assert re.search(r'data-s="now">.*<span class="step__t">Worker</span>', part)
    assert "<html" not in part


async def test_the_wishes_are_kept_from_the_look_to_the_writing(
    alice: httpx2.AsyncClient, address: str, world: World
) -> None:
    wishes = {"board_id": str(world.board.id), "overwrite": "on", "reset_sessions": "on"}
    page = await looked(alice, address, **wishes)
    hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page))
    assert hidden == {"include_main": "on"} | wishes
    assert "is written over" in page
    assert "Their sessions begin anew" in page


async def test_what_is_in_the_way_is_told_and_nothing_is_asked(
    alice: httpx2.AsyncClient,
    address: str,
    workshop: Workshop,
    transaction: Transaction,
    world: World,
) -> None:
    workshop.refuses = {"code": "INVALID_REQUEST", "details": {"code": "AUTH_TOKEN_MISMATCH"}}
    page = html.unescape(await looked(alice, address))
    assert "The token is not the gateway's" in page
    assert "up to date</button>" not in page
    done = await alice.post(address, data={"include_main": "on"})
    assert "Nothing was asked for" in done.text
    assert (await worker_now(transaction, world)).generation == 0


async def test_paused_boards_are_left_in_peace(
    alice: httpx2.AsyncClient, address: str, transaction: Transaction, world: World
) -> None:
    async with transaction() as session:
        (await session.get_one(Board, world.board.id)).paused_at = now()
    page = await looked(alice, address)
    assert "passed over" in page


@pytest.mark.parametrize("wrong", [{"board_id": "x"}])
async def test_wishes_that_make_no_sense_are_given_back(
    alice: httpx2.AsyncClient, address: str, workshop: Workshop, wrong: dict[str, Any]
) -> None:
    for page in (
        await alice.get(address, params=ALL | wrong),
        await alice.post(address, data=wrong),
    ):
        assert page.status_code == 422
        assert "Choose one of those that are offered." in page.text
    assert workshop.calls == []


async def test_only_admins_and_for_strangers_there_is_none(
    bob: httpx2.AsyncClient,
    dana: httpx2.AsyncClient,
    charlie: httpx2.AsyncClient,
    address: str,
    workshop: Workshop,
) -> None:
    for browser, status in ((bob, 403), (charlie, 404)):
        for path in (address, f"{address}?wait=1&asked=1", f"{address}/progress"):
            for headers in ({}, HTMX):
                assert (await browser.get(path, headers=headers)).status_code == status
        assert (await browser.post(address, data={})).status_code == status
    assert workshop.calls == []
    hers = await looked(dana, address)
    assert "I paint" not in hers
    assert "passed over" in hers
