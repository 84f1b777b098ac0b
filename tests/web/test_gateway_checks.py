"""Connection checks of gateways: every failure is shown where it happened."""

import html
import re
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from sqlalchemy import select, update

from core.clock import now
from core.config.settings import Settings
from core.db.engine import TransactionFactory
from models import Gateway
from openclaw import diagnose_missing_key
from tests.support.fake_gateway import TOKEN, FakeGateway
from tests.support.gateway_pages import entered, fake, new, steps
from tests.support.world import World
from tests.web.conftest import Browsers

__all__ = ["fake", "new"]


@pytest.fixture
def settings(settings: Settings, request: pytest.FixtureRequest) -> Settings:
    """The usual settings, or those that a test names."""
    return settings.model_copy(update=getattr(request, "param", {}))


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


async def test_a_changed_address_is_checked(alice: httpx2.AsyncClient, new: dict[str, str]) -> None:
    address = await entered(alice, new, token="wrong")
    assert steps((await alice.get(address)).text)[5] == "fail"
    await alice.post(f"{address}/edit", data=new)
    assert steps((await alice.get(address)).text) == ["done"] * 9


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


@pytest.mark.parametrize("settings", [{"rate_limit_gateways": 20}], indirect=True)
async def test_rate_limited_checks_keep_the_submitted_values(
    alice: httpx2.AsyncClient,
    new: dict[str, str],
    fake: FakeGateway,
    world: World,
    browsers: Browsers,
) -> None:
    address = await entered(alice, new)
    answers = [await alice.post(f"{address}/checks") for _ in range(20)]
    assert {answer.status_code for answer in answers[:19]} == {303}
    assert answers[19].status_code == 429
    connected = fake.connection_count
    other = await entered(alice, new, name="Shed", url=f"{fake.url}/shed")
    assert fake.connection_count == connected
    assert "Not checked yet" in (await alice.get(other)).text
