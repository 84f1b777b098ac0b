"""Onboarding, as JSON: the conversation about a board (contract, agents-and-gateways 10)."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, Field, model_validator

from api.boards import BoardRead
from api.fields import Answer, Body, GivenMoment, JsonObject, Moment, Name, Short, Text, Words
from api.json import unstorable
from api.operations import Call, may_answer
from kit.errors import Invalid
from kit.http import settings_of
from models import Board, OnboardingRole, OnboardingStatus
from services import onboarding


class OnboardingMessageRead(Answer):
    """Something that was said. What the agent says is JSON, as text."""

    id: UUID
    role: OnboardingRole
    content: str
    timestamp: Moment = Field(validation_alias="created_at")


class BoardOnboardingRead(Answer):
    """A conversation about a board: all that was said, and the draft as soon as there is one."""

    id: UUID
    board_id: UUID
    session_key: str = Field(description="Of the agent that asks; empty on a board without one.")
    status: OnboardingStatus
    messages: list[OnboardingMessageRead] | None
    draft_goal: JsonObject | None
    waiting_for: Literal["agent", "person"] | None = Field(description="Whose turn it is.")
    waiting_since: Moment | None
    created_at: Moment
    updated_at: Moment

    @classmethod
    def of(cls, found: onboarding.Conversation) -> "BoardOnboardingRead":
        """Make one of what the services know."""
        row = found.session
        return cls(
            id=row.id,
            board_id=row.board_id,
            session_key=row.session_key,
            status=row.status,
            messages=[OnboardingMessageRead.model_validate(one) for one in found.messages],
            draft_goal=row.draft_goal,
            waiting_for=found.waiting_for,
            waiting_since=found.waiting_since,
            created_at=row.created_at,
            updated_at=row.updated_at,
        )


class ConfirmedBoardRead(BoardRead):
    """A board whose goal was confirmed, and the lead that it was given."""

    lead_agent_id: UUID | None = Field(description="Null where the board had a lead before.")
    lead_token: str | None = Field(description="Shown once, and only where no gateway runs it.")


class OnboardingStart(Body):
    """Nothing has to be said to start."""


class OnboardingAnswer(Body):
    """An answer: the label of an option, or several in one text, and what was typed besides.

    With `question_id` it answers just that question, and is refused if that was answered
    meanwhile. With `corrects` as well, it takes the place of the answer that was given before.
    """

    example = {"answer": "I'll type it", "other_text": "A book club for the whole street"}

    answer: Words
    other_text: Text | None = None
    question_id: UUID | None = Field(default=None, description="The `id` of the message that asks.")
    corrects: bool = False


def _blank_is_none(value: object) -> object:
    return None if isinstance(value, str) and not value.strip() else value


def _metrics(value: object) -> object:
    """Take metrics that come as a list or a sentence for an object with numbered keys."""
    lines = [value] if isinstance(value, str) and value.strip() else value
    if isinstance(lines, list):
        return {str(number): line for number, line in enumerate(lines, 1)}
    return value


class Option(BaseModel):
    """Something that the person can choose."""

    id: Name
    label: Name


Likes = Annotated[Text | None, BeforeValidator(_blank_is_none)]
Metrics = Annotated[JsonObject | None, BeforeValidator(_metrics)]


class UserProfile(BaseModel):
    """What the agent has learned about the person."""

    preferred_name: Annotated[Short | None, BeforeValidator(_blank_is_none)] = None
    pronouns: Annotated[Short | None, BeforeValidator(_blank_is_none)] = None
    timezone: Annotated[Short | None, BeforeValidator(_blank_is_none)] = None
    notes: Likes = None
    context: Likes = None


class LeadAgent(BaseModel):
    """The lead that the board shall have, and how it shall work."""

    name: Annotated[Name | None, BeforeValidator(_blank_is_none)] = None
    identity_profile: dict[str, Text] | None = None
    autonomy_level: Literal["ask_first", "balanced", "autonomous"] | None = None
    verbosity: Literal["concise", "balanced", "detailed"] | None = None
    output_format: Literal["bullets", "mixed", "narrative"] | None = None
    update_cadence: Literal["asap", "hourly", "daily", "weekly"] | None = None
    custom_instructions: Likes = None


class OnboardingSaid(Body):
    """What the agent says: a question with options, or a draft with `status` `complete`.

    A question may also come as plain text, and either as JSON in a text, in a fenced block or
    between other words.
    """

    example = {
        "question": "How often should the lead report?",
        "options": [{"id": "1", "label": "Every day"}, {"id": "2", "label": "Once a week"}],
    }

    question: Annotated[Words | None, BeforeValidator(_blank_is_none)] = None
    options: list[Option] = Field(
        default=[], max_length=50, description="What the person can choose; texts will do."
    )
    status: Literal["complete"] | None = None
    board_type: Annotated[Name | None, BeforeValidator(_blank_is_none)] = None
    objective: Likes = None
    success_metrics: Metrics = None
    target_date: GivenMoment | None = None
    user_profile: UserProfile | None = None
    lead_agent: LeadAgent | None = None

    @model_validator(mode="before")
    @classmethod
    def _read(cls, sent: Any) -> Any:
        """Take a question or a draft out of whatever it comes in."""
        said = onboarding.understood(sent)
        fault = unstorable(said) if isinstance(sent, str) else None
        if fault is not None:
            raise ValueError(fault[1])
        return said

    def as_said(self) -> dict[str, Any]:
        """Return the same without what is null, as it is kept."""
        names = ("question", "options") if self.status is None else DRAFTED
        kept = self.model_dump(mode="json", include=set(names), exclude_none=True)
        return {name: kept[name] for name in names if name in kept}


DRAFTED = (
    "status",
    "board_type",
    "objective",
    "success_metrics",
    "target_date",
    "user_profile",
    "lead_agent",
)


class OnboardingConfirm(Body):
    """The goal as the person wants it. A lead and a profile that are left out are the draft's."""

    example = {
        "board_type": "goal",
        "objective": "Launch the new site before summer.",
        "success_metrics": {"visitors": "1,000 in the first week"},
        "target_date": "2027-06-01T00:00:00",
    }

    board_type: Name
    objective: Text | None = None
    success_metrics: JsonObject | None = None
    target_date: GivenMoment | None = None
    lead_agent: LeadAgent | None = None
    user_profile: UserProfile | None = None

    def goal(self) -> onboarding.Goal:
        """Return the same, as the services take it."""
        return onboarding.Goal(
            board_type=self.board_type,
            objective=self.objective,
            success_metrics=self.success_metrics,
            target_date=self.target_date,
            lead_agent=_given(self.lead_agent),
            user_profile=_given(self.user_profile),
        )


def _given(part: BaseModel | None) -> dict[str, Any] | None:
    return None if part is None else part.model_dump(exclude_none=True)


@may_answer(404)
async def get_onboarding(call: Call, board: Board) -> BoardOnboardingRead:
    """Return the board's last conversation."""
    return BoardOnboardingRead.of(await onboarding.get(call.session, board))


async def start_onboarding(call: Call, board: Board, body: OnboardingStart) -> BoardOnboardingRead:
    """Start a conversation about the board's goal, or go on with the one that is open.

    The agent that looks after the board's gateway asks; on a board without one the person confirms
    a goal at once.
    """
    base_url = settings_of(call.request).base_url
    found = await onboarding.start(call.session, call.user, board, base_url=base_url)
    return BoardOnboardingRead.of(found)


async def restart_onboarding(
    call: Call, board: Board, body: OnboardingStart
) -> BoardOnboardingRead:
    """Give up the conversation that is open, and start another."""
    base_url = settings_of(call.request).base_url
    found = await onboarding.restart(call.session, call.user, board, base_url=base_url)
    return BoardOnboardingRead.of(found)


@may_answer(404, 409)
async def answer_onboarding(
    call: Call, board: Board, body: OnboardingAnswer
) -> BoardOnboardingRead:
    """Answer the agent's question, or send "Additional context" to have the draft rewritten."""
    known, text, other = body.question_id, body.answer, body.other_text
    if body.corrects:
        if known is None:
            raise Invalid("question_required", "Say which answer it corrects.", field="question_id")
        found = await onboarding.correct(
            call.session, call.user, board, text, other=other, question_id=known
        )
    else:
        found = await onboarding.answer(
            call.session, call.user, board, text, other=other, question_id=known
        )
    return BoardOnboardingRead.of(found)


@may_answer(403, 404, 409)
async def update_onboarding(call: Call, board: Board, body: OnboardingSaid) -> BoardOnboardingRead:
    """Ask the person one question, or send the draft of the board's goal and lead.

    Only for the agent that looks after the board's gateway.
    """
    if body.status is None:
        if body.question is None:
            reason = "Send a question with options, or a draft with the status complete."
            raise Invalid("onboarding_says_nothing", reason, field="question")
        found = await onboarding.ask(call.session, call.agent, board, body.as_said())
    else:
        if body.board_type is None:
            raise Invalid("board_type_required", "A draft needs a board_type.", field="board_type")
        found = await onboarding.propose(call.session, call.agent, board, body.as_said())
    return BoardOnboardingRead.of(found)


@may_answer(404, 409)
async def confirm_onboarding(
    call: Call, board: Board, body: OnboardingConfirm
) -> ConfirmedBoardRead:
    """Make the goal the board's own, and give the board its lead.

    A lead that is to be autonomous may finish tasks without approval, if an admin confirms. On a
    board without a gateway an admin is given the token of the lead, this once.
    """
    confirmed = await onboarding.confirm(call.session, call.user, board, body.goal())
    return ConfirmedBoardRead(
        **dict(BoardRead.model_validate(confirmed.board)),
        lead_agent_id=confirmed.lead.id if confirmed.lead else None,
        lead_token=confirmed.token,
    )
