"""Onboarding: the conversation about the goal of a board (contract, agents-and-gateways 10)."""

from api.endpoints.boards import BoardRead
from api.endpoints.onboarding_models import (
    BoardOnboardingRead,
    ConfirmedBoardRead,
    OnboardingAgentMessage,
    OnboardingAnswer,
    OnboardingConfirm,
    OnboardingStart,
)
from api.framework.handler import RequestContext, changes_decisions, error_responses, reads_only
from core.errors import Invalid
from models import Board
from services import onboarding


@error_responses(404)
@reads_only
async def get_onboarding(context: RequestContext, board: Board) -> BoardOnboardingRead:
    """Return the board's latest conversation."""
    return BoardOnboardingRead.of(await onboarding.get_conversation(context.source, board))


async def start_onboarding(
    context: RequestContext, board: Board, body: OnboardingStart
) -> BoardOnboardingRead:
    """Start a conversation about the board's goal, or continue the open one.

    The main agent of the board's gateway asks the questions. On a board without a gateway the user
    confirms a goal directly.
    """
    url = context.settings.base_url
    found = await onboarding.start_onboarding(context.session, context.user, board, base_url=url)
    return BoardOnboardingRead.of(found)


async def restart_onboarding(
    context: RequestContext, board: Board, body: OnboardingStart
) -> BoardOnboardingRead:
    """Cancel the open conversation, and start another."""
    url = context.settings.base_url
    found = await onboarding.restart_onboarding(context.session, context.user, board, base_url=url)
    return BoardOnboardingRead.of(found)


@error_responses(404, 409)
async def answer_onboarding(
    context: RequestContext, board: Board, body: OnboardingAnswer
) -> BoardOnboardingRead:
    """Answer the agent's question, or send "Additional context" to have the draft revised."""
    question_id, text, other = body.question_id, body.answer, body.other_text
    if body.corrects:
        if question_id is None:
            raise Invalid("question_required", "Say which answer it corrects.", field="question_id")
        found = await onboarding.correct_answer(
            context.session, context.user, board, text, other=other, question_id=question_id
        )
    else:
        found = await onboarding.answer_question(
            context.session, context.user, board, text, other=other, question_id=question_id
        )
    return BoardOnboardingRead.of(found)


@error_responses(403, 404, 409)
async def update_onboarding(
    context: RequestContext, board: Board, body: OnboardingAgentMessage
) -> BoardOnboardingRead:
    """Ask the user a question, or send the draft of the board's goal and lead.

    Only for the main agent of the board's gateway.
    """
    message = body.to_stored_message()
    if body.status is None:
        if body.question is None:
            reason = "Send a question with options, or a draft with the status complete."
            raise Invalid("onboarding_says_nothing", reason, field="question")
        found = await onboarding.ask_question(context.session, context.agent, board, message)
    else:
        if body.board_type is None:
            raise Invalid("board_type_required", "A draft needs a board_type.", field="board_type")
        found = await onboarding.submit_draft(context.session, context.agent, board, message)
    return BoardOnboardingRead.of(found)


@changes_decisions
@error_responses(404, 409)
async def confirm_onboarding(
    context: RequestContext, board: Board, body: OnboardingConfirm
) -> ConfirmedBoardRead:
    """Set the confirmed goal of the board, and create its lead.

    An autonomous lead may finish tasks without approval if an admin confirms. On a board without a
    gateway an admin receives the token of the lead once.
    """
    confirmed = await onboarding.confirm_goal(context.session, context.user, board, body.goal())
    return ConfirmedBoardRead(
        **dict(BoardRead.model_validate(confirmed.board)),
        lead_agent_id=confirmed.lead.id if confirmed.lead else None,
        lead_token=confirmed.token,
    )
