"""What Mission Control changes on a real gateway for the agents of others: nothing.

`./run test --gateways all` runs it with each supported version.
"""

import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from openclaw import Capability
from tests.support.fake_llm import MODEL, FakeLlm
from tests.support.gateway_installation import (
    TIMEOUT,
    GatewayInstallation,
    call_gateway,
    run_gateway_installation,
)
from tests.support.older_gateways import MISSING
from tests.support.real_gateway import VERSION, RealGateway, run_real_gateway

Row = dict[str, Any]

pytestmark = pytest.mark.skipif(
    not os.environ.get("MC_TEST_GATEWAY"), reason="needs a real gateway: --gateway"
)

OTHERS = {"main", "ada", "bob", "cyd"}
OURS = ("mc-", "lead-")
HAS_MONITORS = Capability.HEARTBEAT_SCRATCH not in MISSING.get(VERSION, frozenset())
"""Whether heartbeats are jobs, which `cron.list` and `tasks.list` contain."""


@pytest.fixture(scope="module")
def gateway(model: FakeLlm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealGateway]:
    """A gateway whose defaults give `main` and three other agents a heartbeat."""
    state = tmp_path_factory.mktemp("heartbeats")
    defaults = {
        "model": {"primary": f"scripted/{MODEL}"},
        "workspace": str(state / "workspace"),
        "heartbeat": {"every": "10m", "target": "none"},
    }
    config = {"agents": {"defaults": defaults}}
    with run_real_gateway(state, model=model.url, config=config) as gateway:
        for name in sorted(OTHERS - {"main"}):
            workspace = str(state / name)
            call_gateway(gateway, "agents.create", {"name": name, "workspace": workspace})
            wait_until(lambda name=name: name in list_agents(gateway))
        wait_until(lambda: not HAS_MONITORS or list_beating(gateway) == OTHERS)
        yield gateway


@pytest.fixture(scope="module")
def untouched(gateway: RealGateway) -> tuple[Any, Any]:
    """What the gateway has of others before Mission Control is connected."""
    return read_foreign_parts(gateway)


@pytest.fixture(scope="module")
def site(
    gateway: RealGateway,
    untouched: object,
    model: FakeLlm,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[GatewayInstallation]:
    folder = tmp_path_factory.mktemp("site")
    with run_gateway_installation(gateway, model, folder) as site:
        [agent] = site.api.call("GET", f"/agents?gateway_id={site.gateway_id}")["items"]
        site.wait_for_agent(agent["id"])
        yield site


def wait_until(is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.5)


def list_agents(gateway: RealGateway) -> list[str]:
    return [agent["id"] for agent in call_gateway(gateway, "agents.list", {})["agents"]]


def list_jobs(gateway: RealGateway) -> list[Row]:
    return call_gateway(gateway, "cron.list", {"includeDisabled": True})["jobs"]


def list_beating(gateway: RealGateway) -> set[str]:
    """Return the agents with heartbeats."""
    jobs = [job for job in list_jobs(gateway) if job["payload"]["kind"] == "heartbeat"]
    return {job["agentId"] for job in jobs if job["enabled"]}


def read_foreign_parts(gateway: RealGateway) -> tuple[Any, Any]:
    """Return the configuration without our entries, and the jobs of the agents of others."""
    config = call_gateway(gateway, "config.get", {})["parsed"]
    config.pop("meta", None)  # the gateway notes the time of each change
    agents = config["agents"]
    if "entries" in agents:
        entries = agents["entries"].items()
        agents["entries"] = {key: entry for key, entry in entries if not key.startswith(OURS)}
    else:
        rows = agents.get("list", [])
        agents["list"] = [entry for entry in rows if not entry["id"].startswith(OURS)]
    parts = ("id", "name", "agentId", "enabled", "schedule", "payload", "sessionTarget")
    jobs = [
        {part: job.get(part) for part in parts}
        for job in list_jobs(gateway)
        if not job["agentId"].startswith(OURS)
    ]
    return config, sorted(jobs, key=lambda job: str(job["name"]))


def list_failed_tasks(gateway: RealGateway) -> list[Row]:
    """Return the tasks of our agents that the gateway shows as failed.

    A forced run that the gateway skips because another job is running is not a failure.
    """
    tasks = call_gateway(gateway, "tasks.list", {})["tasks"]
    ours = [task for task in tasks if task.get("agentId", "").startswith(OURS)]
    failed = [task for task in ours if task["status"] == "failed"]
    return [task for task in failed if task.get("error") != "heartbeat skipped: cron-in-progress"]


def run_our_heartbeats(site: GatewayInstallation, gateway: RealGateway) -> None:
    """Run the heartbeats that our agents inherit, one after the other."""
    for job in list_jobs(gateway):
        if job["payload"]["kind"] != "heartbeat" or not job["agentId"].startswith(OURS):
            continue
        call_gateway(gateway, "cron.run", {"id": job["id"], "mode": "force"})
        runs = {"id": job["id"]}
        wait_until(lambda runs=runs: call_gateway(gateway, "cron.runs", runs)["entries"])


def test_agents_of_others_are_unchanged_until_the_gateway_is_removed(
    gateway: RealGateway, site: GatewayInstallation, untouched: tuple[Any, Any]
) -> None:
    def check() -> None:
        assert read_foreign_parts(gateway) == untouched
        assert not HAS_MONITORS or list_beating(gateway) >= OTHERS
        assert list_failed_tasks(gateway) == []

    check()
    board = site.create_board("Harbour")
    [tern] = site.create_agents(board, "Tern")
    loud = {"every": "10s", "quiet": False}
    [gull] = site.create_agents(board, "Gull", heartbeat_config=loud)
    check()
    site.wait_for(
        f"/agents/{gull['id']}/messages",
        lambda page: "HEARTBEAT" in {m["kind"] for m in page["items"] if m["acknowledged_at"]},
    )
    for agent, name, every in ((tern, "Arctic tern", "1h"), (gull, "Ivory gull", "0m")):
        path = f"/agents/{agent['id']}"
        site.api.call("PATCH", path, name=name, heartbeat_config={"every": every})
        site.wait_for_agent(agent["id"])
        site.wait_until_idle(agent["id"])
    check()
    if HAS_MONITORS:
        run_our_heartbeats(site, gateway)
    check()
    site.api.call("DELETE", f"/agents/{tern['id']}")
    wait_until(lambda: f"mc-{tern['id']}" not in list_agents(gateway))
    check()
    site.api.call("DELETE", f"/boards/{board['id']}")
    site.api.call("DELETE", f"/gateways/{site.gateway_id}")
    wait_until(lambda: set(list_agents(gateway)) == OTHERS)
    check()
    assert {job["agentId"] for job in list_jobs(gateway)} <= OTHERS
