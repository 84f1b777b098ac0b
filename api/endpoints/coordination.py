"""Questions and messages of agents to users, leads and workers (contract, agents 6)."""

from collections.abc import Sequence
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from api.framework.agent_operations import declare_agent
from api.framework.dependencies import board_for_asking, board_for_lead, board_of_gateway_agent
from api.framework.fields import (
    MAX_IDS,
    Ok,
    RequestModel,
    RequiredText,
    ResponseModel,
    ShortText,
)
from api.framework.operation import error_responses
from api.framework.request_context import RequestContext
from models import Board
from services import coordination, questions


class AgentNudge(RequestModel):
    """A lead's message to one of its agents."""

    example = {"message": "The report is due tonight. What holds you up?"}

    message: RequiredText


ReplyLabel = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9_.:-]{1,100}$"),
    Field(description="A single word: it is part of the instructions for the reply."),
]


class GatewayMainAskUserRequest(RequestModel):
    """A question to the user. The answer comes back as a note with these tags."""

    example = {"content": "May the launch slip by a week?", "preferred_channel": "phone"}

    content: RequiredText
    correlation_id: ShortText | None = None
    preferred_channel: ShortText | None = None
    reply_tags: list[ReplyLabel] = Field(
        default=list(coordination.UserQuestion.reply_tags), max_length=20
    )
    reply_source: ReplyLabel | None = coordination.UserQuestion.reply_source
    task_id: UUID | None = Field(
        default=None, description="The task of a worker's question; its watchers are asked."
    )

    def question(self) -> coordination.UserQuestion:
        """Return the question of a lead as a value of the services."""
        return coordination.UserQuestion(**self.model_dump(exclude={"task_id"}))


class GatewayMainAskUserResponse(ResponseModel):
    """The agent that asks the user. Without such an agent the question is in the board's chat."""

    ok: bool = True
    board_id: UUID
    main_agent_id: UUID | None
    main_agent_name: str | None
    correlation_id: str | None = Field(description="The reply of the user has it.")


class GatewayLeadMessageRequest(RequestModel):
    """A message to a lead. The answer comes back as a note with these tags."""

    example = {"kind": "question", "content": "Which of your tasks wait for the design?"}

    kind: Literal["question", "handoff"] = "question"
    content: RequiredText
    correlation_id: ShortText | None = None
    reply_tags: list[ReplyLabel] = Field(
        default=list(coordination.MessageToLead.reply_tags), max_length=20
    )
    reply_source: ReplyLabel | None = coordination.MessageToLead.reply_source

    def message(self) -> coordination.MessageToLead:
        """Return the message as a value of the services."""
        names = ("kind", "content", "correlation_id", "reply_tags", "reply_source")
        return coordination.MessageToLead(**{name: getattr(self, name) for name in names})


class GatewayLeadBroadcastRequest(GatewayLeadMessageRequest):
    """The same message to several leads."""

    board_ids: list[UUID] | None = Field(
        default=None,
        max_length=MAX_IDS,
        description="Default: all boards of the gateway.",
    )


class GatewayLeadMessageResponse(ResponseModel):
    """The lead that received the message."""

    ok: bool = True
    board_id: UUID
    lead_agent_id: UUID
    lead_agent_name: str
    lead_created: bool


class GatewayLeadBroadcastBoardResult(ResponseModel):
    """The result for one board."""

    board_id: UUID
    lead_agent_id: UUID | None
    lead_agent_name: str | None
    ok: bool
    error: str | None


class GatewayLeadBroadcastResponse(ResponseModel):
    """The number of leads that received the message, and the result for each board."""

    ok: bool = True
    sent: int
    failed: int
    results: list[GatewayLeadBroadcastBoardResult]


@error_responses(404)
async def nudge_agent(
    context: RequestContext, board: Board, agent_id: UUID, body: AgentNudge
) -> Ok:
    """Send a message to one of your agents. It is delivered at once and unchanged."""
    await coordination.nudge_agent(context.session, context.agent, board, agent_id, body.message)
    return Ok()


@error_responses(404, 409)
async def ask_user(
    context: RequestContext, board: Board, body: GatewayMainAskUserRequest
) -> GatewayMainAskUserResponse:
    """Ask the user a question that only a person can answer.

    A worker may, where its board allows it; the answer reaches it as QUESTION ANSWERED.
    """
    if not context.agent.is_board_lead:
        return await _ask_as_worker(context, board, body)
    base_url = context.settings.base_url
    sent = await coordination.ask_user(
        context.session, context.agent, board, body.question(), base_url=base_url
    )
    main, correlation_id = sent or (None, None)
    return GatewayMainAskUserResponse(
        board_id=board.id,
        main_agent_id=main.id if main else None,
        main_agent_name=main.name if main else None,
        correlation_id=correlation_id,
    )


async def _ask_as_worker(
    context: RequestContext, board: Board, body: GatewayMainAskUserRequest
) -> GatewayMainAskUserResponse:
    question = await questions.ask_question(
        context.session,
        context.agent,
        board,
        body.content,
        task_id=body.task_id,
        correlation_id=body.correlation_id,
    )
    return GatewayMainAskUserResponse(
        board_id=board.id,
        main_agent_id=None,
        main_agent_name=None,
        correlation_id=question.correlation_id,
    )


async def message_board_lead(
    context: RequestContext, board: Board, body: GatewayLeadMessageRequest
) -> GatewayLeadMessageResponse:
    """Send a message to the lead of a board on your gateway. A missing lead is created."""
    base_url = context.settings.base_url
    lead, is_created = await coordination.message_lead(
        context.session, context.agent, board, body.message(), base_url=base_url
    )
    return GatewayLeadMessageResponse(
        board_id=board.id, lead_agent_id=lead.id, lead_agent_name=lead.name, lead_created=is_created
    )


@error_responses(403)
async def broadcast_to_leads(
    context: RequestContext, body: GatewayLeadBroadcastRequest
) -> GatewayLeadBroadcastResponse:
    """Send a message to the leads of all boards on your gateway, or of some of them."""
    base_url = context.settings.base_url
    results_by_lead = await coordination.broadcast_to_leads(
        context.session, context.agent, body.message(), board_ids=body.board_ids, base_url=base_url
    )
    return _build_broadcast_result(results_by_lead)


def _build_broadcast_result(
    results_by_lead: Sequence[coordination.LeadMessageResult],
) -> GatewayLeadBroadcastResponse:
    results = [
        GatewayLeadBroadcastBoardResult(
            board_id=one.board_id,
            lead_agent_id=one.lead.id if one.lead else None,
            lead_agent_name=one.lead.name if one.lead else None,
            ok=one.error is None,
            error=one.error,
        )
        for one in results_by_lead
    ]
    sent = sum(one.ok for one in results)
    return GatewayLeadBroadcastResponse(sent=sent, failed=len(results) - sent, results=results)


OPERATIONS = [
    declare_agent(
        "POST",
        "/boards/{board_id}/agents/{agent_id}/nudge",
        nudge_agent,
        "agent_coordination",
        board_for_lead,
    ),
    declare_agent(
        "POST",
        "/boards/{board_id}/gateway/main/ask-user",
        ask_user,
        "human_escalation",
        board_for_asking,
    ),
    declare_agent(
        "POST",
        "/gateway/boards/{board_id}/lead/message",
        message_board_lead,
        "lead_direct_routing",
        board_of_gateway_agent,
    ),
    declare_agent("POST", "/gateway/leads/broadcast", broadcast_to_leads, "lead_broadcast_routing"),
]
