"""Encode and decode protocol frames: JSON objects for requests, responses and events."""

import asyncio
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from json.decoder import JSONArray, JSONObject  # ty: ignore[missing-module-member]
from json.scanner import py_make_scanner  # ty: ignore[missing-module-member]
from typing import Any, TypeAlias

from openclaw.errors import ErrorKind, GatewayError, parse_error

MAX_FRAME_SIZE = 25 * 1024 * 1024  # bytes, unless the gateway has a lower limit
MAX_CONNECT_FRAME_SIZE = 64 * 1024  # bytes, before authentication
MAX_FRAME_VALUES = 250_000  # in objects and arrays; what reads an answer looks at each of them
MAX_DIRECT_VALUES = 25_000  # more are decoded in a thread; the event loop decodes these in 15 ms

SURROGATE_ESCAPES = ("\\ud", "\\uD")
LONE_SURROGATE = re.compile("[\ud800-\udfff]")  # the decoder has joined those of a pair
SLICE_LENGTH = 100_000  # characters of a text in which they are replaced at once, in 5 ms
MAX_DIRECT_LENGTH = 1_000_000  # characters of a frame with halves that is decoded directly

ScanValue: TypeAlias = Callable[[str, int], tuple[Any, int]]
"""Returns the value at a place of a text, and the place after it."""


@dataclass(frozen=True)
class ResponseFrame:
    """The response to one request."""

    id: str
    payload: Any = None
    error: GatewayError | None = None

    def result(self) -> Any:
        """Return the result, which can be null. Raises GatewayError."""
        if self.error is not None:
            raise self.error
        return self.payload


@dataclass(frozen=True)
class GatewayEvent:
    """An event from a gateway; `size` is the size of its frame."""

    name: str
    payload: Mapping[str, Any]
    seq: int | None = None
    size: int = 0  # characters


def encode_request(
    id: str, method: str, params: Mapping[str, Any], *, max_size: int = MAX_FRAME_SIZE
) -> str:
    """Encode a request. Raises GatewayError if it exceeds the size limit of the gateway."""
    text = json.dumps(
        {"type": "req", "id": id, "method": method, "params": dict(params)},
        ensure_ascii=False,
        separators=(",", ":"),
    )
    size = len(text.encode(errors="replace"))
    if size > max_size:
        reason = f"This is too large for the gateway: {size:,} bytes, {max_size:,} at most."
        raise GatewayError(ErrorKind.TOO_LARGE, reason)
    return text


async def decode_frame(raw: str | bytes) -> ResponseFrame | GatewayEvent | None:
    """Decode a frame; return None for an unknown frame type.

    Raises GatewayError for a malformed frame, and for one with too many values.
    """
    frame = await _decode_object(raw)
    kind = frame.get("type")
    if not isinstance(kind, str):
        raise _malformed("a frame without a type")
    payload = frame.get("payload")
    if kind == "res":
        id, ok = frame.get("id"), frame.get("ok")
        if not isinstance(id, str) or not isinstance(ok, bool):
            raise _malformed("an answer without an id")
        if not ok:
            return ResponseFrame(id, error=parse_error(frame.get("error")))
        return ResponseFrame(id, payload)
    if kind == "event":
        name, seq = frame.get("event"), frame.get("seq")
        if not isinstance(name, str):
            raise _malformed("an event without a name")
        values = payload if isinstance(payload, dict) else {}
        return GatewayEvent(name, values, seq if isinstance(seq, int) else None, len(raw))
    return None


async def _decode_object(raw: str | bytes) -> dict[str, Any]:
    if not isinstance(raw, str):
        raise _malformed("a binary frame")
    try:
        halves = sum(map(raw.count, SURROGATE_ESCAPES))
        is_short = not halves or len(raw) <= MAX_DIRECT_LENGTH
        if is_short and halves + sum(map(raw.count, "[{,")) <= MAX_DIRECT_VALUES:
            frame = _decode(raw, json.JSONDecoder(parse_int=_parse_integer))
        else:
            frame = await asyncio.to_thread(_decode, raw, _SlowDecoder())
    except (ValueError, RecursionError):
        raise _malformed("a frame that is not JSON") from None
    if not isinstance(frame, dict):
        raise _malformed("a frame that is not an object")
    return frame


def _decode(raw: str, decoder: json.JSONDecoder) -> Any:
    value = decoder.decode(raw)
    if isinstance(value, dict) and any(escape in raw for escape in SURROGATE_ESCAPES):
        _replace_lone_surrogates(value)
    return value


def _replace_lone_surrogates(frame: dict[str, Any]) -> None:
    """Replace halves of characters, which are no text, as gateways do in files and commands.

    A gateway cuts texts in the middle of a character. Keys that would become equal are kept, so
    that no value is lost.
    """
    waiting: list[Any] = [frame]
    while waiting:
        one = waiting.pop()
        for key, value in one.items() if isinstance(one, dict) else enumerate(one):
            if isinstance(value, str):
                one[key] = _replace_in_text(value)
            elif isinstance(value, dict | list):
                waiting.append(value)
        if isinstance(one, dict):
            replaced = {_replace_in_text(key): value for key, value in one.items()}
            if len(replaced) == len(one):
                one.clear()
                one.update(replaced)


def _replace_in_text(text: str) -> str:
    """Replace halves of characters in slices: other threads run between them."""
    slices = (text[at : at + SLICE_LENGTH] for at in range(0, len(text), SLICE_LENGTH))
    return "".join(LONE_SURROGATE.sub("\ufffd", one) for one in slices)


def _parse_integer(digits: str) -> int:
    """Return an integer. Raises ValueError for one that takes long to read: 4,300 digits 70 µs."""
    if len(digits) > 100:
        raise ValueError("an integer has too many digits")
    return int(digits)


class _SlowDecoder(json.JSONDecoder):
    """The decoder of the standard library without its C code, which does not release the GIL.

    It is five times as slow, but the event loop runs meanwhile. It decodes one frame.
    """

    def __init__(self) -> None:
        super().__init__(parse_int=_parse_integer)
        self.count = 0  # values
        self.parse_object, self.parse_array = self._parse_object, self._parse_array
        self.scan_once = py_make_scanner(self)

    def _parse_object(
        self, at: tuple[str, int], strict: bool, scan: ScanValue, *hooks: Any
    ) -> tuple[Any, int]:
        return JSONObject(at, strict, self._count_values(scan), *hooks)

    def _parse_array(self, at: tuple[str, int], scan: ScanValue) -> tuple[Any, int]:
        return JSONArray(at, self._count_values(scan))

    def _count_values(self, scan: ScanValue) -> ScanValue:
        """Return a function that scans a value, unless there are too many."""

        def scan_value(text: str, index: int) -> tuple[Any, int]:
            self.count += 1
            if self.count > MAX_FRAME_VALUES:
                reason = f"The gateway sent a frame with more than {MAX_FRAME_VALUES:,} values."
                raise GatewayError(ErrorKind.TOO_LARGE, reason)
            return scan(text, index)

        return scan_value


def _malformed(what: str) -> GatewayError:
    return GatewayError(ErrorKind.MALFORMED, f"The gateway sent {what}.")
