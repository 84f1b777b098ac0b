"""The sessions of a gateway as rows of a table. Any field that a gateway tells may lack."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.gateways import Owner, Owners, Sessions, agent_in
from web.transcripts import moment

RUNNING = ("working", "Working")
STATES = {"running": RUNNING, "failed": ("failed", "Failed"), "error": ("failed", "Failed")}
QUIET = ("idle", "Quiet")


@dataclass(frozen=True)
class SessionRow:
    """A session: whose it is, what it does, and how full its context is."""

    key: str
    label: str
    agent_key: str
    owner: Owner | None
    glyph: str
    state: str
    tokens: int | None
    most_tokens: int | None
    at: datetime | None

    @property
    def share(self) -> int | None:
        """How full the context is, of 100."""
        if self.tokens is None or not self.most_tokens:
            return None
        return min(100, round(100 * self.tokens / self.most_tokens))

    @property
    def is_closed(self) -> bool:
        """Whether it belongs to an agent whose board the person does not read."""
        return self.owner is not None and not self.owner.can_read


def rows(found: Sessions, owners: Owners) -> Sequence[SessionRow]:
    """Return the sessions that have a key, in the gateway's order: what was used last first."""
    return [_row(row, owners) for row in found.sessions if isinstance(row.get("key"), str)]


def _row(row: Mapping[str, Any], owners: Owners) -> SessionRow:
    key = row["key"]
    glyph, state = RUNNING if row.get("hasActiveRun") is True else _state(row.get("status"))
    label = row.get("label")
    return SessionRow(
        key,
        label=label if isinstance(label, str) and label else key,
        agent_key=agent_in(key),
        owner=owners.get(agent_in(key)),
        glyph=glyph,
        state=state,
        tokens=_number(row.get("totalTokens")),
        most_tokens=_number(row.get("contextTokens")),
        at=moment(row.get("updatedAt")),
    )


def _state(status: object) -> tuple[str, str]:
    return STATES.get(status, QUIET) if isinstance(status, str) else QUIET


def _number(value: object) -> int | None:
    is_number = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**12
    return value if is_number else None
