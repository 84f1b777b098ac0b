"""Models of onboardings: conversations about boards, their messages and drafts."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, Field, model_validator

from api.endpoints.boards import BoardRead
from api.framework.fields import (
    BlankToNone,
    JsonObject,
    Name,
    OptionalName,
    OptionalShortText,
    OptionalText,
    RequestModel,
    RequestTimestamp,
    RequiredText,
    ResponseModel,
    Text,
    Timestamp,
)
from api.framework.request_parser import find_unstorable_value
from models import OnboardingRole, OnboardingStatus
from services import onboarding


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


class OnboardingStart(RequestModel):
    """No fields are needed to start."""


class OnboardingAnswer(RequestModel):
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


class Option(RequestModel):
    """An option that the user can choose."""

    id: Name
    label: Name


SuccessMetrics = Annotated[JsonObject | None, BeforeValidator(_parse_metrics)]


class UserProfile(RequestModel):
    """What the agent knows about the user."""

    preferred_name: OptionalShortText = None
    pronouns: OptionalShortText = None
    timezone: OptionalShortText = None
    notes: OptionalText = None
    context: OptionalText = None


class LeadAgent(RequestModel):
    """The desired lead of the board, and its way of working."""

    name: OptionalName = None
    identity_profile: dict[str, Text] | None = None
    autonomy_level: Literal["ask_first", "balanced", "autonomous"] | None = None
    verbosity: Literal["concise", "balanced", "detailed"] | None = None
    output_format: Literal["bullets", "mixed", "narrative"] | None = None
    update_cadence: Literal["asap", "hourly", "daily", "weekly"] | None = None
    custom_instructions: OptionalText = None


class OnboardingDraft(ResponseModel):
    """A draft of the agent: the goal of the board, its user, and its lead."""

    status: Literal["complete"]
    board_type: str
    objective: str | None = None
    success_metrics: JsonObject | None = None
    target_date: str | None = Field(default=None, description="UTC, ISO 8601.")
    user_profile: UserProfile | None = None
    lead_agent: LeadAgent | None = None


class BoardOnboardingRead(ResponseModel):
    """A conversation about a board: its messages, and the draft if there is one."""

    id: UUID
    board_id: UUID
    session_key: str = Field(description="The agent's session; empty without a gateway.")
    status: OnboardingStatus
    messages: list[OnboardingMessageRead] | None
    draft_goal: OnboardingDraft | None
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
    options: list[Option] = Field(
        default=[],
        max_length=onboarding.MAX_OPTIONS,
        description="Options for the user; plain texts are accepted.",
    )
    status: Literal["complete"] | None = None
    board_type: OptionalName = None
    objective: OptionalText = None
    success_metrics: SuccessMetrics = None
    target_date: RequestTimestamp | None = None
    user_profile: UserProfile | None = None
    lead_agent: LeadAgent | None = None

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


class OnboardingConfirm(RequestModel):
    """The goal as confirmed by the user. Omitted lead and profile are taken from the draft."""

    example = {
        "board_type": "goal",
        "objective": "Launch the new site before summer.",
        "success_metrics": {"visitors": "1,000 in the first week"},
        "target_date": "2027-06-01T00:00:00",
    }

    board_type: Name
    objective: Text | None = None
    success_metrics: JsonObject | None = None
    target_date: RequestTimestamp | None = None
    lead_agent: LeadAgent | None = None
    user_profile: UserProfile | None = None

    def goal(self) -> onboarding.OnboardingGoal:
        """Return the goal as a value of the services."""
        return onboarding.OnboardingGoal(
            board_type=self.board_type,
            objective=self.objective,
            success_metrics=self.success_metrics,
            target_date=self.target_date,
            lead_agent=_dump_given(self.lead_agent),
            user_profile=_dump_given(self.user_profile),
        )


def _dump_given(part: BaseModel | None) -> dict[str, Any] | None:
    return None if part is None else part.model_dump(exclude_none=True)
