"""Pages of gateways: table, connection checks, forms, removal."""

import html
import re
from collections.abc import AsyncIterator
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from sqlalchemy import select, update

from core.clock import now
from core.db.engine import TransactionFactory
from models import Agent, Gateway
from openclaw import diagnose_missing_key
from tests.support.fake_gateway import TOKEN, FakeGateway, run_fake_gateway
from tests.support.gateway_rows import make_gateway
from tests.support.world import World
from tests.web.conftest import Browsers

HTMX = {"HX-Request": "true"}


@pytest.fixture
async def fake() -> AsyncIterator[FakeGateway]:
    async with run_fake_gateway(FakeGateway()) as fake:
        yield fake


@pytest.fixture
def new(fake: FakeGateway) -> dict[str, str]:
    return {"name": "Workshop", "url": fake.url, "workspace_root": "/agents", "token": TOKEN}


async def entered(browser: httpx2.AsyncClient, new: dict[str, str], **more: str) -> str:
    """Enter a gateway, and return the address of its page."""
    made = await browser.post("/gateways", data=new | more)
    assert made.status_code == 303, made.text
    return made.headers["Location"]


def steps(page: str) -> list[str]:
    """Return how each connection check is drawn."""
    return re.findall(r'<li class="step" data-s="(\w+)">', page)


async def test_an_empty_list_explains_gateways(
    alice: httpx2.AsyncClient,
) -> None:
    page = (await alice.get("/gateways")).text
    assert "No gateways yet." in page
    assert page.count('href="/gateways/new"') == 2


async def test_a_new_gateway_passes_all_connection_checks(
    alice: httpx2.AsyncClient, new: dict[str, str], fake: FakeGateway
) -> None:
    page = (await alice.get(await entered(alice, new))).text
    assert steps(page) == ["done"] * 9
    assert "2026.9.6" in page
    assert fake.connection_count == 1


async def test_a_failed_check_shows_the_command_that_helps(
    alice: httpx2.AsyncClient, new: dict[str, str], fake: FakeGateway
) -> None:
    fake.requires_pairing = True
    address = await entered(alice, new)
    page = (await alice.get(address)).text
    assert steps(page) == ["done"] * 6 + ["fail", "todo", "todo"]
    assert 'data-copy="openclaw devices approve req-123"' in page
    assert "Not approved on the gateway" in page
    listed = (await alice.get("/gateways")).text
    assert 'data-copy="openclaw devices approve req-123"' in listed
    assert "1 not connected" in listed

    fake.approve_device()
    checked = await alice.post(f"{address}/checks")
    assert (checked.status_code, checked.headers["Location"]) == (303, address)
    assert steps((await alice.get(address)).text) == ["done"] * 9
    assert "not connected" not in (await alice.get("/gateways")).text


TROUBLES: list[tuple[dict[str, Any], dict[str, str], int, str]] = [
    ({}, {"url": "ws://127.0.0.1:9"}, 1, "Nothing listens on 127.0.0.1, port 9"),
    ({}, {"url": "ws://no-such-host.invalid:1"}, 0, "No name server knows no-such-host.invalid"),
    ({}, {"url": "ws://10.0.0.1:1"}, 0, "GATEWAY_ALLOW_PRIVATE"),
    ({}, {"token": "wrong"}, 5, "The token is wrong"),
    ({"protocol": 5}, {}, 4, "The gateway uses protocol 5, and Mission Control uses 4"),
    ({"granted_scopes": ("operator.read",)}, {}, 7, "The gateway does not grant these rights"),
    ({"startup_rejections": 99}, {}, 3, "The gateway is starting."),
    ({"http_response": (200, "hello")}, {}, 3, "is not an OpenClaw gateway"),
]


@pytest.mark.parametrize(("how", "typed", "check_index", "sentence"), TROUBLES)
async def test_every_failure_is_shown_at_its_check(
    alice: httpx2.AsyncClient,
    new: dict[str, str],
    fake: FakeGateway,
    how: dict[str, Any],
    typed: dict[str, str],
    check_index: int,
    sentence: str,
) -> None:
    """Market need 1."""
    for name, value in how.items():
        setattr(fake, name, value)
    page = html.unescape((await alice.get(await entered(alice, new, **typed))).text)
    assert steps(page).index("fail") == check_index
    assert sentence in page
    assert "dangerously" not in page


EDITED = [
    ({}, {"url": "ws://127.0.0.1:9"}, "No answer"),
    ({}, {"url": "ws://10.0.0.1:1"}, "Address not allowed"),
    ({"http_response": (200, "hello")}, {}, "Not an OpenClaw gateway"),
]


@pytest.mark.parametrize(("how", "typed", "title"), EDITED)
async def test_a_possibly_wrong_address_can_be_edited(
    alice: httpx2.AsyncClient,
    new: dict[str, str],
    fake: FakeGateway,
    how: dict[str, Any],
    typed: dict[str, str],
    title: str,
) -> None:
    for name, value in how.items():
        setattr(fake, name, value)
    page = (await alice.get(await entered(alice, new, **typed))).text
    assert title in page
    assert "Edit the connection" in page


async def test_a_temporary_failure_does_not_blame_the_address(
    alice: httpx2.AsyncClient, new: dict[str, str], fake: FakeGateway
) -> None:
    fake.startup_rejections = 99
    assert "Edit the connection" not in (await alice.get(await entered(alice, new))).text


LINES = ['"token": "{}"', '        "token": "{}",', "token: '{}',"]


@pytest.mark.parametrize("line", LINES)
async def test_the_token_is_extracted_from_a_pasted_line(
    alice: httpx2.AsyncClient, new: dict[str, str], line: str
) -> None:
    page = (await alice.get(await entered(alice, new, token=line.format(TOKEN)))).text
    assert steps(page) == ["done"] * 9


async def test_an_undecryptable_token_is_not_reported_as_rejected(
    alice: httpx2.AsyncClient, new: dict[str, str], transaction: TransactionFactory
) -> None:
    address = await entered(alice, new)
    diagnosis = diagnose_missing_key("Enter the token again.", "gateway_secrets_unreadable")
    async with transaction() as session:
        gateway = await session.scalar(select(Gateway))
        assert gateway
        gateway.checks = [asdict(one) for one in diagnosis.checks]
    for path in (address, "/gateways"):
        page = (await alice.get(path)).text
        assert "Token cannot be decrypted" in page
        assert "Token refused" not in page
        assert "Restore that key, or enter the token again" in page


async def test_each_check_shows_since_when_its_state_applies(
    alice: httpx2.AsyncClient,
    new: dict[str, str],
    fake: FakeGateway,
    transaction: TransactionFactory,
) -> None:
    address = await entered(alice, new)
    then = now() - timedelta(hours=3)
    async with transaction() as session:
        gateway = await session.scalar(select(Gateway))
        assert gateway
        gateway.checks = [one | {"since": then.isoformat()} for one in gateway.checks or ()]
    fake.granted_scopes = ()
    await alice.post(f"{address}/checks")
    page = (await alice.get(address)).text
    ages = re.findall(r'data-age="">([^<]+)</time></span>', page)
    assert ages == ["3 h"] * 7 + ["now"]
    assert re.search(r"<dt>Last contact</dt><dd><time[^>]*>just now<", page)


async def test_a_token_is_never_shown_and_a_blank_one_is_kept(
    alice: httpx2.AsyncClient, new: dict[str, str], fake: FakeGateway
) -> None:
    address = await entered(alice, new)
    refused = await alice.post(f"{address}/edit", data=new | {"url": "http://x"})
    pages = [await alice.get(f"{address}/edit"), await alice.get(address), refused]
    assert [page.status_code for page in pages] == [200, 200, 422]
    assert not any(TOKEN in page.text for page in pages)
    assert re.search(r"Set <time[^>]*>just now</time>", pages[0].text)

    saved = await alice.post(f"{address}/edit", data=new | {"token": "", "name": "Shed"})
    assert saved.status_code == 303
    page = (await alice.get(address)).text
    assert '<h1 dir="auto">Shed</h1>' in page
    assert steps(page) == ["done"] * 9
    assert fake.connection_count == 1

    await alice.post(f"{address}/edit", data=new | {"token": "", "without_token": "on"})
    assert "<dt>Token</dt><dd>None</dd>" in (await alice.get(address)).text


async def test_a_changed_address_is_checked(alice: httpx2.AsyncClient, new: dict[str, str]) -> None:
    address = await entered(alice, new, token="wrong")
    assert steps((await alice.get(address)).text)[5] == "fail"
    await alice.post(f"{address}/edit", data=new)
    assert steps((await alice.get(address)).text) == ["done"] * 9


async def test_an_unchecked_gateway_says_so(
    alice: httpx2.AsyncClient, world: World, transaction: TransactionFactory
) -> None:
    gateway = make_gateway(world.tern)
    async with transaction() as session:
        session.add(gateway)
    page = (await alice.get(f"/gateways/{gateway.id}")).text
    assert steps(page) == ["todo"] * 9
    assert "Not checked yet" in page


async def test_connected_means_that_a_worker_is_connected(
    alice: httpx2.AsyncClient, new: dict[str, str], transaction: TransactionFactory
) -> None:
    address = await entered(alice, new)
    assert "Reachable" in (await alice.get(address)).text
    async with transaction() as session:
        then = now() - timedelta(minutes=5)
        await session.execute(update(Gateway).values(checked_at=then))
    page = (await alice.get(address)).text
    assert "Not monitored" in page
    assert "no worker is connected (last OK 5 min ago)" in page
    async with transaction() as session:
        soon = now() + timedelta(seconds=20)
        await session.execute(
            update(Gateway).values(lease_holder="a worker", lease_expires_at=soon)
        )
    page = (await alice.get(address)).text
    assert re.search(r"Connected</span></span><span [^>]*>for \d+ s<", page)
    assert "<dt>Last contact</dt><dd>Now</dd>" in page


@pytest.mark.parametrize(
    ("wrong", "status", "sentence"),
    [
        ({"name": " "}, 422, "Fill this in."),
        ({"name": "harbour"}, 409, "Another gateway has that name."),
        ({"url": "http://127.0.0.1"}, 422, "must begin with ws:// or wss://"),
        ({"url": "ws://me:secret@here"}, 422, "must not contain a name or a password"),
        ({"workspace_root": ""}, 422, "Fill this in."),
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


async def test_rate_limited_checks_keep_the_submitted_values(
    alice: httpx2.AsyncClient,
    new: dict[str, str],
    fake: FakeGateway,
    world: World,
    browsers: Browsers,
) -> None:
    address = await entered(alice, new)
    answers = [await alice.post(f"{address}/checks") for _ in range(120)]
    assert {answer.status_code for answer in answers[:119]} == {303}
    assert answers[119].status_code == 429
    connected = fake.connection_count
    other = await entered(alice, new, name="Shed", url=f"{fake.url}/shed")
    assert fake.connection_count == connected
    assert "Not checked yet" in (await alice.get(other)).text


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
