"""Standing grants of a gateway: listed with what they allow, and revoked by those who may."""

import re
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from sqlalchemy import select

from core.clock import now
from core.db.engine import TransactionFactory
from models import AuditRecord, Event, EventType, Gateway, RequestState
from tests.support.fake_gateway import ErrorResponse
from tests.support.fake_requests_gateway import FakeRequestsGateway, run_fake_requests_gateway
from tests.support.gateway_recordings import load_recording
from tests.support.gateway_rows import make_gateway_request
from tests.support.older_gateways import fake_version
from tests.support.requests_gateway import agent_key, put_agents_on_gateway
from tests.support.world import World
from tests.web.conftest import Browsers

HTMX = {"HX-Request": "true"}
REVOKE = "exec.approval.grants.revoke"
REQUESTED = EventType.GATEWAY_GRANT_REVOCATION_REQUESTED
DONE = EventType.GATEWAY_GRANT_REVOKED
ACTIVE, USED, REVOKED = range(3)


@pytest.fixture
async def fake(world: World) -> AsyncIterator[FakeRequestsGateway]:
    async with run_fake_requests_gateway() as fake:
        key = agent_key(world.worker)
        ids = {ACTIVE: "g-active", USED: "g-used", REVOKED: "g-revoked"}
        fake.grants = [
            grant | {"grantId": ids[number], "agentId": key if number != USED else "main"}
            for number, grant in enumerate(load_recording()["grants"])
        ]
        yield fake


@pytest.fixture
async def gateway(
    fake: FakeRequestsGateway, transaction: TransactionFactory, world: World
) -> Gateway:
    async with transaction() as session:
        return await put_agents_on_gateway(session, world, fake.url)


@pytest.fixture
def address(gateway: Gateway) -> str:
    return f"/gateways/{gateway.id}/grants"


async def revoke(browser: Any, address: str, id: str, **more: Any) -> httpx2.Response:
    return await browser.post(f"{address}/revocations", data={"grant": id}, **more)


def revoked_ids(fake: FakeRequestsGateway) -> list[str]:
    return [params["grantId"] for method, params in fake.calls if method == REVOKE]


def shown_grants(page: str) -> dict[str, str]:
    """Return the grants that can be revoked on a page, with what is shown of each."""
    parts = page.split("<li ")[1:]
    found = [(re.search(r'name="grant" value="([^"]*)"', part), part) for part in parts]
    return {match[1]: part for match, part in found if match}


async def list_recorded(transaction: TransactionFactory) -> list[str]:
    """Return what the audit has about grants."""
    async with transaction() as session:
        query = select(AuditRecord.action).where(AuditRecord.action.in_([REQUESTED, DONE]))
        return list(await session.scalars(query.order_by(AuditRecord.sequence)))


async def test_the_page_is_shown_before_the_gateway_is_queried(
    alice, address: str, fake: FakeRequestsGateway
) -> None:
    page = (await alice.get(address)).text
    assert 'hx-trigger="load"' in page
    assert not fake.connect_params


async def test_grants_are_listed_with_what_they_allow(
    alice, address: str, gateway: Gateway, transaction: TransactionFactory, world: World
) -> None:
    answered: dict[str, Any] = {
        "answered_by": "Bob",
        "answered_at": now(),
        "state": RequestState.ANSWERED,
    }
    answered |= {"answer": {"decision": "allow-always"}}
    request = make_gateway_request(gateway, world.worker, **answered)
    request.request_id = load_recording()["grants"][0]["mintedByApprovalId"]
    async with transaction() as session:
        session.add(request)
    for page in (await alice.get(address, headers=HTMX), await alice.get(f"{address}?wait=1")):
        grants = shown_grants(page.text)
        assert list(grants) == ["g-active", "g-used"]
        for text in ("Nightly always", "Worker", "uname -sr", "/agents/work", "Not yet"):
            assert text in grants["g-active"]
        assert f'href="/approvals/requests/{request.id}"' in grants["g-active"]
        assert "allowed by Bob" in grants["g-active"]
        assert ">main<" in grants["g-used"]
        assert "once" in grants["g-used"]
        assert page.text.count("uname -sr") == 3
        assert "Mission Control</dd>" in page.text


async def test_a_grant_is_revoked_once_and_recorded(
    alice, address: str, fake: FakeRequestsGateway, transaction: TransactionFactory, world: World
) -> None:
    page = await revoke(alice, address, "g-active", headers=HTMX)
    assert page.status_code == 200
    assert list(shown_grants(page.text)) == ["g-used"]
    again = await revoke(alice, address, "g-active")
    assert (again.status_code, again.headers["Location"]) == (303, f"{address}?wait=1")
    assert revoked_ids(fake) == ["g-active"]
    assert await list_recorded(transaction) == [REQUESTED, DONE]
    async with transaction() as session:
        type = DONE
        [event] = await session.scalars(select(Event).where(Event.type == type))
        [record] = await session.scalars(select(AuditRecord).where(AuditRecord.action == type))
    assert (event.board_id, event.agent_id) == (world.board.id, world.worker.id)
    assert event.data["automation"] == "Nightly always"
    assert "uname" not in str(event.data) + str(record.after)
    assert (record.actor_name, record.object_name) == ("Alice", "Harbour")
    assert record.after
    assert record.after["grant_id"] == "g-active"
    feed = (await alice.get("/audit")).text
    assert "standing grant revoked" in feed.lower()


@pytest.mark.parametrize(("name", "status"), [("bob", 403), ("rita", 403), ("charlie", 404)])
async def test_only_admins_see_and_revoke_grants(
    name: str, status: int, browsers: Browsers, address: str, fake: FakeRequestsGateway, world
) -> None:
    browser = browsers(getattr(world, name))
    for query in ("", "?wait=1"):
        for headers in ({}, HTMX):
            answer = await browser.get(address + query, headers=headers)
            assert answer.status_code == status
            assert "uname" not in answer.text
    assert (await revoke(browser, address, "g-active")).status_code == status
    assert not fake.connect_params


async def test_grants_on_boards_that_an_admin_cannot_read_are_hidden(
    dana, address: str, fake: FakeRequestsGateway
) -> None:
    page = (await dana.get(address, headers=HTMX)).text
    assert list(shown_grants(page)) == ["g-used"]
    assert page.count("On a board that you cannot read") == 2
    assert page.count("uname -sr") == 1
    for headers in ({}, HTMX):
        assert (await revoke(dana, address, "g-active", headers=headers)).status_code == 403
    assert revoked_ids(fake) == []


async def test_an_unknown_grant_is_an_error_on_the_page(
    alice, address: str, fake: FakeRequestsGateway
) -> None:
    answer = await revoke(alice, address, "none")
    assert answer.status_code == 404
    fake.handlers["exec.approval.grants.list"] = refuse
    answer = await revoke(alice, address, "g-active")
    assert answer.status_code == 502
    assert "Nothing was revoked." in answer.text


async def test_a_revocation_with_a_lost_response_is_recorded(
    alice, address: str, fake: FakeRequestsGateway, transaction: TransactionFactory
) -> None:
    """The gateway has revoked it, so that a repeated call has nothing to do."""

    def revoke_and_fail(params: Any) -> Any:
        fake._revoke_grant(params)
        raise ErrorResponse("UNAVAILABLE", "not now")

    fake.handlers[REVOKE] = revoke_and_fail
    assert (await revoke(alice, address, "g-active")).status_code == 502
    assert (await revoke(alice, address, "g-active")).status_code == 303
    assert revoked_ids(fake) == ["g-active"]
    assert await list_recorded(transaction) == [REQUESTED]
    assert "revocation of a standing grant requested" in (await alice.get("/audit")).text.lower()


CUT = "A gateway lists only its newest 500 grants"


async def test_a_grant_that_is_not_listed_is_revoked_with_its_id(
    alice, dana, address: str, fake: FakeRequestsGateway, transaction: TransactionFactory
) -> None:
    assert CUT not in (await alice.get(address, headers=HTMX)).text
    over = fake.grants[REVOKED]
    older = fake.grants[ACTIVE] | {"grantId": "g-older"}
    fake.grants = [over | {"grantId": f"g-{n}"} for n in range(499)] + [fake.grants[USED], older]
    fake.handlers["exec.approval.grants.list"] = lambda params: {
        "grants": fake.grants[: params["limit"]]
    }
    page = (await alice.get(address, headers=HTMX)).text
    assert CUT in page
    assert page.index("g-used") < page.index("<li ", page.index("<li ") + 1)  # the active one first
    refused = await revoke(dana, address, "g-older")  # it may be for a board that she cannot read
    assert (refused.status_code, older["revokedAtMs"]) == (403, None)
    assert (await revoke(alice, address, " g-older ", headers=HTMX)).status_code == 200
    assert older["revokedAtMs"]
    assert await list_recorded(transaction) == [REQUESTED, DONE]
    assert (await revoke(alice, address, "unknown")).status_code == 404
    assert (await revoke(alice, address, "x" * 201)).status_code == 404


def refuse(_params: Any) -> Any:
    raise ErrorResponse("UNAVAILABLE", "not now")


@pytest.mark.parametrize("version", ["2026.7.1", "2026.6.35"])
async def test_an_older_gateway_has_no_grants(
    alice, version: str, address: str, fake: FakeRequestsGateway
) -> None:
    for name, value in fake_version(version).items():
        setattr(fake, name, value)
    page = (await alice.get(address, headers=HTMX)).text
    assert "This gateway has no standing grants." in page
    assert (await revoke(alice, address, "g-active")).status_code == 404
    assert not [method for method, _ in fake.calls if "grants" in method]


async def test_hostile_values_of_grants_are_shown_in_bounds(
    alice, address: str, fake: FakeRequestsGateway
) -> None:
    hostile: dict[str, Any] = {
        "command": "\u202e\0\ud800mc_agent_abcdefgh" + "x" * 5_000,
        "cronJobName": 5,
    }
    hostile |= {"cwd": None, "createdAtMs": 1e300, "useCount": "many", "expiresAtMs": "soon"}
    fake.grants = [fake.grants[ACTIVE] | hostile, {"grantId": ""}, {}]
    page = (await alice.get(address, headers=HTMX)).text
    [part] = shown_grants(page).values()
    assert "\u202e" not in page
    assert "U+202E" in part
    assert "mc_agent_***" in part
    assert "x" * 1_001 not in part.replace("<wbr>", "")
