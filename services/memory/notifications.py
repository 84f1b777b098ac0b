"""The messages that a new note sends to agents, and the notifications of people it mentions."""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from uuid import UUID

from sqlalchemy import ColumnElement, Uuid, bindparam, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.db.reads import CombinedQuery, Query
from models import (
    Actor,
    Agent,
    Board,
    BoardAccess,
    BoardGroup,
    GroupNote,
    Note,
    NotificationKind,
)
from services import boards, messages, tasks
from services import notifications as user_notifications
from services.memory.rules import MemoryScope, is_broadcast, is_chat
from services.messages import (
    list_mentionable_people,
    list_mentioned_agents,
    templates,
)
from services.notifications import NewNotification, cut_excerpt

AgentsWithBoards = Sequence[tuple[Agent, Board]]
"""Agents, each with its board."""


@dataclass(frozen=True)
class ChatMessage:
    """The content of a new note, its author, and the address of the API for agents."""

    author: Actor
    content: str
    tags: Sequence[str] | None
    base_url: str


async def board_messages(
    session: AsyncSession, board: Board, message: ChatMessage
) -> Sequence[messages.OutgoingMessage] | None:
    """Return the messages for a note on a locked board; None if it is not sent to agents.

    The lead and the agents that are mentioned receive every message of the chat.
    """
    if not is_chat(message.tags):
        return None
    recipients = await _list_other_agents(session, message.author, Board.id == board.id)
    mentioned = _mentioned_ids(message.content, recipients)
    return [
        messages.OutgoingMessage(
            to=agent,
            content=templates.render_board_chat(
                board,
                sender=message.author.display_name,
                content=message.content,
                mentioned=agent.id in mentioned,
                base_url=message.base_url,
            ),
            board=board,
            sender=message.author,
        )
        for agent, _ in recipients
        if agent.is_board_lead or agent.id in mentioned
    ]


async def group_messages(
    session: AsyncSession, group: BoardGroup, message: ChatMessage
) -> Sequence[messages.OutgoingMessage] | None:
    """Return the messages for a note in a group; None if it is not sent to agents.

    The leads of its boards and the agents that are mentioned receive every message of the chat. A
    broadcast goes to all agents of its boards.
    """
    to_all = is_broadcast(message.content, message.tags)
    if not (to_all or is_chat(message.tags)):
        return None
    in_group = Board.board_group_id == group.id
    recipients = await _list_other_agents(session, message.author, in_group)
    mentioned = _mentioned_ids(message.content, recipients)
    return [
        messages.OutgoingMessage(
            to=agent,
            content=templates.render_group_chat(
                group,
                board,
                sender=message.author.display_name,
                content=message.content,
                mentioned=agent.id in mentioned,
                broadcast=to_all,
                base_url=message.base_url,
            ),
            board=board,
            sender=message.author,
        )
        for agent, board in recipients
        if to_all or agent.is_board_lead or agent.id in mentioned
    ]


async def notify_mentioned_users(
    session: AsyncSession, scope: MemoryScope, actor: Actor, note: Note | GroupNote
) -> None:
    """Notify the people who are mentioned in a new note and can read it."""
    if "@" not in note.content:
        return
    if scope.board is not None:
        people = await tasks.load_mentionable_people(session, scope.board)
    else:
        assert scope.group is not None
        ids = {"group_id": scope.group.id, "organization_id": scope.group.organization_id}
        people = list_mentionable_people(*await MENTIONABLE_IN_GROUP.fetch(session, **ids))
    data = {
        "excerpt": cut_excerpt(note.content),
        "is_note": not note.is_chat,
        "memory_id": str(note.id),
    }
    owner = scope.board or scope.group
    assert owner is not None
    mention = NewNotification(
        NotificationKind.MENTION,
        owner.organization_id,
        _build_mention_key(note),
        user_ids=people.find(note.content),
        board=scope.board,
        group=scope.group,
        actor=actor,
        data={"title": owner.name, **data}
        | ({"group_id": str(scope.id)} if scope.group is not None else {}),
    )
    await user_notifications.notify(session, [mention] if mention.user_ids else [])


async def resolve_mentions(session: AsyncSession, note: Note | GroupNote) -> None:
    """Resolve the notifications of the people whom a deleted note has mentioned."""
    key = _build_mention_key(note)
    await user_notifications.resolve(session, [NotificationKind.MENTION], [key])


def _build_mention_key(note: Note | GroupNote) -> str:
    return f"memory:{note.id}"


GROUP_BOARD_IDS = select(Board.id).where(
    Board.board_group_id == bindparam("group_id", type_=Uuid())
)
MENTIONABLE_IN_GROUP = CombinedQuery(
    boards.build_readers_query(BoardAccess.board_id.in_(GROUP_BOARD_IDS)),
    Query(select(Agent).where(Agent.board_id.in_(GROUP_BOARD_IDS)), itemgetter(0)),
)


def _mentioned_ids(content: str, recipients: AgentsWithBoards) -> set[UUID]:
    agents = list_mentioned_agents(content, [agent for agent, _ in recipients])
    return {agent.id for agent in agents}


async def _list_other_agents(
    session: AsyncSession, actor: Actor, where: ColumnElement[bool]
) -> AgentsWithBoards:
    """Return the agents of the matching boards, except the author."""
    query = select(Agent, Board).join(Board, Board.id == Agent.board_id)
    query = query.where(where, Agent.id != actor.id).order_by(Agent.created_at, Agent.id)
    return [(agent, board) for agent, board in await session.execute(query)]
