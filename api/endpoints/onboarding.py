"""Onboarding: the conversation about the goal of a board."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BeforeValidator, Field, model_validator

from api.endpoints.boards import BoardRead
from api.framework.agent_operations import declare_agent
from api.framework.dependencies import board_for_read, board_for_update, board_of_gateway_agent
from api.framework.fields import (
    BlankToNone,
    JsonObject,
    Name,
    OptionalName,
    OptionalText,
    RequestModel,
    RequestTimestamp,
    RequiredText,
    ResponseModel,
    Text,
    Timestamp,
)
from api.framework.operation import (
    AGENT,
    USER,
    Operation,
    changes_decisions,
    error_responses,
    reads_only,
)
from api.framework.request_context import RequestContext
from api.framework.request_parser import find_unstorable_value
from core.errors import Invalid
from core.fields import Fields
from models import Board, OnboardingRole, OnboardingStatus
from services import onboarding
from services.onboarding import OnboardingGoal, OnboardingLead, OnboardingProfile


class OnboardingMessageRead(ResponseModel):
    """A message of the conversation. Messages of the agent are JSON, as text."""

    id: UUID
    role: OnboardingRole
    content: str
    timestamp: Timestamp = Field(validation_alias="created_at")


class ConfirmedBoardRead(BoardRead):
    """A board with a confirmed goal, and its new lead."""

    lead_agent_id: UUID | None = Field(description="Null if the board already had a lead.")
    lead_token: str | None = Field(description="Returned once, for a board without a gateway.")


class BoardOnboardingStart(RequestModel):
    """No fields are needed to start."""


class BoardOnboardingAnswer(RequestModel):
    """An answer: the label of an option, or several in one text, and additional text.

    With `question_id` it answers that question only, and is rejected if the question was already
    answered. With `corrects` as well, it replaces the previous answer.
    """

    example = {"answer": "I'll type it", "other_text": "A book club for the whole street"}

    answer: RequiredText
    other_text: Text | None = None
    question_id: UUID | None = Field(
        default=None, description="The `id` of the question's message."
    )
    corrects: bool = False


def _parse_metrics(value: object) -> object:
    """Convert metrics that are a list or a sentence to an object with numbered keys."""
    lines = [value] if isinstance(value, str) and value.strip() else value
    if isinstance(lines, list):
        return {str(number): line for number, line in enumerate(lines, 1)}
    return value


class BoardOnboardingQuestionOption(RequestModel):
    """An option that the user can choose."""

    id: Name
    label: Name


SuccessMetrics = Annotated[JsonObject | None, BeforeValidator(_parse_metrics)]


def _as_stored(model: type[Fields]) -> BeforeValidator:
    """Read a stored part of a draft without its limits, which were higher for earlier drafts."""
    return BeforeValidator(lambda value: value and model.model_construct(**value))


class BoardOnboardingAgentComplete(ResponseModel):
    """A draft of the agent: the goal of the board, its user, and its lead."""

    status: Literal["complete"]
    board_type: str
    objective: str | None = None
    success_metrics: JsonObject | None = None
    target_date: str | None = Field(default=None, description="UTC, ISO 8601.")
    user_profile: Annotated[OnboardingProfile | None, _as_stored(OnboardingProfile)] = None
    lead_agent: Annotated[OnboardingLead | None, _as_stored(OnboardingLead)] = None


class BoardOnboardingRead(ResponseModel):
    """A conversation about a board: its messages, and the draft if there is one."""

    id: UUID
    board_id: UUID
    session_key: str = Field(description="The agent's session; empty without a gateway.")
    status: OnboardingStatus
    messages: list[OnboardingMessageRead] | None
    draft_goal: BoardOnboardingAgentComplete | None
    waiting_for: Literal["agent", "person"] | None = Field(description="Who has to act next.")
    waiting_since: Timestamp | None
    created_at: Timestamp
    updated_at: Timestamp

    @classmethod
    def of(cls, found: onboarding.Conversation) -> "BoardOnboardingRead":
        """Build the model from a conversation."""
        names = cls.model_fields.keys() - {"messages", "waiting_for", "waiting_since"}
        return cls(
            **{name: getattr(found.session, name) for name in names},
            messages=[OnboardingMessageRead.model_validate(one) for one in found.messages],
            waiting_for=found.waiting_for,
            waiting_since=found.waiting_since,
        )


class OnboardingAgentMessage(RequestModel):
    """A message of the agent: a question with options, or a draft with `status` `complete`.

    A question may also be plain text. Both may be JSON in a text, in a fenced block, or surrounded
    by other text.
    """

    example = {
        "question": "How often should the lead report?",
        "options": [{"id": "1", "label": "Every day"}, {"id": "2", "label": "Once a week"}],
    }

    question: Annotated[RequiredText | None, BlankToNone] = None
    options: list[BoardOnboardingQuestionOption] = Field(
        default=[],
        max_length=onboarding.MAX_OPTIONS,
        description="Options for the user; plain texts are accepted.",
    )
    status: Literal["complete"] | None = None
    board_type: OptionalName = None
    objective: OptionalText = None
    success_metrics: SuccessMetrics = None
    target_date: RequestTimestamp | None = None
    user_profile: OnboardingProfile | None = None
    lead_agent: OnboardingLead | None = None

    @model_validator(mode="before")
    @classmethod
    def _parse_message(cls, sent: Any) -> Any:
        """Extract the question or draft from any of these formats."""
        parsed = onboarding.normalize_output(sent)
        unstorable = find_unstorable_value(parsed) if isinstance(sent, str) else None
        if unstorable is not None:
            raise ValueError(unstorable[1])
        return parsed

    def to_stored_message(self) -> dict[str, Any]:
        """Return the message for storage, without null values."""
        names = ["question", "options"] if self.status is None else DRAFT_FIELDS
        values = self.model_dump(mode="json", include=set(names), exclude_none=True)
        return {name: values[name] for name in names if name in values}


DRAFT_FIELDS = [
    name for name in OnboardingAgentMessage.model_fields if name not in ("question", "options")
]


@error_responses(404)
@reads_only
async def get_onboarding(context: RequestContext, board: Board) -> BoardOnboardingRead:
    """Return the board's latest conversation."""
    return BoardOnboardingRead.of(await onboarding.get_conversation(context.source, board))


async def start_onboarding(
    context: RequestContext, board: Board, body: BoardOnboardingStart
) -> BoardOnboardingRead:
    """Start a conversation about the board's goal, or continue the open one.

    The main agent of the board's gateway asks the questions. On a board without a gateway the user
    confirms a goal directly.
    """
    url = context.settings.base_url
    found = await onboarding.start_onboarding(context.session, context.user, board, base_url=url)
    return BoardOnboardingRead.of(found)


async def restart_onboarding(
    context: RequestContext, board: Board, body: BoardOnboardingStart
) -> BoardOnboardingRead:
    """Cancel the open conversation, and start another."""
    url = context.settings.base_url
    found = await onboarding.restart_onboarding(context.session, context.user, board, base_url=url)
    return BoardOnboardingRead.of(found)


@error_responses(404, 409)
async def answer_onboarding(
    context: RequestContext, board: Board, body: BoardOnboardingAnswer
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
            raise Invalid("question_or_draft_required", reason, field="question")
        found = await onboarding.ask_question(context.session, context.agent, board, message)
    else:
        if body.board_type is None:
            raise Invalid("board_type_required", "A draft needs a board_type.", field="board_type")
        found = await onboarding.submit_draft(context.session, context.agent, board, message)
    return BoardOnboardingRead.of(found)


@changes_decisions
@error_responses(404, 409)
async def confirm_onboarding(
    context: RequestContext, board: Board, body: OnboardingGoal
) -> ConfirmedBoardRead:
    """Set the confirmed goal of the board, and create its lead.

    An autonomous lead may finish tasks without approval if an admin confirms. On a board without a
    gateway an admin receives the token of the lead once.
    """
    confirmed = await onboarding.confirm_goal(context.session, context.user, board, body)
    return ConfirmedBoardRead(
        **dict(BoardRead.model_validate(confirmed.board)),
        lead_agent_id=confirmed.lead.id if confirmed.lead else None,
        lead_token=confirmed.token,
    )


ONBOARDING = "/boards/{board_id}/onboarding"
TAGS = ["board-onboarding"]

OPERATIONS = [
    Operation("GET", ONBOARDING, get_onboarding, USER, TAGS, board_for_read),
    Operation("POST", ONBOARDING + "/start", start_onboarding, USER, TAGS, board_for_update),
    Operation("POST", ONBOARDING + "/restart", restart_onboarding, USER, TAGS, board_for_update),
    Operation("POST", ONBOARDING + "/answer", answer_onboarding, USER, TAGS, board_for_update),
    Operation(
        "POST", ONBOARDING + "/agent", update_onboarding, AGENT, TAGS, board_of_gateway_agent
    ),
    Operation("POST", ONBOARDING + "/confirm", confirm_onboarding, USER, TAGS, board_for_update),
    declare_agent(
        "POST",
        ONBOARDING,
        update_onboarding,
        "agent_board_onboarding_update",
        board_of_gateway_agent,
    ),
]
