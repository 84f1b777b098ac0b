"""Agents on their way to their gateways, as people see it: how far they are, and trying again."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from kit.clock import now
from kit.http import transaction
from models import Agent, DesiredState, Gateway, Step
from services import agents, gateways
from web import forms
from web.auth import member_of
from web.journey import Stage, stages


@dataclass(frozen=True)
class Progress:
    """How far an agent is on its way to its gateway, and what can be done."""

    gateway: Gateway
    is_away: bool
    stages: Sequence[Stage]
    is_leaving: bool
    was_there: bool  # and is only told what has changed
    wakes: bool  # trying again wakes it
    kept: str  # the files that it has changed

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to be done."""
        return all(one.state == "done" for one in self.stages)

    @property
    def has_failed(self) -> bool:
        """Whether somebody has to see to it."""
        return any(one.state == "fail" for one in self.stages)


def progress(agent: Agent, gateway: Gateway | None) -> Progress | None:
    """Say how far an agent is on its way to its gateway. None: nobody brings it to any."""
    if gateway is None or agent.desired_state is None:
        return None
    failure = agent.provision_failure or {}
    return Progress(
        gateway,
        gateways.away_since(gateway, now()) is not None,
        stages(agent, gateway, now()),
        is_leaving=agent.desired_state is DesiredState.GONE,
        was_there=bool(agent.observed_generation) and agent.last_seen_at is not None,
        wakes=failure.get("step") == Step.CHECK_IN.value,
        kept=", ".join(agent.written.get("kept", [])),
    )


async def bring(request: Request) -> Response:
    """Have an agent brought to its gateway once more."""
    form = await forms.read(request)
    agent_id: UUID = request.path_params["agent_id"]
    wake, overwrite = (bool(form.value(name)) for name in ("wake", "overwrite"))
    async with transaction(request) as session:
        await agents.bring(session, member_of(request), agent_id, wake=wake, overwrite=overwrite)
    return RedirectResponse(f"/agents/{agent_id}", 303)
