"""Pages with the settings of a board."""

from itertools import chain
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from core.db.reads import Source
from core.errors import Forbidden, Invalid
from core.http.request import open_reader, open_transaction
from models import Board
from services import boards, onboarding
from services.boards import BoardCreate
from services.pickers import PickerKind
from web.auth.viewer import current_member
from web.boards.forms import (
    BOARD_KINDS,
    BOARD_RULES,
    SETTINGS_SECTIONS,
    list_settings,
    metric_rows,
    parse_settings,
    read_metric_rows,
)
from web.boards.presenter import load_place_fields, name_no_gateway
from web.boards.views import board_access
from web.onboarding.state import conversation_stage
from web.pickers import load_value_names
from web.ui import forms, time_format
from web.ui.edit_conflicts import ConflictContext, render_conflict
from web.ui.edited_fields import check_edit
from web.ui.flash_cookies import redirect_deleted
from web.ui.layout import load_layout
from web.ui.object_forms import build_form_fields
from web.ui.render import is_part_request, render_page, render_part
from web.ui.translation import N_, _, translate


async def show_settings(request: Request) -> Response:
    """Show the settings of a board."""
    return await _render_settings(request, forms.Form())


async def save_settings(request: Request) -> Response:
    """Save one section of the settings."""
    form = await forms.read_form(request)
    section = form.value("section")
    if section not in SETTINGS_SECTIONS:
        raise Invalid("no_such_section", N_("There is no such section."), field="section")
    zone = time_format.get_time_zone(request.user.timezone)
    with form.catch_errors():
        async with open_transaction(request) as session:
            board = await boards.lock_board_as_admin(
                session, current_member(request), forms.path_id(request, "board_id")
            )
            fields = parse_settings(form, section, board, zone)
            fields = fields.without(check_edit(form, list_settings(section, board, zone)))
            await boards.update_board(session, request.user, board, fields)
        if is_part_request(request):
            return _render_rules(request, board, forms.Form(), forms.current_clock_time(zone))
        return forms.redirect_saved(f"/boards/{board.id}/settings#{section}", zone)
    if form.conflicts:
        return await _render_conflict(request, form)
    return await _render_settings(request, form)


async def _render_conflict(request: Request, form: forms.Form) -> Response:
    """Render both versions of the settings that the user and somebody else have changed."""
    async with open_reader(request) as source:
        board = await _get_managed_board(request, source)
        names = {
            name: {"": empty}
            | await load_value_names(
                source, current_member(request), kind, [form.value(name), getattr(board, name)]
            )
            for name, kind, empty in (
                ("gateway_id", PickerKind.GATEWAYS, name_no_gateway()),
                ("board_group_id", PickerKind.GROUPS, _("No group")),
            )
        }
    about = ConflictContext(
        title=_("Settings of %(board)s", board=board.name),
        back=f"/boards/{board.id}/settings#{form.value('section')}",
        organization_id=board.organization_id,
        object_id=board.id,
        suggest=f"board={board.id}",
        names={
            "board_type": {kind: translate(text) for kind, text in BOARD_KINDS},
            **names,
        },
    )
    return await render_conflict(request, form, about)


async def delete_board(request: Request) -> Response:
    """Delete a board after its name was typed, and redirect to the list."""
    form = await forms.read_form(request)
    with form.catch_errors():
        async with open_transaction(request) as session:
            board = await boards.lock_board_as_admin(
                session,
                current_member(request),
                forms.path_id(request, "board_id"),
                to_delete=True,
            )
            if form.value("confirmed_name").strip() != board.name:
                reason = _("To delete the board, type its name: %(name)s", name=board.name)
                raise Invalid("name_differs", reason, field="confirmed_name")
            await boards.delete_board(session, request.user, board)
        return redirect_deleted(request, "/boards", board.name)
    return await _render_settings(request, form)


async def _render_settings(request: Request, form: forms.Form) -> Response:
    """Render the settings with a form and its errors."""
    if is_part_request(request):
        async with open_reader(request) as source:
            board = await _get_managed_board(request, source)
        return _render_rules(request, board, form, "")
    layout, section = await load_layout(request), form.value("section")
    async with open_reader(request) as source:
        board = await _get_managed_board(request, source)
        summary = await boards.find_board_summary(source, current_member(request), board.id)
        own = form if section in ("about", "agents") else forms.Form()
        places = await load_place_fields(source, current_member(request), own, board)
        conversation = await onboarding.find_conversation(source, board)
    return render_page(
        request,
        "boards/settings.html",
        layout=layout,
        status=form.status,
        form=form,
        blank=forms.Form(),
        board=board,
        summary=summary,
        section=section,
        metric_rows=read_metric_rows(form) if section == "goal" else metric_rows(board),
        rules=BOARD_RULES,
        **places,
        onboarding_stage=conversation_stage(conversation),
        saved=forms.read_saved_time(request),
        **_build_fields(request, form, board),
        kinds=[(kind, translate(text)) for kind, text in BOARD_KINDS],
    )


def _render_rules(request: Request, board: Board, form: forms.Form, saved: str) -> Response:
    """Render the rule switches with the time at which they were saved."""
    return render_part(
        request,
        "boards/_rules_update.html",
        form.status,
        board=board,
        blank=forms.Form(),
        problem=form.problem,
        rules=BOARD_RULES,
        saved=saved,
        apart=True,
        **_build_fields(request, forms.Form(), board),
    )


def _build_fields(request: Request, form: forms.Form, board: Board) -> dict[str, Any]:
    """Return the fields of all sections, those of the submitted one as submitted.

    `shown` has the values before that by section.
    """
    zone = time_format.get_time_zone(request.user.timezone)
    edited = {section: list_settings(section, board, zone) for section in SETTINGS_SECTIONS}
    all_edited = list(chain.from_iterable(edited.values()))
    fields = build_form_fields(forms.Form(), BoardCreate, all_edited)
    submitted = build_form_fields(form, BoardCreate, all_edited)
    own = SETTINGS_SECTIONS.get(form.value("section"), ())
    return {
        "fields": fields | {name: submitted[name] for name in own},
        "shown": {
            section: {one.name: one.value for one in listed} for section, listed in edited.items()
        },
    }


async def _get_managed_board(request: Request, source: Source) -> Board:
    """Return the board if the member may change its settings. Raises NotFound or Forbidden."""
    access = await board_access(request, source)
    if not (access.is_admin and access.can_write):
        raise Forbidden("admin_required", N_("Only an admin can change the settings of a board."))
    return access.board
