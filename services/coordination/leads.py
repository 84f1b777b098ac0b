"""What the agent that looks after a gateway says to the leads of the boards that it serves."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from kit.errors import Forbidden
from models import Agent, Board, EventType
from services import agents, boards, events, messages, provisioning
from services.messages import texts

LEAD_NAME = "Lead Agent"  # of a lead that nobody has named
KINDS: Mapping[str, texts.Marker] = {
    "question": texts.Marker.GATEWAY_MAIN_QUESTION,
    "handoff": texts.Marker.GATEWAY_MAIN_HANDOFF,
}
REPLY_TAGS = ("gateway_main", "lead_reply")
REPLY_SOURCE = "lead_to_gateway_main"


@dataclass(frozen=True, kw_only=True)
class Letter:
    """What is written, and how the answer is to come back: as a note with these tags."""

    content: str
    kind: str = "question"
    correlation_id: str | None = None
    reply_tags: Sequence[str] = REPLY_TAGS
    reply_source: str | None = REPLY_SOURCE


@dataclass(frozen=True)
class Outcome:
    """What became of a letter to the lead of one board."""

    board_id: UUID
    lead: Agent | None

    @property
    def error(self) -> str | None:
        """Why it went to nobody, if it did."""
        return None if self.lead else "This board has no lead."


async def message_lead(
    session: AsyncSession, main: Agent, board: Board, letter: Letter, *, base_url: str
) -> tuple[Agent, bool]:
    """Write to the lead of a board that is held; return the lead, and whether it was made for this.

    A lead that is there keeps its name and all else (contract, W-38). One that never came to its
    gateway is brought there anew.
    """
    _check_is_main(main)
    query = select(Agent).where(Agent.board_id == board.id, Agent.is_board_lead)
    lead = await session.scalar(query)
    happened = []
    made = lead is None
    if lead is None:
        names = await session.scalars(select(Agent.name).where(Agent.board_id == board.id))
        name = agents.free_name(LEAD_NAME, names)
        lead = agents.new_lead(board, agents.AgentDraft(name=name))
        session.add(lead)
        happened.append(agents.created(main, board, lead))
        await session.flush()
    if lead.desired_state and not lead.observed_generation:
        await provisioning.ask_crew(session, board)
    await messages.queue(session, [_draft(main, board, lead, letter, base_url)], happened=happened)
    return lead, made


async def broadcast(
    session: AsyncSession,
    main: Agent,
    letter: Letter,
    *,
    board_ids: Collection[UUID] | None,
    base_url: str,
) -> Sequence[Outcome]:
    """Write to the leads of the boards that a gateway serves, or of some of them, newest first.

    Boards of other gateways are passed over. A board without a lead is told of in its outcome; no
    lead is made for a broadcast (contract, W-38).
    """
    _check_is_main(main)
    served = boards.readable(main, main.organization_id)
    query = (
        select(Board, Agent)
        .outerjoin(Agent, (Agent.board_id == Board.id) & Agent.is_board_lead)
        .where(Board.id.in_(served))
        .order_by(Board.created_at.desc(), Board.id.desc())
    )
    if board_ids:
        query = query.where(Board.id.in_(board_ids))
    rows = (await session.execute(query)).all()
    drafts = [
        _draft(main, board, lead, letter, base_url, told=False) for board, lead in rows if lead
    ]
    sent = events.Happened(
        EventType.LEAD_BROADCAST_SENT,
        main,
        organization_id=main.organization_id,
        data={"boards": len(rows), "correlation_id": letter.correlation_id},
    )
    await messages.queue(session, drafts, happened=[sent])
    return [Outcome(board.id, lead) for board, lead in rows]


def _draft(
    main: Agent, board: Board, lead: Agent, letter: Letter, base_url: str, *, told: bool = True
) -> messages.Draft:
    content = texts.lead_message(
        KINDS[letter.kind],
        board,
        sender=main.name,
        content=letter.content,
        correlation_id=letter.correlation_id,
        reply_tags=letter.reply_tags,
        reply_source=letter.reply_source,
        base_url=base_url,
    )
    return messages.Draft(
        to=lead,
        content=content,
        board=board,
        sender=main,
        told=EventType.LEAD_MESSAGE_SENT if told else None,
        failed=EventType.LEAD_MESSAGE_FAILED,
        told_of=main,
        data={"name": lead.name, "correlation_id": letter.correlation_id},
    )


def _check_is_main(agent: Agent) -> None:
    """Raise Forbidden unless this agent looks after a gateway."""
    if agent.board_id is not None or agent.gateway_id is None:
        raise Forbidden("gateway_main_required", "Only the gateway's own agent can do that.")
