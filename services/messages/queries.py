"""Read messages from the outbox: an agent reads its own, users read those of an agent."""

from collections.abc import Collection
from functools import cache
from operator import itemgetter
from uuid import UUID

from sqlalchemy import ColumnElement, String, Uuid, bindparam, cast, func, select, true
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from core.db.reads import Query, Source
from core.errors import NotFound
from core.paging import Page, PagedQuery, Paging
from core.text import N_
from models import Agent, Board, Message, MessageState, Organization
from services.messages.rules import BOARD_COMMANDS

PENDING_STATES = (MessageState.QUEUED, MessageState.SENT)

TO_AGENT = select(Message).where(Message.agent_id == bindparam("agent_id"))


def _select_whether_not_held() -> ColumnElement[bool]:
    """Exclude the queued messages to an agent that is held, or whose organization is stopped."""
    works = select(Agent.id).join(Organization, Organization.id == Agent.organization_id)
    works = works.where(Agent.held_at.is_(None), Organization.stopped_at.is_(None))
    works = works.where(Agent.id == bindparam("agent_id"))
    return (Message.state != MessageState.QUEUED) | works.exists()


IS_NOT_HELD = _select_whether_not_held()
MESSAGES_BY_ID: Query[Message] = Query(
    TO_AGENT.where(
        Message.id == func.any(bindparam("message_ids", type_=ARRAY(Uuid()))), IS_NOT_HELD
    ),
    itemgetter(0),
)


async def list_inbox(
    source: Source, agent: Agent, paging: Paging, *, state: MessageState | None = None
) -> Page[Message]:
    """Return the messages that an agent can read, oldest first; by default the pending ones.

    Queued messages are left out while the agent is held or its organization is stopped.
    """
    query = _build_inbox_query(has_board=agent.board_id is not None)
    states = PENDING_STATES if state is None else (state,)
    parameters = {"agent_id": agent.id, "board_id": agent.board_id, "states": list(states)}
    return await query.fetch_page(source, paging, **parameters)


@cache
def _build_inbox_query(*, has_board: bool) -> PagedQuery[Message]:
    states = bindparam("states", type_=ARRAY(String))
    query = TO_AGENT.where(cast(Message.state, String) == func.any(states), IS_NOT_HELD)
    if has_board:
        is_current = Message.board_id == bindparam("board_id", type_=Uuid())
        query = query.where(Message.board_id.is_(None) | is_current)
    return PagedQuery(query.order_by(Message.seq), itemgetter(0))


async def list_agent_messages(
    source: Source, agent: Agent, paging: Paging, *, state: MessageState | None = None
) -> Page[Message]:
    """Return all messages to an agent, newest first, optionally only those in a state."""
    query = _build_messages_query(in_state=state is not None)
    return await query.fetch_page(source, paging, agent_id=agent.id, state=state)


@cache
def _build_messages_query(*, in_state: bool) -> PagedQuery[Message]:
    query = TO_AGENT.where(Message.state == bindparam("state")) if in_state else TO_AGENT
    return PagedQuery(query.order_by(Message.seq.desc()), itemgetter(0))


async def count_newer_messages(source: Source, agent: Agent, message_id: UUID) -> int:
    """Return how many messages to an agent are newer than one; 0 if that is not to the agent."""
    ids = {"agent_id": agent.id, "message_id": message_id}
    return await NEWER_MESSAGES.first(source, **ids) or 0


def _build_newer_query() -> Query[int]:
    this = aliased(Message)
    is_newer = (this.agent_id == Message.agent_id) & (Message.seq > this.seq)
    return Query(
        select(func.count())
        .select_from(Message)
        .join(this, is_newer)
        .where(Message.agent_id == bindparam("agent_id", type_=Uuid()))
        .where(this.id == bindparam("message_id", type_=Uuid())),
        itemgetter(0),
    )


NEWER_MESSAGES = _build_newer_query()


async def load_messages(
    source: Source, agent: Agent, message_ids: Collection[UUID]
) -> dict[UUID, Message]:
    """Return messages by id. Ids of held messages, and of messages to others, are ignored."""
    if not message_ids:
        return {}
    found = await MESSAGES_BY_ID.fetch(source, agent_id=agent.id, message_ids=list(message_ids))
    return {one.id: one for one in found}


async def lock_message(
    session: AsyncSession, message_id: UUID, condition: ColumnElement[bool]
) -> Message:
    """Return a message, locked until the end of the transaction. Raises NotFound."""
    query = select(Message).where(Message.id == message_id, condition).with_for_update()
    message = await session.scalar(query.execution_options(populate_existing=True))
    if message is None:
        raise message_not_found()
    return message


def message_not_found() -> NotFound:
    """Build the error for a message that does not exist, or is for another agent."""
    return NotFound("message_not_found", N_("There is no such message."))


def addressed_to_condition(agent: Agent) -> ColumnElement[bool]:
    """Match the messages to an agent, except those about a board that it has left."""
    is_current_board = Message.board_id.is_(None) | (Message.board_id == agent.board_id)
    return (Message.agent_id == agent.id) & (true() if agent.board_id is None else is_current_board)


def current_board_condition() -> ColumnElement[bool]:
    """Exclude the messages about a board that the agent has left. The query must join Agent."""
    has_no_board = Agent.board_id.is_(None) | Message.board_id.is_(None)
    return has_no_board | (Message.board_id == Agent.board_id)


def not_paused_condition() -> ColumnElement[bool]:
    """Match what a gateway may receive: commands on a paused board. The query must join Board."""
    return Board.paused_at.is_(None) | Message.kind.in_(BOARD_COMMANDS)
