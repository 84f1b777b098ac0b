"""The steps by which a lead comes to its gateway, as people follow them. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from models import Agent, Gateway, Step
from web.agent_words import span
from web.onboarding_words import trouble

MADE = (Step.CREATE, Step.LISTED, Step.NAME)
FILES = (Step.FILES,)
HEARTBEAT = (Step.HEARTBEAT, Step.SCRATCH)
WOKEN = (Step.WAKE,)
CALLED = (Step.CHECK_IN,)
GROUPS = (MADE, FILES, HEARTBEAT, WOKEN, CALLED)
ORDER = [step for group in GROUPS for step in group]


@dataclass(frozen=True)
class LaunchStep:
    """One step: `done`, `now`, `fail` or `todo`, what it is, and what there is to say of it."""

    state: str
    title: str
    about: str = ""
    aside: str = ""
    command: str = ""


@dataclass(frozen=True)
class Launch:
    """How far a lead is."""

    steps: Sequence[LaunchStep]

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to be done."""
        return all(one.state == "done" for one in self.steps)

    @property
    def has_failed(self) -> bool:
        """Whether somebody has to see to it."""
        return any(one.state == "fail" for one in self.steps)


def launch(lead: Agent, gateway: Gateway, moment: datetime) -> Launch:
    """Return how far a lead is on the way to its first call."""
    done = _done(lead)
    steps = [
        _step(place, _titles(lead, gateway)[place], done, lead, gateway, moment)
        for place in range(len(GROUPS))
    ]
    return Launch([LaunchStep("done", "Goal confirmed"), *steps])


def _done(lead: Agent) -> int:
    """Return how many groups of steps are behind the lead."""
    if lead.step is None or lead.step not in ORDER:
        return len(GROUPS) if lead.last_seen_at else 0
    return next(place for place, group in enumerate(GROUPS) if lead.step in group)


def _titles(lead: Agent, gateway: Gateway) -> Sequence[str]:
    return (
        f"{lead.name} is made on {gateway.name}",
        "Its files are written",
        "Its heartbeat is set",
        f"{lead.name} is woken",
        f"{lead.name} calls for the first time",
    )


def _step(
    place: int, title: str, done: int, lead: Agent, gateway: Gateway, moment: datetime
) -> LaunchStep:
    if place < done:
        return LaunchStep("done", title)
    if place > done:
        return LaunchStep("todo", title)
    failure = lead.provision_failure or {}
    if failure:
        command = str(failure.get("command") or "")
        return LaunchStep("fail", title, str(failure.get("reason") or ""), command=command)
    return LaunchStep("now", title, _about(lead, gateway, moment), _aside(lead, moment))


def _about(lead: Agent, gateway: Gateway, moment: datetime) -> str:
    away = trouble(gateway, moment)
    if away:
        return f"{away} It goes on by itself as soon as that is well."
    if lead.step is Step.CHECK_IN and lead.wake_attempts:
        return f"{lead.name} was woken {_times(lead.wake_attempts)}."
    if lead.step_attempts > 1:
        return f"Tried {_times(lead.step_attempts)} so far."
    return ""


def _aside(lead: Agent, moment: datetime) -> str:
    """Say how long it has been waited for the first call, of how long that may take."""
    if lead.step is not Step.CHECK_IN or lead.woken_at is None:
        return ""
    passed = span(moment - lead.woken_at)
    if lead.checkin_deadline_at is None:
        return passed
    return f"{passed} of {span(lead.checkin_deadline_at - lead.woken_at)}"


def _times(count: int) -> str:
    return "once" if count == 1 else "twice" if count == 2 else f"{count} times"
