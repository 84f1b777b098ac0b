"""The frames of the protocol: JSON objects, each one a request, an answer or an event."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from openclaw.errors import GatewayError, Trouble, refusal

LARGEST = 25 * 1024 * 1024  # bytes of a frame, unless the gateway says that it takes less
LARGEST_FIRST = 64 * 1024  # bytes of a frame before the gateway has let us in


@dataclass(frozen=True)
class Answer:
    """What a gateway says to one request."""

    id: str
    payload: Any = None
    error: GatewayError | None = None

    def result(self) -> Any:
        """Return what was asked for. Raises GatewayError. Null is a good answer (W-44)."""
        if self.error is not None:
            raise self.error
        return self.payload


@dataclass(frozen=True)
class Event:
    """Something that a gateway tells without being asked; `size` is that of its frame."""

    name: str
    payload: Mapping[str, Any]
    seq: int | None = None
    size: int = 0  # characters


def request(id: str, method: str, params: Mapping[str, Any], *, largest: int = LARGEST) -> str:
    """Write a request. Raises GatewayError if the gateway would not take so much."""
    text = json.dumps(
        {"type": "req", "id": id, "method": method, "params": dict(params)},
        ensure_ascii=False,
        separators=(",", ":"),
    )
    size = len(text.encode(errors="replace"))
    if size > largest:
        reason = f"This is too large for the gateway: {size:,} bytes, {largest:,} at most."
        raise GatewayError(Trouble.TOO_LARGE, reason)
    return text


def read(raw: str | bytes) -> Answer | Event | None:
    """Read a frame. What is of a kind that we don't know is None.

    Raises GatewayError for what is no frame at all.
    """
    frame = _object(raw)
    kind = frame.get("type")
    if kind == "res":
        return _answer(frame)
    if kind == "event":
        return _event(frame, len(raw))
    if not isinstance(kind, str):
        raise _malformed("a frame without a type")
    return None


def _object(raw: str | bytes) -> dict[str, Any]:
    if not isinstance(raw, str):
        raise _malformed("a binary frame")
    try:
        frame = json.loads(raw)
    except (ValueError, RecursionError):
        raise _malformed("a frame that is no JSON") from None
    if not isinstance(frame, dict):
        raise _malformed("a frame that is no object")
    return frame


def _answer(frame: Mapping[str, Any]) -> Answer:
    id, ok = frame.get("id"), frame.get("ok")
    if not isinstance(id, str) or not isinstance(ok, bool):
        raise _malformed("an answer without an id")
    return Answer(id, frame.get("payload")) if ok else Answer(id, error=refusal(frame.get("error")))


def _event(frame: Mapping[str, Any], size: int) -> Event:
    name, payload, seq = frame.get("event"), frame.get("payload"), frame.get("seq")
    if not isinstance(name, str):
        raise _malformed("an event without a name")
    seq = seq if isinstance(seq, int) else None
    return Event(name, payload if isinstance(payload, dict) else {}, seq, size)


def _malformed(what: str) -> GatewayError:
    return GatewayError(Trouble.MALFORMED, f"The gateway sent {what}.")
