"""What older versions of OpenClaw do not support: compared with real ones of these versions.

tests/openclaw/test_real_versions.py compares them; the fake gateways reject the same.
"""

from collections.abc import Mapping
from typing import Any

from openclaw import MIN_VERSION, Capability

_NO_HASHES = frozenset({Capability.FILE_HASHES})
_NO_ACTIVE_SESSIONS = _NO_HASHES | {Capability.ACTIVE_SESSIONS, Capability.RESOLUTION_IDS}
_NO_SCRATCH = _NO_HASHES | {
    Capability.ACTIVE_SESSIONS,
    Capability.HEARTBEAT_SCRATCH,
    Capability.QUESTIONS,
    Capability.APPROVAL_RESULTS,
    Capability.COMMAND_GRANTS,
}

MISSING: Mapping[str, frozenset[Capability]] = {
    "2026.9.6": frozenset(),
    "2026.9.4": frozenset(),
    "2026.9.3": _NO_HASHES,
    "2026.9.1": _NO_ACTIVE_SESSIONS,
    "2026.8.2": _NO_ACTIVE_SESSIONS,
    "2026.7.1": _NO_SCRATCH,
    "2026.6.35": _NO_SCRATCH,
    MIN_VERSION: _NO_SCRATCH,
}
"""What each tested version does not support, the newest first."""


def fake_version(version: str) -> dict[str, Any]:
    """Return the attributes of a fake gateway of a version."""
    return {"version": version, "missing": MISSING[version]}
