"""What people type about a board: when they make one, and in its settings."""

import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, tzinfo
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from models import Board
from services.boards import BoardDraft
from web.ages import moment_of
from web.forms import Line, OrNothing, Switch, Text
from web.rules import Rules

MIDNIGHT = time()
BLANK_ROWS = 2  # for measures that are still to be named
MOST_AGENTS = 1_000

Changes = dict[str, object]


class NewBoard(Rules):
    """A board to be, the gateway that runs its agents, and the boards it is grouped with."""

    name: Line
    gateway_id: Annotated[UUID | None, OrNothing] = None
    board_group_id: Annotated[UUID | None, OrNothing] = None
    objective: Annotated[Text | None, OrNothing] = None
    description: Text

    def draft(self) -> BoardDraft:
        """Return the board that is wanted. One without a goal is for work that goes on."""
        kind = "goal" if self.objective else "general"
        return BoardDraft(board_type=kind, **self.model_dump())


class About(BaseModel):
    """What a board is called, and what it is for."""

    name: Line
    slug: Annotated[Line | None, OrNothing] = None
    description: Text

    def changes(self, _board: Board, _zone: tzinfo) -> Changes:
        """Return what is to be stored. A blank address is made from the name."""
        return self.model_dump() | {"slug": self.slug or ""}


class Goal(BaseModel):
    """What a board is to reach, by when, and how one will know."""

    board_type: Literal["goal", "general"]
    objective: Annotated[Text | None, OrNothing] = None
    measure: list[str] = []
    target: list[str] = []
    target_date: Annotated[date | None, OrNothing] = None
    goal_confirmed: Switch = False

    def changes(self, board: Board, zone: tzinfo) -> Changes:
        """Return what is to be stored. A kind that stays as it is asks for nothing more."""
        kind: Changes = {"board_type": self.board_type} if self._turns(board) else {}
        return kind | {
            "objective": self.objective,
            "success_metrics": metrics_of(self.measure, self.target, board.success_metrics or {}),
            "target_date": moment_of(self.target_date, MIDNIGHT, zone),
            "goal_confirmed": self.goal_confirmed,
        }

    def _turns(self, board: Board) -> bool:
        return self.board_type != board.board_type


class Switches(Rules):
    """The rules of a board."""

    def changes(self, _board: Board, _zone: tzinfo) -> Changes:
        """Return what is to be stored."""
        return self.model_dump()


class Crew(BaseModel):
    """How many agents the lead may call in, and where all of them run."""

    max_agents: int = Field(ge=0, le=MOST_AGENTS)
    gateway_id: Annotated[UUID | None, OrNothing] = None

    def changes(self, _board: Board, _zone: tzinfo) -> Changes:
        """Return what is to be stored. A gateway that was not asked for stays."""
        return self.model_dump(exclude_unset=True)


SECTIONS: dict[str, type[About | Goal | Switches | Crew]] = {
    "about": About,
    "goal": Goal,
    "rules": Switches,
    "agents": Crew,
}
"""The sections of a board's settings, each with the form that it is."""


def measures(board: Board) -> list[tuple[str, str]]:
    """Return a board's measures and their targets as rows of the form, and some blank ones."""
    known = [(name, as_text(value)) for name, value in (board.success_metrics or {}).items()]
    return known + [("", "")] * BLANK_ROWS


def metrics_of(
    measure: Sequence[str], target: Sequence[str], before: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Return the measures that have a name. What was not text stays so if nobody touched it."""
    typed = {
        name.strip(): target.strip()
        for name, target in zip(measure, target, strict=False)
        if name.strip()
    }
    kept = {name: value for name, value in before.items() if typed.get(name) == as_text(value)}
    return typed | kept or None


def day_in(moment: datetime | None, zone: tzinfo) -> str:
    """Return the day of a moment where the person is, as a field for dates takes it."""
    return moment.astimezone(zone).date().isoformat() if moment else ""


def as_text(value: object) -> str:
    """Return a measure's target as people read it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
