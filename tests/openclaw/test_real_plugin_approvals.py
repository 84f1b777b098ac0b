"""A plugin of a real gateway that asks before an agent acts: `./run test --gateway`."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_llm import FakeLlm
from tests.support.gateway_installation import GatewayInstallation, run_gateway_installation
from tests.support.real_gateway import run_real_gateway

pytestmark = pytest.mark.skipif(
    not os.environ.get("MC_TEST_GATEWAY"), reason="needs a real gateway: --gateway"
)

PLUGIN = "deploy-policy"
CODE = """
export default {
  id: "deploy-policy",
  name: "Deploy policy",
  description: "Asks before a command deploys.",
  register(api) {
    api.on("before_tool_call", async (event) => {
      const command = String(event.params?.command ?? "");
      if (!command.includes("deployed")) return;
      return {
        requireApproval: {
          title: "Deploy the shop",
          description: `Deploy with ${command}.`,
          severity: "critical",
          allowedDecisions: ["allow-once", "deny"],
          scope: { kind: "external-post", target: "github", visibility: "public" },
          timeoutMs: 120000,
        },
      };
    });
  },
};
"""
MANIFEST = {
    "id": PLUGIN,
    "name": "Deploy policy",
    "description": "Asks before a command deploys.",
    "activation": {"onStartup": True},
    "configSchema": {"type": "object", "additionalProperties": False},
}
PACKAGE = {
    "name": PLUGIN,
    "version": "1.0.0",
    "type": "module",
    "openclaw": {"extensions": ["./index.js"]},
}


def write_plugin(folder: Path) -> dict[str, Any]:
    """Write the plugin, and return the configuration with which a gateway loads it."""
    folder.mkdir()
    (folder / "openclaw.plugin.json").write_text(json.dumps(MANIFEST))
    (folder / "package.json").write_text(json.dumps(PACKAGE))
    (folder / "index.js").write_text(CODE)
    entries = {PLUGIN: {"enabled": True}}
    load = {"paths": [str(folder)]}
    return {"plugins": {"enabled": True, "allow": [PLUGIN], "load": load, "entries": entries}}


@pytest.fixture(scope="module")
def site(model: FakeLlm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayInstallation]:
    """An installation with a gateway of its own, because the shared one loads no plugins."""
    folder = tmp_path_factory.mktemp("plugins")
    config = write_plugin(folder / "plugin")
    with (
        run_real_gateway(folder / "gateway", model=model.url, config=config) as gateway,
        run_gateway_installation(gateway, model, folder) as site,
    ):
        yield site


@pytest.fixture(scope="module")
def worker(site: GatewayInstallation) -> dict[str, Any]:
    [worker] = site.create_agents(site.create_board("Shop"), "Wren")
    return worker


@pytest.mark.parametrize("decision", ["allow-once", "deny"])
def test_an_action_of_a_plugin_waits_for_a_decision(
    site: GatewayInstallation, worker: dict[str, Any], decision: str
) -> None:
    board_id, key = worker["board_id"], f"agent:mc-{worker['id']}:main"
    command = f"touch deployed-{decision}"
    message = f"/gateways/sessions/{key}/message?board_id={board_id}"
    site.api.call("POST", message, content=f"run: {command}")
    waiting = f"/gateway-requests?board_id={board_id}&state=waiting"
    [request] = site.wait_for(waiting, lambda page: page["items"])["items"]
    assert (request["kind"], request["command"]) == ("plugin", None)
    shown = request["plugin_action"]
    assert (shown["title"], shown["description"]) == ("Deploy the shop", f"Deploy with {command}.")
    assert (shown["pluginId"], shown["toolName"], shown["severity"]) == (PLUGIN, "exec", "critical")
    assert request["agent_id"] == worker["id"]
    assert request["allowed_decisions"] == ["allow-once", "deny"]
    path = f"/gateway-requests/{request['id']}"
    site.api.call("POST", f"{path}/answer", decision=decision, sha256=request["sha256"])
    delivered = site.wait_for(path, lambda item: item["delivered_at"])
    assert (delivered["state"], delivered["error"]) == ("answered", None)
    runs = f"/agents/{worker['id']}/runs"
    site.wait_for(runs, lambda page: page["items"][0]["status"] == "ended")
    was_run = bool(list(site.workspaces.glob(f"*/deployed-{decision}")))
    assert was_run == (decision == "allow-once")
