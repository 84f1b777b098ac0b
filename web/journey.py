"""The steps by which an agent comes to its gateway, as people follow them. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from models import Agent, Gateway, Step
from services import provisioning
from web.agent_words import span
from web.gateway_words import trouble

MADE = (Step.CREATE, Step.LISTED, Step.NAME)
FILES = (Step.FILES,)
HEARTBEAT = (Step.HEARTBEAT, Step.SCRATCH)
WOKEN = (Step.WAKE,)
CALLED = (Step.CHECK_IN,)
GROUPS = (MADE, FILES, HEARTBEAT, WOKEN, CALLED)
THERE = (MADE, FILES, HEARTBEAT)


@dataclass(frozen=True)
class Stage:
    """One step: `done`, `now`, `fail` or `todo`, what it is, and what there is to say of it."""

    state: str
    title: str
    about: str = ""
    aside: str = ""
    command: str = ""
    at: datetime | None = None  # when it was done


def stages(agent: Agent, gateway: Gateway, moment: datetime) -> Sequence[Stage]:
    """Return how far an agent is on its way to its gateway, or away from it."""
    if agent.step is Step.REMOVE:
        return [_open(agent, f"{gateway.name} removes it", gateway, moment)]
    groups = THERE if _is_only_told(agent) else GROUPS
    done = _done(agent, groups)
    titles = _titles(agent, gateway)
    return [
        _stage(place, done, group, titles[place], agent, gateway, moment)
        for place, group in enumerate(groups)
    ]


def standing(agent: Agent, gateway: Gateway, moment: datetime) -> Stage:
    """Return the step at which an agent is: the one that is open, or the last that was done."""
    found = stages(agent, gateway, moment)
    return next((one for one in found if one.state in ("now", "fail")), found[-1])


def _is_only_told(agent: Agent) -> bool:
    """Say whether an agent that is there is just told what has changed, and need not be woken."""
    was_there = agent.last_seen_at is not None or bool(agent.observed_generation)
    is_at_rest = agent.step is None and agent.last_seen_at is not None
    return was_there and not agent.wants_wake and not is_at_rest


def _done(agent: Agent, groups: Sequence[Sequence[Step]]) -> int:
    """Return how many groups of steps are behind the agent."""
    if agent.step is not None:
        return next((place for place, group in enumerate(groups) if agent.step in group), 0)
    if agent.last_seen_at is not None and not agent.wants_wake:
        return len(groups)
    return len(THERE) if agent.observed_generation else 0


def _titles(agent: Agent, gateway: Gateway) -> Sequence[str]:
    calls = "has called" if agent.last_seen_at else "calls for the first time"
    return (
        f"{agent.name} is made on {gateway.name}",
        "Its files are written",
        "Its heartbeat is set",
        f"{agent.name} is woken",
        f"{agent.name} {calls}",
    )


def _stage(
    place: int,
    done: int,
    group: Sequence[Step],
    title: str,
    agent: Agent,
    gateway: Gateway,
    moment: datetime,
) -> Stage:
    if place < done:
        return Stage("done", title, at=_done_at(agent, group[-1]))
    return _open(agent, title, gateway, moment) if place == done else Stage("todo", title)


def _open(agent: Agent, title: str, gateway: Gateway, moment: datetime) -> Stage:
    """Return the step that is being taken, has failed, or waits for the board."""
    if agent.step is None and agent.observed_generation:
        return Stage("todo", title, "Its board is paused. It is woken when that goes on.")
    failure = agent.provision_failure or {}
    if failure:
        command = str(failure.get("command") or "")
        return Stage("fail", title, str(failure.get("reason") or ""), command=command)
    away = trouble(gateway, moment)
    aside = "" if away else _pace(agent, moment)
    return Stage("now", title, _about(agent, away), aside)


def _about(agent: Agent, away: str) -> str:
    if away:
        return f"{away} It goes on by itself as soon as that is well."
    if agent.step is Step.CHECK_IN and agent.wake_attempts:
        return f"{agent.name} was woken {_times(agent.wake_attempts)}."
    if agent.step_attempts > 1:
        return f"Tried {_times(agent.step_attempts)} so far."
    return ""


def _pace(agent: Agent, moment: datetime) -> str:
    """Say for how long the step has been taken, of how long it may."""
    pace = provisioning.pace(agent, moment)
    return "" if pace is None else f"{span(pace.passed)} of {span(pace.limit)}"


def _done_at(agent: Agent, last: Step) -> datetime | None:
    if last is Step.WAKE:
        return agent.woken_at
    if last is Step.CHECK_IN:
        return agent.last_seen_at
    at = (agent.written or {}).get("done_at", {}).get(last.value)
    return datetime.fromisoformat(at) if at else None


def _times(count: int) -> str:
    return "once" if count == 1 else "twice" if count == 2 else f"{count} times"
