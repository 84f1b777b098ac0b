"""The programs that run beside coding agents: how they are served, and what they do."""

import ast
import hashlib
import io
import json
import os
import re
import shutil
import signal
import ssl
import stat
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import module_from_spec, spec_from_file_location
from itertools import cycle, product
from pathlib import Path
from threading import Event, Thread
from typing import Any
from unittest.mock import patch

import httpx2
import pytest

from core.config.settings import Settings
from tests.support.live_server import run_server, run_sh_in
from tests.support.people_rows import token_secret
from tests.support.tiers import repetition
from tests.support.tls_certificates import PrivateCa
from tests.support.world import World
from web.agents.connection_views import build_claude_settings
from web.ui.assets import STATIC, hash_client_file

PROGRAM = STATIC / "clients" / "client.py"
PLUGIN = STATIC / "clients" / "opencode.js"
TOKEN = "mc_agent_" + "x" * 43
SETTINGS = ".config/mission-control/client.json"
BOARD = "0193a5c2-7d1e-7c63-9a58-2f1d8f0b6a11"
CLIENTS = ("claude", "codex", "copilot", "gemini", "opencode")
ASKING = {"codex": "PreToolUse", "copilot": "preToolUse", "gemini": "BeforeTool"}
CALL = {
    "session_id": "s-1",
    "cwd": "/home/dev/project",
    "tool_name": "Bash",
    "tool_input": {"command": "rm -rf build"},
}
DENIALS: dict[str, dict[str, Any]] = {
    "codex": {
        "hookSpecificOutput": {
            "hookEventName": "PreToolUse",
            "permissionDecision": "deny",
            "permissionDecisionReason": "Not now.",
        }
    },
    "copilot": {"permissionDecision": "deny", "permissionDecisionReason": "Not now."},
    "gemini": {"decision": "deny", "reason": "Not now."},
}
APPROVALS: dict[str, dict[str, Any]] = {
    "codex": {},
    "copilot": {"permissionDecision": "allow", "permissionDecisionReason": "Yes."},
    "gemini": {"decision": "allow", "reason": "Yes."},
}


@dataclass
class HookServer:
    """A server that answers as a test says, and keeps what it received."""

    url: str = ""
    status: int = 200
    answer: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    holds: bool = False
    requests: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)
    is_asked: Event = field(default_factory=Event)
    is_left: Event = field(default_factory=Event)


class HookHandler(BaseHTTPRequestHandler):
    """Answers one request as the server says."""

    state: HookServer

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        files = {"/client.py": PROGRAM, "/clients/opencode.js": PLUGIN}
        if file := files.get(self.path):
            self.send(200, file.read_bytes())
        else:  # the check of the token
            is_known = self.headers["Authorization"] == f"Bearer {TOKEN}"
            body = {"board_id": BOARD} if is_known else {"detail": "This token is wrong."}
            self.send(200 if is_known else 401, json.dumps(body).encode())

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.state.requests.append((self.path, dict(self.headers), body))
        self.state.is_asked.set()
        if self.state.holds:
            with suppress(ConnectionError):
                self.connection.recv(1)  # returns when the client closes the connection
            self.state.is_left.set()
        else:
            self.send(self.state.status, self.state.answer)

    def send(self, status: int, content: bytes) -> None:
        self.send_response(status)
        for name, value in self.state.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def run_hook_server(context: ssl.SSLContext | None = None) -> Generator[HookServer]:
    """Run a server on loopback, with TLS if there is a context."""
    state = HookServer()
    handler = type("Handler", (HookHandler,), {"state": state})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        running.daemon_threads = True
        if context:
            running.socket = context.wrap_socket(running.socket, server_side=True)
        state.url = f"http{'s' if context else ''}://127.0.0.1:{running.server_port}"
        Thread(target=running.serve_forever, args=(0.05,), daemon=True).start()
        yield state
        running.shutdown()


@pytest.fixture
def server() -> Iterator[HookServer]:
    """A server on loopback."""
    with run_hook_server() as running:
        yield running


_spec = spec_from_file_location("client_program", PROGRAM)
assert _spec
assert _spec.loader
IMPORTED: Any = module_from_spec(_spec)
_spec.loader.exec_module(IMPORTED)


@dataclass
class Machine:
    """The home of a person who uses clients."""

    home: Path
    environment: dict[str, str] = field(default_factory=dict)

    def call(self, command: str, *words: str, input: bytes = b"") -> Any:
        """Run a command in this process, which is faster, and return it like a process."""
        out, err = io.StringIO(), io.StringIO()
        with (
            patch.dict(os.environ, self.variables, clear=True),
            patch("sys.stdin", io.TextIOWrapper(io.BytesIO(input))),
            chdir(self.home),
            redirect_stdout(out),
            redirect_stderr(err),
        ):
            # `main` ends the process of a hook
            is_hook = command == "hook"
            status = IMPORTED.run_hook(*words) if is_hook else IMPORTED.main([command, *words])
        printed = (stream.getvalue().encode() for stream in (out, err))
        return subprocess.CompletedProcess(words, status, *printed)

    def run(self, *words: str, input: bytes = b"", program: Path = PROGRAM) -> Any:
        """Run the program as it is installed, and return the finished process."""
        return subprocess.run(
            [sys.executable, "-I", str(program), *words],
            input=input,
            env=self.variables,
            cwd=self.home,
            capture_output=True,
            timeout=60,
        )

    @property
    def variables(self) -> dict[str, str]:
        return {"HOME": str(self.home), "PATH": "/usr/bin:/bin", **self.environment}

    def ask(self, client: str) -> Any:
        return self.call("hook", client, ASKING[client], input=json.dumps(CALL).encode())

    def write(self, path: str, text: str) -> Path:
        file = self.home / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def read_files(self) -> dict[str, bytes]:
        return {
            str(file.relative_to(self.home)): file.read_bytes()
            for file in sorted(self.home.rglob("*"))
            if file.is_file()
        }


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """An empty home."""
    return Machine(tmp_path)


@pytest.fixture
def asking(machine: Machine, server: HookServer) -> Machine:
    """A home whose environment names the server and the token."""
    machine.environment = {"MC_URL": server.url, "MC_TOKEN": TOKEN}
    return machine


@pytest.mark.parametrize(
    ("path", "kind"), [("/client.py", "text/x-python"), ("/clients/opencode.js", "text/javascript")]
)
async def test_everybody_gets_the_newest_programs_of_clients(anonymous, path, kind) -> None:
    answer = await anonymous.get(path)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith(kind)
    assert answer.headers["Cache-Control"] == "no-cache"
    assert hash_client_file(path) == hashlib.sha256(answer.content).hexdigest()


def test_the_program_needs_nothing_but_python_3_9() -> None:
    tree = ast.parse(PROGRAM.read_text(), feature_version=(3, 9))
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
        )
    }
    assert imported <= sys.stdlib_module_names


def test_the_program_knows_the_plugin_of_its_version() -> None:
    assert f'PLUGIN_HASH = "{hash_client_file("/clients/opencode.js")}"' in PROGRAM.read_text()


@pytest.mark.parametrize("client", ASKING)
@pytest.mark.parametrize("answers", [DENIALS, APPROVALS])
def test_a_hook_gives_the_client_the_decision(server, asking, client, answers) -> None:
    server.answer = json.dumps(answers[client] | {"systemMessage": "x", "continue": False}).encode()
    if client == "codex" and not answers[client]:
        server.answer = b"{}"
    question = json.dumps(CALL).encode()
    done = asking.run("hook", client, ASKING[client], input=question)
    assert (done.returncode, json.loads(done.stdout)) == (0, answers[client])
    [(path, headers, body)] = server.requests
    assert path == f"/hooks/{client}?wait=570"
    assert headers["Authorization"] == f"Bearer {TOKEN}"
    assert headers["X-Hook-Event"] == ASKING[client]
    assert body["tool_input"] == CALL["tool_input"]


def is_blocked(client: str, done: Any) -> bool:
    """Return whether a client takes the result of a hook for a denial with a reason."""
    if client == "copilot" and done.returncode == 0:
        answer = json.loads(done.stdout)
        return answer["permissionDecision"] == "deny" and bool(answer["permissionDecisionReason"])
    return done.returncode == 2 and b"The call is blocked." in done.stderr


UNUSABLE = {
    "an error": (500, b"{}", {}),
    "a wrong token": (401, b'{"detail": "This token is wrong."}', {}),
    "a redirect": (307, b"", {"Location": "http://127.0.0.1:1/"}),
    "a page of a proxy": (200, b"<html>", {}),
    "nothing": (200, b"", {}),
    "no object": (200, b"[]", {}),
    "no decision": (200, b'{"status": "ok"}', {}),
    "an unknown decision": (200, b'{"decision": "maybe", "permissionDecision": "maybe"}', {}),
    "an endless answer": (200, b'"' + b"x" * 1_000_001, {}),
    "deep nesting": (200, b"[" * 500_000, {}),
    "no text": (200, b"\xff\xfe", {}),
}


UNUSABLE_FOR = [
    *zip(cycle(ASKING), UNUSABLE, strict=False),
    *product(ASKING, ["no decision", "an unknown decision"]),
]


@pytest.mark.parametrize(("client", "case"), UNUSABLE_FOR)
def test_a_hook_blocks_the_call_without_a_usable_answer(server, asking, client, case) -> None:
    server.status, server.answer, server.headers = UNUSABLE[case]
    assert is_blocked(client, asking.ask(client))


@pytest.mark.parametrize("client", ASKING)
def test_a_hook_blocks_the_call_if_nobody_can_be_asked(machine, client) -> None:
    machine.environment = {"MC_URL": "http://127.0.0.1:1", "MC_TOKEN": TOKEN}
    assert is_blocked(client, machine.ask(client))
    machine.environment = {"MC_URL": "http://mission.example", "MC_TOKEN": TOKEN}
    assert is_blocked(client, machine.ask(client))  # it would not be encrypted
    machine.environment = {}
    assert is_blocked(client, machine.ask(client))
    settings = json.dumps({"clients": {client: {"url": 1}}})
    machine.write(".config/mission-control/client.json", settings)
    assert is_blocked(client, machine.ask(client))


@pytest.mark.parametrize(
    "input",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b'{"a": ' * 100_000,
        json.dumps({"tool_name": "x" * 2_000_001}).encode(),
    ],
)
def test_a_hook_blocks_the_call_if_the_client_is_not_understood(asking, input) -> None:
    assert is_blocked("gemini", asking.call("hook", "gemini", "BeforeTool", input=input))


def test_the_hook_of_an_unknown_client_blocks_the_call(asking) -> None:
    done = asking.run("hook", "other", "BeforeTool", input=json.dumps(CALL).encode())
    assert is_blocked("other", done)


def test_a_hook_shows_no_control_characters_of_an_error(server, asking) -> None:
    server.status, server.answer = 503, json.dumps({"detail": "\x1b[2Jdown\u202e\r"}).encode()
    done = asking.ask("codex")
    assert done.returncode == 2
    assert "it answered 503:  [2Jdown  . The call" in done.stderr.decode()


def test_a_hook_sends_no_token_without_a_trusted_certificate(machine, tmp_path) -> None:
    ca = PrivateCa.create()
    with run_hook_server(ca.create_tls_context(tmp_path)) as server:
        server.answer = json.dumps(APPROVALS["gemini"]).encode()
        machine.environment = {"MC_URL": server.url, "MC_TOKEN": TOKEN}
        assert is_blocked("gemini", machine.ask("gemini"))
        assert server.requests == []
        machine.environment["SSL_CERT_FILE"] = str(machine.write("ca.pem", ca.pem))
        assert machine.ask("gemini").returncode == 0


def test_a_hook_reports_events_without_prompts_and_results(server, asking) -> None:
    payload = CALL | {"prompt": "secret", "toolResult": {"resultType": "failure", "text": "secret"}}
    done = asking.call("hook", "copilot", "postToolUse", input=json.dumps(payload).encode())
    assert (done.returncode, done.stdout) == (0, b"")
    [(_, headers, body)] = server.requests
    assert headers["X-Hook-Event"] == "postToolUse"
    assert body == CALL | {"toolResult": {"resultType": "failure"}}
    server.status = 500
    for input in (b"{}", b"no object", b'{"prompt": "' + b"x" * 3_000_000 + b'"}'):
        assert asking.call("hook", "codex", "Stop", input=input).returncode == 0


@pytest.mark.parametrize("has_proc", [True, pytest.param(False, marks=repetition)])
def test_a_hook_ends_when_its_client_is_killed(server, asking, has_proc) -> None:
    server.holds = True
    program = PROGRAM
    if not has_proc:  # as on macOS
        text = PROGRAM.read_text().replace("/proc/self/stat", "/proc/self/missing")
        text = text.replace("if PROCESSES.exists() else 5", "")  # it looks as often as with /proc
        program = asking.write("client.py", text)
    command = f"{sys.executable} -I {program} hook codex || exit 2"
    client = subprocess.Popen(
        [sys.executable, "-c", f"import subprocess; subprocess.run({command!r}, shell=True)"],
        stdin=subprocess.PIPE,
        env=asking.variables,
    )
    assert client.stdin
    client.stdin.write(json.dumps(CALL | {"hook_event_name": "PreToolUse"}).encode())
    client.stdin.close()
    assert server.is_asked.wait(30)
    client.send_signal(signal.SIGKILL)
    client.wait()
    assert server.is_left.wait(30)


def test_a_hook_prefers_its_settings_to_the_environment(server, asking) -> None:
    """A file of a project can set variables of some clients."""
    words = ("connect", "gemini", "--url", server.url, "--token", TOKEN, "--yes")
    assert asking.call(*words).returncode == 0
    asking.environment = {"MC_URL": "http://127.0.0.1:1", "MC_TOKEN": "y" * 20, "HOME": "/nowhere"}
    server.answer = json.dumps(APPROVALS["gemini"]).encode()
    installed = asking.home / ".config/mission-control/client.py"
    done = asking.run(
        "hook", "gemini", "BeforeTool", input=json.dumps(CALL).encode(), program=installed
    )
    assert json.loads(done.stdout) == APPROVALS["gemini"]


# connect and disconnect ----------------------------------------------------------------------

OWN_FILES = {
    "claude": {
        ".claude/settings.json": '{\n    "model": "opus",\n    "hooks": {"PreToolUse": [{"hooks": '
        '[{"type": "command", "command": "lint"}]}]},\n    "env": {"A": "1"}\n}',
        ".claude.json": '{"numStartups": 3, "mcpServers": {"other": {"url": "https://a.example"}}}\n',
    },
    "codex": {
        ".codex/config.toml": '# mine\nmodel = "gpt"\n\n[[hooks.PreToolUse]]\n'
        '[[hooks.PreToolUse.hooks]]\ntype = "command"\ncommand = "lint"\n# the end'
    },
    "copilot": {".copilot/mcp-config.json": '{"mcpServers": {}}'},
    "gemini": {".gemini/settings.json": '{"ui": {"theme": "Größe"}, "mcpServers": {"a": {}}}\n'},
    "opencode": {".config/opencode/opencode.json": '{\n\t"model": "a/b"\n}\n'},
}
Connect = Callable[..., Any]


@pytest.fixture
def connect(machine: Machine, server: HookServer) -> Connect:
    """Connect a client, and return the finished process."""

    def run(client: str, *options: str) -> Any:
        where = ("--url", server.url, "--token", TOKEN, "--yes")
        return machine.call("connect", client, *where, *options)

    return run


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("own", [True, pytest.param(False, marks=repetition)])
def test_disconnect_restores_every_byte(machine, server, connect, client, own) -> None:
    for path, text in OWN_FILES[client].items() if own else ():
        machine.write(path, text)
    before = machine.read_files()
    assert connect(client).returncode == 0
    connected = machine.read_files()
    assert connect(client).returncode == 0
    assert machine.read_files() == connected  # connecting again changes nothing
    assert connect(client, "--wait", "60", "--without", "mcp").returncode == 0
    assert machine.read_files() != connected
    done = machine.call("disconnect", client, "--yes")
    assert done.returncode == 0, done.stderr
    assert machine.read_files() == before
    path, headers, body = server.requests[-1]
    assert (path, headers["X-Hook-Event"], body) == (f"/hooks/{client}", "ClientDisconnected", {})


def test_disconnect_needs_no_server(machine, server, connect) -> None:
    connect("claude")
    server.status = 503
    done = machine.call("disconnect", "claude", "--yes")
    assert done.returncode == 0
    assert b"The page of the agent does not know it yet" in done.stdout


def test_the_settings_that_pages_show_are_those_of_the_program(machine, server, connect) -> None:
    connect("claude")
    written = (machine.home / ".claude/settings.json").read_text().replace("?wait=570", "")
    assert json.loads(written) == json.loads(build_claude_settings(server.url, TOKEN))


def has_kept(before: Any, now: Any) -> bool:
    """Return whether a value has all that it had before."""
    if isinstance(before, dict):
        return all(name in now and has_kept(one, now[name]) for name, one in before.items())
    return all(one in now for one in before) if isinstance(before, list) else before == now


@pytest.mark.parametrize("client", CLIENTS)
def test_connect_keeps_what_files_have_and_hides_tokens(machine, server, connect, client) -> None:
    for path, text in OWN_FILES[client].items():
        machine.write(path, text)
    done = connect(client)
    assert TOKEN.encode() not in done.stdout
    assert b"\n+" in done.stdout  # the difference
    for path, text in OWN_FILES[client].items():
        file = machine.home / path
        assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0
        if path.endswith(".json"):
            assert has_kept(json.loads(text), json.loads(file.read_text()))
        else:
            assert file.read_text().startswith(text)
    settings = machine.home / ".config/mission-control/client.json"
    assert stat.S_IMODE(settings.stat().st_mode) == 0o600


@pytest.mark.parametrize("client", CLIENTS)
def test_disconnect_keeps_what_was_changed_since(machine, connect, client) -> None:
    """A client changes its own files, so that a backup is not enough."""
    for path, text in OWN_FILES[client].items():
        machine.write(path, text)
    connect(client)
    path = next(iter(OWN_FILES[client]))
    file = machine.home / path
    if path.endswith(".json"):
        changed = json.loads(file.read_text()) | {"added": 1}
        file.write_text(json.dumps(changed))
    else:
        state = '\n[hooks.state."a"]\ntrusted_hash = "b"\n'
        file.write_text(file.read_text() + state)
    machine.call("disconnect", client, "--yes")
    rest = file.read_text()
    assert "mission" not in rest.lower()
    if path.endswith(".json"):
        before = json.loads(OWN_FILES[client][path])
        assert json.loads(rest) == (before if any(before.values()) else {}) | {"added": 1}
    else:
        assert rest == OWN_FILES[client][path] + state


@pytest.mark.parametrize(
    ("client", "path", "text"),
    [
        ("claude", ".claude/settings.json", '{"a": 1, // no JSON\n}'),
        ("claude", ".claude/settings.json", '{"a": 1, "a": 2}'),
        ("claude", ".claude/settings.json", "[" * 100_000),
        ("claude", ".claude/settings.json", '{"hooks": []}'),
        (
            "claude",
            ".claude/settings.json",
            '{"env": {"OTEL_EXPORTER_OTLP_ENDPOINT": "https://a"}}',
        ),
        ("gemini", ".gemini/settings.json", '{"hooks": {"BeforeTool": {}}}'),
        ("gemini", ".gemini/settings.json", '{"telemetry": {"enabled": true}}'),
        ("codex", ".codex/config.toml", "hooks = 1"),
        ("codex", ".codex/config.toml", "a = ["),
        ("codex", ".codex/config.toml", "[otel]\nenvironment = 'a'"),
        ("opencode", ".config/opencode/opencode.jsonc", "{} // mine"),
        ("opencode", ".config/opencode/opencode.json", "\xff"),
    ],
)
def test_connect_changes_nothing_that_it_does_not_understand(
    machine, connect, client, path, text
) -> None:
    file = machine.write(path, "")
    file.write_bytes(text.encode("latin-1"))
    before = machine.read_files()
    done = connect(client)
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr
    assert file.name.encode() in done.stderr
    assert machine.read_files() == before


@pytest.mark.parametrize(
    "options",
    [
        ("--url", "http://mission.example"),
        ("--url", "ftp://mission.example"),
        ("--url", "https://user@mission.example"),
        ("--url", "https://mission.example/\n"),
        ("--token", "mc_agent_with space"),
        ("--token", "mc_agent_" + "w" * 43),
        ("--board", "0193a5c2-7d1e-7c63-9a58-2f1d8f0b6a12"),
        ("--token", "mc_user_" + "x" * 43),
        ("--url", "http://127.0.0.1:1"),
    ],
)
def test_connect_refuses_a_wrong_address_token_or_board(machine, connect, options) -> None:
    done = connect("codex", *options)
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"Traceback" not in done.stderr
    assert machine.read_files() == {}


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://127.0.0.1:1", b"nothing answers; check the address, and that Mission Control is"),
        ("https://mission.invalid", b"this host name is unknown; check the address"),
    ],
)
def test_connect_says_what_to_do_about_an_address_that_does_not_answer(
    connect, url: str, problem: bytes
) -> None:
    assert problem in connect("codex", "--url", url).stderr


def test_nothing_is_changed_without_a_confirmation(machine, server) -> None:
    words = ("connect", "claude", "--url", server.url, "--token", TOKEN)
    done = subprocess.run(
        [sys.executable, "-I", str(PROGRAM), *words],
        env=machine.variables,
        start_new_session=True,  # without a terminal
        capture_output=True,
        timeout=60,
    )
    assert b"use --yes" in done.stderr
    assert machine.read_files() == {}


@pytest.mark.parametrize(
    ("answer", "is_changed"),
    [(b"y\n", True), (b"\n", False), pytest.param(b"n\n", False, marks=repetition)],
)
def test_files_are_changed_after_a_yes_in_the_terminal(machine, server, answer, is_changed) -> None:
    words = ["connect", "claude", "--url", server.url, "--token", TOKEN]
    terminal = f"import pty; pty.spawn({[sys.executable, '-I', str(PROGRAM), *words]!r})"
    done = subprocess.run(
        [sys.executable, "-c", terminal],
        input=answer,
        env=machine.variables,
        capture_output=True,
        timeout=60,
    )
    assert b"Make these changes? [y/N]" in done.stdout
    assert (".claude/settings.json" in machine.read_files()) is is_changed


def test_connect_refuses_a_plugin_that_it_does_not_know(machine, server, connect) -> None:
    program = PROGRAM.read_text().replace(hash_client_file("/clients/opencode.js"), "0" * 64)
    other = machine.write("client.py", program)
    words = ("connect", "opencode", "--url", server.url, "--token", TOKEN, "--yes")
    done = machine.run(*words, program=other)
    assert (done.returncode, b"another version" in done.stderr) == (1, True)
    assert set(machine.read_files()) == {"client.py"}


def test_the_program_can_be_piped_into_python(machine, server) -> None:
    words = ("connect", "gemini", "--url", server.url, "--token", TOKEN, "--yes")
    done = subprocess.run(
        [sys.executable, "-", *words],
        input=PROGRAM.read_bytes(),
        env=machine.variables,
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    installed = machine.home / ".config/mission-control/client.py"
    assert installed.read_bytes() == PROGRAM.read_bytes()


def test_check_names_what_does_not_work(machine, server, connect) -> None:
    project = machine.write(".claude/settings.local.json", '{"disableAllHooks": true}')
    connect("claude")
    server.answer = json.dumps(DENIALS["codex"]).encode()
    done = machine.call("check", "claude")
    assert done.returncode == 1
    lines = done.stdout.decode().splitlines()
    assert [line.split()[:2] for line in lines[:4]] == [
        ["ok", "token"],
        ["ok", "hook"],
        ["ok", "MCP"],
        ["ok", "telemetry"],
    ]
    assert lines[4] == f"FAILED  project: {project} switches hooks off in this folder."
    project.unlink()
    assert machine.call("check", "claude").returncode == 0
    server.answer = b"{}"  # of something else than Mission Control
    assert b"FAILED  hook" in machine.call("check", "claude").stdout


# the guide -----------------------------------------------------------------------------------

GUIDE = (STATIC.parent / "docs" / "coding-agents.md").read_text()
COMMANDS = re.findall(r"```sh\n(.*?)```", GUIDE, re.DOTALL)


@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")
async def test_the_commands_of_the_guide_for_coding_agents_work(
    isolated_settings: Settings, isolated_world: World, tmp_path: Path
) -> None:
    async with run_server(isolated_settings) as url:
        where = {
            "BASE_URL": url,
            "AUTH_TOKEN": token_secret(isolated_world.worker),
            "HOME": str(tmp_path),
        }
        connected, ended, answered = [
            await run_sh_in(tmp_path, f"set -e\n{command}", **where) for command in COMMANDS
        ]
    assert f"Claude Code asks {url} before it calls a tool." in connected
    assert re.findall(r"ok +(\S+)", ended) == ["token", "hook", "MCP", "telemetry"]
    assert list(Machine(tmp_path).read_files()) == ["client.py"]
    answer = json.loads(answered)["hookSpecificOutput"]
    assert answer["permissionDecision"] == "allow"  # a plain read


async def test_an_admin_creates_the_agent_of_a_client(
    isolated_settings: Settings, isolated_world: World, tmp_path: Path
) -> None:
    board, token = isolated_world.board.id, token_secret(isolated_world.alice)
    async with run_server(isolated_settings) as url:
        command = f"python3 {PROGRAM} connect claude --url {url} --yes"
        where = {"HOME": str(tmp_path), "MC_TOKEN": token}
        printed = await run_sh_in(
            tmp_path, f"{command} --board {board} --name Coder; {command} 2>&1 || true", **where
        )
        saved = json.loads(Machine(tmp_path).read_files()[SETTINGS])["clients"]["claude"]
        headers = {"X-Agent-Token": saved["token"]}
        async with httpx2.AsyncClient(base_url=url, headers=headers, timeout=20) as caller:
            answer = await caller.post("/api/v1/agent/heartbeat")
    assert "The agent 'Coder' was created." in printed
    assert "name the --board of the new agent" in printed
    assert token not in str(Machine(tmp_path).read_files())
    assert (answer.json()["name"], answer.json()["board_id"]) == ("Coder", str(board))
