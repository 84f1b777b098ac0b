"""A crew on a real gateway, and what is cut off in the middle: `./run test --gateway`."""

import os
import time
from collections.abc import Iterator

import pytest

from tests.openclaw.crew import PATIENCE, House, moved_in
from tests.openclaw.real import Real
from tests.openclaw.scripted import Model

pytestmark = pytest.mark.skipif(
    not os.environ.get("MC_TEST_GATEWAY"), reason="a real gateway is asked for with --gateway"
)


@pytest.fixture(scope="module")
def house(
    real_gateway: Real, model: Model, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[House]:
    with moved_in(real_gateway, model, tmp_path_factory.mktemp("storms")) as house:
        yield house


def test_a_restart_of_the_gateway_in_the_middle_loses_nothing(house: House) -> None:
    board = house.board("Storm")
    [worker] = house.agents(board, "Rush")
    house.ask("gateway.restart.request", {})
    task = house.api.call(
        "POST",
        f"/boards/{board['id']}/tasks",
        title="Survive",
        assigned_agent_id=worker["id"],
    )
    made = house.api.call("POST", "/agents", name="Heath", board_id=board["id"])
    path = f"/boards/{board['id']}/tasks/{task['id']}"
    house.until(path, lambda one: one["status"] == "in_progress", within=180)
    house.there(made["id"])
    told = [turn for turn in house.crew.told if task["id"] in turn.told]
    assert len(told) == 1


def test_kill_9_of_ours_in_the_middle_leaves_one_agent(house: House) -> None:
    board = house.board("Thunder")
    made = house.api.call("POST", "/agents", name="Bolt", board_id=board["id"])
    key = f"mc-{made['id']}"
    deadline = time.monotonic() + PATIENCE
    while key not in house.agents_there():
        assert time.monotonic() < deadline
    house.installation.kill()
    house.installation.start()
    house.there(made["id"])
    assert house.agents_there().count(key) == 1
    named = [one for one in house.ask("agents.list", {})["agents"] if one.get("name") == "Bolt"]
    assert len(named) == 1
