"""Forms of the onboarding: answers, and the goal with its lead."""

from collections.abc import Mapping, Sequence
from datetime import date, tzinfo
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, model_validator

from core.fields import build_line_constraints
from models import Agent, Board, User
from services.onboarding import (
    AnswerOption,
    ExpectedState,
    OnboardingGoal,
    is_free_text,
)
from web.boards.forms import BLANK_ROWS, MIDNIGHT, format_date_field, format_metric, parse_metrics
from web.onboarding.presenter import (
    LEAD_OPTIONS,
    get_mapping,
    list_lead_options,
    parse_draft_date,
)
from web.onboarding.state import OnboardingState, conversation_draft
from web.ui import time_format
from web.ui.forms import (
    BlankAsNone,
    Form,
    OptionalLine,
    OptionalText,
    Switch,
    Text,
    TimeZoneName,
    list_time_zones,
)
from web.ui.time_format import combine_local
from web.ui.translation import _

OWN_ANSWER = "own"  # option of the page: an answer in own words

Objective = Annotated[str, build_line_constraints(20_000)]
PROFILE_FIELDS = ("preferred_name", "pronouns", "timezone", "notes", "context")


class OnboardingAnswerForm(BaseModel):
    """An answer to one question: selected options and typed text."""

    question: UUID
    choice: list[str] = []
    other: OptionalText = None

    @property
    def selected(self) -> list[str]:
        """Return the selected options of the agent."""
        return [one.strip() for one in self.choice if one.strip() and one != OWN_ANSWER]

    @property
    def typed_text(self) -> str | None:
        """Return the typed text, unless its field was closed again."""
        open_now = (
            not self.choice or OWN_ANSWER in self.choice or any(map(is_free_text, self.choice))
        )
        return self.other if open_now else None

    @model_validator(mode="after")
    def _require_answer(self) -> "OnboardingAnswerForm":
        if self.typed_text:
            return self
        if any(map(is_free_text, self.selected)):
            raise ValueError(_("Enter your answer."))
        if not self.selected:
            raise ValueError(_("Choose an answer, or enter your own."))
        return self

    def to_answer(self) -> tuple[str, str | None]:
        """Return the answer and its additional text, as `onboarding.answer_question` takes them.

        An option that only opens the text field is left out if text was typed.
        """
        chosen = [one for one in self.selected if not (self.typed_text and is_free_text(one))]
        if not chosen:
            return self.typed_text or "", None
        return ", ".join(chosen), self.typed_text


class ContextForm(BaseModel):
    """Additional context for the agent."""

    context: Text


class GoalForm(BaseModel):
    """The goal of a board, its lead, and the user profile that agents read."""

    last: Annotated[UUID | None, BlankAsNone] = None  # the conversation that the page showed
    was_open: Switch = False
    board_type: Literal["goal", "general"] = "goal"
    objective: Annotated[Objective | None, BlankAsNone] = None
    measure: list[str] = []
    target: list[str] = []
    target_date: Annotated[date | None, BlankAsNone] = None
    name: OptionalLine = None
    role: OptionalLine = None
    communication_style: OptionalLine = None
    autonomy_level: Annotated[
        Literal["ask_first", "balanced", "autonomous"] | None, BlankAsNone
    ] = None
    verbosity: Annotated[Literal["concise", "balanced", "detailed"] | None, BlankAsNone] = None
    output_format: Annotated[Literal["bullets", "mixed", "narrative"] | None, BlankAsNone] = None
    update_cadence: Annotated[Literal["asap", "hourly", "daily", "weekly"] | None, BlankAsNone] = (
        None
    )
    custom_instructions: OptionalText = None
    preferred_name: OptionalLine = None
    pronouns: OptionalLine = None
    timezone: TimeZoneName = None
    notes: OptionalText = None
    context: OptionalText = None

    @property
    def seen(self) -> ExpectedState:
        """Return which conversation the user has seen."""
        return ExpectedState(self.last, self.was_open)

    def to_goal(self, zone: tzinfo, draft: Mapping[str, Any], lead: Agent | None) -> OnboardingGoal:
        """Return the goal to confirm. Values that the form does not contain come from the draft.

        The profile of an existing lead is kept.
        """
        return OnboardingGoal(
            board_type=self.board_type,
            objective=self.objective,
            success_metrics=parse_metrics(
                zip(self.measure, self.target, strict=False),
                get_mapping(draft, "success_metrics"),
            ),
            target_date=combine_local(self.target_date, MIDNIGHT, zone),
            lead_agent={"identity_profile": lead.identity_profile}
            if lead
            else self._lead_config(draft),
            user_profile=self.model_dump(include=set(PROFILE_FIELDS)),
        )

    def _lead_config(self, draft: Mapping[str, Any]) -> dict[str, Any]:
        known = get_mapping(get_mapping(draft, "lead_agent"), "identity_profile")
        profile = self.model_dump(include={"role", "communication_style"}, exclude_none=True)
        chosen = self.model_dump(include={"name", "custom_instructions", *LEAD_OPTIONS})
        return chosen | {"identity_profile": {**known, **profile}}


def initial_values(
    draft: Mapping[str, Any], board: Board, person: User, zone: tzinfo
) -> dict[str, str]:
    """Return the values of the form: from the draft, or else as stored."""
    lead, profile = get_mapping(draft, "lead_agent"), get_mapping(draft, "user_profile")
    identity = get_mapping(lead, "identity_profile")
    day = parse_draft_date(draft.get("target_date"), zone)
    shown: dict[str, object] = {
        "board_type": draft.get("board_type") or board.board_type,
        "objective": draft.get("objective") or board.objective,
        "target_date": day or format_date_field(board.target_date, zone),
        "name": lead.get("name"),
        "role": identity.get("role"),
        "communication_style": identity.get("communication_style"),
        "custom_instructions": lead.get("custom_instructions"),
        **{name: lead.get(name) or identity.get(name) for name in LEAD_OPTIONS},
        **{name: profile.get(name) or getattr(person, name) for name in PROFILE_FIELDS},
    }
    return {name: _to_field_text(value) for name, value in shown.items()}


def form_metric_rows(form: Form, draft: Mapping[str, Any], board: Board) -> list[tuple[str, str]]:
    """Return the metric rows as submitted, drafted or stored, with blank rows at the end."""
    if form.is_submitted:
        typed = zip(form.selected("measure"), form.selected("target"), strict=False)
        known = [row for row in typed if any(row)]
    else:
        metrics = get_mapping(draft, "success_metrics") or board.success_metrics or {}
        known = [(name, format_metric(value)) for name, value in metrics.items()]
    return known + [("", "")] * BLANK_ROWS


def split_answer(answer: str, options: Sequence[AnswerOption]) -> tuple[list[str], str]:
    """Split a given answer into its selected options and typed text."""
    labels = sorted((one.label for one in options), key=lambda one: (answer.find(one), -len(one)))
    ticked, rest = [], answer
    for label in labels:
        if rest.startswith(label) and rest[len(label) :][:1] in ("", ",", ":"):
            ticked.append(label)
            rest = rest[len(label) :].lstrip(", ")
    typed = rest.lstrip(": ")
    if typed:
        ticked += [one.label for one in options if one.is_free_text][:1] or [OWN_ANSWER]
    return ticked, typed


def _to_field_text(value: object) -> str:
    if value is None:
        return ""
    return value.isoformat() if isinstance(value, date) else format_metric(value)


def goal_form_context(user: User, state: OnboardingState, form: Form) -> dict[str, Any]:
    """Return the template context of the goal form."""
    zone = time_format.get_time_zone(user.timezone)
    return {
        "goal_form": form,
        "initial_values": initial_values(state.draft, state.board, user, zone),
        "metric_rows": form_metric_rows(form, state.draft, state.board),
        "lead_options": list_lead_options(),
        "time_zones": list_time_zones(),
    }


def build_goal(user: User, state: OnboardingState, fields: GoalForm) -> OnboardingGoal:
    return fields.to_goal(
        time_format.get_time_zone(user.timezone), conversation_draft(state.conversation), state.lead
    )


def build_prefilled_form(user: User, state: OnboardingState) -> Form:
    """Return the form filled with the draft, or else with the stored values."""
    context = goal_form_context(user, state, Form())
    names, targets = zip(*context["metric_rows"], strict=True)
    values: dict[str, list[str]] = {
        name: [text] for name, text in context["initial_values"].items()
    }
    values["last"] = [state.conversation_id]
    values |= {"was_open": ["on"]} if state.is_open else {}
    return Form({**values, "measure": list(names), "target": list(targets)})
