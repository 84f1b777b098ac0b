"""Real coding agents ask a real server before they call a tool. Their models are scripted.

The tests run with `./run test --agents [CLIENT,…]`, which installs the clients once.
"""

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.coding_clients import ClientMachine, install_client
from tests.support.fake_model_providers import FakeModels, run_fake_models
from tests.support.installation import (
    LOCAL_AUTH,
    LOCAL_TOKEN,
    ApiClient,
    Installation,
    find_free_port,
)

CHOSEN = [one for one in os.environ.get("MC_TEST_AGENTS", "").split(",") if one]
TIMEOUT = 120  # seconds
HOLD = 20  # seconds that a call is held
CALLS = 50  # in one turn
HOOKS_OFF = {
    "claude": (".claude/settings.json", '{"disableAllHooks": true}', []),
    "codex": (".codex/config.toml", "[features]\nhooks = false\n", ["--trust"]),
}
"""Files of a project that switch the hooks of the user off, without a word of the client."""

pytestmark = pytest.mark.skipif(not CHOSEN, reason="needs coding agents: ./run test --agents")


@dataclass
class ConnectedClient:
    """A client that is connected with an agent, and what the server knows about it."""

    machine: ClientMachine
    models: FakeModels
    installation: Installation
    api: ApiClient
    board: str
    agent: str
    token: str

    def reconnect(self, *options: str) -> None:
        """Connect again, with other options."""
        self.machine.connect(self.installation.url, self.token, *options)

    def list_calls(self) -> list[dict[str, Any]]:
        """Return the calls of the agent, newest first."""
        return self.api.call("GET", f"/agents/{self.agent}/tool-calls?limit=200")["items"]

    def list_pending(self) -> list[dict[str, Any]]:
        """Return the requests that wait for a decision."""
        return self.api.call("GET", f"/boards/{self.board}/approvals?status=pending")["items"]

    def wait_for_requests(self, number: int = 1) -> list[dict[str, Any]]:
        """Wait until requests are pending."""
        return wait_until(self.list_pending, lambda found: len(found) == number)

    def decide(self, approval: dict[str, Any], **decision: str) -> None:
        """Approve a request, or decide otherwise."""
        path = f"/boards/{self.board}/approvals/{approval['id']}"
        answer = self.api.client.patch(path, json={"status": "approved", **decision})
        assert answer.status_code == 200, answer.text

    def has_file(self, name: str) -> bool:
        """Return whether a command has written a file."""
        return (self.machine.work / name).exists()


def wait_until(read: Callable[[], Any], is_so: Callable[[Any], object]) -> Any:
    """Read until the condition holds, and return what was read."""
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        found = read()
        if is_so(found):
            return found
        time.sleep(0.1)
    raise AssertionError(f"it is still {str(found)[:3000]}")


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A running server."""
    folder = tmp_path_factory.mktemp("installation")
    running = Installation(folder / "data", find_free_port(), LOCAL_AUTH)
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def models() -> Iterator[FakeModels]:
    """The models of the clients."""
    with run_fake_models() as running:
        yield running


@pytest.fixture(scope="module", params=CHOSEN)
def connected(
    request: pytest.FixtureRequest,
    installation: Installation,
    models: FakeModels,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[ConnectedClient]:
    """A client of a person, connected with an agent on a board of its own."""
    name = request.param
    machine = ClientMachine(name, install_client(name), models, tmp_path_factory.mktemp(name))
    with ApiClient(installation.url, LOCAL_TOKEN) as api:
        board = api.create_board(f"Work of {name}")["id"]
        agent = api.call("POST", "/agents", name=name, board_id=board)
        yield ConnectedClient(
            machine, models, installation, api, board, agent["id"], agent["token"]
        )


@pytest.fixture
def client(connected: ConnectedClient) -> Iterator[ConnectedClient]:
    """The client, with settings that a test may replace."""
    connected.models.results.clear()
    connected.reconnect()
    yield connected
    connected.models.before_turn = lambda _: None
    connected.machine.close()
    for approval in connected.list_pending():
        connected.decide(approval, status="rejected")


def test_a_plain_read_asks_nobody(client: ConnectedClient) -> None:
    (client.machine.work / "note.txt").write_text("The garden is green.")
    output = client.machine.run("[[1 x cat note.txt]]")
    assert "The garden is green." in "".join(client.models.results), output
    assert client.list_pending() == []
    assert client.list_calls()[0]["answer"] == "allow"


def test_a_call_is_held_until_a_person_approves_it(client: ConnectedClient) -> None:
    running = client.machine.start("[[1 x echo hello > approved.txt]]")
    [approval] = client.wait_for_requests()
    assert approval["payload"]["input"]["command"] == "echo hello > approved.txt"
    assert approval["payload"]["client"] == client.machine.client
    held_until = time.monotonic() + HOLD
    while time.monotonic() < held_until:
        assert running.poll() is None
        time.sleep(0.5)
    assert not client.has_file("approved.txt")
    client.decide(approval)
    output = client.machine.finish(running)
    assert client.has_file("approved.txt"), output
    assert client.list_calls()[0]["answer"] == "allow"


def test_a_rejected_call_is_not_executed_and_the_model_reads_why(client: ConnectedClient) -> None:
    running = client.machine.start("[[1 x echo hello > rejected.txt]]")
    [approval] = client.wait_for_requests()
    client.decide(approval, status="rejected", note="Not on a Friday.")
    output = client.machine.finish(running)
    assert not client.has_file("rejected.txt")
    assert "Not on a Friday." in client.models.results[-1], output


def test_no_call_is_executed_while_the_server_is_away(client: ConnectedClient) -> None:
    script = "[[1 x echo hello > killed.txt]] [[1 x echo hello > killed.txt ]]"
    running = client.machine.start(script)
    client.wait_for_requests()
    client.installation.kill()
    output = client.machine.finish(running)
    client.installation.start()
    assert len(client.models.results) == 2, output
    assert not client.has_file("killed.txt")
    running = client.machine.start("[[1 x echo hello > restarted.txt]]")
    pending = wait_until(client.list_pending, lambda found: len(found) == 2)
    for approval in pending:
        client.decide(approval)
    client.machine.finish(running)
    assert client.has_file("restarted.txt")
    assert not client.has_file("killed.txt")


def test_the_server_knows_that_a_killed_client_does_not_wait(client: ConnectedClient) -> None:
    running = client.machine.start("[[1 x echo hello > alone.txt]]")
    client.wait_for_requests()
    running.kill()
    running.wait()
    [call] = wait_until(lambda: client.list_calls()[:1], lambda found: found[0]["abandoned_at"])
    assert call["answer"] is None
    assert not client.has_file("alone.txt")


def test_a_late_decision_lets_the_next_equal_call_pass_once(client: ConnectedClient) -> None:
    client.reconnect("--wait", "3")

    def decide_late(turn: int) -> None:
        if turn == 1:
            [approval] = client.list_pending()
            client.decide(approval)

    client.models.before_turn = decide_late
    command = "echo hello >> late.txt"
    output = client.machine.run(f"[[1 x {command}]] [[1 x {command} ]] [[1 x  {command}]]")
    assert (client.machine.work / "late.txt").read_text() == "hello\n", output
    assert len(client.list_pending()) == 1  # for the third call


def test_many_calls_of_one_turn_are_all_answered(client: ConnectedClient) -> None:
    for number in range(CALLS):
        (client.machine.work / f"note-{number}.txt").write_text(f"Note {number}.")
    before = len(client.list_calls())
    output = client.machine.run(f"[[{CALLS} x cat note-%i.txt]]")
    calls = client.list_calls()
    assert len(calls) == before + CALLS, output
    assert {call["answer"] for call in calls[:CALLS]} == {"allow"}
    assert client.list_pending() == []


def test_two_sessions_of_one_agent_get_their_own_decisions(client: ConnectedClient) -> None:
    first = client.machine.start("[[1 x echo hello > first.txt]]")
    [approved] = client.wait_for_requests()
    second = client.machine.start("[[1 x echo hello > second.txt]]")
    pending = client.wait_for_requests(2)
    [rejected] = [one for one in pending if one["id"] != approved["id"]]
    assert rejected["payload"]["session"] != approved["payload"]["session"]
    client.decide(rejected, status="rejected", note="No.")
    client.decide(approved)
    client.machine.finish(first)
    client.machine.finish(second)
    assert client.has_file("first.txt")
    assert not client.has_file("second.txt")


def test_a_call_without_a_question_is_noticed(client: ConnectedClient) -> None:
    if client.machine.client not in HOOKS_OFF:
        pytest.skip("its telemetry does not name calls")
    path, text, options = HOOKS_OFF[client.machine.client]
    project = client.machine.work / path
    project.parent.mkdir(exist_ok=True)
    project.write_text(text)
    try:
        output = client.machine.run("[[1 x echo hello > ungated.txt]]", *options)
    finally:
        project.unlink()
    assert client.has_file("ungated.txt"), output
    wait_until(client.list_calls, lambda calls: calls[0]["is_ungated"])


def test_a_deferred_call_is_executed_when_the_session_is_resumed(client: ConnectedClient) -> None:
    if client.machine.client != "claude":
        pytest.skip("only Claude Code can defer a call")
    client.reconnect("--headless")
    output = client.machine.run("[[1 x echo hello > deferred.txt]]")
    result = json.loads(output.splitlines()[-1])
    assert result["terminal_reason"] == "tool_deferred"
    assert not client.has_file("deferred.txt")
    [approval] = client.wait_for_requests()
    client.decide(approval)
    output = client.machine.run("", "--resume", result["session_id"])
    assert client.has_file("deferred.txt"), output


def test_check_finds_nothing_wrong_with_a_connected_client(client: ConnectedClient) -> None:
    printed = client.machine.run_program("check", client.machine.client)
    assert printed.count("ok ") == 4


def test_a_disconnected_client_asks_nobody(client: ConnectedClient) -> None:
    client.machine.run_program("disconnect", client.machine.client, "--yes")
    output = client.machine.run("[[1 x echo hello > free.txt]]")
    assert client.has_file("free.txt"), output
    settings = "".join(
        file.read_text("utf-8", "ignore")
        for folder in (".claude", ".codex", ".gemini", ".copilot", ".config", ".claude.json")
        for file in [client.machine.home / folder, *(client.machine.home / folder).rglob("*")]
        if file.suffix in (".json", ".toml", ".js") and file.is_file()
    )
    assert client.token not in settings
