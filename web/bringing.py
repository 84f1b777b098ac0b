"""Agents on their way to their gateways, as people see it: how far they are, and trying again."""

from dataclasses import dataclass
from uuid import UUID

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from kit.clock import now
from kit.http import transaction
from models import Agent, Step
from services import agents, provisioning
from services.provisioning import State
from web import forms
from web.auth import member_of

STEPS = {
    Step.CREATE: "Its gateway is asked to make it.",
    Step.LISTED: "Its gateway makes it.",
    Step.NAME: "It is given its name there.",
    Step.FILES: "Its files are written there.",
    Step.HEARTBEAT: "Its heartbeat is set there.",
    Step.SCRATCH: "Its heartbeat is set there.",
    Step.WAKE: "It is woken.",
    Step.CHECK_IN: "It was woken, and has to check in.",
    Step.REMOVE: "It is removed from its gateway.",
}
"""What is done for an agent at each step."""

STANDS = {
    State.DONE: "It is there as it is written here.",
    State.WAITING: "Its gateway is away: this goes on when that is back.",
    State.PAUSED: "It is there, and is woken when its board goes on.",
}


@dataclass(frozen=True)
class Progress:
    """How far an agent is: a sentence, what failed if anything did, and what can be done."""

    words: str
    is_leaving: bool
    failed: str = ""
    command: str | None = None
    wakes: bool = False  # trying again wakes it
    kept: str = ""  # the files that it has changed


def progress(agent: Agent) -> Progress | None:
    """Say how far an agent is on its way to its gateway. None: nobody brings it to any."""
    state = provisioning.state(agent, now())
    if state is None:
        return None
    failure = agent.provision_failure or {}
    step = STEPS[agent.step] if agent.step else STANDS[State.DONE]
    return Progress(
        words=STANDS.get(state, step),
        is_leaving=state is State.REMOVING or agent.step is Step.REMOVE,
        failed=failure.get("reason", ""),
        command=failure.get("command"),
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
