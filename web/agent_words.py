"""What people read about agents: how we know their state, and what can be chosen for them."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from models import DesiredState
from services.agents import AgentCard, Sign, State
from web.ages import reader_zone
from web.looks import GLYPHS

TROUBLE = (State.LATE, State.OFFLINE, State.AWAY)
KINDS = (
    ("", "All", tuple(State)),
    ("working", "Working", (State.WORKING,)),
    ("idle", "Idle", (State.IDLE,)),
    ("trouble", "Trouble", TROUBLE),
    ("starting", "Starting", (State.PROVISIONING,)),
)
"""How the list of agents can be narrowed: the value in the address, its name, the states."""

CADENCES = (("1m", "Every minute"), ("5m", "Every 5 minutes"), ("10m", "Every 10 minutes"))
CADENCES += (("30m", "Every 30 minutes"), ("1h", "Every hour"), ("0m", "It does not check in"))

EMOJI = [(f":{name}:", name.replace("_", " ").capitalize()) for name in GLYPHS]


def evidence(card: AgentCard) -> str:
    """Say how we know an agent's state: "called the API 12 s ago"."""
    age, run = card.known_for, card.run
    if card.agent.desired_state is DesiredState.GONE:
        return "is being removed"
    if card.away_for is not None:
        return f"not known for {span(card.away_for)}"
    if run is not None and (age is None or run.told_for < age):
        return f"its gateway told of its work {ago(run.told_for)}"
    if card.evidence.by is Sign.WAITING:
        return "its gateway is away"
    return "has not called yet" if age is None else _last_sign(card, age)


def _last_sign(card: AgentCard, age: timedelta) -> str:
    if card.evidence.by is Sign.FAILURE:
        return f"failed {ago(age)}"
    if card.state is State.OFFLINE:
        return f"silent for {span(age)}"
    by_call = card.evidence.by is Sign.CALL
    return f"{'called the API' if by_call else 'its gateway had it'} {ago(age)}"


def clock(moment: datetime) -> str:
    """Say what the clock showed where the reader is: "14:06"."""
    return f"{moment.astimezone(reader_zone.get()):%H:%M}"


def ago(time: timedelta) -> str:
    """Say how long ago something was: "12 s ago"."""
    return f"{span(time)} ago" if time >= timedelta(seconds=1) else "just now"


def span(time: timedelta) -> str:
    """Say how long a time is, in the largest unit that fits: "12 s", "4 min", "2 h", "3 d"."""
    seconds = max(0, int(time.total_seconds()))
    for size, unit, until in ((1, "s", 60), (60, "min", 3_600), (3_600, "h", 86_400)):
        if seconds < until:
            return f"{seconds // size} {unit}"
    return f"{seconds // 86_400} d"


def narrowed(cards: Sequence[AgentCard], kind: str, wanted: str) -> list[AgentCard]:
    """Return the agents of a kind whose name, role or board has what was typed."""
    states = next((states for name, _, states in KINDS if name == kind), tuple(State))
    words = wanted.casefold().split()
    return [
        card
        for card in cards
        if card.state in states and all(word in _searched(card) for word in words)
    ]


def counts(cards: Sequence[AgentCard]) -> list[tuple[str, str, int]]:
    """Return how many agents there are of each kind."""
    return [
        (name, words, sum(card.state in states for card in cards)) for name, words, states in KINDS
    ]


def _searched(card: AgentCard) -> str:
    return f"{card.agent.name} {card.role or ''} {card.board_name or ''}".casefold()
