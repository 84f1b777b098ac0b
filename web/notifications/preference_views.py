"""The page on which users choose what they are notified of, where and when."""

from collections.abc import Mapping, Sequence
from datetime import time
from typing import Any, NamedTuple
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from core.db.reads import Source
from core.errors import NotFound
from core.http.request import open_reader, open_transaction
from models import Digest, Member, NotificationChannel, NotificationKind, NotificationSettings
from services import boards, notifications, pickers
from services.audit import LastChange
from services.notifications import (
    CONFIGURABLE_KINDS,
    KINDS_BY_GROUP,
    KINDS_WITHOUT_BOARD,
    Choice,
    NotificationChoiceUpdate,
    NotificationPreferencesUpdate,
    Preferences,
)
from services.pickers import PickerKind, PickerPlace
from web.auth.viewer import current_member
from web.notifications.texts import describe_kind
from web.notifications.views import describe_group
from web.pickers import load_chosen, load_value_names
from web.ui import forms, time_format
from web.ui.edit_conflicts import ConflictContext, ValueNames, render_conflict
from web.ui.edited_fields import SHOWN_PREFIX, EditedField, check_edit
from web.ui.forms import Form
from web.ui.layout import load_layout
from web.ui.object_forms import build_form_fields, list_edited_fields
from web.ui.render import render_page
from web.ui.translation import N_, _, pgettext

ON, OFF, AS_FOR_ALL = "1", "0", ""
VALUES: Mapping[str, bool | None] = {ON: True, OFF: False, AS_FOR_ALL: None}

PATH = "/settings/notifications"
MAX_OWN_BOARDS = 20  # with choices of their own, that are listed


class Place(NamedTuple):
    """A column of the table: the pages, or a channel."""

    key: str
    name: str
    note: str = ""  # why nothing is sent there now
    channel_id: UUID | None = None


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
            Place(str(channel.id), channel.name, _describe_state(channel), channel.id)
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


async def show_preferences(request: Request) -> Response:
    """Show the preferences for all boards, or for the board in the address."""
    return await _render_preferences(request, forms.Form())


async def save_choices(request: Request) -> Response:
    """Save what the user is notified of, for all boards or for one."""
    form, member = await forms.read_form(request), current_member(request)
    names: ValueNames = {}
    board_id = _read_board_id(request)
    with form.catch_errors():
        async with open_transaction(request) as session:
            await _check_board(session, member, board_id)
            preferences = await notifications.lock_preferences(session, member)
            cells = list_cells(build_table(preferences, board_id), form)
            names, changed_at = list_value_names(cells), preferences.settings.updated_at
            untouched = check_edit(form, [cell.field for cell in cells])
            choices = [
                NotificationChoiceUpdate.parse(
                    {**cell.choice._asdict(), "is_enabled": cell.parse(form)}
                )
                for cell in cells
                if cell.name not in untouched
            ]
            changes = NotificationPreferencesUpdate.of(choices=choices)
            await notifications.update_preferences(session, member, preferences, changes)
        return _redirect_saved(request, board_id)
    if form.conflicts:
        about = _describe_conflict(request, board_id, changed_at, names)
        return await render_conflict(request, form, about)
    return await _render_preferences(request, form)


async def save_schedule(request: Request) -> Response:
    """Save when the user is notified."""
    form, member = await forms.read_form(request), current_member(request)
    names: ValueNames = {}
    with form.catch_errors():
        fields = form.parse(NotificationPreferencesUpdate)
        async with open_transaction(request) as session:
            preferences = await notifications.lock_preferences(session, member)
            settings = preferences.settings
            person_ids = [*form.selected("escalate_to_user_id"), settings.escalate_to_user_id]
            names = await _load_names(session, member, person_ids)
            changed_at = settings.updated_at
            fields = fields.without(check_edit(form, list_schedule_fields(settings)))
            await notifications.update_preferences(session, member, preferences, fields)
        return _redirect_saved(request, None)
    if form.conflicts:
        about = _describe_conflict(request, None, changed_at, names)
        return await render_conflict(request, form, about)
    return await _render_preferences(request, form)


def list_schedule_fields(settings: NotificationSettings) -> list[EditedField]:
    """Return the current values as the form of the schedule shows them."""
    return [
        one._replace(value=f"{one.value:%H:%M}") if isinstance(one.value, time) else one
        for one in list_edited_fields(NotificationPreferencesUpdate, settings)
    ]


def _list_digests() -> list[tuple[str, str]]:
    return [
        (Digest.OFF, _("Send each at once")),
        (Digest.HOURLY, _("Once an hour")),
        (Digest.DAILY, _("Once a day")),
    ]


async def _load_names(source: Source, member: Member, person_ids: Sequence[object]) -> ValueNames:
    people = await load_value_names(source, member, PickerKind.DECIDERS, person_ids)
    return {
        "wakes_for_urgent": {
            "true": pgettext("preference", "On"),
            "": pgettext("preference", "Off"),
        },
        "digest": dict(_list_digests()),
        "escalate_to_user_id": {
            "": pgettext("person", "Nobody"),
            **people,
        },
    }


def _read_board_id(request: Request) -> UUID | None:
    """Return the board in the address, or None for all boards. Raises NotFound for no id."""
    given = request.query_params.get("board", "")
    board_id = forms.parse_id(given)
    if given and board_id is None:
        raise NotFound("board_not_found", N_("There is no such board."))
    return board_id


async def _check_board(source: Source, member: Member, board_id: UUID | None) -> None:
    """Raise NotFound for a board that the member cannot read, or of another organization."""
    if board_id is not None:
        await boards.get_board_permissions(source, member, board_id)


def _build_address(board_id: UUID | None) -> str:
    return f"{PATH}?board={board_id}" if board_id else PATH


def _redirect_saved(request: Request, board_id: UUID | None) -> Response:
    zone = time_format.get_time_zone(request.user.timezone)
    return forms.redirect_saved(_build_address(board_id), zone)


def _describe_conflict(
    request: Request, board_id: UUID | None, changed_at: Any, names: ValueNames
) -> ConflictContext:
    change = LastChange(changed_at, None, request.user.id)
    title = _("Notifications")
    return ConflictContext(title, _build_address(board_id), names=names, last_change=change)


async def _render_preferences(request: Request, form: forms.Form) -> Response:
    layout, member, board_id = (
        await load_layout(request),
        current_member(request),
        _read_board_id(request),
    )
    async with open_reader(request) as source:
        await _check_board(source, member, board_id)
        preferences = await notifications.load_preferences(source, member)
        own_ids = [str(id) for id in preferences.list_boards()]
        own_boards = await pickers.find_options(
            source, PickerPlace(member), PickerKind.BOARDS, own_ids
        )
        chosen_board = await load_chosen(
            source, member, PickerKind.BOARDS, "board", Form(), [board_id]
        )
        chosen_person = await load_chosen(
            source,
            member,
            PickerKind.DECIDERS,
            "escalate_to_user_id",
            form,
            [preferences.settings.escalate_to_user_id],
        )
    edited = list_schedule_fields(preferences.settings)
    zone = time_format.get_time_zone(request.user.timezone)
    return render_page(
        request,
        "notifications/preferences.html",
        layout=layout,
        status=form.status,
        form=form,
        board_id=board_id,
        table=build_table(preferences, board_id),
        channels=preferences.channels,
        own_boards=sorted(own_boards.values(), key=lambda one: (one.name.casefold(), one.key))[
            :MAX_OWN_BOARDS
        ],
        chosen_board=chosen_board,
        chosen_person=chosen_person,
        fields=build_form_fields(form, NotificationPreferencesUpdate, edited),
        shown={field.name: field.value for field in edited},
        digests=_list_digests(),
        zone_name=request.user.timezone or "UTC",
        local_time=forms.current_clock_time(zone),
        max_minutes=notifications.MAX_ESCALATION_MINUTES,
        saved=forms.read_saved_time(request),
    )


PREFERENCE_ROUTES: list[Route] = [
    Route(PATH, show_preferences),
    Route(f"{PATH}/choices", save_choices, methods=["POST"]),
    Route(f"{PATH}/choices", show_preferences),
    Route(f"{PATH}/schedule", save_schedule, methods=["POST"]),
    Route(f"{PATH}/schedule", show_preferences),
]
