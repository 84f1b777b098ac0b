"""Messages between agents: leads, their workers, and the main agents of gateways."""

import secrets
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, StringConstraints
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from core.errors import Forbidden
from core.fields import Fields, RequiredText, ShortText
from models import Agent, Board, EventType, NotificationKind
from services import agents, boards, desired_state, events, memory, messages, notifications
from services.messages import templates
from services.notifications import Audience, NewNotification

MARKER_BY_KIND: Mapping[str, templates.MessageMarker] = {
    "question": templates.MessageMarker.GATEWAY_MAIN_QUESTION,
    "handoff": templates.MessageMarker.GATEWAY_MAIN_HANDOFF,
}

ReplyLabel = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9_.:-]{1,100}$"),
    Field(description="A single word: it is part of the instructions for the reply."),
]


class MessageToLead(Fields):
    """A message to a lead. The answer comes back as a note with these tags."""

    component = "GatewayLeadMessageRequest"
    example = {"kind": "question", "content": "Which of your tasks wait for the design?"}

    kind: Literal["question", "handoff"] = "question"
    content: RequiredText
    correlation_id: ShortText | None = None
    reply_tags: list[ReplyLabel] = Field(default=["gateway_main", "lead_reply"], max_length=20)
    reply_source: ReplyLabel | None = "lead_to_gateway_main"


class MessageToLeads(MessageToLead):
    """The same message to several leads."""

    component = "GatewayLeadBroadcastRequest"

    board_ids: list[UUID] | None = Field(
        default=None, max_length=1_000, description="Default: all boards of the gateway."
    )


class UserQuestion(Fields):
    """A question to the user. The answer comes back as a note with these tags."""

    component = "GatewayMainAskUserRequest"
    example = {"content": "May the launch slip by a week?", "preferred_channel": "phone"}

    content: RequiredText
    correlation_id: ShortText | None = None
    preferred_channel: ShortText | None = None
    reply_tags: list[ReplyLabel] = Field(
        default=["gateway_main", memory.USER_REPLY_TAG], max_length=20
    )
    reply_source: ReplyLabel | None = memory.USER_REPLY_SOURCE
    task_id: UUID | None = Field(
        default=None, description="The task of a worker's question; its watchers are asked."
    )


async def message_lead(
    session: AsyncSession, main: Agent, board: Board, message: MessageToLead, *, base_url: str
) -> tuple[Agent, bool]:
    """Send a message to the lead of a locked board. Return the lead, and whether it was created.

    An existing lead is not changed, but if it was never provisioned on its
    gateway, provisioning starts again.
    """
    _check_is_gateway_main(main)
    query = select(Agent).where(Agent.board_id == board.id, Agent.is_board_lead)
    lead = await session.scalar(query)
    new_events = []
    is_new = lead is None
    if lead is None:
        names = await session.scalars(select(Agent.name).where(Agent.board_id == board.id))
        name = agents.choose_free_name("Lead Agent", names)
        lead = agents.build_agent(
            board, agents.AgentCreate.parse({"name": name, "is_board_lead": True})
        )
        session.add(lead)
        new_events.append(agents.agent_created_event(main, board, lead))
        await session.flush()
    if lead.desired_state and not lead.observed_generation:
        await desired_state.request_board_sync(session, board)
    await messages.enqueue_messages(
        session, [_lead_message(main, board, lead, message, base_url)], new_events=new_events
    )
    return lead, is_new


async def broadcast_to_leads(
    session: AsyncSession, main: Agent, message: MessageToLeads, *, base_url: str
) -> Sequence[tuple[Board, Agent | None]]:
    """Send a message to the leads of all or some boards of a gateway, newest board first.

    Returns the boards with their leads. Boards of other gateways are ignored. No lead is created.
    """
    _check_is_gateway_main(main)
    served_ids = boards.readable_board_ids_query(main, main.organization_id)
    query = (
        select(Board, Agent)
        .outerjoin(Agent, (Agent.board_id == Board.id) & Agent.is_board_lead)
        .where(Board.id.in_(served_ids))
        .order_by(Board.created_at.desc(), Board.id.desc())
    )
    if message.board_ids:
        query = query.where(Board.id.in_(message.board_ids))
    rows = [(board, lead) for board, lead in await session.execute(query)]
    outgoing = [
        _lead_message(main, board, lead, message, base_url, record_delivery=False)
        for board, lead in rows
        if lead
    ]
    sent = events.NewEvent(
        EventType.LEAD_BROADCAST_SENT,
        main,
        organization_id=main.organization_id,
        data={"boards": len(rows), "correlation_id": message.correlation_id},
    )
    await messages.enqueue_messages(session, outgoing, new_events=[sent])
    return rows


def _lead_message(
    main: Agent,
    board: Board,
    lead: Agent,
    message: MessageToLead,
    base_url: str,
    *,
    record_delivery: bool = True,
) -> messages.OutgoingMessage:
    content = templates.render_lead_message(
        MARKER_BY_KIND[message.kind],
        board,
        sender=main.name,
        content=message.content,
        correlation_id=message.correlation_id,
        reply_tags=message.reply_tags,
        reply_source=message.reply_source,
        base_url=base_url,
    )
    return messages.OutgoingMessage(
        to=lead,
        content=content,
        board=board,
        sender=main,
        on_delivered=EventType.LEAD_MESSAGE_SENT if record_delivery else None,
        on_failed=EventType.LEAD_MESSAGE_FAILED,
        event_subject=main,
        event_data={"name": lead.name, "correlation_id": message.correlation_id},
    )


def _check_is_gateway_main(agent: Agent) -> None:
    """Raise Forbidden unless the agent is the main agent of a gateway."""
    if agent.board_id is not None or agent.gateway_id is None:
        raise Forbidden("gateway_main_required", "Only the gateway's own agent can do that.")


async def ask_user(
    session: AsyncSession, lead: Agent, board: Board, question: UserQuestion, *, base_url: str
) -> tuple[Agent, str] | None:
    """Send a question for the user to the main agent of the board's gateway.

    Returns the agent and the correlation id that its reply must have. Without such an agent the
    question is posted to the board's chat, where users read it and the lead receives their answer;
    then it returns None. Who can write to the board is notified until somebody answers.
    """
    asked = NewNotification(
        NotificationKind.QUESTION,
        board.organization_id,
        f"ask-user:{board.id}",
        audience=Audience.WRITERS,
        board=board,
        agent=lead,
        actor=lead,
        data={"title": board.name, "excerpt": notifications.cut_excerpt(question.content)},
        merges=True,  # several are one until it is read
    )
    await notifications.notify(session, [asked])
    main = None
    if board.gateway_id:
        mains = select(Agent).where(Agent.gateway_id == board.gateway_id, Agent.board_id.is_(None))
        main = await session.scalar(mains.order_by(Agent.created_at, Agent.id).limit(1))
    if main is None:
        note = memory.NoteCreate.parse({"content": question.content, "tags": ["chat", "ask_user"]})
        await memory.create_note(session, lead, memory.board_scope(board), note, base_url=base_url)
        return None
    given_id = templates.to_single_line(question.correlation_id or "")
    correlation_id = given_id or f"ask-user:{secrets.token_hex(6)}"
    await memory.record_user_question(session, board, main, correlation_id)
    content = templates.render_user_request(
        board,
        lead=lead.name,
        content=question.content,
        correlation_id=correlation_id,
        preferred_channel=question.preferred_channel,
        reply_tags=question.reply_tags,
        reply_source=question.reply_source,
        base_url=base_url,
    )
    outgoing = messages.OutgoingMessage(
        to=main,
        content=content,
        board=board,
        sender=lead,
        deliver=True,
        on_delivered=EventType.ASK_USER_SENT,
        on_failed=EventType.ASK_USER_FAILED,
        event_subject=lead,
        event_data={"correlation_id": correlation_id},
    )
    await messages.enqueue_messages(session, [outgoing])
    return main, correlation_id


async def nudge_agent(
    session: AsyncSession, lead: Agent, board: Board, agent_id: UUID, text: str
) -> None:
    """Send a text of the lead to an agent of a locked board, marked as the lead's.

    The event is recorded when the agent has received the message. Raises NotFound.
    """
    agent = await agents.get_board_agent(session, board, agent_id)
    outgoing = messages.OutgoingMessage(
        to=agent,
        content=templates.render_nudge(board, lead=lead.name, content=text),
        board=board,
        sender=lead,
        deliver=True,
        on_delivered=EventType.NUDGE_SENT,
        on_failed=EventType.NUDGE_FAILED,
        event_subject=lead,
        event_data={"name": agent.name},
    )
    await messages.enqueue_messages(session, [outgoing])
