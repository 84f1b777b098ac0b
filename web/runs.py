"""What agents do on their gateways, while they do it: on the agent's page, and on the task's."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from kit.http import Session, transaction
from models import Agent, Board, Run, RunStatus
from services import agents, gateway_requests, runs
from services.gateway_requests import RequestDetail
from services.runs import Phase
from web.auth import member_of
from web.html import render
from web.reach import looked_at, task_id_in

AT = {
    Phase.PREPARING: "Gets ready",
    Phase.THINKING: "Thinks",
    Phase.WRITING: "Writes",
    Phase.TOOL: "Works with a tool",
    Phase.WAITING: "Waits for a person's answer",
    Phase.FINISHING: "Finishes",
}
OVER = {
    RunStatus.ENDED: "Ended.",
    RunStatus.FAILED: "Failed.",
    RunStatus.ABORTED: "Was stopped.",
    RunStatus.LOST: "Lost.",
}


@dataclass(frozen=True)
class Work:
    """A run, by whom, and what it waits for, if the person may answer that."""

    run: Run
    agent: Agent
    asked: RequestDetail | None


def run_words(run: Run) -> str:
    """Say in a few words what a run is at."""
    if run.status is not RunStatus.RUNNING:
        return OVER[run.status]
    if run.phase == Phase.TOOL and run.tool:
        return f"{run.tool_title or run.tool}"
    return AT.get(Phase(run.phase), "") if run.phase in set(Phase) else "Begins"


async def of_agent(request: Request) -> Response:
    """Show what an agent does on its gateway."""
    agent_id: UUID = request.path_params["agent_id"]
    async with transaction(request) as session:
        agent = await agents.seen(session, request.user, agent_id)
        shown = await doing(request, session, agent)
    return render(request, "runs/_of_agent.html", **shown)


async def of_task(request: Request) -> Response:
    """Show what agents do for a task on their gateways."""
    async with transaction(request) as session:
        board = (await looked_at(request, session)).board
        shown = await done_for(request, session, board, task_id_in(request))
    return render(request, "runs/_of_task.html", **shown)


async def doing(request: Request, session: Session, agent: Agent) -> dict[str, Any]:
    """Load what an agent does on its gateway, or did last."""
    run = await runs.latest(session, agent.id) if agent.gateway_id else None
    asked = await _asked(request, session, run) if run else None
    return {"agent_id": agent.id, "run": run, "asked": asked, "run_words": run_words}


async def done_for(
    request: Request, session: Session, board: Board, task_id: UUID
) -> dict[str, Any]:
    """Load what agents do for a task on their gateways, or what was done last."""
    found = await runs.for_task(session, board, task_id)
    works: Sequence[Work] = [
        Work(run, agent, await _asked(request, session, run)) for run, agent in found
    ]
    return {
        "of_board": board.id,
        "of_task": task_id,
        "task_runs": works,
        "run_words": run_words,
    }


async def _asked(request: Request, session: Session, run: Run) -> RequestDetail | None:
    """Return what a run waits for, if it waits, and the person may answer."""
    if run.status is not RunStatus.RUNNING or run.phase != Phase.WAITING:
        return None
    return await gateway_requests.of_run(session, member_of(request), run)
