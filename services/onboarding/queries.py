"""Read onboarding conversations, their interviewers, and what is pending for users."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, cached_property
from operator import itemgetter
from typing import Any, Literal, NamedTuple
from uuid import UUID

from sqlalchemy import ScalarSelect, Uuid, bindparam, func, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import aliased

from core.db.reads import Query, Source
from core.errors import NotFound
from core.text import N_
from models import (
    Agent,
    Board,
    Event,
    EventType,
    Gateway,
    Message,
    OnboardingMessage,
    OnboardingSession,
    OnboardingStatus,
    User,
)
from services import boards
from services.onboarding import transcript as onboarding_transcript
from services.onboarding.transcript import Transcript

OPEN_STATUSES = (OnboardingStatus.ACTIVE, OnboardingStatus.COMPLETED)
InterviewerAgent = aliased(Agent)


@dataclass(frozen=True)
class Conversation:
    """An onboarding session with its messages and the interviewing agent, if there is one."""

    session: OnboardingSession
    messages: Sequence[OnboardingMessage]
    interviewer_id: UUID | None

    @property
    def is_open(self) -> bool:
        """Whether it can be continued."""
        return self.session.status in OPEN_STATUSES

    @property
    def waiting_for(self) -> Literal["agent", "person"] | None:
        """Whose turn it is: `agent`, `person`, or None if it is closed."""
        if not self.is_open:
            return None
        return self.transcript.next_speaker if self.interviewer_id else "person"

    @property
    def waiting_since(self) -> datetime | None:
        """The time since when it has been their turn."""
        if not self.waiting_for:
            return None
        return self.transcript.waiting_since or self.session.created_at

    @property
    def pending_action(self) -> Literal["answer", "review"] | None:
        """What the user has to do: answer a question, review a draft, or nothing (None)."""
        if self.interviewer_id is None or self.waiting_for != "person":
            return None
        if self.transcript.open_question is not None:
            return "answer"
        return "review" if self.draft else None

    @property
    def draft(self) -> Mapping[str, Any]:
        """The last draft of the agent; empty if there is none or the stored value is invalid."""
        draft = self.session.draft_goal
        return draft if isinstance(draft, Mapping) else {}

    @cached_property
    def transcript(self) -> Transcript:
        """The questions and answers."""
        return onboarding_transcript.parse_transcript(self.messages)


class Interviewer(NamedTuple):
    """The agent that asks the questions for a board, and its gateway. Both may be missing."""

    agent: Agent | None = None
    gateway: Gateway | None = None


def interviewer_id_query(board: Board | type[Board]) -> ScalarSelect[UUID]:
    """Select the id of the main agent of a board's gateway, for one or each board of a query."""
    mains = select(Agent.id).where(Agent.gateway_id == board.gateway_id, Agent.board_id.is_(None))
    first = mains.order_by(Agent.created_at, Agent.id).limit(1)
    return first.correlate(Board).scalar_subquery()


async def find_conversation(source: Source, board: Board) -> Conversation | None:
    """Return the last conversation of a board, if there is one."""
    rows = await LAST_CONVERSATION.fetch(source, board_id=board.id)
    if not rows:
        return None
    return Conversation(rows[0][0], [row[1] for row in rows if row[1]], rows[0][2])


LAST_SESSION_ID = (
    select(OnboardingSession.id)
    .where(OnboardingSession.board_id == bindparam("board_id"))
    .order_by(OnboardingSession.created_at.desc(), OnboardingSession.id.desc())
    .limit(1)
    .scalar_subquery()
)
LAST_CONVERSATION: Query[tuple[OnboardingSession, OnboardingMessage | None, UUID | None]] = Query(
    select(OnboardingSession, OnboardingMessage, interviewer_id_query(Board))
    .join(Board, Board.id == OnboardingSession.board_id)
    .outerjoin(OnboardingMessage, OnboardingMessage.session_id == OnboardingSession.id)
    .where(OnboardingSession.id == LAST_SESSION_ID)
    .order_by(OnboardingMessage.seq)
    .execution_options(populate_existing=True)
)


async def was_confirmed_by(source: Source, user: User, board: Board) -> bool:
    """Return whether the user was the last one who confirmed a goal of the board."""
    confirmer = await LAST_CONFIRMER.first(source, board_id=board.id)
    return confirmer == user.id


LAST_CONFIRMER: Query[UUID | None] = Query(
    select(Event.user_id)
    .where(Event.board_id == bindparam("board_id"), Event.type == EventType.ONBOARDING_CONFIRMED)
    .order_by(Event.created_at.desc(), Event.seq.desc())
    .limit(1),
    itemgetter(0),
)


async def get_conversation(source: Source, board: Board) -> Conversation:
    """Return the last conversation of a board. Raises NotFound."""
    conversation = await find_conversation(source, board)
    if conversation is None:
        raise NotFound("onboarding_not_found", N_("No setup was started on this board."))
    return conversation


async def load_interviewer(source: Source, board: Board) -> Interviewer:
    """Load the main agent of the board's gateway, and the gateway."""
    found = await INTERVIEWER.first(source, gateway_id=board.gateway_id)
    return found or Interviewer()


INTERVIEWER = Query(
    select(Agent, Gateway)
    .select_from(Gateway)
    .outerjoin(Agent, (Agent.gateway_id == Gateway.id) & Agent.board_id.is_(None))
    .where(Gateway.id == bindparam("gateway_id")),
    Interviewer._make,
)


async def find_last_message(
    source: Source, board: Board, conversation: Conversation
) -> Message | None:
    """Return the last message to the interviewing agent of a conversation, if there is one."""
    return await LAST_MESSAGE.first(
        source,
        agent_id=conversation.interviewer_id,
        board_id=board.id,
        since=conversation.session.created_at,
    )


LAST_MESSAGE: Query[Message] = Query(
    select(Message)
    .where(
        Message.agent_id == bindparam("agent_id"),
        Message.board_id == bindparam("board_id"),
        Message.key.startswith("onboarding:"),
        Message.created_at >= bindparam("since"),
    )
    .order_by(Message.seq.desc())
    .limit(1),
    lambda row: row[0],
)


@dataclass(frozen=True)
class PendingOnboarding:
    """A conversation in which a user has to answer a question or review a draft."""

    conversation: Conversation
    board: Board
    agent: Agent
    pending_action: Literal["answer", "review"]

    @property
    def id(self) -> UUID:
        """The id of the conversation."""
        return self.conversation.session.id

    @property
    def question(self) -> str:
        """The open question, or "" for a draft."""
        exchange = self.conversation.transcript.open_question
        return exchange.question if exchange else ""

    @property
    def since(self) -> datetime:
        """The time since when it has been pending."""
        return self.conversation.waiting_since or self.conversation.session.created_at


async def select_pending(
    source: Source, rows: Sequence[tuple[OnboardingSession, Board, Agent]]
) -> Sequence[PendingOnboarding]:
    """Return what is pending in open conversations, newest first."""
    ids = [session.id for session, *_ in rows]
    messages: defaultdict[UUID, list[OnboardingMessage]] = defaultdict(list)
    for message in await MESSAGES.fetch(source, session_ids=ids) if ids else ():
        messages[message.session_id].append(message)
    pending = []
    for session, board, agent in rows:
        conversation = Conversation(session, messages[session.id], agent.id)
        if action := conversation.pending_action:
            pending.append(PendingOnboarding(conversation, board, agent, action))
    return sorted(pending, key=lambda one: one.since, reverse=True)


@cache
def build_open_sessions_query(*, by_board: bool) -> Query[tuple[OnboardingSession, Board, Agent]]:
    """Select the open conversations of boards that a member may change, with interviewing agents.

    With `by_board` only that of the board `board_id`.
    """
    query = (
        select(OnboardingSession, Board, InterviewerAgent)
        .join(Board, Board.id == OnboardingSession.board_id)
        .join(InterviewerAgent, InterviewerAgent.gateway_id == Board.gateway_id)
        .where(
            OnboardingSession.status.in_(OPEN_STATUSES),
            InterviewerAgent.id == interviewer_id_query(Board),
            Board.organization_id == bindparam("organization_id"),
            Board.id.in_(boards.WRITABLE_BOARD_IDS),
        )
        .order_by(OnboardingSession.updated_at.desc(), OnboardingSession.id)
    )
    return Query(query.where(Board.id == bindparam("board_id")) if by_board else query)


MESSAGES: Query[OnboardingMessage] = Query(
    select(OnboardingMessage)
    .where(OnboardingMessage.session_id == func.any(bindparam("session_ids", type_=ARRAY(Uuid()))))
    .order_by(OnboardingMessage.seq),
    lambda row: row[0],
)
