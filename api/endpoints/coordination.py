"""Questions and messages of agents to users, leads and workers."""

from uuid import UUID

from pydantic import Field

from api.framework.agent_operations import declare_agent
from api.framework.dependencies import board_for_asking, board_for_lead, board_of_gateway_agent
from api.framework.fields import Ok, RequestModel, RequiredText, ResponseModel
from api.framework.operation import error_responses
from api.framework.request_context import RequestContext
from models import Agent, Board
from services import coordination, questions
from services.coordination import MessageToLead, MessageToLeads, UserQuestion


class AgentNudge(RequestModel):
    """A lead's message to one of its agents."""

    example = {"message": "The report is due tonight. What holds you up?"}

    message: RequiredText


class GatewayMainAskUserResponse(ResponseModel):
    """The agent that asks the user. Without such an agent the question is in the board's chat."""

    ok: bool = True
    board_id: UUID
    main_agent_id: UUID | None
    main_agent_name: str | None
    correlation_id: str | None = Field(description="The reply of the user contains it.")


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
    context: RequestContext, board: Board, body: UserQuestion
) -> GatewayMainAskUserResponse:
    """Ask the user a question that only a person can answer.

    The answer reaches a worker as QUESTION ANSWERED.
    """
    session, asker = context.session, context.agent
    main: Agent | None = None
    correlation_id: str | None = None
    if not asker.is_board_lead:
        question = await questions.ask_question(
            session,
            asker,
            board,
            body.content,
            task_id=body.task_id,
            correlation_id=body.correlation_id,
        )
        correlation_id = question.correlation_id
    elif sent := await coordination.ask_user(
        session, asker, board, body, base_url=context.settings.base_url
    ):
        main, correlation_id = sent
    return GatewayMainAskUserResponse(
        board_id=board.id,
        main_agent_id=main.id if main else None,
        main_agent_name=main.name if main else None,
        correlation_id=correlation_id,
    )


async def message_board_lead(
    context: RequestContext, board: Board, body: MessageToLead
) -> GatewayLeadMessageResponse:
    """Send a message to the lead of a board on your gateway. A missing lead is created."""
    lead, is_created = await coordination.message_lead(
        context.session, context.agent, board, body, base_url=context.settings.base_url
    )
    return GatewayLeadMessageResponse(
        board_id=board.id, lead_agent_id=lead.id, lead_agent_name=lead.name, lead_created=is_created
    )


@error_responses(403)
async def broadcast_to_leads(
    context: RequestContext, body: MessageToLeads
) -> GatewayLeadBroadcastResponse:
    """Send a message to the leads of all boards on your gateway, or of some of them."""
    reached = await coordination.broadcast_to_leads(
        context.session, context.agent, body, base_url=context.settings.base_url
    )
    results = [
        GatewayLeadBroadcastBoardResult(
            board_id=board.id,
            lead_agent_id=lead.id if lead else None,
            lead_agent_name=lead.name if lead else None,
            ok=lead is not None,
            error=None if lead else "This board has no lead.",
        )
        for board, lead in reached
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
