#!/usr/bin/env python3
"""Connect a coding agent with Mission Control: it asks there before it calls a tool.

    client.py connect claude --url https://mission.example --token mc_agent_…
    client.py check claude
    client.py disconnect claude
    client.py hook codex [EVENT]         what Codex, Gemini CLI and Copilot CLI run

One file, Python 3.9 or newer, without packages. `connect` shows every change of a file before it
makes it. Nothing that the server answers is executed or written to a file, except for the two
files of Mission Control itself: this one, and the plugin of opencode, whose hash is below.
"""

from __future__ import annotations

import argparse
import difflib
import getpass
import hashlib
import ipaddress
import json
import os
import re
import shlex
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

try:
    import tomllib
except ImportError:  # before Python 3.11
    tomllib = None  # type: ignore[assignment]

CLIENTS = ("claude", "codex", "copilot", "gemini", "opencode")
TITLES = {
    "claude": "Claude Code",
    "codex": "Codex",
    "copilot": "Copilot CLI",
    "gemini": "Gemini CLI",
    "opencode": "opencode",
}
PARTS = ("mcp", "telemetry")  # what can be left out; the hook cannot
PLUGIN_HASH = "6dc2995f9dfa48cc92208abf6c9526bb2f91bcd6107865ce3f6b26b8a9e20c5a"

DEFAULT_WAIT = 570  # seconds until the server ends the wait for a decision
MAX_WAIT = 86_000  # seconds
MARGIN = 30  # seconds between the end of the wait and the timeout of the client
SIGNAL_TIMEOUT = 3  # seconds for what asks nothing: the session waits for it
MAX_REQUEST = 2_000_000  # bytes; the server denies much smaller inputs with a reason
MAX_ANSWER = 1_000_000  # bytes
MAX_REASON = 4_000  # characters
BLOCKED, PASSED = 2, 0  # the clients block at exit status 2, and at no other

SIGNALS = {
    *("sessionstart", "sessionend", "userpromptsubmit", "userpromptsubmitted", "beforeagent"),
    *("posttooluse", "posttoolusefailure", "aftertool", "stop", "subagentstop", "agentstop"),
    *("afteragent", "notification", "erroroccurred"),
}
"""Events that ask nothing, in lower case. Every other one asks: a failure blocks the call."""

SENT_FIELDS = (
    *("session_id", "sessionId", "turn_id", "cwd", "model", "hook_event_name", "hookEventName"),
    *("timestamp", "source", "reason", "tool_name", "toolName", "tool_input", "toolArgs"),
    *("tool_use_id",),
)
"""What is sent of events that ask nothing: no prompts, answers or results of tools."""


class Problem(Exception):
    """Something that ends a command, with a text for the person."""


# Addresses, tokens, requests -----------------------------------------------------------------


class Connection(NamedTuple):
    """Where a client asks, with which token, and how."""

    url: str
    token: str
    wait: int = DEFAULT_WAIT
    headless: bool = False
    insecure_http: bool = False


def check_url(url: str, insecure_http: bool = False) -> str:
    """Return an address without a slash at its end. Raises Problem."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise Problem(f"{url!r} is not an address such as https://mission.example.")
    if parts.username is not None or not re.fullmatch(r"[!-~]+", url):
        raise Problem(f"{url!r} must have no user name, spaces or characters outside of ASCII.")
    if parts.scheme == "http" and not insecure_http and not is_loopback(parts.hostname):
        raise Problem(
            f"{url} would send the token and the calls unencrypted. Use https, or --insecure-http"
            " if nobody else can read this network."
        )
    return url.rstrip("/")


def is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_token(token: str) -> str:
    """Return a token that can be a header. Raises Problem."""
    token = token.strip()
    if not re.fullmatch(r"[A-Za-z0-9_.~+/=-]{8,500}", token):
        raise Problem("The token is missing, or has characters that no token has.")
    return token


class NoRedirects(urllib.request.HTTPRedirectHandler):
    """Follow no redirects: they would send the token to another server."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Let the redirect be an error."""


def send(
    connection: Connection,
    path: str,
    body: bytes | None = None,
    *,
    timeout: float = 15,
    headers: dict[str, str] | None = None,
) -> bytes:
    """Send a request and return the body of the answer. Raises OSError if it is not 200 or 201."""
    url = check_url(connection.url, connection.insecure_http)
    request = urllib.request.Request(url + path, data=body)  # noqa: S310 - checked above
    request.add_header("Authorization", f"Bearer {check_token(connection.token)}")
    request.add_header("Content-Type", "application/json")
    request.add_header("Accept", "application/json, text/event-stream")
    for name, value in (headers or {}).items():
        request.add_header(name, value)
    handlers: list[Any] = [
        NoRedirects,
        urllib.request.HTTPSHandler(context=ssl.create_default_context()),
    ]
    if is_loopback(urllib.parse.urlsplit(url).hostname or ""):
        handlers.append(urllib.request.ProxyHandler({}))
    opener = urllib.request.build_opener(*handlers)
    with opener.open(request, timeout=timeout) as response:
        content = response.read(MAX_ANSWER + 1)
        if len(content) > MAX_ANSWER:
            raise OSError("the answer is too long")
        return content


def send_json(connection: Connection, path: str, body: Any = None, **options: Any) -> Any:
    """Send JSON and return that of the answer. Raises OSError and ValueError."""
    data = None if body is None else json.dumps(body).encode()
    return json.loads(send(connection, path, data, **options))


def describe(error: BaseException) -> str:
    """Return what went wrong in a request."""
    if isinstance(error, urllib.error.HTTPError):
        try:
            text = json.loads(error.read(10_000)).get("detail")
        except (ValueError, OSError, AttributeError):
            text = None
        # a terminal would obey control characters
        shown = "".join(one if one.isprintable() else " " for one in str(text)[:MAX_REASON])
        detail = f": {shown}" if isinstance(text, str) else ""
        return f"it answered {error.code}{detail}"
    if isinstance(error, urllib.error.URLError):
        if isinstance(error.reason, ConnectionRefusedError):
            return "nothing answers; check the address, and that Mission Control is running"
        if isinstance(error.reason, socket.gaierror):
            return "this host name is unknown; check the address"
        return str(error.reason)
    if isinstance(error, (socket.timeout, TimeoutError)):
        return "it did not answer in time"
    return str(error) or type(error).__name__


# The settings of this program ----------------------------------------------------------------


def default_folder() -> Path:
    base = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(base).expanduser() / "mission-control"


def own_file() -> Path | None:
    """Return this file; None if Python reads it from its standard input."""
    name = globals().get("__file__")
    return Path(name).resolve() if name and Path(name).is_file() else None


def settings_file() -> Path:
    """Return the settings beside this file, which no variable can replace, or the usual ones."""
    program = own_file()
    beside = program.with_name("client.json") if program else None
    return beside if beside and beside.exists() else default_folder() / "client.json"


def read_settings(file: Path) -> dict[str, Any]:
    try:
        settings = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return {"clients": {}}
    except (OSError, ValueError) as error:
        raise Problem(f"{file} cannot be read: {error}") from None
    if not isinstance(settings, dict) or not isinstance(settings.get("clients"), dict):
        raise Problem(f"{file} was not written by this program.")
    return settings


def find_connection(client: str) -> Connection:
    """Return how a client is connected: its settings, otherwise what the environment says.

    The settings come first: a file of a project can set variables of some clients. Raises Problem.
    """
    saved = read_settings(settings_file())["clients"].get(client)
    if isinstance(saved, dict):
        known = {name: saved[name] for name in Connection._fields if name in saved}
        return Connection(**known)
    url, token = os.environ.get("MC_URL"), os.environ.get("MC_TOKEN")
    if not token and os.environ.get("MC_TOKEN_FILE"):
        token = Path(os.environ["MC_TOKEN_FILE"]).expanduser().read_text("utf-8")
    if not url or not token:
        raise Problem(f"{TITLES[client]} is not connected: use `client.py connect {client}`.")
    return Connection(url, token)


# hook: ask before a tool is called -----------------------------------------------------------


def run_hook(client: str, event: str) -> int:
    """Ask the server about the event on the standard input, and answer as the client expects.

    Whatever goes wrong blocks the call: the clients go on at every exit status but 2.
    """
    is_signal = is_signal_name(event)
    try:
        body = sys.stdin.buffer.read()
        payload = json.loads(body)
        event = event or payload.get("hook_event_name") or payload.get("hookEventName") or ""
        is_signal = is_signal_name(event)
        connection = find_connection(client)
        if is_signal:
            send_signal(connection, client, event, payload)
            return PASSED
        if len(body) > MAX_REQUEST:
            return block(client, event, "The call is too long for a person to read.")
        answer = send_json(
            connection,
            f"/hooks/{client}?wait={connection.wait}",
            payload,
            timeout=connection.wait + MARGIN / 2,
            headers={"X-Hook-Event": event} if event.isalpha() and event.isascii() else {},
        )
        sys.stdout.write(json.dumps(read_answer(client, answer)))
        sys.stdout.flush()
    except Exception as error:
        if is_signal:
            return PASSED
        text = str(error) if isinstance(error, Problem) else describe(error)
        return block(client, event, f"Mission Control did not decide: {text.rstrip('.')}.")
    return PASSED


def is_signal_name(event: str) -> bool:
    return event.lower() in SIGNALS


def send_signal(connection: Connection, client: str, event: str, payload: dict[str, Any]) -> None:
    """Report an event that asks nothing, without prompts, answers and results of tools."""
    sent = {field: payload[field] for field in SENT_FIELDS if field in payload}
    result = payload.get("toolResult")
    if isinstance(result, dict) and isinstance(result.get("resultType"), str):
        sent["toolResult"] = {"resultType": result["resultType"]}
    if client == "gemini" and isinstance(payload.get("tool_response"), dict):
        sent["tool_response"] = {"isError": bool(payload["tool_response"].get("error"))}
    send_json(
        connection,
        f"/hooks/{client}",
        sent,
        timeout=SIGNAL_TIMEOUT,
        headers={"X-Hook-Event": event},
    )


def read_answer(client: str, answer: Any) -> dict[str, Any]:
    """Return an answer with nothing but a decision and its reason. Raises ValueError.

    Copilot CLI and Gemini CLI would take an object without a decision for an approval.
    """
    if not isinstance(answer, dict):
        raise ValueError("its answer is not an object")
    if client == "codex" and answer == {}:
        return {}  # how Codex is told that there is no objection
    specific = answer.get("hookSpecificOutput")
    if client in ("claude", "codex") and isinstance(specific, dict):
        decision = specific.get("permissionDecision")
        known = {"deny"} if client == "codex" else {"allow", "deny", "ask", "defer"}
        if decision in known:
            reason = cut(specific.get("permissionDecisionReason"))
            kept = {"permissionDecision": decision, "permissionDecisionReason": reason}
            if client == "claude" and isinstance(specific.get("updatedInput"), dict):
                kept["updatedInput"] = specific["updatedInput"]
            return {"hookSpecificOutput": {"hookEventName": "PreToolUse", **kept}}
    names = {
        "copilot": ("permissionDecision", "permissionDecisionReason"),
        "gemini": ("decision", "reason"),
        "opencode": ("decision", "reason"),
    }
    if client in names:
        name, reason_name = names[client]
        if answer.get(name) in ("allow", "deny"):
            return {name: answer[name], reason_name: cut(answer.get(reason_name))}
    raise ValueError("its answer has no decision")


def cut(reason: object) -> str:
    return reason[:MAX_REASON] if isinstance(reason, str) else ""


def block(client: str, event: str, reason: str) -> int:
    """Block a call, with a reason that reaches the model."""
    text = f"{reason} The call is blocked."
    if client == "copilot" and event.lower() == "pretooluse":
        # It shows no output of a hook that ends with another status than 0.
        answer = {"permissionDecision": "deny", "permissionDecisionReason": text}
        sys.stdout.write(json.dumps(answer))
        sys.stdout.flush()
        return PASSED
    sys.stderr.write(text + "\n")
    return BLOCKED


def watch(deadline: float, parent: int, grandparent: str) -> None:
    """End this process if the client ends, or before the client gives up, which runs the call.

    A client that is killed leaves its hook behind. Its parent can be a shell that stays as well,
    so the parent of that one is watched too. Both are those from before anything was sent.
    """
    seconds = 1 if PROCESSES.exists() else 5  # without it, each look starts a program
    look_at = time.monotonic()
    while time.monotonic() < deadline:
        time.sleep(1)
        if os.getppid() != parent:
            os._exit(BLOCKED)
        if time.monotonic() - look_at >= seconds:
            look_at = time.monotonic()
            if find_parent(parent) != grandparent:
                os._exit(BLOCKED)
    os.write(2, b"Mission Control did not answer in time. The call is blocked.\n")
    os._exit(BLOCKED)


PROCESSES = Path("/proc/self/stat")  # of Linux


def find_parent(process: int) -> str:
    """Return the id of the parent of a process; empty if it is not known."""
    file = Path(f"/proc/{process}/stat")
    try:
        if PROCESSES.exists():
            return file.read_text("ascii", "replace").rpartition(")")[2].split()[1]
        command = ["/bin/ps", "-o", "ppid=", "-p", str(process)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=5)  # noqa: S603
        return done.stdout.strip()
    except (OSError, IndexError, subprocess.TimeoutExpired):  # else `watch` would end
        return ""


def guard_hook(client: str, event: str) -> None:
    """Run the hook, and end with the status that it needs, whatever happens."""
    try:
        if client not in CLIENTS:
            raise Problem(f"{client!r} is none of {', '.join(CLIENTS)}")
        try:
            wait = find_connection(client).wait
        except Exception:
            wait = DEFAULT_WAIT
        deadline = time.monotonic() + wait + MARGIN * 2 / 3
        parents = os.getppid(), find_parent(os.getppid())
        threading.Thread(target=watch, args=(deadline, *parents), daemon=True).start()
        status = run_hook(client, event)
        sys.stderr.flush()
    except BaseException as error:  # also an interrupt, or a closed output
        text = str(error) if isinstance(error, Problem) else type(error).__name__
        os.write(2, f"The hook of Mission Control failed: {text}. The call is blocked.\n".encode())
        status = BLOCKED
    os._exit(status)  # the end of the interpreter could replace the status


# Files of clients ----------------------------------------------------------------------------


class Edit(NamedTuple):
    """A file of a client: how our part is added to its text, and how it is removed."""

    file: Path
    add: Callable[[str], str]
    remove: Callable[[str], str]
    is_own: bool = False  # the whole file is ours


class Change(NamedTuple):
    """What a file has, what it will have, and what it has without our part; None: no file."""

    file: Path
    before: str | None
    after: str | None
    base: str | None


def read_text(file: Path) -> str | None:
    try:
        return file.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise Problem(f"{file} cannot be read: {error}") from None


def write_text(file: Path, text: str | None) -> None:
    """Replace a file at once, readable only for its owner, or remove it. Links are kept."""
    target = Path(os.path.realpath(file))
    if text is None:
        target.unlink(missing_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    mode = (target.stat().st_mode if target.exists() else 0o600) & 0o700
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as output:
            output.write(text.encode("utf-8"))
            output.flush()
            os.fsync(output.fileno())
        os.chmod(temporary, mode)
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def hash_text(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def find_base(edit: Edit, saved: dict[str, Any], before: str | None) -> str | None:
    """Return the text of a file without our part: the backup, if nobody changed the file since."""
    record = saved.get("files", {}).get(str(edit.file))
    if before is not None and record and record.get("written") == hash_text(before):
        backup = record.get("backup")
        return None if backup is None else read_text(Path(backup))
    if before is None or edit.is_own:
        return None
    rest = edit.remove(before)
    is_new = record and record.get("backup") is None
    return None if is_new and rest.strip() in ("", "{}") else rest


def parse_object(file: Path, text: str) -> dict[str, Any]:
    """Return the JSON object of a file. Raises Problem for what could not be written again."""

    def check_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) < len(pairs):
            raise ValueError("a name occurs twice in an object")
        return dict(pairs)

    try:
        value = json.loads(text, object_pairs_hook=check_pairs) if text.strip() else {}
    except (ValueError, RecursionError) as error:
        raise Problem(
            f"{file} is not plain JSON ({error}), maybe because of comments. Nothing was changed:"
            " remove them, or add the settings yourself (docs/coding-agents.md)."
        ) from None
    if not isinstance(value, dict):
        raise Problem(f"{file} is not a JSON object. Nothing was changed.")
    return value


def format_object(value: dict[str, Any], like: str) -> str:
    """Return JSON, indented like the text that it replaces."""
    indent = re.search(r"^\{\s*?\n([ \t]+)\"", like)
    text = json.dumps(value, indent=indent[1] if indent else 2, ensure_ascii=False)
    return text + ("\n" if like.endswith("\n") or not like else "")


def json_edit(
    file: Path, add: Callable[[dict[str, Any]], None], remove: Callable[[dict[str, Any]], None]
) -> Edit:
    """Return an edit of a JSON file by functions that change its object."""

    def change(text: str, function: Callable[[dict[str, Any]], None]) -> str:
        value = parse_object(file, text)
        before = json.dumps(value)
        try:
            function(value)
        except (AttributeError, KeyError, TypeError):
            raise Problem(f"{file} has another form than expected. Nothing was changed.") from None
        return text if json.dumps(value) == before else format_object(value, text)

    return Edit(file, lambda text: change(text, add), lambda text: change(text, remove))


def put(value: dict[str, Any], *path: Any) -> None:
    """Set a value in nested objects: the names, then the value."""
    *names, last, content = path
    for name in names:
        value = value.setdefault(name, {})
    value[last] = content


def drop(value: dict[str, Any], *names: str) -> None:
    """Remove a name from nested objects, and the objects that are empty because of that."""
    first, *rest = names
    inner = value.get(first)
    if not rest:
        value.pop(first, None)
    elif isinstance(inner, dict) and inner:
        drop(inner, *rest)
        if not inner:
            del value[first]


def is_our_hook(hook: Any, client: str) -> bool:
    command = hook.get("command") or hook.get("bash") or ""
    is_ours = "client.py" in command and f" hook {client}" in command
    path = urllib.parse.urlsplit(str(hook.get("url") or "")).path
    return is_ours or path.endswith(f"/hooks/{client}")


def drop_hooks(value: dict[str, Any], client: str) -> None:
    """Remove our hooks from the groups of all events."""
    for event, groups in list(value.get("hooks", {}).items()):
        if not isinstance(groups, list):
            continue
        for group in groups:
            group["hooks"] = [one for one in group["hooks"] if not is_our_hook(one, client)]
        groups[:] = [group for group in groups if group["hooks"]]
        if not groups:
            drop(value, "hooks", event)


def hook_seconds(connection: Connection, event: str) -> int:
    """Return the timeout of a hook: it gives up before the client does, which runs the call."""
    return SIGNAL_TIMEOUT * 2 if is_signal_name(event) else connection.wait + MARGIN


def build_command(program: Path, client: str, event: str) -> str:
    """Return the command of a hook: also a Python or a file that is gone blocks the call.

    Where nothing is asked, the status to block would mean something else: Codex goes on at Stop.
    """
    python = getattr(sys, "_base_executable", None) or sys.executable  # not that of a venv
    words = [python, "-I", str(program), "hook", client, event]
    return f"{shlex.join(words)} || {'true' if is_signal_name(event) else f'exit {BLOCKED}'}"


def telemetry_variables(connection: Connection) -> dict[str, str]:
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"{connection.url}/otlp",
        "OTEL_EXPORTER_OTLP_HEADERS": f"Authorization=Bearer {connection.token}",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json",
    }


def telemetry_edit(connection: Connection, client: str) -> Edit:
    """Return a file for the shell that sets the variables of telemetry for one client only."""
    variables = telemetry_variables(connection).items()
    values = " ".join(f"{name}={shlex.quote(value)}" for name, value in variables)
    function = f'{client}() {{ {values} command {client} "$@"; }}\n'
    file = default_folder() / f"{client}.sh"
    return Edit(file, lambda _: function, lambda _: "", is_own=True)


def telemetry_note(edit: Edit) -> str:
    command = f". {shlex.quote(str(edit.file))}"
    return (
        f"For telemetry, add this line to the profile of your shell, and open a new one: {command}"
    )


def bearer(connection: Connection) -> dict[str, str]:
    return {"Authorization": f"Bearer {connection.token}"}


class Setup(NamedTuple):
    """What connects one client: edits of files, and what the person has to do or to know."""

    edits: list[Edit]
    notes: list[str]


def set_up_claude(connection: Connection, program: Path, parts: set[str]) -> Setup:
    """Let Claude Code ask over HTTP itself, and block if the server does not answer."""
    home = os.environ.get("CLAUDE_CONFIG_DIR")
    folder = Path(home or "~/.claude").expanduser()
    state = Path(home or "~").expanduser() / ".claude.json"
    query = f"?wait={connection.wait}" + ("&headless=1" if connection.headless else "")
    signal = {
        "type": "http",
        "url": f"{connection.url}/hooks/claude{query}",
        "headers": {"Authorization": "Bearer $MC_TOKEN"},
        "allowedEnvVars": ["MC_TOKEN"],
        "timeout": SIGNAL_TIMEOUT,
    }
    asking = {
        **signal,
        "timeout": connection.wait + MARGIN,
        "onFailure": "block",
        "statusMessage": "Asking Mission Control",
    }
    telemetry = {
        "CLAUDE_CODE_ENABLE_TELEMETRY": "1",
        "OTEL_LOGS_EXPORTER": "otlp",
        **telemetry_variables(connection),
    }

    def add(value: dict[str, Any]) -> None:
        put(value, "env", "MC_TOKEN", connection.token)
        if "telemetry" in parts:
            check_unset(value["env"].get("OTEL_EXPORTER_OTLP_ENDPOINT"), folder / "settings.json")
            value["env"].update(telemetry)
        for event, hook in (("PreToolUse", asking), ("Stop", signal), ("SessionEnd", signal)):
            value.setdefault("hooks", {}).setdefault(event, []).append({"hooks": [hook]})

    def remove(value: dict[str, Any]) -> None:
        drop_hooks(value, "claude")
        headers = str(value.get("env", {}).get("OTEL_EXPORTER_OTLP_HEADERS", ""))
        is_ours = headers.startswith("Authorization=Bearer mc_agent_")
        for name in ("MC_TOKEN", *(telemetry if is_ours else ())):
            drop(value, "env", name)

    edits = [json_edit(folder / "settings.json", add, remove)]
    if "mcp" in parts:
        server = {"type": "http", "url": f"{connection.url}/mcp", "headers": bearer(connection)}
        edits.append(mcp_edit(state, "mcpServers", server))
    return Setup(edits, ["Restart Claude Code: open sessions go on without asking."])


def check_unset(other_telemetry: object, file: Path) -> None:
    """Raise Problem if a client sends its telemetry elsewhere: it has one place for it."""
    if other_telemetry:
        raise Problem(f"{file} has settings of telemetry. Use --without telemetry to keep them.")


def mcp_edit(file: Path, name: str, server: dict[str, Any]) -> Edit:
    return json_edit(
        file,
        lambda value: put(value, name, "mission-control", server),
        lambda value: drop(value, name, "mission-control"),
    )


def set_up_codex(connection: Connection, program: Path, parts: set[str]) -> Setup:
    """Let Codex run this program, once a person trusts the hook."""
    file = codex_folder() / "config.toml"
    header = json.dumps(f"Bearer {connection.token}")
    tables: list[tuple[str, dict[str, str]]] = []
    if "mcp" in parts:
        server = {"url": json.dumps(f"{connection.url}/mcp")}
        server["http_headers"] = f"{{ Authorization = {header} }}"
        tables.append(("[mcp_servers.mission-control]", server))
    for event in ("PreToolUse", "SessionStart", "UserPromptSubmit", "Stop"):
        tables.append((f"[[hooks.{event}]]", {}))
        command = build_command(program, "codex", event)
        hook = {"type": '"command"', "command": json.dumps(command)}
        hook["timeout"] = str(hook_seconds(connection, event))
        tables.append((f"[[hooks.{event}.hooks]]", hook))
    if "telemetry" in parts:
        endpoint = json.dumps(f"{connection.url}/otlp/v1/logs")
        headers = f"{{ Authorization = {header} }}"
        exporter = f'endpoint = {endpoint}, protocol = "json", headers = {headers}'
        otel = {"log_user_prompt": "false", "exporter": f"{{ otlp-http = {{ {exporter} }} }}"}
        tables.append(("[otel]", otel))

    def add(text: str) -> str:
        parse_toml(file, text)
        if "telemetry" in parts:
            check_unset(re.search(r"(?m)^\s*(?:\[\s*otel\b|otel\s*[.=])", text), file)
        blocks = [
            "\n".join([f"{head} {TOML_MARK}", *(f"{key} = {value}" for key, value in body.items())])
            for head, body in tables
        ]
        separator = "" if not text else "\n" if text.endswith("\n") else "\n\n"
        added = text + separator + "\n\n".join(blocks) + "\n"
        parse_toml(file, added)
        return added

    return Setup([Edit(file, add, remove_toml_tables)], ["Restart Codex."])


def codex_folder() -> Path:
    return Path(os.environ.get("CODEX_HOME") or "~/.codex").expanduser()


TOML_MARK = "# Mission Control"
TOML_HEADER = re.compile(r"^\s*\[")


def remove_toml_tables(text: str) -> str:
    """Remove the tables whose header has our mark. Comments behind them are kept.

    A mark behind the last table would not do: Codex itself adds tables before such a comment.
    """
    kept: list[str] = []
    is_ours = False
    for line in text.splitlines(keepends=True):
        if TOML_HEADER.match(line):
            is_ours = line.rstrip().endswith(TOML_MARK)
            if is_ours and kept and not kept[-1].strip():
                kept.pop()  # the empty line before it
        if not is_ours or line.lstrip().startswith("#"):
            kept.append(line)
    return "".join(kept)


def parse_toml(file: Path, text: str) -> None:
    """Raise Problem if a text is no TOML, as far as this Python can know."""
    if tomllib is None:
        return
    try:
        tomllib.loads(text)
    except ValueError as error:
        raise Problem(f"{file} cannot be changed: {error}. Nothing was changed.") from None


def set_up_gemini(connection: Connection, program: Path, parts: set[str]) -> Setup:
    """Let Gemini CLI run this program."""
    file = Path("~/.gemini/settings.json").expanduser()
    telemetry = {
        "enabled": True,
        "target": "local",
        "otlpEndpoint": f"{connection.url}/otlp",
        "otlpProtocol": "http",
        "logPrompts": False,
    }

    def add(value: dict[str, Any]) -> None:
        for event in ("BeforeTool", "AfterTool", "SessionStart", "AfterAgent", "SessionEnd"):
            hook: dict[str, Any] = {"type": "command", "name": "mission-control"}
            hook["command"] = build_command(program, "gemini", event)
            hook["timeout"] = hook_seconds(connection, event) * 1000
            groups = value.setdefault("hooks", {}).setdefault(event, [])
            groups.append({"matcher": "*", "hooks": [hook]})
        if "mcp" in parts:
            server = {"httpUrl": f"{connection.url}/mcp", "headers": bearer(connection)}
            put(value, "mcpServers", "mission-control", server)
        if "telemetry" in parts:
            check_unset(value.get("telemetry"), file)
            value["telemetry"] = telemetry

    def remove(value: dict[str, Any]) -> None:
        drop_hooks(value, "gemini")
        drop(value, "mcpServers", "mission-control")
        if str(value.get("telemetry", {}).get("otlpEndpoint", "")).endswith("/otlp"):
            drop(value, "telemetry")

    notes = ["Start Gemini CLI with --approval-mode yolo: otherwise it asks here as well."]
    edits = [json_edit(file, add, remove)]
    if "telemetry" in parts:
        edits.append(telemetry_edit(connection, "gemini"))
        notes.append(telemetry_note(edits[-1]))
    return Setup(edits, notes)


def set_up_copilot(connection: Connection, program: Path, parts: set[str]) -> Setup:
    """Let Copilot CLI run this program: its HTTP hook goes on after an answer it cannot read."""
    folder = Path(os.environ.get("COPILOT_HOME") or "~/.copilot").expanduser()
    events = ("preToolUse", "postToolUse", "sessionStart", "agentStop", "sessionEnd")
    hooks = {
        event: [
            {
                "type": "command",
                "bash": build_command(program, "copilot", event),
                "timeoutSec": hook_seconds(connection, event),
            }
        ]
        for event in events
    }
    content = json.dumps({"version": 1, "hooks": hooks}, indent=2) + "\n"
    hook_file = folder / "hooks" / "mission-control.json"
    edits = [Edit(hook_file, lambda _: content, lambda _: "", is_own=True)]
    if "mcp" in parts:
        server = {"type": "http", "url": f"{connection.url}/mcp", "headers": bearer(connection)}
        edits.append(mcp_edit(folder / "mcp-config.json", "mcpServers", {**server, "tools": ["*"]}))
    notes = []
    if "telemetry" in parts:
        edits.append(telemetry_edit(connection, "copilot"))
        notes.append(telemetry_note(edits[-1]))
    return Setup(edits, notes)


def set_up_opencode(connection: Connection, program: Path, parts: set[str]) -> Setup:
    """Install the plugin of opencode, whose hash is known to this program."""
    folder = Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser() / "opencode"
    file = folder / "opencode.json"
    if not file.exists() and (folder / "opencode.jsonc").exists():
        file = folder / "opencode.jsonc"

    def add_plugin(_: str) -> str:
        content = send(connection, "/clients/opencode.js")
        if hashlib.sha256(content).hexdigest() != PLUGIN_HASH:
            raise Problem(
                f"{connection.url}/clients/opencode.js is of another version: use the"
                " client.py of that server."
            )
        return content.decode("utf-8")

    plugin = folder / "plugin" / "mission-control.js"
    edits = [Edit(plugin, add_plugin, lambda _: "", is_own=True)]
    if "mcp" in parts:
        server = {"type": "remote", "url": f"{connection.url}/mcp", "oauth": False}
        edits.append(mcp_edit(file, "mcp", {**server, "headers": bearer(connection)}))
    return Setup(edits, ["Restart opencode. Its telemetry is reported by the plugin."])


SETUPS: dict[str, Callable[[Connection, Path, set[str]], Setup]] = {
    "claude": set_up_claude,
    "codex": set_up_codex,
    "copilot": set_up_copilot,
    "gemini": set_up_gemini,
    "opencode": set_up_opencode,
}


def find_version(program: str) -> tuple[int, ...]:
    """Return the version that an installed program prints; empty if it is not installed."""
    path = shutil.which(program)
    if path is None:
        return ()
    try:
        done = subprocess.run(  # noqa: S603
            [path, "--version"], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    found = re.search(r"\d+\.\d+\.\d+", done.stdout)
    return tuple(map(int, found[0].split("."))) if found else ()


# Trust in the hooks of Codex -----------------------------------------------------------------


class CodexServer:
    """The app server of Codex, which knows its hooks and who trusts them."""

    def __init__(self, program: str) -> None:
        environment = {**os.environ, "CODEX_HOME": str(codex_folder())}
        self.process = subprocess.Popen(  # noqa: S603
            [program, "app-server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )
        self.timer = threading.Timer(30, self.process.kill)
        self.timer.start()
        self.number = 0
        info = {"name": "mission-control", "title": "Mission Control", "version": "1"}
        self.call("initialize", {"clientInfo": info})
        self.write({"method": "initialized"})

    def close(self) -> None:
        """End the server."""
        self.timer.cancel()
        self.process.kill()
        self.process.communicate()

    def write(self, message: dict[str, Any]) -> None:
        """Send a message."""
        assert self.process.stdin
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()

    def call(self, method: str, params: dict[str, Any]) -> Any:
        """Call a method. Raises OSError if it fails or the server ends."""
        self.number += 1
        self.write({"id": self.number, "method": method, "params": params})
        assert self.process.stdout
        for line in self.process.stdout:
            message = json.loads(line)
            if message.get("id") == self.number:
                if "result" not in message:
                    raise OSError(f"{method}: {message.get('error')}")
                return message["result"]
        raise OSError("the app server of Codex ended")

    def list_hooks(self) -> list[dict[str, Any]]:
        """Return our hooks."""
        groups = self.call("hooks/list", {"cwds": [str(Path.home())]})["data"]
        hooks = [hook for group in groups for hook in group["hooks"]]
        return [hook for hook in hooks if is_our_hook(hook, "codex")]

    def trust_hooks(self) -> None:
        """Trust our hooks as the screen /hooks does: the hashes are those that Codex states."""
        states = {hook["key"]: {"trusted_hash": hook["currentHash"]} for hook in self.list_hooks()}
        edit = {"keyPath": "hooks.state", "mergeStrategy": "upsert", "value": states}
        self.call("config/batchWrite", {"edits": [edit]})


def read_codex_trust(should_trust: bool) -> bool | None:
    """Return whether Codex runs our hooks, after trusting them if asked to; None: not known."""
    program = shutil.which("codex")
    if program is None:
        return None
    server = None
    try:
        server = CodexServer(program)
        if should_trust:
            server.trust_hooks()
        hooks = server.list_hooks()
        return bool(hooks) and all(hook["trustStatus"] == "trusted" for hook in hooks)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    finally:
        if server:
            server.close()


# connect, disconnect, check ------------------------------------------------------------------


def show_difference(change: Change) -> None:
    """Print a difference without tokens."""
    before, after = ((text or "").splitlines() for text in (change.before, change.after))
    names = [str(change.file) if text is not None else "/dev/null" for text in change[1:3]]
    for line in difflib.unified_diff(before, after, *names, lineterm="", n=2):
        print(re.sub(r"(mc_[a-z]+_)[\w-]{8,}", r"\1…", line))


def confirm(question: str) -> bool:
    """Ask in the terminal, also if the program itself is the standard input."""
    try:
        with open("/dev/tty", "r+b", buffering=0) as terminal:
            terminal.write(f"{question} [y/N] ".encode())
            return terminal.readline().strip().lower() in (b"y", b"yes")
    except OSError:
        raise Problem("There is no terminal to ask in: use --yes.") from None


def confirm_changes(changes: list[Change], is_confirmed: bool) -> None:
    """Show the changes, and ask. Raises Problem if a file was changed meanwhile."""
    for change in changes:
        show_difference(change)
    if not is_confirmed and not confirm("Make these changes?"):
        raise Problem("Nothing was changed.")
    for change in changes:
        if read_text(change.file) != change.before:
            raise Problem(f"{change.file} was changed meanwhile. Start again.")


def connect(options: argparse.Namespace) -> None:
    """Change the settings of a client so that it asks."""
    client = options.client
    url = check_url(options.url or os.environ.get("MC_URL") or "", options.insecure_http)
    token = options.token or os.environ.get("MC_TOKEN") or getpass.getpass("Token: ")
    connection = Connection(
        url, check_token(token), options.wait, options.headless, options.insecure_http
    )
    folder = default_folder()
    program, file = folder / "client.py", folder / "client.json"
    settings = read_settings(file)
    saved = settings["clients"].get(client, {})
    parts = {*PARTS} - {*options.without}
    is_agent = check_agent(connection, options.board)
    setup = SETUPS[client](connection, program, parts)
    changes = plan_changes(client, connection, saved, setup)
    confirm_changes(changes, options.yes)
    if not is_agent:
        connection = create_agent(connection, client, options.board, options.name)
        setup = SETUPS[client](connection, program, parts)
        changes = plan_changes(client, connection, saved, setup)
    records = {}
    for change in changes:
        backup = folder / "backups" / client / change.file.name
        write_text(backup, change.base)
        kept = str(backup) if change.base is not None else None
        if change.after != change.base:
            records[str(change.file)] = {"written": hash_text(change.after or ""), "backup": kept}
    settings["clients"][client] = {**connection._asdict(), "files": records}
    if client in ("codex", "copilot", "gemini"):
        install_program(connection, program)
    write_text(file, json.dumps(settings, indent=2) + "\n")
    for change in changes:
        write_text(change.file, change.after)
    if client == "codex":
        is_trusted = read_codex_trust(should_trust=not options.no_trust)
        config = codex_folder() / "config.toml"
        records[str(config)]["written"] = hash_text(read_text(config) or "")
        write_text(file, json.dumps(settings, indent=2) + "\n")
        if not is_trusted:
            setup.notes.append("Codex asks nothing yet: open it, and trust the hooks with /hooks.")
    if client == "claude" and () < find_version("claude") < (2, 1, 295):
        setup.notes.append(
            "This version of Claude Code runs a call if Mission Control cannot be reached: update"
            " it to 2.1.295 or newer."
        )
    print(f"{TITLES[client]} asks {connection.url} before it calls a tool.", *setup.notes, sep="\n")


def plan_changes(
    client: str, connection: Connection, saved: dict[str, Any], setup: Setup
) -> list[Change]:
    """Return the changes that lead to a setup, also of files that are not part of it any more."""
    wanted = {edit.file: edit for edit in setup.edits}
    changes = []
    for edit in SETUPS[client](connection, Path("client.py"), {*PARTS}).edits:
        before = read_text(edit.file)
        base = find_base(edit, saved, before)
        after = wanted[edit.file].add(base or "") if edit.file in wanted else base
        changes.append(Change(edit.file, before, after, base))
    return changes


def check_agent(connection: Connection, board: str | None) -> bool:
    """Return whether the token is that of an agent: otherwise it can create one on the board.

    Raises Problem.
    """
    if not connection.token.startswith("mc_agent_"):
        if not board:
            raise Problem("This is a token of a person: name the --board of the new agent.")
        return False
    try:
        agent = send_json(connection, "/api/v1/agent/healthz")
        if board and agent.get("board_id") != board:
            raise Problem("The token is that of an agent of another board.")
    except (OSError, ValueError, AttributeError) as error:
        raise Problem(f"{connection.url}: {describe(error)}.") from None
    return True


def create_agent(connection: Connection, client: str, board: str, name: str) -> Connection:
    """Create an agent, and return the connection with its token. Raises Problem."""
    name = name or f"{TITLES[client]} on {socket.gethostname()}"[:100]
    try:
        agent = send_json(connection, "/api/v1/agents", {"name": name, "board_id": board})
        token = agent["token"] and check_token(str(agent["token"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Problem(f"{connection.url}: {describe(error)}.") from None
    if not token:
        raise Problem("The board is on a gateway: its agents cannot be coding agents.")
    print(f"The agent {name!r} was created.")
    return connection._replace(token=token)


def install_program(connection: Connection, program: Path) -> None:
    """Put this file where the hooks of clients find it."""
    source = own_file()
    try:
        content = source.read_bytes() if source else send(connection, "/client.py")
        compile(content, "client.py", "exec")
    except (OSError, ValueError, SyntaxError) as error:
        raise Problem(f"{connection.url}/client.py: {describe(error)}.") from None
    write_text(program, content.decode("utf-8"))


def disconnect(options: argparse.Namespace) -> None:
    """Restore the settings of a client."""
    client = options.client
    folder = default_folder()
    file = folder / "client.json"
    settings = read_settings(file)
    saved = settings["clients"].get(client)
    if saved is None:
        raise Problem(f"{TITLES[client]} is not connected.")
    connection = find_connection(client)
    changes = plan_changes(client, connection, saved, Setup([], []))
    confirm_changes(changes, options.yes)
    for change in changes:
        write_text(change.file, change.after)
    del settings["clients"][client]
    shutil.rmtree(folder / "backups" / client, ignore_errors=True)
    write_text(file, json.dumps(settings, indent=2) + "\n" if settings["clients"] else None)
    if not settings["clients"]:
        (folder / "client.py").unlink(missing_ok=True)
        for empty in (folder / "backups", folder):
            if empty.is_dir() and not any(empty.iterdir()):
                empty.rmdir()
    print(f"{TITLES[client]} does not ask Mission Control any more. Its agent's token still works.")
    try:
        send_signal(connection, client, "ClientDisconnected", {})
    except (OSError, ValueError, Problem) as error:
        print(f"The page of the agent does not know it yet: {connection.url}: {describe(error)}.")


def check(options: argparse.Namespace) -> int:
    """Print what works, and return 1 if something does not.

    The requests are none that a client sends: pages must not take them for signs of the client.
    """
    client = options.client
    connection = find_connection(client)
    requests: list[tuple[str, str, Any]] = [
        ("token", "/api/v1/agent/healthz", None),
        ("hook", f"/hooks/{client}?wait=0", {"tool_name": "check"}),
        ("MCP", "/mcp", {"jsonrpc": "2.0", "id": 1, "method": "ping"}),
        ("telemetry", "/otlp/v1/logs", {"resourceLogs": []}),
    ]
    failed = 0
    for name, path, body in requests:
        headers = {"X-Hook-Event": "PreToolUse"} if name == "hook" else {}
        try:
            answer = send_json(connection, path, body, headers=headers)
            if name == "hook":
                read_answer(client, answer)  # a denial, since no call waits for 0 seconds
            print(f"ok      {name}")
        except (OSError, ValueError) as error:
            failed = 1
            print(f"FAILED  {name}: {connection.url}{path}: {describe(error)}")
    for problem in find_local_problems(client, connection):
        failed = 1
        print(f"FAILED  {problem}")
    return failed


def find_local_problems(client: str, connection: Connection) -> Iterator[str]:
    """Yield why the client may not ask, although the server answers."""
    saved = read_settings(settings_file())["clients"].get(client, {})
    for name in saved.get("files", {}):
        text = read_text(Path(name))
        marks = (f"/hooks/{client}", f" hook {client}", f"{connection.url}/mcp", connection.token)
        if text is None or not any(mark in text for mark in marks):
            yield f"settings: {name} does not have what was written to it. Connect again."
        elif HOOKS_OFF.search(text):
            yield f"settings: {name} switches all hooks off."
    if client == "codex" and read_codex_trust(should_trust=False) is False:
        yield "trust: Codex skips hooks that nobody trusts. Open it, and use /hooks."
    for name in PROJECT_FILES.get(client, ()):
        if HOOKS_OFF.search(read_text(Path(name)) or ""):
            yield f"project: {Path(name).resolve()} switches hooks off in this folder."


HOOKS_OFF = re.compile(
    r'(?m)"disableAllHooks"\s*:\s*true|^[ \t]*hooks\s*=\s*false|"hooksConfig"\s*:\s*\{[^}]*false'
)
PROJECT_FILES = {
    "claude": (".claude/settings.json", ".claude/settings.local.json"),
    "codex": (".codex/config.toml",),
    "gemini": (".gemini/settings.json",),
    "copilot": (".github/copilot/settings.json", ".claude/settings.json"),
}


def read_wait(text: str) -> int:
    seconds = int(text)
    if not 1 <= seconds <= MAX_WAIT:
        raise argparse.ArgumentTypeError(f"between 1 and {MAX_WAIT}")
    return seconds


def parse_options(arguments: list[str]) -> argparse.Namespace:
    summary = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(prog="client.py", description=summary)
    commands = parser.add_subparsers(dest="command", required=True)
    connecting = commands.add_parser("connect", help="let a client ask Mission Control")
    connecting.add_argument("client", choices=CLIENTS)
    connecting.add_argument("--url", help="the address of Mission Control; otherwise MC_URL")
    connecting.add_argument("--token", help="of the agent, or of a person who creates agents")
    connecting.add_argument("--board", help="the id of the agent's board")
    connecting.add_argument("--name", default="", help="of an agent that is created")
    connecting.add_argument("--wait", type=read_wait, default=DEFAULT_WAIT, help="seconds, 570")
    connecting.add_argument(
        "--headless", action="store_true", help="claude -p: end, and continue when resumed"
    )
    connecting.add_argument("--without", action="append", choices=PARTS, default=[])
    connecting.add_argument("--no-trust", action="store_true", help="Codex: do not trust the hook")
    connecting.add_argument("--insecure-http", action="store_true")
    connecting.add_argument("--yes", action="store_true", help="do not ask first")
    disconnecting = commands.add_parser("disconnect", help="restore the settings of a client")
    disconnecting.add_argument("client", choices=CLIENTS)
    disconnecting.add_argument("--yes", action="store_true", help="do not ask first")
    checking = commands.add_parser("check", help="say what works")
    checking.add_argument("client", choices=CLIENTS)
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """Run a command, and return its exit status."""
    if arguments[:1] == ["hook"]:  # without argparse, whose errors would not block
        guard_hook(*(*arguments[1:3], "", "")[:2])
    options = parse_options(arguments)
    try:
        if options.command == "check":
            return check(options)
        (connect if options.command == "connect" else disconnect)(options)
    except Problem as problem:
        print(problem, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{error.filename or 'client.py'}: {error.strerror or error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
