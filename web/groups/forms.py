"""Forms about board groups."""

from datetime import timedelta
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from core.errors import Invalid
from web.ui.forms import BlankAsNone, Switch
from web.ui.translation import N_

PRESETS = {
    "30s": timedelta(seconds=30),
    "1m": timedelta(minutes=1),
    "2m": timedelta(minutes=2),
    "5m": timedelta(minutes=5),
    "10m": timedelta(minutes=10),
    "30m": timedelta(minutes=30),
    "1h": timedelta(hours=1),
}
"""The heartbeat intervals to choose from, as the API writes them."""

OTHER = "other"  # the interval is entered as a number and a unit
UNITS = {"s": N_("seconds"), "m": N_("minutes"), "h": N_("hours")}
MAX_NUMBER = 999  # of seconds, minutes or hours


class GroupBoardsForm(BaseModel):
    """The boards of a group."""

    board_ids: list[UUID] = []
    shown_board_ids: list[UUID] = []  # the boards of the group when the form was shown

    @property
    def joining(self) -> set[UUID]:
        """The boards that the user has added."""
        return set(self.board_ids) - set(self.shown_board_ids)

    @property
    def leaving(self) -> set[UUID]:
        """The boards that the user has removed. Boards that others added meanwhile stay."""
        return set(self.shown_board_ids) - set(self.board_ids)


class GroupHeartbeatForm(BaseModel):
    """The heartbeat interval of the agents of a group: a preset, or a number and a unit."""

    interval: Literal["30s", "1m", "2m", "5m", "10m", "30m", "1h", "other"]
    number: Annotated[int | None, Field(ge=1, le=MAX_NUMBER), BlankAsNone] = None
    unit: Literal["s", "m", "h"] = "m"
    include_board_leads: Switch = False

    def to_interval(self) -> str:
        """Return the interval as the API writes it. Raises Invalid."""
        if self.interval != OTHER:
            return self.interval
        if self.number is None:
            raise Invalid("interval_missing", N_("Fill this in."), field="number")
        return f"{self.number}{self.unit}"
