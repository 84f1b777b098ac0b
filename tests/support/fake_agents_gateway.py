"""A fake gateway with agents and files, which can disconnect during a call.

Its answers were compared with a real one of version 2026.9.6: tests/openclaw/test_real_gateway.py.
"""

import hashlib
import json
import re
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.server import ServerConnection

from openclaw import Capability
from tests.support.fake_gateway import ErrorResponse, FakeGateway, run_fake_gateway
from tests.support.fake_gateway_config import (
    Params,
    invalid_request,
    merge_patch,
    patch_of_list,
    validate_config,
)

FILES = ("AGENTS.md", "SOUL.md", "IDENTITY.md", "USER.md", "MEMORY.md", "BOOTSTRAP.md")
OLDER_FILES = ("HEARTBEAT.md", "TOOLS.md")
SEEDED_FILES = ("AGENTS.md", "SOUL.md", "USER.md", "BOOTSTRAP.md")  # in every new workspace
CloseCode = int  # the close code of the connection


@dataclass(frozen=True)
class LostBefore:
    """Close the connection before the call is executed."""

    close: CloseCode = 1012


@dataclass(frozen=True)
class LostAfter:
    """Execute the call, and close the connection before the answer."""

    close: CloseCode = 1012


Fault = LostBefore | LostAfter | ErrorResponse | None


@dataclass
class FakeAgentsGateway(FakeGateway):
    """The state of the gateway, which tests may read and change."""

    fault: Callable[[str, Params], Fault] = lambda _method, _params: None
    listing_delay: int = 1  # lists that pass before a created agent is listed
    patches_left: int | None = None  # None: unlimited
    config: dict[str, Any] = field(default_factory=lambda: {"agents": {"entries": {}}})
    files: dict[str, dict[str, str]] = field(default_factory=dict)  # of each agent
    scratches: dict[str, tuple[str, int]] = field(default_factory=dict)  # text and revision
    sessions: dict[str, Params] = field(default_factory=dict)
    runs: dict[str, Params] = field(default_factory=dict)  # by idempotency key
    changes: list[tuple[str, Params]] = field(default_factory=list)  # calls with an effect
    delayed_agents: dict[str, int] = field(
        default_factory=dict
    )  # agents that are not listed yet, with the remaining lists

    def __post_init__(self) -> None:
        """Register the handlers of this gateway."""
        self.handlers |= {
            "health": lambda _: {"ok": True},
            "agents.list": self._list,
            "agents.create": self._create,
            "agents.update": self._update,
            "agents.delete": self._delete,
            "agents.files.list": self._list_files,
            "agents.files.get": self._file,
            "agents.files.set": self._set_file,
            "config.get": self._config,
            "config.patch": self._patch,
            "cron.list": self._jobs,
            "cron.scratch.get": self._scratch,
            "cron.scratch.set": self._set_scratch,
            "sessions.list": self._list_sessions,
            "sessions.describe": lambda params: {"session": self.sessions.get(params["key"])},
            "sessions.patch": self._patch_session,
            "sessions.reset": self._reset_session,
            "sessions.subscribe": lambda _: {"subscribed": True},
            "chat.send": self._send_chat,
            "chat.history": self._history,
        }

    @property
    def is_older(self) -> bool:
        """Whether agents are a list in the config, and read HEARTBEAT.md at each heartbeat."""
        return Capability.HEARTBEAT_SCRATCH in self.missing

    @property
    def entries(self) -> dict[str, Any]:
        """The agents in the config."""
        return self.config["agents"]["entries"]

    @property
    def hash(self) -> str:
        """The hash of the config."""
        return _hash(json.dumps(self.config, sort_keys=True))

    @property
    def sent_messages(self) -> list[tuple[str, str]]:
        """All sent messages with their sessions."""
        return [(run["sessionKey"], run["message"]) for run in self.runs.values()]

    def listed_agents(self) -> list[str]:
        """Return the ids of the agents that are listed."""
        return [key for key in self.entries if key not in self.delayed_agents]

    def list_heartbeats(self) -> dict[str, str]:
        """Return the interval of the heartbeats of each agent that has any, as the real gateway.

        As soon as one entry has a heartbeat, agents without one do not get that of the defaults.
        """
        defaults = self.config["agents"].get("defaults", {}).get("heartbeat")
        explicit = [key for key, entry in self.entries.items() if "heartbeat" in entry]
        if explicit:
            enrolled = [key for key in explicit if key not in self.delayed_agents]
        elif defaults is None:
            enrolled = ["main"]
        elif "agentId" in defaults:
            enrolled = [defaults["agentId"]]
        else:
            enrolled = list(dict.fromkeys(["main", *self.listed_agents()]))
        own = {key: self.entries.get(key, {}).get("heartbeat") for key in enrolled}
        own = {key: value if isinstance(value, dict) else {} for key, value in own.items()}
        return {key: ({"every": "30m"} | (defaults or {}) | own[key])["every"] for key in enrolled}

    def lose_agent(self, key: str) -> None:
        """Remove an agent without an event."""
        del self.entries[key]
        self._delete_agent_data(key)

    async def _handle_request(self, socket: ServerConnection, frame: dict[str, Any]) -> None:
        fault = self.fault(frame["method"], frame["params"])
        if isinstance(fault, LostBefore):
            self.calls.append((frame["method"], frame["params"]))
            await socket.close(fault.close)
        elif isinstance(fault, LostAfter):
            await super()._handle_request(DiscardingSocket(), frame)  # ty: ignore[invalid-argument-type]
            await socket.close(fault.close)
        elif isinstance(fault, ErrorResponse):
            self.calls.append((frame["method"], frame["params"]))
            answer = {"type": "res", "id": frame["id"], "ok": False, "error": fault.error}
            await socket.send(json.dumps(answer))
        else:
            await super()._handle_request(socket, frame)

    def _list(self, _params: Params) -> Any:
        here = self.listed_agents()
        self.delayed_agents = {
            key: looks - 1 for key, looks in self.delayed_agents.items() if looks > 1
        }
        agents = [
            {"id": key, "workspace": self.entries[key].get("workspace", "")}
            | {name: self.entries[key][name] for name in ("name",) if name in self.entries[key]}
            for key in here
        ]
        return {"defaultId": "main", "agents": [{"id": "main", "workspace": "main"}, *agents]}

    def _create(self, params: Params) -> Any:
        key = re.sub(r"[^a-z0-9_-]", "-", params["name"].lower())[:64]
        if key in self.entries or key == "main":
            raise invalid_request(f'agent "{key}" already exists')
        workspace = params.get("workspace", key)
        identity = {} if self.is_older else {"identity": {"name": params["name"]}}
        self.entries[key] = {"name": params["name"], "workspace": workspace, **identity}
        self.files[key] = dict.fromkeys(SEEDED_FILES, "The gateway's own.")
        if self.listing_delay:
            self.delayed_agents[key] = self.listing_delay
        self.changes.append(("agents.create", params))
        return {"ok": True, "agentId": key, "name": params["name"], "workspace": workspace}

    def _update(self, params: Params) -> Any:
        key = self._require_agent(params)
        new = {name: params[name] for name in ("name", "workspace", "model") if name in params}
        if "name" in params:
            new["identity"] = {**self.entries[key].get("identity", {}), "name": params["name"]}
        if any(self.entries[key].get(name) != value for name, value in new.items()):
            self.entries[key] |= new
            self.changes.append(("agents.update", params))
        return {"ok": True, "agentId": key}

    def _delete(self, params: Params) -> Any:
        key = self._require_agent(params)
        self.lose_agent(key)
        self.changes.append(("agents.delete", params))
        return {"ok": True, "agentId": key, "removed": [], "failed": [], "removedBindings": 0}

    def _delete_agent_data(self, key: str) -> None:
        self.files.pop(key, None)
        self.scratches.pop(key, None)
        self.delayed_agents.pop(key, None)
        mine = [session for session in self.sessions if session.split(":")[1] == key]
        for session in mine:
            del self.sessions[session]

    def _list_files(self, params: Params) -> Any:
        key = self._require_agent(params)
        files = [self._file_info(key, name) for name in FILES]
        return {"agentId": key, "workspace": "", "files": files}

    def _file_info(self, key: str, name: str) -> Params:
        content = self.files[key].get(name)
        about = {"name": name, "path": f"{key}/{name}", "missing": content is None}
        return about if content is None else {**about, "size": len(content), "updatedAtMs": 1}

    def _file(self, params: Params) -> Any:
        key, name = self._require_agent(params), self._require_known_file(params)
        about, content = self._file_info(key, name), self.files[key].get(name)
        if content is not None:
            about |= {"content": content}
            about |= {} if Capability.FILE_HASHES in self.missing else {"hash": _hash(content)}
        return {"agentId": key, "workspace": "", "file": about}

    def _set_file(self, params: Params) -> Any:
        key, name = self._require_agent(params), self._require_known_file(params)
        now = self.files[key].get(name)
        expected = params.get("expectedHash")
        if expected is not None and not re.fullmatch("[0-9a-f]{64}", expected):
            raise invalid_request("invalid agents.files.set params: at /expectedHash")
        if expected and (now is None or _hash(now) != expected):
            details = {"type": "agent_file_conflict", "name": name}
            details |= {} if now is None else {"currentHash": _hash(now)}
            raise invalid_request(f'agent file "{name}" changed since it was read', details=details)
        self.files[key][name] = params["content"]
        self.changes.append(("agents.files.set", params))
        about = {**self._file_info(key, name), "content": params["content"]}
        return {"ok": True, "agentId": key, "workspace": "", "file": about}

    def _config(self, _params: Params) -> Any:
        config = deepcopy(self.config)
        if self.is_older:
            entries = config["agents"].pop("entries")
            config["agents"]["list"] = [{"id": key, **entry} for key, entry in entries.items()]
        known = {"config": config, "parsed": deepcopy(config), "valid": True}
        return {**known, "hash": self.hash, "appliedConfigHash": self.hash}

    def _patch(self, params: Params) -> Any:
        self._count_patch()
        if not params.get("baseHash"):
            raise invalid_request("config base hash required")
        if params["baseHash"] != self.hash:
            raise invalid_request("config changed since last load; re-run config.get and retry")
        patch = json.loads(params["raw"])
        new = merge_patch(self.config, patch_of_list(patch) if self.is_older else patch)
        validate_config(new)
        if new != self.config:
            self.config = new
            for key in self.entries:  # an entry creates an agent
                self.files.setdefault(key, dict.fromkeys(SEEDED_FILES, "The gateway's own."))
            beating = self.list_heartbeats()
            self.scratches = {k: text for k, text in self.scratches.items() if k in beating}
            self.changes.append(("config.patch", params))
        return {"ok": True, "hash": self.hash, "config": deepcopy(self.config)}

    def _count_patch(self) -> None:
        if self.patches_left is None:
            return
        if self.patches_left <= 0:
            again = {"retryable": True, "retryAfterMs": 59_000}
            raise ErrorResponse("UNAVAILABLE", "rate limit exceeded for config.patch", **again)
        self.patches_left -= 1

    def _jobs(self, params: Params) -> Any:
        kind = {"kind": "heartbeat"}
        jobs = [
            {"id": f"job of {key}", "agentId": key, "payload": kind, "enabled": every != "0m"}
            for key, every in self.list_heartbeats().items()
            if key == params.get("agentId", key)
            and (every != "0m" or params.get("includeDisabled"))
        ]
        jobs += [
            {"id": f"review of {key}", "agentId": key, "payload": {"kind": "agentTurn"}}
            for key in self.listed_agents()
            if key == params.get("agentId", key)
        ]
        return {"jobs": jobs, "total": len(jobs)}

    def _job(self, params: Params) -> str:
        key = params["id"].removeprefix("job of ")
        if key not in self.list_heartbeats():
            raise invalid_request("unknown cron job id")
        return key

    def _scratch(self, params: Params) -> Any:
        key = self._job(params)
        content, revision = self.scratches.get(key, ("", 0))
        scratch = {"content": content, "revision": revision} if revision else None
        return {"scratch": scratch, "currentRevision": revision, "maxBytes": 262144}

    def _set_scratch(self, params: Params) -> Any:
        key = self._job(params)
        _, revision = self.scratches.pop(key, ("", 0))
        if params["content"] is not None:
            self.scratches[key] = (params["content"], revision + 1)
        self.changes.append(("cron.scratch.set", params))
        return {"scratch": {"content": params["content"], "revision": revision + 1}}

    def _list_sessions(self, params: Params) -> Any:
        wanted = params.get("agentId")
        rows = [row for row in self.sessions.values() if wanted in (None, row["agentId"])]
        return {"count": len(rows), "sessions": rows}

    def _patch_session(self, params: Params) -> Any:
        key, label = params["key"], params.get("label")
        row = self._session(key)
        others = [one for one in self.sessions.values() if one["agentId"] == row["agentId"]]
        if label and any(one["label"] == label and one is not row for one in others):
            raise invalid_request(f"label already in use: {label}")
        if "label" in params and row["label"] != label:
            row["label"] = label
            self.changes.append(("sessions.patch", params))
        return {"ok": True, "key": key, "entry": row}

    def _session(self, key: str) -> Params:
        new = {"key": key, "agentId": key.split(":")[1], "label": None, "sessionId": key}
        return self.sessions.setdefault(key, new)

    def _reset_session(self, params: Params) -> Any:
        self.changes.append(("sessions.reset", params))
        return {"ok": True, "key": params["key"], "entry": self._session(params["key"])}

    def _send_chat(self, params: Params) -> Any:
        key, once = params["sessionKey"], params["idempotencyKey"]
        agent = key.split(":")[1]
        if agent not in (*self.listed_agents(), "main"):
            raise invalid_request(f'Agent "{agent}" no longer exists in configuration')
        if once in self.runs:
            return {"runId": once, "status": "in_flight"}
        self._session(key)
        self.runs[once] = params
        self.changes.append(("chat.send", params))
        return {"runId": once, "status": "started"}

    def _history(self, params: Params) -> Any:
        answer = [text for key, text in self.sent_messages if key == params["sessionKey"]]
        messages = [{"role": "user", "content": text} for text in answer]
        return {"sessionKey": params["sessionKey"], "messages": messages, "hasMore": False}

    def _require_known_file(self, params: Params) -> str:
        if params["name"] not in (*FILES, *(OLDER_FILES if self.is_older else ())):
            raise invalid_request(f'unsupported file "{params["name"]}"')
        return params["name"]

    def _require_agent(self, params: Params) -> str:
        key = params["agentId"]
        if key not in self.listed_agents():
            raise invalid_request(f'agent "{key}" not found')
        return key


class DiscardingSocket:
    """A socket that discards all answers."""

    async def send(self, _raw: str) -> None:
        """Discard it."""

    async def close(self, _code: int) -> None:
        """Do nothing: the caller closes the real socket."""


@asynccontextmanager
async def run_fake_agents_gateway(**how: Any) -> AsyncGenerator[FakeAgentsGateway]:
    """Run such a gateway."""
    async with run_fake_gateway(FakeAgentsGateway(**how)) as fake:
        assert isinstance(fake, FakeAgentsGateway)
        yield fake


def _hash(text: str) -> str:
    text = re.sub("[\ud800-\udfff]", "\ufffd", text)  # Node does not encode halves of characters
    return hashlib.sha256(text.encode()).hexdigest()
