"""What people type while a board is set up: answers, and what they want of it and of its lead."""

from collections.abc import Mapping, Sequence
from datetime import date, tzinfo
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, model_validator

from models import Agent, Board, User
from services.onboarding import Goal, Option, Seen, is_typed
from web.ages import moment_of
from web.board_forms import BLANK_ROWS, MIDNIGHT, as_text, day_in, metrics_of
from web.forms import Form, Line, OrNothing, Switch, Text
from web.onboarding_words import WISHES, drafted_day, part
from web.settings import Zone

OWN = "own"  # the choice that the page itself offers: none of what the agent offers
Said = Annotated[Line | None, OrNothing]
Told = Annotated[Text | None, OrNothing]

PROFILE = ("preferred_name", "pronouns", "timezone", "notes", "context")


class Answer(BaseModel):
    """An answer to one question: what was ticked, and what was typed."""

    question: UUID
    choice: list[str] = []
    other: Told = None

    @property
    def ticked(self) -> list[str]:
        """What was ticked of what the agent offers."""
        return [one.strip() for one in self.choice if one.strip() and one != OWN]

    @property
    def typed(self) -> str | None:
        """What was typed, if it counts: a box that was closed again does not."""
        open_now = not self.choice or OWN in self.choice or any(map(is_typed, self.choice))
        return self.other if open_now else None

    @model_validator(mode="after")
    def _says_something(self) -> "Answer":
        if self.typed:
            return self
        if any(map(is_typed, self.ticked)):
            raise ValueError("Type it.")
        if not self.ticked:
            raise ValueError("Choose something, or say it in your own words.")
        return self

    def said(self) -> tuple[str, str | None]:
        """Return the answer, and what belongs to it, as `onboarding.answer` takes them.

        An option that only opened the box goes without saying once there is something in it.
        """
        chosen = [one for one in self.ticked if not (self.typed and is_typed(one))]
        if not chosen:
            return self.typed or "", None
        return ", ".join(chosen), self.typed


class More(BaseModel):
    """What else the agent should know."""

    context: Text


class Wanted(BaseModel):
    """What a person wants of a board and of its lead, and what agents may know of them."""

    last: Annotated[UUID | None, OrNothing] = None  # the conversation that they have seen
    was_open: Switch = False
    board_type: Literal["goal", "general"] = "goal"
    objective: Told = None
    measure: list[str] = []
    target: list[str] = []
    target_date: Annotated[date | None, OrNothing] = None
    name: Said = None
    role: Said = None
    communication_style: Said = None
    autonomy_level: Annotated[Literal["ask_first", "balanced", "autonomous"] | None, OrNothing] = (
        None
    )
    verbosity: Annotated[Literal["concise", "balanced", "detailed"] | None, OrNothing] = None
    output_format: Annotated[Literal["bullets", "mixed", "narrative"] | None, OrNothing] = None
    update_cadence: Annotated[Literal["asap", "hourly", "daily", "weekly"] | None, OrNothing] = None
    custom_instructions: Told = None
    preferred_name: Said = None
    pronouns: Said = None
    timezone: Zone = None
    notes: Told = None
    context: Told = None

    @property
    def seen(self) -> Seen:
        """Which conversation the person knows of."""
        return Seen(self.last, self.was_open)

    def goal(self, zone: tzinfo, draft: Mapping[str, Any], lead: Agent | None) -> Goal:
        """Return what is to be confirmed. What the form does not ask about is the draft's.

        A lead that is there is not asked about: how much it decides is what it decides now.
        """
        return Goal(
            board_type=self.board_type,
            objective=self.objective,
            success_metrics=metrics_of(self.measure, self.target, part(draft, "success_metrics")),
            target_date=moment_of(self.target_date, MIDNIGHT, zone),
            lead_agent={"identity_profile": lead.identity_profile} if lead else self._lead(draft),
            user_profile=self.model_dump(include=set(PROFILE)),
        )

    def _lead(self, draft: Mapping[str, Any]) -> dict[str, Any]:
        known = part(part(draft, "lead_agent"), "identity_profile")
        said = self.model_dump(include={"role", "communication_style"}, exclude_none=True)
        chosen = self.model_dump(include={"name", "custom_instructions", *WISHES})
        return chosen | {"identity_profile": {**known, **said}}


def before(draft: Mapping[str, Any], board: Board, person: User, zone: tzinfo) -> dict[str, str]:
    """Return what the form shows before anybody has typed: the draft, else what is there now."""
    lead, profile = part(draft, "lead_agent"), part(draft, "user_profile")
    identity = part(lead, "identity_profile")
    day = drafted_day(draft.get("target_date"), zone)
    shown: dict[str, object] = {
        "board_type": draft.get("board_type") or board.board_type,
        "objective": draft.get("objective") or board.objective,
        "target_date": day or day_in(board.target_date, zone),
        "name": lead.get("name"),
        "role": identity.get("role"),
        "communication_style": identity.get("communication_style"),
        "custom_instructions": lead.get("custom_instructions"),
        **{name: lead.get(name) or identity.get(name) for name in WISHES},
        **{name: profile.get(name) or getattr(person, name) for name in PROFILE},
    }
    return {name: _plain(value) for name, value in shown.items()}


def rows(form: Form, draft: Mapping[str, Any], board: Board) -> list[tuple[str, str]]:
    """Return the rows of measures, and some blank ones: as typed, as drafted, or as they are."""
    if form.sent:
        typed = zip(form.chosen("measure"), form.chosen("target"), strict=False)
        known = [row for row in typed if any(row)]
    else:
        metrics = part(draft, "success_metrics") or board.success_metrics or {}
        known = [(name, as_text(value)) for name, value in metrics.items()]
    return known + [("", "")] * BLANK_ROWS


def taken_apart(answer: str, options: Sequence[Option]) -> tuple[list[str], str]:
    """Return what was ticked for an answer that was given, and what was typed."""
    labels = sorted((one.label for one in options), key=lambda one: (answer.find(one), -len(one)))
    ticked, rest = [], answer
    for label in labels:
        if rest.startswith(label) and rest[len(label) :][:1] in ("", ",", ":"):
            ticked.append(label)
            rest = rest[len(label) :].lstrip(", ")
    typed = rest.lstrip(": ")
    if typed:
        ticked += [one.label for one in options if one.is_typed][:1] or [OWN]
    return ticked, typed


def _plain(value: object) -> str:
    if value is None:
        return ""
    return value.isoformat() if isinstance(value, date) else as_text(value)
