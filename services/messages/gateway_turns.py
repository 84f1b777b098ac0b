"""Start turns on a gateway, and determine their results. It uses no database.

A gateway identifies a turn by the run id (idempotency key) of the message, and stores it in the
history of the session. Sending a message again with the same run id therefore starts no second
turn, even after a restart of the gateway. docs/decisions/message-delivery.md has the observations.
"""

import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from uuid import UUID

from core.security.secrets import mask_tokens
from core.text import is_storable, replace_unstorable
from openclaw import EVENTS_MISSED, ErrorKind, GatewayClient, GatewayError, GatewayEvent
from openclaw import api as gateway_api
from services.messages.templates.text_format import (
    PAUSE_COMMAND,
    RESUME_COMMAND,
    SHORT_SNIPPET_LENGTH,
    to_single_line,
    truncate_text,
)

JsonObject = Mapping[str, Any]

MAX_BUFFERED = 1_000  # entries of each kind; beyond that, all sent messages are checked
MAX_SESSION_KEY_LENGTH = 1_000  # characters
COMMANDS = (PAUSE_COMMAND.removeprefix("/"), RESUME_COMMAND.removeprefix("/"))
STOPPED_REASON = "Its turn was stopped before it was complete."
TRANSIENT_CODE = re.compile(r"[-_]changed$", re.IGNORECASE)
"""The error codes of a transient rejection: the session was modified at the same time."""


class TurnStatus(StrEnum):
    """The status of a message's turn on a gateway."""

    RUNNING = "running"  # the gateway has accepted the message; the turn is not finished
    ENDED = "ended"  # the agent has received it
    FAILED = "failed"  # the turn has failed, or the message cannot be sent at all
    REJECTED = "refused"  # the gateway does not accept it
    LOST = "lost"  # it was accepted, but no agent will read it: it needs a new turn
    UNKNOWN = "unknown"  # the gateway has no record: the message may be sent again


@dataclass(frozen=True)
class TurnResult:
    """The result of a message's turn, with the reason of a failure.

    `is_new` means that the gateway has just started the turn.
    """

    status: TurnStatus
    reason: str = ""
    is_new: bool = False


RUNNING, ENDED = TurnResult(TurnStatus.RUNNING), TurnResult(TurnStatus.ENDED)
STARTED = TurnResult(TurnStatus.RUNNING, is_new=True)
LOST = TurnResult(TurnStatus.LOST, "The gateway was stopped before the agent could read it.")
UNKNOWN = TurnResult(TurnStatus.UNKNOWN, "The gateway has no record of it.")


async def start_turn(
    client: GatewayClient, session_key: str, content: str, run_id: str, *, deliver: bool
) -> TurnResult:
    """Send a message to an agent. A call with a known run id returns the result of that turn."""
    try:
        response = await gateway_api.send_chat(
            client,
            session_key,
            content,
            idempotency_key=run_id,
            commands=COMMANDS,
            deliver=deliver,
        )
    except GatewayError as error:
        return await _result_of_error(client, session_key, run_id, error)
    if response.get("status") == "started":
        return STARTED
    if response.get("status") == "in_flight":
        return RUNNING
    if response.get("status") == "ok":
        result = await _check_turn(client, session_key, run_id)
        return ENDED if result is UNKNOWN else result or RUNNING
    return _failed_result(response)


async def check_turns(
    client: GatewayClient, session_key: str, run_ids: Sequence[str]
) -> dict[str, TurnResult] | None:
    """Return the results of turns in an agent's session. Return None if the gateway fails."""
    try:
        waits = {id: await gateway_api.wait_for_run(client, id, timeout_ms=0) for id in run_ids}
        history = await gateway_api.chat_history(client, session_key, limit=200)
    except GatewayError as error:
        return dict.fromkeys(run_ids, UNKNOWN) if error.kind is ErrorKind.REJECTED else None
    return {id: turn_result(history, wait, id) for id, wait in waits.items()}


async def _check_turn(client: GatewayClient, session_key: str, run_id: str) -> TurnResult | None:
    results = await check_turns(client, session_key, [run_id])
    return results[run_id] if results else None


def turn_result(history: JsonObject, waited: JsonObject, run_id: str) -> TurnResult:
    """Determine the result of a turn from the session history and the response of `agent.wait`.

    An input that is pending in the session, to be added to a running turn, is lost when that turn
    is interrupted.
    """
    pending = [one for one in _objects(history, "pendingInputs") if one.get("runId") == run_id]
    if pending:
        is_interrupted = pending[-1].get("state") == "interrupted"
        return LOST if is_interrupted else RUNNING
    if waited.get("status") == "error":
        return _failed_result(waited)
    is_running = _as_object(history.get("inFlightRun")).get("runId") == run_id
    if is_running or waited.get("status") == "pending":
        return RUNNING
    if waited.get("status") == "ok":
        return ENDED
    return next(_results_in_history(history, run_id), UNKNOWN)


def parse_turn_event(event: GatewayEvent) -> tuple[str, TurnResult | None] | None:
    """Return the run id and the result if an event is the end of a turn, else None.

    The result is None if the turn has to be checked: the event is a repetition, or the turn was
    added to another one, and so it has no message of its own.
    """
    payload, run_id = event.payload, event.payload.get("runId")
    if event.name != "chat" or not isinstance(run_id, str) or len(run_id) > 200:  # ours are shorter
        return None
    state = payload.get("state")
    if state == "aborted":
        return run_id, TurnResult(TurnStatus.FAILED, STOPPED_REASON)
    if state == "error":
        return run_id, _failed_result(payload) if payload.get("errorDetail") else None
    if state == "final":
        return run_id, ENDED if payload.get("message") else None
    return None


async def _result_of_error(
    client: GatewayClient, session_key: str, run_id: str, error: GatewayError
) -> TurnResult:
    """Convert an error to a result. If the gateway is unavailable, the turn may exist: check it."""
    reason = _short_reason(error.message)
    if error.kind is ErrorKind.TOO_LARGE:
        return TurnResult(TurnStatus.FAILED, reason)
    if error.kind is ErrorKind.REJECTED and not _is_transient(error):
        return TurnResult(TurnStatus.REJECTED, f"The gateway refused it: {reason}")
    result = None
    if error.kind is ErrorKind.UNAVAILABLE:
        result = await _check_turn(client, session_key, run_id)
    if result is None or result.status is TurnStatus.UNKNOWN:
        return TurnResult(TurnStatus.UNKNOWN, reason)
    return result


def _is_transient(error: GatewayError) -> bool:
    codes = [error.details.get(name) for name in ("code", "reason")]
    return any(isinstance(code, str) and TRANSIENT_CODE.search(code) for code in codes)


def _results_in_history(history: JsonObject, run_id: str) -> Iterator[TurnResult]:
    """Yield the results of a turn that the history contains, failures first."""
    messages = _objects(history, "messages")
    for one in messages:
        if one.get("idempotencyKey") == f"{run_id}:terminal-error":
            yield TurnResult(
                TurnStatus.FAILED, _short_reason(_message_text(one)) or "Its turn has failed."
            )
    for one in messages:
        message_run_id = _as_object(one.get("__openclaw")).get("runId")
        if one.get("idempotencyKey") == f"{run_id}:user" or message_run_id == run_id:
            yield ENDED


def _failed_result(source: JsonObject) -> TurnResult:
    reason = source.get("errorMessage") or source.get("error") or source.get("summary")
    if reason == "aborted" or not isinstance(reason, str):
        return TurnResult(TurnStatus.FAILED, STOPPED_REASON)
    return TurnResult(TurnStatus.FAILED, _short_reason(reason))


def _short_reason(reason: str) -> str:
    """Return the first line of a gateway's error message, masked and shortened for display."""
    first = mask_tokens(replace_unstorable(reason.partition("\n")[0]))
    return truncate_text(to_single_line(first), SHORT_SNIPPET_LENGTH)


def _message_text(message: JsonObject) -> str:
    content = message.get("content")
    parts = content if isinstance(content, list) else [{"text": content}]
    texts = [_as_object(part).get("text") for part in parts]
    return " ".join(text for text in texts if isinstance(text, str))


def _as_object(value: object) -> JsonObject:
    return value if isinstance(value, dict) else {}


def _objects(source: JsonObject, name: str) -> list[JsonObject]:
    """Return the objects of a field that is a list, or an object with a list in `items`."""
    value = source.get(name)
    value = value.get("items") if isinstance(value, dict) else value
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


@dataclass
class TurnEventBuffer:
    """Collects the turn events of a gateway for the delivery of messages."""

    results: dict[UUID, tuple[str, TurnResult]] = field(default_factory=dict)  # by message id
    unclear: set[UUID] = field(default_factory=set)  # messages whose events have no result
    finished_sessions: set[str] = field(default_factory=set)  # in which a turn has ended
    overflow_count: int = 1  # how often events were lost; 1: those before the subscription
    _finished_run_ids: deque[str] = field(default_factory=lambda: deque(maxlen=1_000))

    def add(self, event: GatewayEvent) -> bool:
        """Add an event, and return whether it is relevant.

        The end of any turn is relevant, because the turn may have included messages that were
        pending in its session.
        """
        longest = max(map(len, (self.results, self.unclear, self.finished_sessions)))
        if event is EVENTS_MISSED or longest >= MAX_BUFFERED:
            self.overflow_count += 1
            self._finished_run_ids.clear()
            return True
        parsed = parse_turn_event(event)
        if parsed is None:
            return False
        run_id, result = parsed
        message_id = parse_message_id(run_id)
        self.finished_sessions |= _session_keys(event)
        if message_id is None:
            return True
        if result is not None:
            self.results[message_id] = (run_id, result)
            return True
        self.unclear.add(message_id)
        if event.payload.get("state") == "final":
            self._finished_run_ids.append(run_id)
        return True

    def has_events_for(self, message_id: UUID, run_id: str) -> bool:
        """Return whether events of a message arrived before it was recorded as sent."""
        if run_id in self._finished_run_ids:
            self.unclear.add(message_id)
        return message_id in self.results or message_id in self.unclear


def _session_keys(event: GatewayEvent) -> set[str]:
    """Return the session key of an event, if it is valid."""
    key = event.payload.get("sessionKey")
    is_valid = isinstance(key, str) and len(key) <= MAX_SESSION_KEY_LENGTH and is_storable(key)
    return {str(key)} if is_valid else set()


def parse_message_id(run_id: str) -> UUID | None:
    """Return the id of the message that started a turn; None if the turn is not one of ours."""
    try:
        return UUID(run_id.partition(".")[0])
    except ValueError:
        return None
