"""The table of preferences: the kinds of notifications, and where each of them is wanted."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from models import NotificationChannel, NotificationKind
from services.notifications import (
    CONFIGURABLE_KINDS,
    KINDS_BY_GROUP,
    KINDS_WITHOUT_BOARD,
    Choice,
    Preferences,
)
from web.notifications.address import describe_group
from web.notifications.texts import describe_kind
from web.ui.edited_fields import SHOWN_PREFIX, EditedField
from web.ui.forms import Form
from web.ui.translation import _, pgettext

ON, OFF, AS_FOR_ALL = "1", "0", ""
VALUES: Mapping[str, bool | None] = {ON: True, OFF: False, AS_FOR_ALL: None}


class Place(NamedTuple):
    """A column of the table: the pages, or a channel."""

    key: str
    name: str
    note: str = ""  # why nothing is sent there now
    channel_id: UUID | None = None
    is_user_text: bool = False


class PreferenceCell(NamedTuple):
    """Whether a kind is wanted in a place. For one board it may be as for all boards."""

    choice: Choice
    name: str  # of the form field
    label: str
    place: Place
    value: bool | str  # a checkbox, or for a board the chosen option
    is_enabled: bool  # for all boards

    @property
    def field(self) -> EditedField:
        """Return the field of the form."""
        return EditedField(self.name, self.label, self.value, is_user_label=True)

    def parse(self, form: Form) -> bool | None:
        """Return the submitted choice; what is not offered counts as none."""
        if isinstance(self.value, bool):
            return form.is_on(self.name)
        return VALUES.get(form.value(self.name))


class PreferenceRow(NamedTuple):
    """A kind with its cells."""

    name: str
    cells: Sequence[PreferenceCell]


PreferenceTable = Sequence[tuple[str, Sequence[PreferenceRow]]]
"""The rows by the name of their group."""


def list_places(channels: Sequence[NotificationChannel]) -> Sequence[Place]:
    """Return the columns of the table."""
    return [
        Place("app", _("In Mission Control")),
        *(
            Place(str(channel.id), channel.name, _describe_state(channel), channel.id, True)
            for channel in channels
        ),
    ]


def build_table(preferences: Preferences, board_id: UUID | None) -> PreferenceTable:
    """Build the table for all boards, or for one."""
    places = list_places(preferences.channels)
    table = []
    for group, kinds in KINDS_BY_GROUP.items():
        rows = [
            _build_row(preferences, kind, board_id, places)
            for kind in kinds
            if kind in CONFIGURABLE_KINDS and not (board_id and kind in KINDS_WITHOUT_BOARD)
        ]
        if rows:
            table.append((describe_group(group), rows))
    return table


def list_cells(table: PreferenceTable, form: Form) -> Sequence[PreferenceCell]:
    """Return the cells that a submitted form has shown."""
    return [
        cell
        for _name, rows in table
        for row in rows
        for cell in row.cells
        if SHOWN_PREFIX + cell.name in form.values
    ]


def list_value_names(cells: Sequence[PreferenceCell]) -> Mapping[str, Mapping[str, str]]:
    """Return the texts of the values of cells, by the names of their fields."""
    on, off = pgettext("preference", "On"), pgettext("preference", "Off")
    for_board = {ON: on, OFF: off, AS_FOR_ALL: _("As for all boards")}
    for_all = {"true": on, "": off}
    return {cell.name: for_all if isinstance(cell.value, bool) else for_board for cell in cells}


def _build_row(
    preferences: Preferences,
    kind: NotificationKind,
    board_id: UUID | None,
    places: Sequence[Place],
) -> PreferenceRow:
    name, cells = describe_kind(kind), []
    for place in places:
        for_all = Choice(kind, None, place.channel_id)
        choice = for_all._replace(board_id=board_id)
        is_enabled = preferences.is_enabled(for_all)
        value: bool | str = is_enabled
        if board_id:
            stored = preferences.stored.get(choice)
            value = AS_FOR_ALL if stored is None else ON if stored else OFF
        label = _("%(kind)s: %(place)s", kind=name, place=place.name)
        cells.append(PreferenceCell(choice, f"{kind}.{place.key}", label, place, value, is_enabled))
    return PreferenceRow(name, cells)


def _describe_state(channel: NotificationChannel) -> str:
    if channel.confirmed_at is None:
        return _("not confirmed")
    return _("paused") if channel.paused_at else ""
