"""Provisioning: agents come to their gateways, are kept up to date there, and go.

A change here asks (`ask`, `move`, `leave`); a station at the gateway does it (`Reconciler`), step
by step, and says in the agent's row how far it came. docs/decisions/provisioning.md says why.
"""

from services.provisioning.asking import (
    MANAGED,
    STAYS,
    ask,
    ask_crew,
    begin,
    leave,
    leave_behind,
    move,
)
from services.provisioning.beats import every, is_quiet
from services.provisioning.leaving import departed, departing, departures, give_up
from services.provisioning.round import Library, Write
from services.provisioning.rules import Pace, State, pace, state
from services.provisioning.station import Reconciler
from services.provisioning.steps import Papers, clear, last_written
from services.provisioning.tokens import known as known_tokens

__all__ = [
    "MANAGED",
    "STAYS",
    "Library",
    "Pace",
    "Papers",
    "Reconciler",
    "State",
    "Write",
    "ask",
    "ask_crew",
    "begin",
    "clear",
    "departed",
    "departing",
    "departures",
    "every",
    "give_up",
    "is_quiet",
    "known_tokens",
    "last_written",
    "leave",
    "leave_behind",
    "move",
    "pace",
    "state",
]
