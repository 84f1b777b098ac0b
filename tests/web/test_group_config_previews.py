"""The form of a group's heartbeat interval shows what it changes on gateways before it is set."""

import difflib
import html
import re
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from sqlalchemy import select

from core.db.engine import TransactionFactory
from models import Agent, Board, BoardAccess, DesiredState, Gateway, Role
from services.agents.rules import DEFAULT_HEARTBEAT
from tests.support.agent_pages import HTMX
from tests.support.board_rows import make_agent
from tests.support.fake_agents_gateway import FakeAgentsGateway
from tests.support.fake_gateway import ErrorResponse
from tests.support.gateway_rows import make_gateway
from tests.support.memory_rows import create_group_of
from tests.support.world import World

EVERY_HOUR = {"interval": "1h"}
BUTTON = "Show the change on the gateway"
NO_HEARTBEAT = "Agents without such an entry then have no heartbeat any more."


async def provision(session: Any, agent: Agent, gateway: Gateway, key: str) -> Agent:
    """Let an agent be on a gateway, with a heartbeat every ten minutes."""
    found = await session.get_one(Agent, agent.id)
    found.gateway_id, found.openclaw_session_id = gateway.id, f"agent:{key}:main"
    found.desired_state = DesiredState.RUNNING
    found.heartbeat_config = dict(DEFAULT_HEARTBEAT)
    return found


@pytest.fixture
async def path(
    gateway: Gateway,
    fake_gateway: FakeAgentsGateway,
    world: World,
    transaction: TransactionFactory,
) -> str:
    """The path of the previews of Launch and Garden. Nothing listens at the gateway Quay."""
    async with transaction() as session:
        group = await create_group_of(session, world.board, world.garden)
        quay = make_gateway(world.tern, "Quay")
        session.add(quay)
        await session.flush()
        await provision(session, world.worker, gateway, "mc-1")
        await provision(session, world.lead, gateway, "lead-1")
        await provision(session, world.gardener, quay, "mc-3")
    for key, name in (("mc-1", "Worker"), ("lead-1", "Lead")):
        heartbeat = {"every": "10m", "target": "none"}
        fake_gateway.entries[key] = {"name": name, "heartbeat": heartbeat, "workspace": "/secret"}
    return f"/groups/{group.id}/config-changes"


def shown_lines(text: str, tag: str) -> list[str]:
    return [html.unescape(line).strip(" ,") for line in re.findall(f"<{tag}[^>]*>([^<]*)<", text)]


def sections(part: str) -> dict[str, str]:
    """Return the sections of gateways by the name of the gateway."""
    found = re.findall(r'<section[^>]*"config-of-.*?</section>', part, re.DOTALL)
    return {re.findall(r'<h4.*?">([^<]*)</a>', one)[0]: one for one in found}


async def test_each_gateway_is_shown_with_its_agents_and_its_difference(
    alice: httpx2.AsyncClient,
    path: str,
    fake_gateway: FakeAgentsGateway,
    transaction: TransactionFactory,
    world: World,
) -> None:
    fake_gateway.entries["mc-1"]["heartbeat"]["every"] = "99m"  # somebody has changed it there
    part = await alice.post(path, data=EVERY_HOUR, headers=HTMX)
    assert part.status_code == 200
    assert "<html" not in part.text
    found = sections(part.text)
    assert list(found) == ["Harbour", "Quay"]
    harbour = found["Harbour"]
    assert shown_lines(harbour, "del") == ['"every": "99m"']
    assert shown_lines(harbour, "ins") == ['"every": "1h"']
    assert "The entry of 1 agent changes:" in harbour
    assert f'href="/agents/{world.worker.id}"' in harbour
    assert f'href="/agents/{world.lead.id}"' not in harbour
    assert "secret" not in part.text

    with_lead = EVERY_HOUR | {"include_board_leads": "on"}
    harbour = sections((await alice.post(path, data=with_lead, headers=HTMX)).text)["Harbour"]
    assert "The entries of 2 agents change:" in harbour
    assert shown_lines(harbour, "ins").count('"every": "1h"') == 2
    assert not fake_gateway.changes
    async with transaction() as session:  # nothing was saved
        stored = await session.scalars(select(Agent.heartbeat_config["every"].astext))
        assert set(stored) == {"10m", None}


async def test_a_gateway_that_does_not_answer_is_named_with_the_reason(
    alice: httpx2.AsyncClient, path: str, fake_gateway: FakeAgentsGateway
) -> None:
    quay = sections((await alice.post(path, data=EVERY_HOUR, headers=HTMX)).text)["Quay"]
    assert "<b>The configuration of Quay could not be read.</b> Nothing listens on 127" in quay
    assert "Compared with what is stored here." in quay
    assert shown_lines(quay, "del") == ['"every": "10m"']
    assert shown_lines(quay, "ins") == ['"every": "1h"']
    fake_gateway.fault = lambda method, _params: (
        ErrorResponse("INVALID_REQUEST", "no config today") if method == "config.get" else None
    )
    harbour = sections((await alice.post(path, data=EVERY_HOUR, headers=HTMX)).text)["Harbour"]
    assert "<b>The configuration of Harbour could not be read.</b>" in harbour
    assert shown_lines(harbour, "ins") == ['"every": "1h"']


async def test_no_gateway_is_called_if_no_interval_changes(
    alice: httpx2.AsyncClient,
    path: str,
    fake_gateway: FakeAgentsGateway,
    transaction: TransactionFactory,
    world: World,
) -> None:
    part = (await alice.post(path, data={"interval": "10m"}, headers=HTMX)).text
    assert "No configuration of a gateway changes." in part
    assert '<section class="stack stack--4 no-js" id="config-changes"' in part
    assert sections(part) == {}
    async with transaction() as session:
        for agent in (world.worker, world.gardener):
            found = await session.get_one(Agent, agent.id)
            found.is_linked, found.desired_state = True, None
    part = (await alice.post(path, data=EVERY_HOUR, headers=HTMX)).text
    assert "No configuration of a gateway changes." in part
    assert not any(method == "config.get" for method, _params in fake_gateway.calls)


@pytest.mark.parametrize("wrong", [{}, {"interval": "4m"}, {"interval": "other", "number": "0"}])
async def test_an_invalid_interval_shows_no_difference_and_its_error_without_scripts(
    alice: httpx2.AsyncClient, path: str, wrong: dict[str, str]
) -> None:
    for headers, status in ((HTMX, 200), ({}, 422)):
        shown = await alice.post(path, data=wrong, headers=headers)
        assert shown.status_code == status
        assert "The changes are shown here when all fields above are valid." in shown.text
        assert sections(shown.text) == {}
        assert ('class="err"' in shown.text) is (status == 422)


async def test_agents_on_boards_that_cannot_be_read_are_only_counted(
    browsers: Callable[[Any], httpx2.AsyncClient],
    path: str,
    transaction: TransactionFactory,
    world: World,
) -> None:
    async with transaction() as session:  # Rita may change Launch, and not read Garden
        rita = await session.merge(world.rita_member)
        rita.role = Role.ADMIN
        query = select(BoardAccess).where(BoardAccess.organization_member_id == rita.id)
        (await session.scalars(query)).one().can_write = True
    page = (await browsers(world.rita).post(path, data=EVERY_HOUR, headers=HTMX)).text
    quay = sections(page)["Quay"]
    assert NO_HEARTBEAT not in quay
    assert "The entry of 1 agent on a board that you cannot read also changes." in quay
    assert shown_lines(quay, "ins") == []
    assert "Gardener" not in page
    assert "mc-3" not in page


async def test_the_first_heartbeat_of_an_agent_that_cannot_be_read_is_announced(
    browsers: Callable[[Any], httpx2.AsyncClient],
    path: str,
    gateway: Gateway,
    fake_gateway: FakeAgentsGateway,
    transaction: TransactionFactory,
    world: World,
) -> None:
    async with transaction() as session:  # Rita may change Launch, and not read Garden
        rita = await session.merge(world.rita_member)
        rita.role = Role.ADMIN
        query = select(BoardAccess).where(BoardAccess.organization_member_id == rita.id)
        (await session.scalars(query)).one().can_write = True
        await provision(session, world.gardener, gateway, "mc-3")
        worker = await session.get_one(Agent, world.worker.id)
        worker.heartbeat_config = DEFAULT_HEARTBEAT | {"every": "1h"}
    fake_gateway.entries["mc-3"] = {"name": "Gardener", "workspace": "/secret"}
    for key in ("mc-1", "lead-1"):
        del fake_gateway.entries[key]["heartbeat"]
    page = (await browsers(world.rita).post(path, data=EVERY_HOUR, headers=HTMX)).text
    harbour = sections(page)["Harbour"]
    assert "The entry of 1 agent on a board that you cannot read also changes." in harbour
    assert shown_lines(harbour, "ins") == []
    assert NO_HEARTBEAT in harbour


async def test_a_group_on_many_gateways_shows_the_first_ones(
    alice: httpx2.AsyncClient,
    path: str,
    transaction: TransactionFactory,
    world: World,
) -> None:
    async with transaction() as session:
        for number in range(11):
            more = make_gateway(world.tern, f"Zone {number:02}")
            session.add(more)
            await session.flush()
            agent = make_agent(f"Agent {number}", world.board)
            session.add(agent)
            await session.flush()
            await provision(session, agent, more, f"mc-z{number}")
    part = (await alice.post(path, data=EVERY_HOUR, headers=HTMX)).text
    assert len(sections(part)) == 10
    assert "The configurations of 3 more gateways change in the same way." in part


async def test_a_difference_has_only_the_first_ones_of_many_agents(
    alice: httpx2.AsyncClient,
    path: str,
    gateway: Gateway,
    fake_gateway: FakeAgentsGateway,
    transaction: TransactionFactory,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    diffed, compare = [], difflib.unified_diff

    def count(old: list[str], new: list[str], *names: Any, **how: Any) -> Any:
        diffed.append(sum('"mc-' in line for line in new))
        return compare(old, new, *names, **how)

    monkeypatch.setattr(difflib, "unified_diff", count)
    async with transaction() as session:
        board = await session.get_one(Board, world.board.id)
        for number in range(1_999):
            key, heartbeat = f"mc-n{number}", {"every": "10m", "target": "none"}
            agent = make_agent(f"Number {number:04}", board, heartbeat_config=heartbeat)
            agent.gateway_id, agent.openclaw_session_id = gateway.id, f"agent:{key}:main"
            agent.desired_state = DesiredState.RUNNING
            session.add(agent)
            fake_gateway.entries[key] = {"name": agent.name, "heartbeat": heartbeat}
    harbour = sections((await alice.post(path, data=EVERY_HOUR, headers=HTMX)).text)["Harbour"]
    assert "The entries of 2000 agents change:" in harbour
    assert shown_lines(harbour, "ins").count('"every": "1h"') == 100
    assert "The differences of 1900 more agents are not shown." in harbour
    assert sorted(diffed) == [1, 100]  # of Quay and Harbour


async def test_the_difference_of_a_group_is_shown_without_scripts(
    alice: httpx2.AsyncClient, path: str, fake_gateway: FakeAgentsGateway
) -> None:
    group_path = path.removesuffix("/config-changes")
    shown = (await alice.get(group_path)).text
    assert f'hx-post="{path}"' in shown
    assert f'formaction="{path}">{BUTTON}<' in shown
    [section] = re.findall(r'<section[^>]*id="config-changes"[^>]*>', shown)
    assert section.endswith(" hidden>")
    assert 'hx-trigger="change ' in section  # gateways are not called when the page is loaded
    form = EVERY_HOUR | {"form_id": "0" * 32}
    for _ in range(2):  # also for the same content in the same form
        page = await alice.post(path, data=form)
        assert page.status_code == 200
        assert sections(page.text)
        assert re.search(r'value="1h" checked', page.text)
    assert not fake_gateway.changes
    assert (await alice.get(path)).status_code == 200


async def test_only_people_who_may_set_the_interval_see_what_it_changes(
    browsers: Callable[[Any], httpx2.AsyncClient], path: str, world: World
) -> None:
    for user, status in (
        (None, 303),
        (world.bob, 403),
        (world.rita, 403),
        (world.dana, 403),
        (world.charlie, 404),
    ):
        for data in (EVERY_HOUR, {}):
            answer = await browsers(user).post(path, data=data, headers={})
            assert answer.status_code == status, user
