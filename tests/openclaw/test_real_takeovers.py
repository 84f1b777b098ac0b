"""Another process takes over a real gateway while messages are sent: `./run test --gateway`.

The history of the session on the gateway has each message once and in order.
"""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from tests.support.fake_llm import FakeLlm, LlmAction, LlmTurn
from tests.support.gateway_installation import (
    TIMEOUT,
    GatewayInstallation,
    run_gateway_installation,
)
from tests.support.gateway_proxy import GatewayProxy, run_gateway_proxy
from tests.support.installation import run_separate_worker
from tests.support.real_gateway import RealGateway

pytestmark = pytest.mark.skipif(
    not os.environ.get("MC_TEST_GATEWAY"), reason="needs a real gateway: --gateway"
)

LINES = [f"Line {number}." for number in range(12)]
INTERRUPTED_SEND = 4  # the number of the send after which the gateway's response does not arrive


@pytest.fixture(scope="module")
def proxy(real_gateway: RealGateway) -> Iterator[GatewayProxy]:
    with run_gateway_proxy(real_gateway.url) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def site(
    real_gateway: RealGateway,
    proxy: GatewayProxy,
    model: FakeLlm,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[GatewayInstallation]:
    gateway = replace(real_gateway, port=proxy.port)
    with run_gateway_installation(gateway, model, tmp_path_factory.mktemp("takeovers")) as site:

        def respond(turn: LlmTurn) -> LlmAction:
            """Do not call a server that is frozen: the turn would wait for it."""
            is_chat = turn.message.startswith("BOARD CHAT")
            return "Noted." if is_chat else site.behavior.respond(turn)

        model.behavior = respond
        yield site


@dataclass
class Interruption:
    """Interrupts the server once, between a send and its response."""

    interrupt: Callable[[], None]
    sent: list[str] = field(default_factory=list)

    def after_call(self, method: str, params: dict[str, Any]) -> None:
        if method == "chat.send" and params["message"].startswith("BOARD CHAT"):
            self.sent.append(params["message"])
            if len(self.sent) == INTERRUPTED_SEND:
                self.interrupt()


def post_lines(site: GatewayInstallation, board_id: str) -> None:
    """Post all lines while the board is paused, so that they are sent without a break."""
    for line in ["/pause", *LINES, "/resume"]:
        site.api.call("POST", f"/boards/{board_id}/memory", content=line, tags=["chat"])


def list_lines(site: GatewayInstallation, board_id: str) -> list[str]:
    """Return the lines that the session of the lead has on the gateway."""
    params = {"sessionKey": f"agent:lead-{board_id}:main", "limit": 200}
    messages = site.call_gateway("chat.history", params)["messages"]
    texts = [str(one["content"]) for one in messages if one["role"] == "user"]
    return [line for text in texts for line in LINES if line in text and "BOARD CHAT" in text]


def wait_for_lines(site: GatewayInstallation, board_id: str) -> None:
    deadline = time.monotonic() + 2 * TIMEOUT
    while len(found := list_lines(site, board_id)) < len(LINES):
        assert time.monotonic() < deadline, found
        time.sleep(0.5)


@pytest.mark.parametrize("fault", ["kill -9", "frozen"])
def test_a_takeover_delivers_each_message_once_and_in_order(
    site: GatewayInstallation, proxy: GatewayProxy, fault: str
) -> None:
    """A frozen server continues after the takeover, and still believes to have the gateway."""
    is_killed = fault == "kill -9"
    server = site.installation
    board_id = site.create_board(f"Relay {fault}")["id"]
    lead = site.api.call("POST", "/agents", name="Ada", board_id=board_id, is_board_lead=True)
    site.wait_for_agent(lead["id"])
    interruption = Interruption(server.kill if is_killed else server.freeze)
    with run_separate_worker(server):
        proxy.after_call = interruption.after_call
        post_lines(site, board_id)
        try:
            wait_for_lines(site, board_id)
        finally:
            server.start() if is_killed else server.unfreeze()
        site.wait_for(
            f"/agents/{lead['id']}/messages",
            lambda page: {one["state"] for one in page["items"]} == {"acknowledged"},
        )
    assert len(interruption.sent) > INTERRUPTED_SEND  # the interrupted one was sent again
    assert list_lines(site, board_id) == LINES
