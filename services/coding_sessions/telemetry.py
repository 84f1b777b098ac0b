"""Read exports of OpenTelemetry: which calls were executed, and how many tokens were used.

Clients report the same usage in metrics, logs and traces: one source counts for each client.
Only the attributes that are named here are read; prompts, arguments, folders and output are not.
The versions that were tried, and what they send, are in docs/decisions/telemetry.md.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from core.clock import now
from models import CodingClient
from services.coding_sessions.signals import (
    MAX_KEY_LENGTH,
    MAX_TOKENS,
    UsageReport,
    is_key,
    shorten,
)

MAX_REPORTS = 2_000  # of one export; more are rejected
MAX_SESSIONS = 20  # of one export
MAX_CLOCK_DIFFERENCE = timedelta(minutes=5)
MAX_AGE = timedelta(days=2)  # an exporter repeats for some minutes

SERVICE_NAMES = {
    "claude-code": CodingClient.CLAUDE,
    "gemini-cli": CodingClient.GEMINI,
    "github-copilot": CodingClient.COPILOT,
    "opencode": CodingClient.OPENCODE,
}
CODEX_NAMES = "codex"  # the beginning of codex_exec, codex_cli_rs and others
WITHOUT_VERSION = {CodingClient.GEMINI}  # it sends that of Node.js

Attributes: TypeAlias = Mapping[str, object]


@dataclass(frozen=True)
class CallReport:
    """A call that a client executes. The success is None until it has returned.

    Without `is_proof` it may have failed before it was executed.
    """

    key: str
    tool: str
    is_successful: bool | None = None
    is_proof: bool = True


@dataclass
class SessionReports:
    """What an export says about one session. Usage has the times of the calls."""

    calls: list[CallReport] = field(default_factory=list)
    usage: list[tuple[UsageReport, datetime]] = field(default_factory=list)
    model: str | None = None


@dataclass
class Export:
    """What is kept of an export. Versions are those of the clients that have sent it."""

    versions: dict[CodingClient, str | None] = field(default_factory=dict)
    sessions: dict[tuple[CodingClient, str], SessionReports] = field(default_factory=dict)
    report_count: int = 0
    rejected_count: int = 0

    def add(self, client: CodingClient, record: "_Record") -> None:
        """Keep what a record says about its session, unless there is too much."""
        call, usage = READERS[client](record)
        if call is None and usage is None:
            return
        key = (client, record.read_text(*SESSION_NAMES))
        is_full = key not in self.sessions and len(self.sessions) >= MAX_SESSIONS
        if is_full or self.report_count >= MAX_REPORTS or not is_key(key[1]):
            self.rejected_count += 1
            return
        self.report_count += 1
        session = self.sessions.setdefault(key, SessionReports())
        if call is not None:
            session.calls.append(call)
        if usage is not None:
            session.usage.append((usage, record.read_time()))
            session.model = usage.model or session.model


def read_logs(export: object) -> Export:
    """Read an export of logs. What has another form than OTLP in JSON is skipped."""
    return _read(export, "resourceLogs", "scopeLogs", "logRecords")


def read_traces(export: object) -> Export:
    """Read an export of traces. What has another form than OTLP in JSON is skipped."""
    return _read(export, "resourceSpans", "scopeSpans", "spans")


def _read(export: object, resources: str, scopes: str, records: str) -> Export:
    found = Export()
    for resource in _list_objects(export, resources):
        named = _read_attributes(resource.get("resource"), RESOURCE_NAMES)
        client = _find_client(named.get("service.name"))
        if client is None:
            continue
        version = named.get("service.version")
        is_known = client not in WITHOUT_VERSION and isinstance(version, str)
        found.versions[client] = shorten(str(version)) if is_known else None
        for scope in _list_objects(resource, scopes):
            for record in _list_objects(scope, records):
                found.add(client, _Record(record))
    return found


def _find_client(service: object) -> CodingClient | None:
    if not isinstance(service, str):
        return None
    is_codex = service.startswith(CODEX_NAMES)
    return CodingClient.CODEX if is_codex else SERVICE_NAMES.get(service)


RESOURCE_NAMES = frozenset({"service.name", "service.version"})
SESSION_NAMES = ("session.id", "conversation.id", "gen_ai.conversation.id")
READ_NAMES = frozenset(
    {
        *SESSION_NAMES,
        *("event.name", "event.kind", "event.sequence", "decision", "success", "tool_name"),
        *("tool_use_id", "call_id", "model", "role", "duration_ms", "gen_ai.operation.name"),
        *("gen_ai.response.model", "gen_ai.request.model"),
        *("input_tokens", "output_tokens", "cache_read_tokens", "cache_creation_tokens"),
        *("input_token_count", "output_token_count", "cached_token_count"),
        *("cache_write_token_count", "cached_content_token_count", "thoughts_token_count"),
        *("tool_token_count", "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"),
        *("gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_creation.input_tokens"),
    }
)
"""The attributes of logs and spans that are read; all others are dropped."""


class _Record:
    """A log record or a span, without what is not read."""

    def __init__(self, record: Mapping[str, Any]) -> None:
        self._attributes = _read_attributes(record, READ_NAMES)
        # Codex sends 0 as the time of its logs.
        times = ("timeUnixNano", "endTimeUnixNano", "observedTimeUnixNano")
        self._nanoseconds = next((n for name in times if (n := _to_integer(record.get(name)))), 0)
        ids = (record.get(name) for name in ("traceId", "spanId"))
        self._span = "/".join(id[:32] for id in ids if isinstance(id, str))

    def read_text(self, *names: str) -> str:
        """Return the first attribute that is a text, or ""."""
        values = (self._attributes.get(name) for name in names)
        return next((value for value in values if isinstance(value, str) and value), "")

    def read_flag(self, name: str) -> bool:
        """Return whether an attribute is true, also as a text."""
        return str(self._attributes.get(name)).lower() == "true"

    def read_count(self, name: str) -> int:
        """Return an attribute that is a number of tokens, also as a text; 0 without it."""
        return min(max(_to_integer(self._attributes.get(name)), 0), MAX_TOKENS)

    def read_time(self) -> datetime:
        """Return when it happened by the clock of the client, or now if that cannot be."""
        at = now()
        try:
            reported = datetime.fromtimestamp(self._nanoseconds / 1e9, UTC)
        except (OverflowError, ValueError, OSError):
            return at
        return reported if at - MAX_AGE < reported < at + MAX_CLOCK_DIFFERENCE else at

    def build_call(
        self, key_name: str, *, is_successful: bool | None, is_proof: bool
    ) -> CallReport | None:
        """Return the call that it reports, if it has an id."""
        key, tool = self.read_text(key_name), self.read_text("tool_name")
        if not is_key(key):
            return None
        tool = shorten(tool[:MAX_KEY_LENGTH]) or "?"
        return CallReport(key, tool, is_successful, is_proof)

    def build_usage(
        self, source: str, *, input: int, output: int, read: int, write: int, model: str
    ) -> UsageReport:
        """Return the tokens that it reports.

        Clients have no id of a call of a model, but repeat a record as it was: its place in the
        session, its time and its numbers are the key.
        """
        place = self._span or self.read_text("event.sequence") or self.read_count("event.sequence")
        values = (self.read_text(*SESSION_NAMES), self._nanoseconds, place, input, output, read)
        key = hashlib.sha256(repr(values).encode(errors="replace")).hexdigest()
        return UsageReport(
            source,
            key,
            input=input,
            output=output,
            cache_read=read,
            cache_write=write,
            model=shorten(model),
        )


Reports: TypeAlias = tuple[CallReport | None, UsageReport | None]


def _read_claude(record: _Record) -> Reports:
    """Read a decision, which precedes the call, a result or usage. It asks for every tool."""
    event = record.read_text("event.name")
    if event == "tool_result":
        is_successful = record.read_flag("success")
        call = record.build_call("tool_use_id", is_successful=is_successful, is_proof=is_successful)
        return call, None
    if event == "tool_decision" and record.read_text("decision") == "accept":
        return record.build_call("tool_use_id", is_successful=None, is_proof=True), None
    if event != "api_request":
        return None, None
    return None, record.build_usage(
        "api_request",
        input=record.read_count("input_tokens"),
        output=record.read_count("output_tokens"),
        read=record.read_count("cache_read_tokens"),
        write=record.read_count("cache_creation_tokens"),
        model=record.read_text("model"),
    )


def _read_codex(record: _Record) -> Reports:
    """Read a result or usage. A denied call has no result; a name that is not a tool has failed."""
    event = record.read_text("event.name")
    tool = record.read_text("tool_name")
    if event == "codex.tool_result" and tool not in UNASKED_BY_CODEX:
        is_successful = record.read_flag("success")
        call = record.build_call("call_id", is_successful=is_successful, is_proof=is_successful)
        return call, None
    is_usage = event == "codex.sse_event" and record.read_text("event.kind") == "response.completed"
    output = record.read_count("output_token_count")
    total = record.read_count("input_token_count")
    if not is_usage or not (total or output):  # the same event comes without tokens, too
        return None, None
    read, write = (
        record.read_count("cached_token_count"),
        record.read_count("cache_write_token_count"),
    )
    return None, record.build_usage(
        "codex.sse_event",
        input=max(total - read - write, 0),
        output=output,
        read=read,
        write=write,
        model=record.read_text("model"),
    )


UNASKED_BY_CODEX = frozenset({"write_stdin"})
"""Input for a process that runs already. Codex does not ask its hook for it."""


def _read_gemini(record: _Record) -> Reports:
    """Read usage: thoughts and the prompts of tools are counted beside the others."""
    if record.read_text("event.name") != "gemini_cli.api_response":
        return None, None
    read = record.read_count("cached_content_token_count")
    total = record.read_count("input_token_count") + record.read_count("tool_token_count")
    thoughts = record.read_count("thoughts_token_count")
    return None, record.build_usage(
        "gemini_cli.api_response",
        input=max(total - read, 0),
        output=record.read_count("output_token_count") + thoughts,
        read=read,
        write=0,
        model=record.read_text("model"),
    )


def _read_copilot(record: _Record) -> Reports:
    """Read the span of a call of a model; that of a turn has sums, and is not counted."""
    if record.read_text("gen_ai.operation.name") != "chat":
        return None, None
    read = record.read_count("gen_ai.usage.cache_read.input_tokens")
    write = record.read_count("gen_ai.usage.cache_creation.input_tokens")
    return None, record.build_usage(
        "chat",
        input=max(record.read_count("gen_ai.usage.input_tokens") - read - write, 0),
        output=record.read_count("gen_ai.usage.output_tokens"),
        read=read,
        write=write,
        model=record.read_text("gen_ai.response.model", "gen_ai.request.model"),
    )


def _read_nothing(_record: _Record) -> Reports:
    """Return nothing: its telemetry has a part of the calls, and its plugin has all of them."""
    return None, None


READERS: Mapping[CodingClient, Callable[[_Record], Reports]] = {
    CodingClient.CLAUDE: _read_claude,
    CodingClient.CODEX: _read_codex,
    CodingClient.GEMINI: _read_gemini,
    CodingClient.COPILOT: _read_copilot,
    CodingClient.OPENCODE: _read_nothing,
}


def _list_objects(container: object, name: str) -> Iterator[Mapping[str, Any]]:
    found = container.get(name) if isinstance(container, dict) else None
    if isinstance(found, list):
        yield from (one for one in found if isinstance(one, dict))


def _read_attributes(owner: object, names: frozenset[str]) -> Attributes:
    """Return the attributes with these names whose values are texts, numbers or booleans."""
    found = {}
    for attribute in _list_objects(owner, "attributes"):
        name, value = attribute.get("key"), attribute.get("value")
        if isinstance(name, str) and name in names and isinstance(value, dict):
            found[name] = next(
                (value[kind] for kind in VALUE_KINDS if isinstance(value.get(kind), str | int)),
                None,
            )
    return found


VALUE_KINDS: Sequence[str] = ("stringValue", "intValue", "boolValue")


def _to_integer(value: object) -> int:
    """Return a number that OTLP sends as a number or as a text, or 0."""
    if isinstance(value, int):
        return value
    is_number = isinstance(value, str) and len(value) <= 20 and value.isascii()
    return int(value) if is_number and str(value).isdecimal() else 0
