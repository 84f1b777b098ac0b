"""Coordination between agents, and what they ask of people (contract, agents 6.16 to 6.23)."""

from collections.abc import Sequence
from typing import Literal
from uuid import UUID

from pydantic import Field

from api.fields import MOST_IDS, Answer, Body, Ok, Short, Text, Words
from api.operations import Call, may_answer
from kit.http import settings_of
from models import Board
from services import agents, coordination


class NudgeBody(Body):
    """What a lead has to say to one of its agents."""

    example = {"message": "The report is due tonight. What holds you up?"}

    message: Words


class SoulUpdate(Body):
    """What an agent is to be like."""

    example = {"content": "# Ada\nYou write short sentences.", "reason": "Readers asked for it"}

    content: Text
    source_url: Text | None = Field(default=None, description="Where it comes from.")
    reason: Text | None = Field(default=None, description="Why it changes.")


class AskUser(Body):
    """A question to the user, and how the answer is to come back: as a note with these tags."""

    example = {"content": "May the launch slip by a week?", "preferred_channel": "phone"}

    content: Words
    correlation_id: Short | None = None
    preferred_channel: Short | None = None
    reply_tags: list[Short] = Field(default=list(coordination.Question.reply_tags), max_length=20)
    reply_source: Short | None = coordination.Question.reply_source

    def question(self) -> coordination.Question:
        """Return the same, as the services take it."""
        return coordination.Question(**dict(self))


class Asked(Answer):
    """Who will ask the user. Without such an agent, the question stands in the board's chat."""

    ok: bool = True
    board_id: UUID
    main_agent_id: UUID | None
    main_agent_name: str | None


class LeadMessage(Body):
    """What is said to a lead, and how the answer is to come back: as a note with these tags."""

    example = {"kind": "question", "content": "Which of your tasks wait for the design?"}

    kind: Literal["question", "handoff"] = "question"
    content: Words
    correlation_id: Short | None = None
    reply_tags: list[Short] = Field(default=list(coordination.Letter.reply_tags), max_length=20)
    reply_source: Short | None = coordination.Letter.reply_source

    def letter(self) -> coordination.Letter:
        """Return the same, as the services take it."""
        names = ("kind", "content", "correlation_id", "reply_tags", "reply_source")
        return coordination.Letter(**{name: getattr(self, name) for name in names})


class LeadBroadcast(LeadMessage):
    """The same, to several leads."""

    board_ids: list[UUID] | None = Field(
        default=None,
        max_length=MOST_IDS,
        description="Without it: every board that the gateway serves.",
    )


class LeadMessaged(Answer):
    """To whom it went."""

    ok: bool = True
    board_id: UUID
    lead_agent_id: UUID
    lead_agent_name: str
    lead_created: bool


class LeadOutcome(Answer):
    """What became of it on one board."""

    board_id: UUID
    lead_agent_id: UUID | None
    lead_agent_name: str | None
    ok: bool
    error: str | None


class Broadcasted(Answer):
    """How many leads it went to, and what became of it on each board."""

    ok: bool = True
    sent: int
    failed: int
    results: list[LeadOutcome]


@may_answer(404)
async def nudge_agent(call: Call, board: Board, agent_id: UUID, body: NudgeBody) -> Ok:
    """Say something to one of your agents. It is told at once, and word for word."""
    await coordination.nudge(call.session, call.agent, board, agent_id, body.message)
    return Ok()


@may_answer(404)
async def get_agent_soul(call: Call, board: Board, agent_id: UUID) -> str:
    """Return the soul of an agent, as text; empty if it has none. For itself, and its lead."""
    return await agents.soul(call.session, call.agent, board, agent_id)


@may_answer(404)
async def update_agent_soul(call: Call, board: Board, agent_id: UUID, body: SoulUpdate) -> Ok:
    """Give an agent of your board another soul. It is taken as text, and never run."""
    await agents.write_soul(
        call.session,
        call.agent,
        board,
        agent_id,
        body.content,
        source_url=body.source_url,
        reason=body.reason,
    )
    return Ok()


@may_answer(403, 404)
async def delete_board_agent(call: Call, board: Board, agent_id: UUID) -> Ok:
    """Let a worker of your board go. Its tasks go back to the inbox."""
    await agents.let_go(call.session, call.agent, board, agent_id)
    return Ok()


async def ask_user(call: Call, board: Board, body: AskUser) -> Asked:
    """Have the user asked something that only a person can say."""
    base_url = settings_of(call.request).base_url
    main = await coordination.ask_user(
        call.session, call.agent, board, body.question(), base_url=base_url
    )
    return Asked(
        board_id=board.id,
        main_agent_id=main.id if main else None,
        main_agent_name=main.name if main else None,
    )


async def message_board_lead(call: Call, board: Board, body: LeadMessage) -> LeadMessaged:
    """Write to the lead of a board that your gateway serves. Without a lead, one is made."""
    base_url = settings_of(call.request).base_url
    lead, made = await coordination.message_lead(
        call.session, call.agent, board, body.letter(), base_url=base_url
    )
    return LeadMessaged(
        board_id=board.id, lead_agent_id=lead.id, lead_agent_name=lead.name, lead_created=made
    )


@may_answer(403)
async def broadcast_to_leads(call: Call, body: LeadBroadcast) -> Broadcasted:
    """Write to the leads of the boards that your gateway serves, or of some of them."""
    base_url = settings_of(call.request).base_url
    outcomes = await coordination.broadcast(
        call.session, call.agent, body.letter(), board_ids=body.board_ids, base_url=base_url
    )
    return _broadcasted(outcomes)


def _broadcasted(outcomes: Sequence[coordination.Outcome]) -> Broadcasted:
    results = [
        LeadOutcome(
            board_id=one.board_id,
            lead_agent_id=one.lead.id if one.lead else None,
            lead_agent_name=one.lead.name if one.lead else None,
            ok=one.error is None,
            error=one.error,
        )
        for one in outcomes
    ]
    sent = sum(one.ok for one in results)
    return Broadcasted(sent=sent, failed=len(results) - sent, results=results)
