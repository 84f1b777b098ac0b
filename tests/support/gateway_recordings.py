"""Approvals and standing grants that real gateways have sent, with identifiers replaced.

tests/openclaw/test_real_exec_approvals.py compares them with a real gateway.
"""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent.parent / "recordings"
VERSIONS = ("2026.9.6", "2026.9.3", "2026.8.2", "2026.6.35")
NEWEST = VERSIONS[0]

Json = dict[str, Any]


def load_recording(version: str = NEWEST) -> Json:
    """Return what was recorded of a version: `requests` by name, and `grants`."""
    return json.loads((FOLDER / f"gateway-requests-{version}.json").read_text())


def iterate_changes(value: Json) -> Iterator[tuple[str, Json]]:
    """Yield the value with one part changed, removed or added, and what was done."""
    for path in _iterate_paths(value):
        *parents, last = path
        for change in ("changed", "removed", "added"):
            copied = copy.deepcopy(value)
            container: Any = copied
            for key in parents:
                container = container[key]
            if change == "changed":
                container[last] = _change(container[last])
            elif change == "removed":
                del container[last]
            elif isinstance(container, list):
                container.insert(last, "added")
            else:
                container[f"{last}Added"] = "added"
            yield f"{'.'.join(map(str, path))} {change}", copied


def _iterate_paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    if isinstance(value, dict | list):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _iterate_paths(part, (*path, key))


def _change(value: Any) -> Any:
    """Return another value of the same type, if there is one."""
    match value:
        case bool():
            return not value
        case str():
            return f"{value}x"
        case int() | float():
            return value + 60_000
        case dict():
            return {**value, "more": 1}
        case list():
            return [*value, "more"]
    return "no longer null"
