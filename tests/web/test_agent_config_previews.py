"""The forms of agents show what they change in the configuration of a gateway."""

import html
import re
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from core.db.engine import TransactionFactory
from models import Agent, Board, DesiredState, Gateway
from tests.support.agent_pages import HTMX, address, new
from tests.support.world import World

__all__ = ["address", "new"]

TITLE = "Change in the configuration of the gateway"
BUTTON = "Show the change on the gateway"
NEW_PATH = "/agents/new"


@pytest.fixture
async def provisioned(gateway: Gateway, world: World, transaction: TransactionFactory) -> Agent:
    """The worker of Launch, which is on the gateway of Tern, as its board is."""
    async with transaction() as session:
        (await session.get_one(Board, world.board.id)).gateway_id = gateway.id
        agent = await session.get_one(Agent, world.worker.id)
        agent.desired_state = DesiredState.RUNNING
        agent.heartbeat_config = {"every": "10m"}
    return agent


@pytest.fixture
def submitted(world: World) -> dict[str, str]:
    return {"name": "Worker", "every": "10m", "emoji": ":gear:", "board_id": str(world.board.id)}


def shown_lines(text: str) -> dict[str, list[str]]:
    """Return the added and the removed lines of the differences on a page."""
    return {
        tag: [html.unescape(line).strip(" ,") for line in re.findall(f"<{tag}[^>]*>([^<]*)<", text)]
        for tag in ("ins", "del")
    }


def is_hidden(part: str) -> bool:
    [section] = re.findall(r'<section[^>]*id="config-change"[^>]*>', part)
    return section.endswith(" hidden>")


async def test_a_changed_agent_shows_the_difference_of_its_entry(
    alice: httpx2.AsyncClient,
    provisioned: Agent,
    address: str,
    submitted: dict[str, str],
    transaction: TransactionFactory,
) -> None:
    page = (await alice.get(f"{address}/settings")).text
    assert f'hx-post="{address}/config-changes"' in page
    assert "The configuration of the gateway stays as it is." in page

    for change, added, removed in [
        ({"name": "Moss"}, ['"name": "Moss"'] * 2, ['"name": "Worker"'] * 2),
    ]:
        part = await alice.post(f"{address}/config-changes", data=submitted | change, headers=HTMX)
        assert part.status_code == 200
        assert "<html" not in part.text
        assert "Saving changes this entry on Harbour." in part.text
        assert shown_lines(part.text) == {"ins": added, "del": removed}
        assert '"mc-1": {' in html.unescape(part.text)
    part = await alice.post(f"{address}/config-changes", data=submitted, headers=HTMX)
    assert "The configuration of the gateway stays as it is." in part.text
    async with transaction() as session:
        stored = await session.get_one(Agent, provisioned.id)
        assert (stored.name, stored.heartbeat_config) == ("Worker", {"every": "10m"})


async def test_a_field_that_somebody_else_changed_is_no_change_of_the_form(
    alice: httpx2.AsyncClient,
    provisioned: Agent,
    address: str,
    submitted: dict[str, str],
    transaction: TransactionFactory,
) -> None:
    page = (await alice.get(f"{address}/settings")).text
    form = submitted | dict(re.findall(r'name="(shown\.\w+)" value="(\w+)"', page))
    async with transaction() as session:
        (await session.get_one(Agent, provisioned.id)).name = "Renamed"
    part = await alice.post(f"{address}/config-changes", data=form | {"every": "1h"}, headers=HTMX)
    assert shown_lines(part.text) == {"ins": [], "del": []}
    conflict = await alice.post(
        f"{address}/config-changes", data=form | {"name": "Mine"}, headers=HTMX
    )
    assert (conflict.status_code, shown_lines(conflict.text)["ins"]) == (200, [])


async def test_a_new_agent_on_a_gateway_shows_its_entry(
    alice: httpx2.AsyncClient, provisioned: Agent, new: dict[str, str], world: World
) -> None:
    page = (await alice.get(f"{NEW_PATH}?client=gateway")).text
    assert f'hx-post="{NEW_PATH}"' in page
    assert is_hidden(page)

    part = (await alice.post(NEW_PATH, data=new | {"every": "5m"}, headers=HTMX)).text
    lines = shown_lines(part)
    assert "Harbour adds an entry with the workspace of the agent." in part
    assert lines["del"] == []
    assert lines["ins"][0] == '"mc-…": {'
    assert '"name": "Juniper"' in lines["ins"]

    lead = (await alice.post(NEW_PATH, data=new | {"kind": "lead"}, headers=HTMX)).text
    assert shown_lines(lead)["ins"][0] == f'"lead-{world.board.id}": {{'

    elsewhere = new | {"board_id": str(world.garden.id)}
    part = (await alice.post(NEW_PATH, data=elsewhere, headers=HTMX)).text
    assert shown_lines(part)["ins"] == []
    assert "Juniper" not in (await alice.get("/agents")).text


@pytest.mark.parametrize(
    "wrong",
    [{"name": " "}, {"name": "a\nb"}, {"name": "J" * 101}, {"every": "soon"}, {"board_id": "x"}],
)
async def test_an_invalid_form_shows_no_difference_and_its_error_without_scripts(
    alice: httpx2.AsyncClient,
    provisioned: Agent,
    address: str,
    submitted: dict[str, str],
    wrong: dict[str, str],
) -> None:
    for path in (f"{address}/config-changes", NEW_PATH):
        form = submitted | {"name": "Moss", "every": "1h"} | wrong
        for headers, status in ((HTMX, 200), ({}, 422)):
            shown = await alice.post(path, data=form, headers=headers)
            assert shown.status_code == status
            assert shown_lines(shown.text) == {"ins": [], "del": []}
            assert ('class="err"' in shown.text) is (status == 422)
            assert "The changes are shown here when all fields above are valid." in shown.text


async def test_the_difference_is_shown_without_scripts_and_nothing_is_saved(
    alice: httpx2.AsyncClient,
    provisioned: Agent,
    address: str,
    submitted: dict[str, str],
    new: dict[str, str],
) -> None:
    for path, form, field in [
        (f"{address}/config-changes", submitted | {"name": "Moss & Fern"}, "Moss &amp; Fern"),
        (NEW_PATH, new | {"name": "<b>Juniper"}, "&lt;b&gt;Juniper"),
    ]:
        form |= {"form_id": "0" * 32}
        for _ in range(2):  # also for the same content in the same form
            page = await alice.post(path, data=form)
            assert page.status_code == 200
            assert f'formaction="{path}">{BUTTON}<' in page.text
            assert f'value="{field}"' in page.text
            assert f'"name": "{html.unescape(field)}"' in shown_lines(page.text)["ins"]
    # The first button of a form is the one that Enter presses.
    assert page.text.index('data-busy="Adding the agent"') < page.text.index(BUTTON)
    names = (await alice.get("/agents")).text
    assert "Moss" not in names
    assert "Juniper" not in names
    assert (await alice.get(f"{address}/config-changes")).status_code == 200


async def test_agents_without_a_gateway_and_linked_agents_show_nothing(
    alice: httpx2.AsyncClient,
    address: str,
    submitted: dict[str, str],
    world: World,
) -> None:
    form = submitted | {"every": "1h"}
    for path in (f"{address}/settings", f"{NEW_PATH}?client=program"):  # no gateway
        page = (await alice.get(path)).text
        assert 'id="agent-form"' in page
        assert 'id="config-change"' not in page
        assert BUTTON not in page
    part = (await alice.post(f"{address}/config-changes", data=form, headers=HTMX)).text
    assert '<section class="stack stack--2 no-js"' in part
    assert shown_lines(part) == {"ins": [], "del": []}


async def test_a_linked_agent_has_no_difference(
    alice: httpx2.AsyncClient,
    provisioned: Agent,
    address: str,
    submitted: dict[str, str],
    transaction: TransactionFactory,
) -> None:
    async with transaction() as session:
        linked = await session.get_one(Agent, provisioned.id)
        linked.is_linked, linked.desired_state = True, None
    assert 'id="config-change"' not in (await alice.get(f"{address}/settings")).text
    form = submitted | {"every": "1h"}
    part = (await alice.post(f"{address}/config-changes", data=form, headers=HTMX)).text
    assert shown_lines(part) == {"ins": [], "del": []}


async def test_a_move_shows_what_is_removed(
    alice: httpx2.AsyncClient,
    provisioned: Agent,
    address: str,
    submitted: dict[str, str],
    world: World,
) -> None:
    form = submitted | {"board_id": str(world.garden.id)}
    part = (await alice.post(f"{address}/config-changes", data=form, headers=HTMX)).text
    assert "Harbour removes the entry of the agent with its workspace." in part
    assert '"mc-1": {' in shown_lines(part)["del"]
    assert shown_lines(part)["ins"] == []


async def test_only_people_who_may_edit_an_agent_see_its_difference(
    browsers: Callable[[Any], httpx2.AsyncClient],
    provisioned: Agent,
    address: str,
    submitted: dict[str, str],
    new: dict[str, str],
    world: World,
) -> None:
    forms = {f"{address}/config-changes": submitted, NEW_PATH: new}
    for user, status in (
        (None, 303),
        (world.bob, 403),
        (world.rita, 403),
        (world.charlie, 404),
    ):
        for path, data in forms.items():
            answer = await browsers(user).post(path, data=data)
            assert answer.status_code == status, (user, path)
    invalid = await browsers(world.charlie).post(f"{address}/config-changes", data={})
    assert invalid.status_code == 404
    foreign = submitted | {"board_id": str(world.charlies_board.id)}
    answer = await browsers(world.alice).post(f"{address}/config-changes", data=foreign)
    assert answer.status_code == 404
