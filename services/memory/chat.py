"""Whom a new note is told to, and what a command in a board's chat does."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from models import Actor, Agent, Board, BoardGroup, EventType
from services import events, messages, provisioning
from services.memory.rules import check_may_command, command, is_chat, is_for_all, name_of
from services.mentions import mentioned
from services.messages import texts

Crew = Sequence[tuple[Agent, Board]]
"""Agents, each with its board."""


@dataclass(frozen=True)
class Said:
    """What somebody is about to write, and the address under which agents reach the API."""

    by: Actor
    content: str
    tags: Sequence[str] | None
    base_url: str


@dataclass(frozen=True)
class Echo:
    """What a note sets going: messages to agents, and what happens to its board."""

    drafts: Sequence[messages.Draft] = ()
    happened: Sequence[events.Happened] = ()


async def on_board(session: AsyncSession, board: Board, said: Said) -> Echo | None:
    """Return what a note on a held board sets going; None if it is said to nobody.

    The lead hears of every message of the chat, and whoever is mentioned. A command goes to all
    agents as it is, and pauses or resumes the board. Raises Forbidden to who may give no commands.
    """
    if not is_chat(said.tags):
        return None
    word = command(said.content)
    if word is not None:
        check_may_command(said.by)
    crew = await _others(session, said.by, Board.id == board.id)
    if word is not None:
        drafts = [_draft(said, agent, board, word, deliver=True) for agent, _ in crew]
        steered = _steered(said.by, board, word)
        if steered:
            await session.flush()
            await provisioning.ask_crew(session, board)
        return Echo(drafts, steered)
    called = {agent.id for agent in mentioned(said.content, [agent for agent, _ in crew])}
    drafts = [
        _draft(said, agent, board, _board_text(board, said, mentioned=agent.id in called))
        for agent, _ in crew
        if agent.is_board_lead or agent.id in called
    ]
    return Echo(drafts)


async def in_group(session: AsyncSession, group: BoardGroup, said: Said) -> Echo | None:
    """Return what a note in a group sets going; None if it is said to nobody.

    The leads of its boards hear of every message of the chat, and whoever is mentioned; what is
    said to all, every agent of its boards.
    """
    to_all = is_for_all(said.content, said.tags)
    if not (to_all or is_chat(said.tags)):
        return None
    crew = await _others(session, said.by, Board.board_group_id == group.id)
    called = {agent.id for agent in mentioned(said.content, [agent for agent, _ in crew])}
    drafts = [
        _draft(said, agent, board, _group_text(group, board, said, agent.id in called, to_all))
        for agent, board in crew
        if to_all or agent.is_board_lead or agent.id in called
    ]
    return Echo(drafts)


async def _others(session: AsyncSession, actor: Actor, where: ColumnElement[bool]) -> Crew:
    """Return the agents of some boards, but for whoever is speaking."""
    query = select(Agent, Board).join(Board, Board.id == Agent.board_id)
    query = query.where(where, Agent.id != actor.id).order_by(Agent.created_at, Agent.id)
    return [(agent, board) for agent, board in await session.execute(query)]


def _steered(actor: Actor, board: Board, word: str) -> Sequence[events.Happened]:
    """Pause a board or let it go on, and return what is to be recorded of that, if anything."""
    paused = word == texts.PAUSE
    if paused == (board.paused_at is not None):
        return ()
    board.paused_at = now() if paused else None
    board.updated_at = now()
    board.version += 1
    type = EventType.BOARD_PAUSED if paused else EventType.BOARD_RESUMED
    where = board.organization_id
    data = {"name": board.name}
    return [events.Happened(type, actor, organization_id=where, board=board, data=data)]


def _draft(
    said: Said, agent: Agent, board: Board, content: str, *, deliver: bool = False
) -> messages.Draft:
    return messages.Draft(to=agent, content=content, board=board, sender=said.by, deliver=deliver)


def _board_text(board: Board, said: Said, *, mentioned: bool) -> str:
    return texts.board_chat(
        board,
        sender=name_of(said.by),
        content=said.content,
        mentioned=mentioned,
        base_url=said.base_url,
    )


def _group_text(
    group: BoardGroup, board: Board, said: Said, mentioned: bool, broadcast: bool
) -> str:
    return texts.group_chat(
        group,
        board,
        sender=name_of(said.by),
        content=said.content,
        mentioned=mentioned,
        broadcast=broadcast,
        base_url=said.base_url,
    )
