"""Typed calls of the gateway methods that the product uses.

With `retry` a call is repeated until it succeeds or the client's time is up; it connects if
necessary. Without it the call is sent once, over the existing connection: its caller retries later.
All calls raise GatewayError. A part of an answer that has an unexpected shape is read as if it were
missing, unless the docstring says otherwise.

The calls about approvals and questions of agents are in openclaw/request_api.py.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from json import dumps
from typing import Any, TypeVar

from core.security.secrets import hash_token
from openclaw.capabilities import Capability, parse_config_problem
from openclaw.client import GatewayClient
from openclaw.errors import ErrorKind, GatewayError

JsonObject = Mapping[str, Any]
T = TypeVar("T")

HEARTBEAT_FILE = "HEARTBEAT.md"  # read at each heartbeat by agents on older gateways
MAX_AGENTS = 5_000  # of one gateway
COMMAND = re.compile(r"(?<![^\s\ufeff])/(?=([a-z][\w-]*+)(?![./]))", re.IGNORECASE)
SHELL_COMMAND = re.compile(r"^[\s\ufeff]*(?=!)")
MAX_MILLISECONDS = 32_503_680_000_000  # since 1970: the year 3000
FILE_CONFLICT = "agent_file_conflict"  # `details.type` of a write of a file that was changed


@dataclass(frozen=True)
class ListedGatewayAgent:
    """An agent of a gateway, in the gateway's own words."""

    id: str
    name: str | None = None
    identity: JsonObject | None = None
    workspace: str | None = None


@dataclass(frozen=True)
class GatewayFile:
    """A file in the workspace of an agent; `content` is None if there is no such file."""

    content: str | None
    updated_at: datetime | None = None


@dataclass(frozen=True)
class SessionPage:
    """Sessions of a gateway. `total` counts all of them, if the gateway says so."""

    sessions: Sequence[JsonObject]
    total: int | None = None
    next_offset: int | None = None  # None on the last page


@dataclass(frozen=True)
class GatewayConfig:
    """The configuration of a gateway, and the hash that a patch of it refers to.

    `problem` says why the file is invalid: file, line or key, and the message of the gateway. The
    gateway then uses an earlier configuration. It is empty if the file is valid.
    """

    parsed: JsonObject
    hash: str
    problem: Mapping[str, str] = field(default_factory=dict)


async def list_agents(
    client: GatewayClient, *, retry: bool = False, skip_unreadable: bool = False
) -> list[ListedGatewayAgent]:
    """Return the agents of a gateway. An answer without a list raises GatewayError.

    So does an unreadable row, because a skipped row would make its agent look as if it were
    missing. Callers that only offer agents for selection can skip such rows.
    """
    answer = await call_method(client, "agents.list", {}, retry)
    rows = answer.get("agents") if isinstance(answer, Mapping) else None
    if isinstance(rows, list) and len(rows) > MAX_AGENTS:
        reason = f"The gateway listed more than {MAX_AGENTS:,} agents."
        raise GatewayError(ErrorKind.TOO_LARGE, reason)
    agents = [_parse_agent(row) for row in rows] if isinstance(rows, list) else []
    if not isinstance(rows, list) or (None in agents and not skip_unreadable):
        raise GatewayError(ErrorKind.MALFORMED, "The gateway did not list its agents.")
    return [agent for agent in agents if agent is not None]


def _parse_agent(value: object) -> ListedGatewayAgent | None:
    row = to_object(value)
    id, name, workspace = (value_of_type(row.get(key), str) for key in ("id", "name", "workspace"))
    identity = to_object(row["identity"]) if isinstance(row.get("identity"), Mapping) else None
    return None if id is None else ListedGatewayAgent(id, name, identity, workspace)


async def create_agent(client: GatewayClient, agent_id: str, *, workspace: str) -> None:
    """Create an agent. The gateway lists it some seconds later."""
    await call_method(client, "agents.create", {"name": agent_id, "workspace": workspace})


async def rename_agent(client: GatewayClient, agent_id: str, name: str) -> None:
    """Change the displayed name of an agent."""
    await call_method(client, "agents.update", {"agentId": agent_id, "name": name})


async def delete_agent(client: GatewayClient, agent_id: str) -> None:
    """Delete an agent with its sessions and its files."""
    await call_method(client, "agents.delete", {"agentId": agent_id, "deleteFiles": True})


async def get_agent_file(
    client: GatewayClient, agent_id: str, name: str, *, retry: bool = False
) -> GatewayFile:
    """Return a file in an agent's workspace.

    An answer without a file raises GatewayError: it must not be taken for a missing file.
    """
    answer = await call_method(
        client, "agents.files.get", {"agentId": agent_id, "name": name}, retry
    )
    file = get_mapping(answer, "file")
    if file.get("missing"):
        return GatewayFile(None)
    content = file.get("content")
    if not isinstance(content, str):
        raise GatewayError(ErrorKind.MALFORMED, "The gateway answered without the file.")
    return GatewayFile(content, parse_milliseconds(file.get("updatedAtMs")))


async def write_agent_file(
    client: GatewayClient,
    agent_id: str,
    name: str,
    content: str,
    *,
    expected_hash: str | None = None,
) -> None:
    """Write a file. Raises GatewayError if the present content has not the expected hash.

    Older gateways do not compare hashes: there a change during the write is found by reading the
    file again, and raises the same error.
    """
    params = {"agentId": agent_id, "name": name, "content": content}
    if expected_hash is None:
        await call_method(client, "agents.files.set", params)
        return
    if client.capabilities.supports(Capability.FILE_HASHES):
        try:
            await call_method(client, "agents.files.set", {**params, "expectedHash": expected_hash})
        except GatewayError as error:
            if not client.capabilities.learn_rejection(Capability.FILE_HASHES, error):
                raise
        else:
            return
    await _require_hash(client, agent_id, name, expected_hash)
    await call_method(client, "agents.files.set", params)
    await _require_hash(client, agent_id, name, hash_token(content))


async def _require_hash(client: GatewayClient, agent_id: str, name: str, expected: str) -> None:
    present = await get_agent_file(client, agent_id, name)
    if present.content is None or hash_token(present.content) != expected:
        details = {"type": FILE_CONFLICT, "name": name}
        message = f'agent file "{name}" changed since it was read'
        raise GatewayError(ErrorKind.REJECTED, message, code="INVALID_REQUEST", details=details)


async def get_config(client: GatewayClient, *, retry: bool = False) -> GatewayConfig:
    """Return the configuration of a gateway. An answer without it raises GatewayError."""
    answer = to_object(await call_method(client, "config.get", {}, retry))
    if not isinstance(answer.get("hash"), str):
        raise GatewayError(ErrorKind.MALFORMED, "The gateway answered without its config.")
    problem = parse_config_problem(answer)
    return GatewayConfig(get_mapping(answer, "parsed"), answer["hash"], problem)


async def patch_config(client: GatewayClient, patch: JsonObject, *, base_hash: str) -> None:
    """Merge a patch into the configuration, if nobody has changed it since it was read."""
    await call_method(client, "config.patch", {"raw": dumps(patch), "baseHash": base_hash})


async def subscribe_to_sessions(client: GatewayClient) -> None:
    """Receive the events of all sessions over this connection."""
    await call_method(client, "sessions.subscribe", {})


async def list_sessions(
    client: GatewayClient,
    *,
    limit: int | None = None,
    offset: int | None = None,
    active_only: bool = False,
    retry: bool = False,
) -> SessionPage:
    """Return a page of the sessions of a gateway.

    Older gateways return all of them, also with `active_only`.
    """
    given = {"limit": limit, "offset": offset}
    params: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if active_only and client.capabilities.supports(Capability.ACTIVE_SESSIONS):
        params["activeOnly"] = True
    try:
        answer = await call_method(client, "sessions.list", params, retry)
    except GatewayError as error:
        if not client.capabilities.learn_rejection(Capability.ACTIVE_SESSIONS, error):
            raise
        return await list_sessions(client, limit=limit, offset=offset, retry=retry)
    numbers = [
        value_of_type(to_object(answer).get(name), int) for name in ("totalCount", "nextOffset")
    ]
    return SessionPage(get_list(answer, "sessions"), *numbers)


async def describe_session(client: GatewayClient, key: str) -> JsonObject | None:
    """Return a session by its key; None if there is none. An invalid key raises REJECTED."""
    answer = await call_method(client, "sessions.describe", {"key": key}, retry=True)
    return get_mapping(answer, "session") or None


async def reset_session(client: GatewayClient, key: str) -> None:
    """Start a session anew: its agent forgets what was said in it."""
    await call_method(client, "sessions.reset", {"key": key}, retry=True)


async def chat_history(
    client: GatewayClient, session_key: str, *, limit: int, retry: bool = False
) -> JsonObject:
    """Return the latest messages of a session, with its running turn and its waiting input."""
    answer = await call_method(
        client, "chat.history", {"sessionKey": session_key, "limit": limit}, retry
    )
    return {"messages": answer} if isinstance(answer, list) else to_object(answer)


async def send_chat(
    client: GatewayClient,
    session_key: str,
    message: str,
    *,
    idempotency_key: str,
    commands: Collection[str] = (),
    deliver: bool = False,
    retry: bool = False,
) -> JsonObject:
    """Send a message into a session, and start a turn of its agent; return the state of the turn.

    The gateway recognizes the key, so the same message may be sent again. It obeys only those
    `commands` with which the message may begin.
    """
    params = {
        "sessionKey": session_key,
        "message": escape_commands(message, commands),
        "deliver": deliver,
        "idempotencyKey": idempotency_key,
    }
    return to_object(await call_method(client, "chat.send", params, retry))


def escape_commands(message: str, allowed: Collection[str] = ()) -> str:
    """Return a message in which a gateway finds no command, except an allowed one at the beginning.

    A gateway obeys commands as the owner wherever they are in a message: `/exec ask=off` in a
    quoted text lets the agent run everything without an approval, and `/approve` approves. With a
    backslash before it a command is text; paths such as `/etc/hosts` are not commands.
    """
    first = len(message) - len(message.lstrip())

    def escape(match: re.Match[str]) -> str:
        is_allowed = match.start() == first and match[1].lower() in allowed
        return "/" if is_allowed else "\\/"

    return SHELL_COMMAND.sub(r"\g<0>\\", COMMAND.sub(escape, message))


async def abort_chat(client: GatewayClient, session_key: str, *, time_limit: float) -> None:
    """Abort the running turn of a session, if there is one. `time_limit` is in seconds."""
    await client.call_once("chat.abort", {"sessionKey": session_key}, time_limit=time_limit)


async def wait_for_run(client: GatewayClient, run_id: str, *, timeout_ms: int) -> JsonObject:
    """Return how a run has ended, as far as the gateway remembers it."""
    return to_object(
        await call_method(client, "agent.wait", {"runId": run_id, "timeoutMs": timeout_ms})
    )


async def call_method(
    client: GatewayClient, method: str, params: JsonObject, retry: bool = False
) -> Any:
    """Call a method: once, or with retries."""
    if retry:
        return await client.call_with_retry(method, params, is_idempotent=True)
    return await client.call_once(method, params)


@dataclass(frozen=True)
class Heartbeat:
    """The scheduled heartbeat of an agent, and the text that the agent reads then."""

    job_id: str | None  # None on gateways where the text is in a file
    text: str | None


async def find_heartbeat(client: GatewayClient, agent_id: str) -> Heartbeat | None:
    """Return the heartbeat of an agent with its text; None if the gateway gives it none.

    Older gateways have no job for it: there the text is in a file.
    """
    if not client.capabilities.supports(Capability.HEARTBEAT_SCRATCH):
        return Heartbeat(None, (await get_agent_file(client, agent_id, HEARTBEAT_FILE)).content)
    params = {"agentId": agent_id, "includeDisabled": True}
    for job in get_list(await call_method(client, "cron.list", params), "jobs"):
        if get_mapping(job, "payload").get("kind") == "heartbeat" and isinstance(
            job.get("id"), str
        ):
            answer = await call_method(client, "cron.scratch.get", {"id": job["id"]})
            return Heartbeat(job["id"], get_mapping(answer, "scratch").get("content"))
    return None


async def set_heartbeat_text(
    client: GatewayClient, agent_id: str, heartbeat: Heartbeat, text: str | None
) -> None:
    """Set the text that an agent reads at each heartbeat; None removes it, or empties its file."""
    if heartbeat.job_id is None:
        await write_agent_file(client, agent_id, HEARTBEAT_FILE, text or "")
    else:
        params = {"id": heartbeat.job_id, "content": text}
        await call_method(client, "cron.scratch.set", params)


@dataclass(frozen=True)
class ListedSkill:
    """A skill that an agent of a gateway can have, and the folder that it is in."""

    name: str
    folder: str  # without the folders that contain it
    is_bundled: bool = False  # part of OpenClaw


async def list_skills(client: GatewayClient, agent_id: str) -> list[ListedSkill]:
    """Return the skills that an agent can have, also those that miss a requirement.

    The gateway reads the folders of the agent each time. An answer without a list raises
    GatewayError: a skill that is not listed must be known to be missing.
    """
    answer = await call_method(client, "skills.status", {"agentId": agent_id})
    rows = answer.get("skills") if isinstance(answer, Mapping) else None
    if not isinstance(rows, list):
        raise GatewayError(ErrorKind.MALFORMED, "The gateway did not list its skills.")
    return [parse_skill(to_object(row)) for row in rows]


def parse_skill(row: JsonObject) -> ListedSkill:
    """Return a skill of the list. Parts of an unexpected shape are blank."""
    name, path = (value_of_type(row.get(key), str) or "" for key in ("name", "baseDir"))
    folder = path.replace("\\", "/").rstrip("/").rpartition("/")[2]  # also of Windows
    return ListedSkill(name, folder, row.get("bundled") is True)


def value_of_type(value: object, type: type[T]) -> T | None:
    """Return a value if it has a type, or None."""
    return value if isinstance(value, type) else None


def to_object(answer: object) -> JsonObject:
    """Return an answer if it is an object, or an empty object."""
    return answer if isinstance(answer, Mapping) else {}


def get_mapping(answer: object, name: str) -> JsonObject:
    """Return the object that an answer has under a name, or an empty one."""
    return to_object(to_object(answer).get(name))


def get_list(answer: object, name: str = "") -> list[JsonObject]:
    """Return the objects of a list, or of the list that an answer has under a name."""
    found = answer.get(name) if isinstance(answer, Mapping) else answer
    return [row for row in found if isinstance(row, Mapping)] if isinstance(found, list) else []


def parse_milliseconds(value: object) -> datetime | None:
    """Return the UTC time of a number of milliseconds since 1970; None for any other value.

    Neither 0 nor a time after the year 3000 is one, so every time can be stored and shown.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return datetime.fromtimestamp(value / 1000, UTC) if 0 < value <= MAX_MILLISECONDS else None


def find_agent_id(row: JsonObject) -> str | None:
    """Return the id of the agent of a row: as sent, or else from the key of its session."""
    agent_id, key = (value_of_type(row.get(name), str) for name in ("agentId", "sessionKey"))
    if agent_id:
        return agent_id
    parts = (key or "").split(":")
    return parts[1] or None if len(parts) > 2 and parts[0] == "agent" else None
