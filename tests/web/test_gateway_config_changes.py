"""Pages say what they change in the configurations of gateways, and what was changed."""

import html
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import select

from core.clock import now
from core.db.engine import TransactionFactory
from models import (
    Agent,
    AuditRecord,
    Board,
    ConfigChangeKind,
    DesiredState,
    Gateway,
    GatewayConfigChange,
    Role,
    new_id,
)
from services import agents
from services.gateways.provisioning import CHANGES_PAGE_SIZE
from tests.support.agent_pages import HTMX
from tests.support.world import World


async def test_each_form_says_what_it_removes_from_and_adds_to_a_configuration(
    alice: httpx2.AsyncClient,
    gateway: Gateway,
    world: World,
    board_path: str,
    transaction: TransactionFactory,
) -> None:
    async with transaction() as session:
        (await session.get_one(Agent, world.worker.id)).desired_state = DesiredState.RUNNING
    deletion = "Its gateway removes the entries of these agents from its configuration"
    assert deletion not in (await alice.get(f"{board_path}/settings")).text  # it has none
    async with transaction() as session:
        (await session.get_one(Board, world.board.id)).gateway_id = gateway.id
    for path, sentences in {
        f"{board_path}/settings": (
            deletion,
            "the previous gateway removes their entries from its configuration, with their",
        ),
        f"/agents/{world.worker.id}/settings": (
            "Its gateway removes its entry from the configuration, with its workspace.",
        ),
        "/gateways/new": ("an entry in its configuration with a name and a workspace.",),
        f"/gateways/{gateway.id}": ("is removed from its configuration, with its workspace.",),
        f"/gateways/{gateway.id}/edit": ("is renamed too, in its configuration, if it has the",),
    }.items():
        page = (await alice.get(path)).text
        for sentence in sentences:
            assert sentence in page, path


DIFF = """--- openclaw.json
+++ openclaw.json
@@ -1,1 +1,1 @@
-"every": "10m"
+"every": "<1h>"
"""


def make_change(gateway: Gateway, agent: Agent, **fields: Any) -> GatewayConfigChange:
    defaults = {
        "id": new_id(),
        "agent_key": "mc-1",
        "agent_id": agent.id,
        "agent_name": agent.name,
        "board_id": agent.board_id,
        "kind": ConfigChangeKind.CHANGED,
        "diff": DIFF,
        "created_at": now(),
        "confirmed_at": now(),
    }
    return GatewayConfigChange(gateway_id=gateway.id, **(defaults | fields))


@pytest.fixture
def log_path(gateway: Gateway) -> str:
    return f"/gateways/{gateway.id}/config-changes"


async def test_the_log_shows_each_change_with_its_difference_and_cause(
    alice: httpx2.AsyncClient,
    gateway: Gateway,
    log_path: str,
    world: World,
    transaction: TransactionFactory,
) -> None:
    assert "Nothing was written yet." in (await alice.get(log_path)).text
    async with transaction() as session:
        await agents.update_agent(
            session,
            world.alice_member,
            world.worker.id,
            agents.AgentUpdate.of(heartbeat_config={"every": "1h"}),
        )
    async with transaction() as session:
        ids = {"cause_id": (await session.scalars(select(AuditRecord.id))).one()}
        gone = {"agent_id": new_id(), "agent_name": "<b>Gone", "kind": ConfigChangeKind.REMOVED}
        gone["id"] = UUID("01900000-0000-7000-8000-000000000000")  # ids state the order
        session.add(make_change(gateway, world.worker, **gone, created_at=now() - timedelta(1)))
        await session.flush()
        session.add(make_change(gateway, world.worker, **ids, confirmed_at=None))
    page = (await alice.get(log_path)).text
    assert f'<a href="{log_path}" aria-current="page">Configuration</a>' in page
    first, second = re.findall(r'<li[^>]*id="change-.*?</li>', page, re.DOTALL)
    for shown in (
        "Entry changed",
        f'<a class="link medium" href="/agents/{world.worker.id}" dir="auto">Worker</a>',
        "Not confirmed",
        "Last change that can have led to it: <a",
        "agent updated</a>, by Alice",
        f'href="/audit?object={world.worker.id}"',
        '"every": "<1h>"',
    ):
        assert shown in html.unescape(first), shown
    assert "<1h>" not in first
    assert "Entry removed" in second
    assert "&lt;b&gt;Gone" in second
    for hidden in ("Not confirmed", "Last change", "<a "):
        assert hidden not in second
    part = (await alice.get(log_path, headers=HTMX)).text
    assert "<html" not in part
    assert "Entry changed" in part


async def test_the_log_is_shown_in_pages(
    alice: httpx2.AsyncClient,
    gateway: Gateway,
    log_path: str,
    world: World,
    transaction: TransactionFactory,
) -> None:
    count = CHANGES_PAGE_SIZE + 2
    async with transaction() as session:
        for number in range(count):
            session.add(make_change(gateway, world.worker, agent_name=f"Agent {number:03}"))
            await session.flush()
    page = (await alice.get(log_path)).text
    assert page.count('id="change-') == CHANGES_PAGE_SIZE
    [earlier] = re.findall(rf'href="({log_path}\?before=[^"]*)">Earlier', page)
    rest = (await alice.get(earlier)).text
    assert rest.count('id="change-') == 2
    assert "Agent 000" in rest
    assert f'href="{log_path}">Newest' in rest
    assert "hx-get" not in rest.split('id="config-log"')[1].split(">")[0]
    for wrong in ("x", "\0", "9" * 1000):
        assert (await alice.get(log_path, params={"before": wrong})).status_code == 200


async def test_changes_of_agents_on_hidden_boards_show_no_agent(
    browsers: Callable[[Any], httpx2.AsyncClient],
    gateway: Gateway,
    log_path: str,
    world: World,
    transaction: TransactionFactory,
) -> None:
    async with transaction() as session:
        await agents.update_agent(
            session, world.alice_member, world.gardener.id, agents.AgentUpdate.of(name="Fern")
        )
    async with transaction() as session:
        cause_id = (await session.scalars(select(AuditRecord.id))).one()
        session.add(make_change(gateway, world.gardener, cause_id=cause_id))
        (await session.merge(world.rita_member)).role = Role.ADMIN  # she may not read Garden
    page = (await browsers(world.rita).get(log_path)).text
    assert "Entry changed" in page
    assert "On a board that you cannot read" in page
    assert 'href="/audit?action=agent.updated">agent updated</a>, by Alice' in page
    for hidden in (str(world.gardener.id), "Gardener", "Fern", "mc-1", "Show the difference", "1h"):
        assert hidden not in page
    assert "Gardener" in (await browsers(world.alice).get(log_path)).text


async def test_only_admins_of_the_organization_see_the_log(
    browsers: Callable[[Any], httpx2.AsyncClient], log_path: str, world: World
) -> None:
    people = ((None, 303), (world.bob, 403), (world.charlie, 404), (world.dana, 200))
    for user, status in people:
        assert (await browsers(user).get(log_path)).status_code == status, user
