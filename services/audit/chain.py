"""The hash chain of the audit, and the verification of exports. It needs no database."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from core.canonical_json import hash_json

EXPORT_FORMAT = "mission-control-audit-1"
GENESIS_HASH = "0" * 64
"""The `previous_hash` of the first record of a chain."""


def compute_hash(record: Mapping[str, Any]) -> str:
    """Return the hash that a record must have: SHA-256 of its canonical JSON without `hash`."""
    content = {name: value for name, value in record.items() if name != "hash"}
    return hash_json(content)


@dataclass(frozen=True)
class VerificationResult:
    """What an export contains, up to the first problem if there is one."""

    organization_id: str | None
    after: int  # the number of the record before the first one; 0 at the beginning of the chain
    previous_hash: str  # the hash of that record
    first: int  # the number of the first record; 0 without records
    last: int
    head: str  # the hash of the last record
    marked_hash: str | None = None  # the hash of the record that the caller has asked for
    problem: str | None = None

    @property
    def count(self) -> int:
        """Return the number of intact records."""
        return self.last - self.first + 1 if self.first else 0

    def continues(self, earlier: "VerificationResult") -> bool:
        """Return whether this export begins where another one of the same chain ends."""
        end = (earlier.organization_id, earlier.after + earlier.count, earlier.head)
        return (self.organization_id, self.after, self.previous_hash) == end


class InvalidExport(Exception):
    """An export is damaged. The text is one sentence that names the first broken line."""


def verify_export(lines: Iterable[bytes], marked: int = 0) -> VerificationResult:
    """Verify an export line by line, with little memory, and report the first problem.

    `marked` is the number of a record whose hash the result is to contain.
    """
    export = AuditExport(marked)
    try:
        for line in lines:
            export.add_line(line)
        export.check_complete()
    except InvalidExport as error:
        return export.result(str(error))
    return export.result()


class AuditExport:
    """An export that is being verified."""

    def __init__(self, marked: int = 0) -> None:
        self._header: dict[str, Any] | None = None
        self._marked, self._marked_hash = marked, None
        self._after, self._previous_hash = 0, GENESIS_HASH
        self._footer: dict[str, Any] | None = None
        self._line = 0
        self._first = 0
        self._sequence = 0
        self._hash = GENESIS_HASH

    def add_line(self, line: bytes) -> None:
        """Check the next line. Raises InvalidExport."""
        self._line += 1
        value = self._parse(line)
        if self._header is None:
            self._read_header(value)
        elif self._footer is not None:
            raise self._error("follows the closing line")
        elif "end" in value:
            self._footer = value
            self._check_footer(value)
        else:
            self._check_record(value)

    def check_complete(self) -> None:
        """Raise InvalidExport unless the closing line was read."""
        if self._header is None:
            raise InvalidExport("The file is empty.")
        if self._footer is None:
            reason = f"The file ends after record {self._sequence} without its closing line"
            raise InvalidExport(f"{reason}: it is truncated.")

    def result(self, problem: str | None = None) -> VerificationResult:
        """Return what was read so far."""
        organization_id = (self._header or {}).get("organization_id")
        last = self._sequence if self._first else 0
        return VerificationResult(
            organization_id,
            self._after,
            self._previous_hash,
            self._first,
            last,
            self._hash,
            self._marked_hash,
            problem,
        )

    def _parse(self, line: bytes) -> dict[str, Any]:
        try:
            value = json.loads(line, object_pairs_hook=_require_unique_names)
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, dict):
            return value
        raise self._error("is not a JSON object")

    def _read_header(self, value: dict[str, Any]) -> None:
        after: object = value.get("after")
        if value.get("format") != EXPORT_FORMAT or not isinstance(after, int) or after < 0:
            raise self._error("is not the first line of an export of the audit")
        self._header, self._sequence = value, after
        self._hash = str(value.get("previous_hash"))
        self._after, self._previous_hash = after, self._hash
        if after == 0 and self._hash != GENESIS_HASH:
            raise self._error("does not start with the first record")

    def _check_record(self, record: dict[str, Any]) -> None:
        expected, number = self._sequence + 1, record.get("sequence")
        header = self._header or {}
        if number != expected:
            raise self._error(
                f"has record {number} where record {expected} must be: "
                "a record was removed, added or moved"
            )
        try:
            is_intact = record.get("hash") == compute_hash(record)
        except (ValueError, RecursionError):  # surrogates, or too many levels: never written by us
            is_intact = False
        if not is_intact:
            raise self._error(f"has record {number}, which was edited: its hash is wrong")
        if record.get("previous_hash") != self._hash:
            raise self._error(f"has record {number}, which does not follow the record before it")
        if record.get("organization_id") != header.get("organization_id"):
            raise self._error(f"has record {number}, which belongs to another chain")
        self._first = self._first or expected
        self._sequence, self._hash = expected, record["hash"]
        if expected == self._marked:
            self._marked_hash = self._hash

    def _check_footer(self, footer: dict[str, Any]) -> None:
        count = self._sequence - self._first + 1 if self._first else 0
        if (footer.get("count"), footer.get("head")) != (count, self._hash):
            raise self._error(
                f"closes an export of {footer.get('count')} records, but {count} are here: "
                "the end was removed or replaced"
            )

    def _error(self, reason: str) -> InvalidExport:
        return InvalidExport(f"Line {self._line} {reason}.")


def _require_unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError
    return value
