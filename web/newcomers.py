"""Agents that are new: making one, giving it a token, and waiting for its first call."""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from kit.errors import NotFound
from kit.http import Session, settings_of
from kit.paging import Paging
from models import Agent, Board, Status
from services import agent_files, agents, boards, tasks
from services.agents import AgentCard
from services.tasks import TaskDraft
from web.agent_forms import NewAgent
from web.agent_words import clock, span
from web.auth import member_of
from web.calls import SOME_TASK, TOKEN_VARIABLE, Desk
from web.html import render


@dataclass(frozen=True)
class Newcomer:
    """An agent with what it needs to call: its card, its board, and lines to start from."""

    card: AgentCard
    board: Board
    desk: Desk
    handover: str = ""  # the lines for the AGENTS.md of one that is linked, with its token

    @property
    def token(self) -> str | None:
        """The token, if this is the moment to show it."""
        return self.desk.token


async def make(request: Request, session: Session, wanted: NewAgent) -> Newcomer:
    """Make an agent, and its first task if one was named."""
    board = await boards.hold_as_admin(session, request.user, wanted.board_id)
    agent, token = await agents.create(
        session, request.user, board, wanted.draft(), is_board_lead=wanted.kind == "lead"
    )
    if wanted.first_task:
        await tasks.create(session, request.user, board, TaskDraft(title=wanted.first_task))
    return await meet(request, session, agent.id, token)


async def meet(
    request: Request, session: Session, agent_id: UUID, token: str | None = None
) -> Newcomer:
    """Return an agent of a board with what it needs to call.

    Raises NotFound, and Forbidden to who is no admin.
    """
    agent = await agents.get(session, member_of(request), agent_id)
    if agent.board_id is None:
        raise NotFound("agent_not_found", "This agent works on no board.")
    card = await card_of(request, session, agent_id)
    board = await boards.get(session, request.user, agent.board_id)
    desk = await _desk(request, session, board, agent, token)
    lines = await handover(request, session, agent, token) if token and agent.is_linked else ""
    return Newcomer(card, board, desk, lines)


async def handover(
    request: Request, session: Session, agent: Agent, token: str, *, workspace: str = ""
) -> str:
    """Return what is to be given to an agent that is linked, so that it knows how to act here."""
    base_url = settings_of(request).base_url
    facts = await agent_files.facts_of(session, agent, base_url=base_url, token=token)
    return agent_files.handover(replace(facts, workspace=workspace))


async def card_of(request: Request, session: Session, agent_id: UUID) -> AgentCard:
    """Return how an agent stands."""
    return await agents.card(
        session, member_of(request), agent_id, offline_after=offline_after(request)
    )


def offline_after(request: Request) -> timedelta:
    """Return how long an agent may be silent."""
    return timedelta(seconds=settings_of(request).agent_offline_after)


async def _desk(
    request: Request, session: Session, board: Board, agent: Agent, token: str | None
) -> Desk:
    crew = await agents.of_board(session, board)
    free = await tasks.listed(
        session, board, Paging(limit=1), statuses=[Status.INBOX], unassigned=True
    )
    return Desk(
        base_url=settings_of(request).base_url,
        board=board,
        agent=agent,
        token=token,
        task_id=free.items[0].task.id if free.items else None,
        lead=next((one for one in crew if one.is_board_lead), None),
        worker=next((one for one in crew if not one.is_board_lead), None),
    )


def words() -> dict[str, Any]:
    """Return how times are told in the parts about a newcomer."""
    return {"clock": clock, "span": span}


def shown(newcomer: Newcomer, path: str) -> dict[str, Any]:
    """Return what the parts about a newcomer need. At `path` they ask for themselves again."""
    return {
        **words(),
        "one": newcomer.card,
        "board": newcomer.board,
        "token": newcomer.token,
        "handover": newcomer.handover,
        "calls": newcomer.desk.calls(),
        "has_task": newcomer.desk.task_id is not None,
        "variable": TOKEN_VARIABLE,
        "some_task": SOME_TASK,
        "path": path,
    }


def arrival(request: Request, newcomer: Newcomer, path: str) -> Response:
    """Show whether a newcomer has called."""
    return render(request, "agents/_arrival.html", **shown(newcomer, path))
