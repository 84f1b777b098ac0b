"""Rules for failed attempts to authenticate. Pure functions: docs/decisions/rate-limits.md."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

SHARED_FACTOR = 20  # how many times the limit an account or a network has, all attempts together
MAX_EXCESS = 7  # failures above a limit that are counted; 2 ** 7 s exceeds all delays


@dataclass(frozen=True)
class AttemptLimit:
    """The failures that are allowed in `seconds` without a delay, and the longest delay."""

    max_failures: int
    seconds: float
    max_delay: float  # seconds

    def times(self, factor: int) -> "AttemptLimit":
        """Return the limit of all attempts of an account or a network together."""
        return replace(self, max_failures=factor * self.max_failures)


@dataclass(frozen=True)
class AttemptState:
    """The failures of one key: their number, which decreases over time, and the next free turn."""

    level: float
    updated_at: datetime
    next_at: datetime

    @classmethod
    def unused(cls, at: datetime) -> "AttemptState":
        """Return the state of a key without failures."""
        return cls(0, at, at)


def current_level(state: AttemptState, limit: AttemptLimit, at: datetime) -> float:
    """Return the number of failures that still count: `max_failures` are forgotten in `seconds`."""
    elapsed = max(0.0, (at - state.updated_at).total_seconds())
    return max(0.0, state.level - elapsed * limit.max_failures / limit.seconds)


def add_failures(
    state: AttemptState, limit: AttemptLimit, at: datetime, number: int = 1
) -> AttemptState:
    """Return the state after more failures."""
    level = current_level(state, limit, at) + number
    level = min(level, limit.max_failures + MAX_EXCESS)
    return AttemptState(level, at, state.next_at)


def compute_delay(level: float, limit: AttemptLimit, *, allowed: int) -> float:
    """Return the seconds until the next attempt; they double with each failure above `allowed`."""
    if level < allowed:
        return 0.0
    return min(2.0 ** min(level - allowed, MAX_EXCESS), limit.max_delay)


def find_turn(
    state: AttemptState, limit: AttemptLimit, at: datetime, *, allowed: int
) -> tuple[datetime, AttemptState]:
    """Return when an attempt may be verified, and the state with the attempt counted.

    Attempts up to `allowed` need not wait. Later ones are verified one after the other.
    """
    level = current_level(state, limit, at)
    delay = compute_delay(level, limit, allowed=allowed)
    turn = max(at, state.next_at) if delay else at
    counted = add_failures(state, limit, at)
    return turn, replace(counted, next_at=turn + timedelta(seconds=delay) if delay else at)
