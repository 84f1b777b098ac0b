"""What an agent's gateway received from us last: the typed value of one JSON column."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import TypeDecorator
from sqlalchemy.dialects.postgresql import JSONB

WITHOUT_HEARTBEAT_KEY = "no_heartbeat"  # of the stored JSON, for queries


@dataclass(frozen=True, kw_only=True)
class ProvisioningState:
    """What provisioning has done for an agent on its gateway. The default is: nothing.

    A file has several digests while it is written: after an interruption either content may be
    there. `step_times` says when each step of the latest pass was completed, by its name.
    """

    is_created_by_us: bool = False  # otherwise the gateway had the agent before
    file_digests: Mapping[str, Sequence[str]] = field(default_factory=dict)  # by file name
    kept_files: Sequence[str] = ()  # the agent changed them, so they are not written
    token_id: str | None = None  # of the AgentToken that belongs into AGENTS.md
    step_times: Mapping[str, datetime] = field(default_factory=dict)
    is_without_heartbeat: bool = False  # its entry on the gateway has no heartbeat of ours
    lost_at: datetime | None = None  # when the gateway lost the agent, and it was created again

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "ProvisioningState":
        """Read the stored JSON; missing and malformed parts have their defaults."""
        if not stored or not isinstance(stored, Mapping):
            return cls()
        times = {step: _parse_time(at) for step, at in _mapping(stored.get("done_at")).items()}
        return cls(
            is_created_by_us=bool(stored.get("made")),
            file_digests=_mapping(stored.get("files")),
            kept_files=tuple(kept) if isinstance(kept := stored.get("kept"), list) else (),
            token_id=stored.get("token"),
            step_times={step: at for step, at in times.items() if at is not None},
            is_without_heartbeat=bool(stored.get(WITHOUT_HEARTBEAT_KEY)),
            lost_at=_parse_time(stored.get("lost_at")),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the stored JSON. Default values have no key."""
        stored = {
            "made": self.is_created_by_us,
            "files": {name: list(digests) for name, digests in self.file_digests.items()},
            "kept": list(self.kept_files),
            "token": self.token_id,
            "done_at": {str(step): at.isoformat() for step, at in self.step_times.items()},
            WITHOUT_HEARTBEAT_KEY: self.is_without_heartbeat,
            "lost_at": self.lost_at and self.lost_at.isoformat(),
        }
        return {key: value for key, value in stored.items() if value}


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _parse_time(value: object) -> datetime | None:
    try:
        return datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None


class ProvisioningStateType(TypeDecorator[ProvisioningState]):
    """A column of JSON that is read and written as a ProvisioningState."""

    impl = JSONB(none_as_null=True)
    cache_ok = True

    def process_bind_param(self, value: ProvisioningState | None, dialect: Any) -> Any:
        """Convert to JSON."""
        return None if value is None else value.to_json()

    def process_result_value(self, value: Any, dialect: Any) -> ProvisioningState | None:
        """Convert from JSON."""
        return None if value is None else ProvisioningState.from_json(value)
