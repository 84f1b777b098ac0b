"""The steps by which a lead comes to its gateway once its goal is confirmed. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from models import Agent, Gateway
from web.journey import Stage, stages


@dataclass(frozen=True)
class Launch:
    """How far a lead is."""

    steps: Sequence[Stage]

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to be done."""
        return all(one.state == "done" for one in self.steps)

    @property
    def has_failed(self) -> bool:
        """Whether somebody has to see to it."""
        return any(one.state == "fail" for one in self.steps)


def launch(
    lead: Agent, gateway: Gateway, moment: datetime, *, confirmed_at: datetime | None = None
) -> Launch:
    """Return how far a lead is on the way to its first call."""
    confirmed = Stage("done", "Goal confirmed", at=confirmed_at)
    return Launch([confirmed, *stages(lead, gateway, moment)])
