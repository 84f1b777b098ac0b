"""Pages of gateways: table, forms, tokens, removal."""

import re

import httpx2
import pytest
from sqlalchemy import select, update

from core.db.engine import TransactionFactory
from models import Agent, Gateway
from tests.support.fake_gateway import TOKEN, FakeGateway
from tests.support.gateway_pages import HTMX, entered, fake, new, steps
from tests.support.gateway_rows import make_gateway
from tests.support.world import World

__all__ = ["fake", "new"]


async def test_an_empty_list_explains_gateways(
    alice: httpx2.AsyncClient,
) -> None:
    page = (await alice.get("/gateways")).text
    assert "No gateways yet." in page
    assert page.count('href="/gateways/new"') == 3  # also in the command palette


async def test_a_token_is_never_shown_and_a_blank_one_is_kept(
    alice: httpx2.AsyncClient, new: dict[str, str], fake: FakeGateway
) -> None:
    address = await entered(alice, new)
    refused = await alice.post(f"{address}/edit", data=new | {"url": "http://x"})
    pages = [await alice.get(f"{address}/edit"), await alice.get(address), refused]
    assert [page.status_code for page in pages] == [200, 200, 422]
    assert not any(TOKEN in page.text for page in pages)
    assert re.search(r"Set <time[^>]*>just now</time>", pages[0].text)

    for blank in ("", "  "):
        changed = new | {"token": blank, "name": "Shed"}
        assert (await alice.post(f"{address}/edit", data=changed)).status_code == 303
    page = (await alice.get(address)).text
    assert '<h1 dir="auto">Shed</h1>' in page
    assert steps(page) == ["done"] * 9
    assert fake.connection_count == 1

    await alice.post(f"{address}/edit", data=new | {"token": "", "without_token": "on"})
    assert "<dt>Token</dt><dd>None</dd>" in (await alice.get(address)).text


async def test_an_unchecked_gateway_says_so(
    alice: httpx2.AsyncClient, world: World, transaction: TransactionFactory
) -> None:
    gateway = make_gateway(world.tern)
    async with transaction() as session:
        session.add(gateway)
    page = (await alice.get(f"/gateways/{gateway.id}")).text
    assert steps(page) == ["todo"] * 9
    assert "Not checked yet" in page


@pytest.mark.parametrize(
    ("wrong", "status", "sentence"),
    [
        ({"name": " "}, 422, "Enter a name."),
        ({"name": "harbour"}, 409, "Another gateway has that name."),
        ({"url": "http://127.0.0.1"}, 422, "must begin with ws:// or wss://"),
        ({"url": "ws://me:secret@here"}, 422, "must not contain a name or a password"),
        ({"workspace_root": ""}, 422, "Enter a value."),
        ({"token": "a\nb"}, 422, "This is one line"),
    ],
)
async def test_an_invalid_new_gateway_keeps_the_submitted_values(
    alice: httpx2.AsyncClient,
    new: dict[str, str],
    world: World,
    transaction: TransactionFactory,
    wrong: dict[str, str],
    status: int,
    sentence: str,
) -> None:
    async with transaction() as session:
        session.add(make_gateway(world.tern))
    typed = {"name": "Shed", "workspace_root": "/kept"} | wrong
    page = await alice.post("/gateways", data=new | typed)
    assert page.status_code == status
    assert sentence in page.text
    if "workspace_root" not in wrong:
        assert 'value="/kept"' in page.text


async def test_a_gateway_is_removed_after_a_confirmation(
    alice: httpx2.AsyncClient, new: dict[str, str]
) -> None:
    address = await entered(alice, new)
    assert "Remove Workshop?" in (await alice.get(address)).text
    gone = await alice.post(f"{address}/deletions")
    assert (gone.status_code, gone.headers["Location"]) == (303, "/gateways")
    assert (await alice.get(address)).status_code == 404


async def test_a_gateway_with_boards_cannot_be_removed(
    alice: httpx2.AsyncClient, dana: httpx2.AsyncClient, new: dict[str, str], world: World
) -> None:
    address = await entered(alice, new)
    put = await alice.post(
        f"/boards/{world.board.id}/settings",
        data={"section": "agents", "max_agents": "2", "gateway_id": address.split("/")[-1]},
    )
    assert put.status_code == 303
    page = (await alice.get(address)).text
    assert f'href="/boards/{world.board.id}"' in page
    assert "It is used by 1 board and 3 agents." in page
    assert "Remove Workshop?" not in page
    assert "Other worker" in page
    refused = await alice.post(f"{address}/deletions")
    assert refused.status_code == 409
    assert "Boards are on this gateway" in refused.text

    theirs = (await dana.get(address)).text
    assert "Boards that you cannot read." in theirs
    assert "Other worker" not in theirs


async def test_htmx_gets_only_the_changing_part_of_the_page(
    alice: httpx2.AsyncClient, new: dict[str, str]
) -> None:
    address = await entered(alice, new)
    for path, id in (("/gateways", "gateways"), (address, "gateway-now")):
        part = (await alice.get(path, headers=HTMX)).text
        assert f'id="{id}"' in part
        assert "<html" not in part
    checked = await alice.post(f"{address}/checks", headers=HTMX)
    assert 'id="gateway-now"' in checked.text
    assert "<html" not in checked.text


async def test_only_admins_see_their_gateways(
    alice: httpx2.AsyncClient,
    bob: httpx2.AsyncClient,
    rita: httpx2.AsyncClient,
    charlie: httpx2.AsyncClient,
    dana: httpx2.AsyncClient,
    new: dict[str, str],
) -> None:
    address = await entered(alice, new)
    gets = [address, f"{address}/edit", f"{address}/checks", f"{address}/deletions"]
    posts = [f"{address}/edit", f"{address}/checks", f"{address}/deletions"]
    for browser, status in ((bob, 403), (rita, 403), (charlie, 404)):
        for path in gets:
            for headers in ({}, HTMX):
                answer = await browser.get(path, headers=headers)
                assert answer.status_code == status, path
                assert "Workshop" not in answer.text
        for path in posts:
            assert (await browser.post(path, data=new)).status_code == status
    for browser in (bob, rita):
        assert (await browser.get("/gateways")).status_code == 403
        assert (await browser.get("/gateways/new")).status_code == 403
        assert (await browser.post("/gateways", data=new)).status_code == 403
        assert 'href="/gateways"' not in (await browser.get("/agents")).text
    assert "Workshop" not in (await charlie.get("/gateways")).text
    assert (await dana.get(address)).status_code == 200


async def test_undecryptable_secrets_are_reported_and_can_be_replaced(
    alice: httpx2.AsyncClient, new: dict[str, str], transaction: TransactionFactory
) -> None:
    address = await entered(alice, new)
    async with transaction() as session:
        await session.execute(update(Gateway).values(encrypted_device="-"))
    refused = await alice.post(f"{address}/checks")
    assert refused.status_code == 409
    assert "encrypted with another SECRET_KEY" in refused.text
    await alice.post(f"{address}/edit", data=new)
    assert steps((await alice.get(address)).text) == ["done"] * 9


async def test_the_main_agent_is_on_the_gateway_page(
    alice: httpx2.AsyncClient, new: dict[str, str], transaction: TransactionFactory
) -> None:
    page = (await alice.get(await entered(alice, new))).text
    async with transaction() as session:
        main_agent = await session.scalar(
            select(Agent).where(Agent.name == "Workshop Gateway Agent")
        )
    assert main_agent
    assert f'href="/agents/{main_agent.id}"' in page
    assert "manages this gateway" in page


async def test_device_pairing_is_turned_off_and_on(
    alice: httpx2.AsyncClient,
    new: dict[str, str],
    fake: FakeGateway,
    transaction: TransactionFactory,
) -> None:
    off = {"disable_device_pairing": "on"}
    address = await entered(alice, new | off)
    assert "<dt>Device pairing</dt><dd>Off</dd>" in (await alice.get(address)).text
    page = (await alice.get(f"{address}/edit")).text
    assert re.search(r'<input[^>]*name="disable_device_pairing"[^>]* checked', page)
    await alice.post(f"{address}/edit", data=new | {"token": ""})
    assert "<dt>Device pairing</dt>" not in (await alice.get(address)).text
    async with transaction() as session:
        assert (await session.scalars(select(Gateway.disable_device_pairing))).one() is False
