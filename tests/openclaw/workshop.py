"""A gateway with agents in it: what is asked of it stays, and it can break in the middle of a call.

What it says was compared with a real one of version 2026.9.6: tests/openclaw/test_real.py.
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

from tests.openclaw.fake import Fake, Refused, running

FILES = ("AGENTS.md", "SOUL.md", "IDENTITY.md", "USER.md", "MEMORY.md", "BOOTSTRAP.md")
HEARTBEAT = {
    *("every", "target", "prompt", "model", "session", "activeHours", "timeoutSeconds"),
    *("lightContext", "isolatedSession", "to", "accountId", "directPolicy"),
}
SEEDED = ("AGENTS.md", "SOUL.md", "USER.md", "BOOTSTRAP.md")  # in every new workspace
Params = dict[str, Any]
Lost = int  # the code with which the connection is closed


@dataclass(frozen=True)
class Before:
    """A call that is cut off before anything is done."""

    close: Lost = 1012


@dataclass(frozen=True)
class After:
    """A call that is done, and whose answer is lost."""

    close: Lost = 1012


Fault = Before | After | Refused | None


@dataclass
class Workshop(Fake):
    """What it has, which a test may look at and change behind everybody's back."""

    fault: Callable[[str, Params], Fault] = lambda _method, _params: None
    late: int = 1  # so many looks pass before what was created is there
    patches_left: int | None = None  # None: as many as one likes
    config: dict[str, Any] = field(default_factory=lambda: {"agents": {"entries": {}}})
    files: dict[str, dict[str, str]] = field(default_factory=dict)  # of each agent
    scratches: dict[str, tuple[str, int]] = field(default_factory=dict)  # text and revision
    sessions: dict[str, Params] = field(default_factory=dict)
    runs: dict[str, Params] = field(default_factory=dict)  # by idempotency key
    changes: list[tuple[str, Params]] = field(default_factory=list)  # what really changed anything
    coming: dict[str, int] = field(default_factory=dict)  # agents that are not there yet

    def __post_init__(self) -> None:
        """Take the calls of this gateway."""
        self.methods |= {
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
            "chat.send": self._say,
            "chat.history": self._history,
        }

    @property
    def entries(self) -> dict[str, Any]:
        """The agents, as the config has them."""
        return self.config["agents"]["entries"]

    @property
    def hash(self) -> str:
        """What tells this state of the config from any other."""
        return _hash(json.dumps(self.config, sort_keys=True))

    @property
    def said(self) -> list[tuple[str, str]]:
        """All messages, with the session of each."""
        return [(run["sessionKey"], run["message"]) for run in self.runs.values()]

    def listed(self) -> list[str]:
        """Return the keys of the agents that are there."""
        return [key for key in self.entries if key not in self.coming]

    def lose(self, key: str) -> None:
        """Let an agent disappear behind everybody's back."""
        del self.entries[key]
        self._forget(key)

    async def _answer(self, socket: ServerConnection, frame: dict[str, Any]) -> None:
        fault = self.fault(frame["method"], frame["params"])
        if isinstance(fault, Before):
            self.calls.append((frame["method"], frame["params"]))
            await socket.close(fault.close)
        elif isinstance(fault, After):
            await super()._answer(Deaf(), frame)  # ty: ignore[invalid-argument-type]
            await socket.close(fault.close)
        elif isinstance(fault, Refused):
            self.calls.append((frame["method"], frame["params"]))
            said = {"type": "res", "id": frame["id"], "ok": False, "error": fault.error}
            await socket.send(json.dumps(said))
        else:
            await super()._answer(socket, frame)

    def _list(self, _params: Params) -> Any:
        here = self.listed()
        self.coming = {key: looks - 1 for key, looks in self.coming.items() if looks > 1}
        agents = [
            {"id": key, "workspace": self.entries[key].get("workspace", "")}
            | {name: self.entries[key][name] for name in ("name",) if name in self.entries[key]}
            for key in here
        ]
        return {"defaultId": "main", "agents": [{"id": "main", "workspace": "main"}, *agents]}

    def _create(self, params: Params) -> Any:
        key = re.sub(r"[^a-z0-9_-]", "-", params["name"].lower())[:64]
        if key in self.entries or key == "main":
            raise _invalid(f'agent "{key}" already exists')
        workspace = params.get("workspace", key)
        self.entries[key] = {"name": params["name"], "workspace": workspace}
        self.files[key] = dict.fromkeys(SEEDED, "The gateway's own.")
        if self.late:
            self.coming[key] = self.late
        self.changes.append(("agents.create", params))
        return {"ok": True, "agentId": key, "name": params["name"], "workspace": workspace}

    def _update(self, params: Params) -> Any:
        key = self._here(params)
        new = {name: params[name] for name in ("name", "workspace", "model") if name in params}
        if any(self.entries[key].get(name) != value for name, value in new.items()):
            self.entries[key] |= new
            self.changes.append(("agents.update", params))
        return {"ok": True, "agentId": key}

    def _delete(self, params: Params) -> Any:
        key = self._here(params)
        self.lose(key)
        self.changes.append(("agents.delete", params))
        return {"ok": True, "agentId": key, "removed": [], "failed": [], "removedBindings": 0}

    def _forget(self, key: str) -> None:
        self.files.pop(key, None)
        self.scratches.pop(key, None)
        self.coming.pop(key, None)
        mine = [session for session in self.sessions if session.split(":")[1] == key]
        for session in mine:
            del self.sessions[session]

    def _list_files(self, params: Params) -> Any:
        key = self._here(params)
        files = [self._about(key, name) for name in FILES]
        return {"agentId": key, "workspace": "", "files": files}

    def _about(self, key: str, name: str) -> Params:
        content = self.files[key].get(name)
        about = {"name": name, "path": f"{key}/{name}", "missing": content is None}
        return about if content is None else {**about, "size": len(content), "updatedAtMs": 1}

    def _file(self, params: Params) -> Any:
        key, name = self._here(params), _known_file(params)
        about, content = self._about(key, name), self.files[key].get(name)
        if content is not None:
            about |= {"content": content, "hash": _hash(content)}
        return {"agentId": key, "workspace": "", "file": about}

    def _set_file(self, params: Params) -> Any:
        key, name = self._here(params), _known_file(params)
        now = self.files[key].get(name)
        expected = params.get("expectedHash")
        if expected is not None and not re.fullmatch("[0-9a-f]{64}", expected):
            raise _invalid("invalid agents.files.set params: at /expectedHash")
        if expected and (now is None or _hash(now) != expected):
            details = {"type": "agent_file_conflict", "name": name}
            details |= {} if now is None else {"currentHash": _hash(now)}
            raise _invalid(f'agent file "{name}" changed since it was read', details=details)
        self.files[key][name] = params["content"]
        self.changes.append(("agents.files.set", params))
        about = {**self._about(key, name), "content": params["content"]}
        return {"ok": True, "agentId": key, "workspace": "", "file": about}

    def _config(self, _params: Params) -> Any:
        known = {"config": deepcopy(self.config), "parsed": deepcopy(self.config), "valid": True}
        return {**known, "hash": self.hash, "appliedConfigHash": self.hash}

    def _patch(self, params: Params) -> Any:
        self._count_patch()
        if not params.get("baseHash"):
            raise _invalid("config base hash required")
        if params["baseHash"] != self.hash:
            raise _invalid("config changed since last load; re-run config.get and retry")
        new = merged(self.config, json.loads(params["raw"]))
        _check(new)
        if new != self.config:
            self.config = new
            for key in self.entries:  # an entry makes an agent
                self.files.setdefault(key, dict.fromkeys(SEEDED, "The gateway's own."))
            self.changes.append(("config.patch", params))
        return {"ok": True, "hash": self.hash, "config": deepcopy(self.config)}

    def _count_patch(self) -> None:
        if self.patches_left is None:
            return
        if self.patches_left <= 0:
            again = {"retryable": True, "retryAfterMs": 59_000}
            raise Refused("UNAVAILABLE", "rate limit exceeded for config.patch", **again)
        self.patches_left -= 1

    def _jobs(self, params: Params) -> Any:
        jobs = [
            {"id": f"job of {key}", "agentId": key, "payload": {"kind": "heartbeat"}}
            for key in self.listed()
            if key == params.get("agentId", key) and _beats(self.entries[key])
        ]
        jobs += [
            {"id": f"review of {key}", "agentId": key, "payload": {"kind": "agentTurn"}}
            for key in self.listed()
            if key == params.get("agentId", key)
        ]
        return {"jobs": jobs, "total": len(jobs)}

    def _job(self, params: Params) -> str:
        key = params["id"].removeprefix("job of ")
        if key not in self.entries or not _beats(self.entries[key]):
            raise _invalid("unknown cron job id")
        return key

    def _scratch(self, params: Params) -> Any:
        key = self._job(params)
        content, revision = self.scratches.get(key, ("", 0))
        scratch = {"content": content, "revision": revision} if revision else None
        return {"scratch": scratch, "currentRevision": revision, "maxBytes": 262144}

    def _set_scratch(self, params: Params) -> Any:
        key = self._job(params)
        _, revision = self.scratches.get(key, ("", 0))
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
            raise _invalid(f"label already in use: {label}")
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

    def _say(self, params: Params) -> Any:
        key, once = params["sessionKey"], params["idempotencyKey"]
        agent = key.split(":")[1]
        if agent not in (*self.listed(), "main"):
            raise _invalid(f'Agent "{agent}" no longer exists in configuration')
        if once in self.runs:
            return {"runId": once, "status": "in_flight"}
        self._session(key)
        self.runs[once] = params
        self.changes.append(("chat.send", params))
        return {"runId": once, "status": "started"}

    def _history(self, params: Params) -> Any:
        said = [text for key, text in self.said if key == params["sessionKey"]]
        messages = [{"role": "user", "content": text} for text in said]
        return {"sessionKey": params["sessionKey"], "messages": messages, "hasMore": False}

    def _here(self, params: Params) -> str:
        key = params["agentId"]
        if key not in self.listed():
            raise _invalid(f'agent "{key}" not found')
        return key


class Deaf:
    """A socket over which no answer comes back."""

    async def send(self, _raw: str) -> None:
        """Lose it."""

    async def close(self, _code: int) -> None:
        """Do nothing: it is closed by who uses it."""


@asynccontextmanager
async def working(**how: Any) -> AsyncGenerator[Workshop]:
    """Let a workshop run."""
    async with running(Workshop(**how)) as fake:
        assert isinstance(fake, Workshop)
        yield fake


def merged(old: Any, patch: Any) -> Any:
    """Apply a merge patch of JSON (RFC 7396)."""
    if not isinstance(patch, dict):
        return patch
    kept = old if isinstance(old, dict) else {}
    new = {**kept, **{name: merged(kept.get(name), value) for name, value in patch.items()}}
    return {name: value for name, value in new.items() if value is not None}


def _check(config: Params) -> None:
    """Refuse what no gateway of this version takes."""
    unknown = set(config["agents"]) - {"entries", "defaults"}
    if unknown:
        raise _issue("agents", f'Unrecognized key: "{unknown.pop()}"')
    for key, entry in config["agents"]["entries"].items():
        strange = set(entry.get("heartbeat", {})) - HEARTBEAT
        if strange:
            where = f"agents.entries.{key}.heartbeat"
            raise _issue(where, f'Unrecognized key: "{strange.pop()}"')


def _issue(path: str, message: str) -> Refused:
    issues = [{"path": path, "message": message}]
    return _invalid(f"invalid config: {path}: {message}", details={"issues": issues})


def _invalid(message: str, **more: Any) -> Refused:
    return Refused("INVALID_REQUEST", message, **more)


def _known_file(params: Params) -> str:
    if params["name"] not in FILES:
        raise _invalid(f'unsupported file "{params["name"]}"')
    return params["name"]


def _beats(entry: Params) -> bool:
    return entry.get("heartbeat", {}).get("every", "0m") != "0m"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
