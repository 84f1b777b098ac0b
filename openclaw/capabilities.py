"""What a gateway supports: one table of the differences between versions.

A gateway announces its methods on connect; that it does not know a parameter is learned from its
first rejection. What is known applies to one version: an updated gateway is learned again.
"""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from core.text import replace_unstorable
from openclaw.errors import ErrorKind, GatewayError
from openclaw.protocol import Hello

MIN_VERSION = "2026.5.28"
"""The oldest version of OpenClaw that is tested."""


class Capability(StrEnum):
    """What not every gateway supports. The values are stored."""

    AGENTS = "agents"  # without it agents cannot be provisioned
    FILE_HASHES = "file_hashes"
    ACTIVE_SESSIONS = "active_sessions"
    HEARTBEAT_SCRATCH = "heartbeat_scratch"
    QUESTIONS = "questions"
    RESOLUTION_IDS = "resolution_ids"
    APPROVAL_RESULTS = "approval_results"
    COMMAND_GRANTS = "standing_grants"


@dataclass(frozen=True)
class CapabilityRule:
    """How to find out whether a gateway has a capability, and what is done without it."""

    since: str  # the first version that was seen with it
    methods: frozenset[str] = frozenset()  # announced on connect by gateways that have it
    parameters: tuple[str, ...] = ()  # rejected by gateways that do not have it
    older_form: str = ""


CAPABILITY_RULES: Mapping[Capability, CapabilityRule] = {
    Capability.AGENTS: CapabilityRule(
        MIN_VERSION,
        frozenset(
            {
                *("agents.list", "agents.create", "agents.update", "agents.delete"),
                *("agents.files.get", "agents.files.set", "config.get", "config.patch"),
                *("chat.send", "chat.history", "agent.wait", "sessions.list"),
            }
        ),
    ),
    Capability.FILE_HASHES: CapabilityRule(
        "2026.9.4", parameters=("expectedHash",), older_form="compare, write, and read back"
    ),
    Capability.ACTIVE_SESSIONS: CapabilityRule(
        "2026.9.3", parameters=("activeOnly",), older_form="list all sessions"
    ),
    Capability.HEARTBEAT_SCRATCH: CapabilityRule(
        "2026.8.2",
        frozenset({"cron.list", "cron.scratch.get", "cron.scratch.set"}),
        older_form="write HEARTBEAT.md",
    ),
    Capability.QUESTIONS: CapabilityRule(
        "2026.8.2",
        frozenset({"question.list", "question.get", "question.resolve"}),
        older_form="no questions of agents",
    ),
    Capability.RESOLUTION_IDS: CapabilityRule(
        "2026.9.3",
        parameters=("resolutionId", "includeResolutionId"),
        older_form="compare answers and names",
    ),
    Capability.APPROVAL_RESULTS: CapabilityRule(
        "2026.8.2", frozenset({"approval.get"}), older_form="no result of others' answers"
    ),
    Capability.COMMAND_GRANTS: CapabilityRule(
        "2026.8.2",
        frozenset({"exec.approval.grants.list", "exec.approval.grants.revoke"}),
        older_form="no standing grants",
    ),
}
"""The differences between the versions from MIN_VERSION on, as observed with real gateways."""

UNSUPPORTED_REQUEST = re.compile(
    r"unexpected property '|unknown method: |unsupported file \"|must have required property '"
)
"""The words of a gateway that does not know a method or a parameter; its codes do not say so."""

NOT_APPLIED = re.compile(r"persisted but was not applied")
"""The words of a gateway that has stored its config, and needs a restart to use it."""


CONFIG_LINE = re.compile(r" at (\d+):\d+\.?$")
"""The end of the message of a gateway about JSON that it cannot read: line and column."""


def parse_config_problem(answer: Mapping[str, Any]) -> Mapping[str, str]:
    """Return why the file of a config is invalid, from the answer to `config.get`.

    The keys are `file`, `line` or `key`, and `reply`, as far as they are known. The result is empty
    if the file is valid.
    """
    if answer.get("valid") is not False:
        return {}
    issues = answer.get("issues")
    first = issues[0] if isinstance(issues, list) and issues else {}
    issue = first if isinstance(first, Mapping) else {}
    reply = GatewayError(ErrorKind.REJECTED, str(issue.get("message") or "it is invalid")).message
    line = CONFIG_LINE.search(reply)
    places = {"file": answer.get("path"), "key": issue.get("path")}
    found = {
        name: replace_unstorable(place[:300])
        for name, place in places.items()
        if isinstance(place, str) and place
    }
    return {**found, **({"line": line[1]} if line else {}), "reply": reply}


class GatewayCapabilities:
    """What is known about one gateway, and an event that is set when that changes.

    `unsupported_message` is that of a gateway that does not know a call that agents need;
    `restart_message` is that of a gateway that has to be restarted by a person;
    `config_problem` says why the file of its config is invalid.
    """

    def __init__(self, stored: Mapping[str, Any] | None = None) -> None:
        stored = stored or {}
        known, version = stored.get("missing"), stored.get("version")
        names = known if isinstance(known, list) else []
        self.version = version if isinstance(version, str) else ""
        self.missing = {Capability(name) for name in names if name in set(Capability)}
        self.unsupported_message = str(stored.get("unsupported") or "")
        self.restart_message = str(stored.get("restart") or "")
        problem = stored.get("config")
        self.config_problem: Mapping[str, str] = problem if isinstance(problem, dict) else {}
        self._boot_id = str(stored.get("boot") or "")
        self._changed = asyncio.Event()

    async def wait_for_change(self) -> None:
        """Wait until something is learned from a call."""
        await self._changed.wait()
        self._changed.clear()

    def to_json(self) -> dict[str, Any]:
        """Return what is stored. It depends on nothing else than on what is known."""
        stored = {
            "version": self.version,
            "missing": sorted(self.missing),
            "unsupported": self.unsupported_message,
            "restart": self.restart_message,
            "config": dict(self.config_problem),
            "boot": self._boot_id,
        }
        return {name: value for name, value in stored.items() if value}

    def supports(self, capability: Capability) -> bool:
        """Return whether a gateway has a capability, as far as is known."""
        is_refused = capability is Capability.AGENTS and bool(self.unsupported_message)
        return capability not in self.missing and not is_refused

    def learn_hello(self, hello: Hello) -> None:
        """Learn from the methods that a gateway announces; forget what another version lacked."""
        if hello.version != self.version:
            self.version, self.missing, self.unsupported_message = hello.version, set(), ""
        if hello.boot_id != self._boot_id:
            self._boot_id, self.restart_message = hello.boot_id, ""
        rules = CAPABILITY_RULES.items()
        rejected = {one for one in self.missing if CAPABILITY_RULES[one].parameters}
        unannounced = {one for one, rule in rules if rule.methods - hello.methods}
        self.missing = rejected | unannounced

    def learn_rejection(self, capability: Capability, error: GatewayError) -> bool:
        """Return whether an error says that a capability is missing, and remember that."""
        parameters = CAPABILITY_RULES[capability].parameters
        is_missing = error.kind is ErrorKind.REJECTED and any(
            f"unexpected property '{name}'" in error.message for name in parameters
        )
        if is_missing and capability not in self.missing:
            self.missing.add(capability)
            self._changed.set()
        return is_missing

    def learn_failure(self, error: GatewayError) -> None:
        """Remember an error of a call without which agents cannot be provisioned."""
        if is_unsupported_request(error) and self.unsupported_message != error.message:
            self.unsupported_message = error.message
            self._changed.set()
        if is_restart_required(error) and self.restart_message != error.message:
            self.restart_message = error.message
            self._changed.set()

    def learn_config(self, problem: Mapping[str, str]) -> None:
        """Remember why the file of the config is invalid; nothing if it is valid."""
        if problem != self.config_problem:
            self.config_problem = problem
            self._changed.set()

    def forget_failure(self) -> None:
        """Forget the error of such a call, because all of them have succeeded.

        An older gateway does not announce its restarts: then it has been restarted too.
        """
        if self.unsupported_message or (self.restart_message and not self._boot_id):
            self.unsupported_message = ""
            self.restart_message = self.restart_message if self._boot_id else ""
            self._changed.set()


def is_unsupported_request(error: GatewayError) -> bool:
    """Return whether a gateway does not know a method or a parameter of a request."""
    return error.kind is ErrorKind.REJECTED and bool(UNSUPPORTED_REQUEST.search(error.message))


def is_restart_required(error: GatewayError) -> bool:
    """Return whether a gateway has stored its config, and has to be restarted to use it."""
    return error.kind is ErrorKind.UNAVAILABLE and bool(NOT_APPLIED.search(error.message))
