"""Pages with the settings of a board."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.errors import Forbidden, Invalid
from core.http.request import Session, open_transaction
from models import Board, Member
from services import boards, onboarding
from web.auth.viewer import current_member
from web.boards.forms import (
    BOARD_RULES,
    SETTINGS_FORMS,
    format_date_field,
    metric_rows,
)
from web.boards.presenter import (
    NO_GATEWAY,
    list_gateway_options,
)
from web.boards.views import board_access
from web.onboarding.state import conversation_stage
from web.ui import forms, time_format
from web.ui.layout import load_layout
from web.ui.render import is_part_request, render_page, render_part


async def show_settings(request: Request) -> Response:
    """Show the settings of a board."""
    return await _render_settings(request, forms.Form())


async def save_settings(request: Request) -> Response:
    """Save one section of the settings."""
    form = await forms.read_form(request)
    section = form.value("section")
    if section not in SETTINGS_FORMS:
        raise Invalid("no_such_section", "There is no such section.", field="section")
    zone = time_format.get_time_zone(request.user.timezone)
    with form.catch_errors():
        fields = form.parse(SETTINGS_FORMS[section])
        async with open_transaction(request) as session:
            board = await boards.lock_board_as_admin(
                session, request.user, forms.path_id(request, "board_id")
            )
            changes = fields.to_changes(board, zone)
            await boards.update_board(session, request.user, board, changes)
        if is_part_request(request):
            return _render_rules(request, board, forms.Form(), forms.current_clock_time(zone))
        return forms.redirect_saved(f"/boards/{board.id}/settings#{section}", zone)
    return await _render_settings(request, form)


async def delete_board(request: Request) -> Response:
    """Delete a board after its name was typed, and redirect to the list."""
    form = await forms.read_form(request)
    with form.catch_errors():
        async with open_transaction(request) as session:
            board = await boards.lock_board_as_admin(
                session, request.user, forms.path_id(request, "board_id")
            )
            _check_confirmed_name(form.value("confirmed_name"), board)
            await boards.delete_board(session, request.user, board)
        return RedirectResponse("/boards", 303)
    return await _render_settings(request, form)


async def _render_settings(request: Request, form: forms.Form) -> Response:
    """Render the settings with a form and its errors."""
    if is_part_request(request):
        async with open_transaction(request) as session:
            board = await _get_managed_board(request, session)
        return _render_rules(request, board, form, "")
    layout = await load_layout(request)
    async with open_transaction(request) as session:
        board = await _get_managed_board(request, session)
        summaries = await boards.list_board_summaries(session, current_member(request))
        options = await _board_gateway_options(session, current_member(request), board)
        conversation = await onboarding.find_conversation(session, board)
    return render_page(
        request,
        "boards/settings.html",
        layout=layout,
        status=form.status,
        form=form,
        blank=forms.Form(),
        board=board,
        summary=next((one for one in summaries if one.board.id == board.id), None),
        section=form.value("section"),
        metric_rows=_submitted_metric_rows(form, board),
        target_date=format_date_field(
            board.target_date, time_format.get_time_zone(request.user.timezone)
        ),
        rules=BOARD_RULES,
        gateway_options=options,
        onboarding_stage=conversation_stage(conversation),
        saved=forms.read_saved_time(request),
    )


async def _board_gateway_options(
    session: Session, member: Member, board: Board
) -> list[tuple[str, str]]:
    """Return the gateways on which the board can run, and the option of none."""
    if board.organization_id != member.organization_id:
        return []
    options = await list_gateway_options(session, member)
    return [NO_GATEWAY, *options] if options else []


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
    )


def _submitted_metric_rows(form: forms.Form, board: Board) -> list[tuple[str, str]]:
    """Return the metric rows as submitted, or as stored."""
    if form.value("section") != "goal":
        return metric_rows(board)
    return list(zip(form.selected("measure"), form.selected("target"), strict=False))


async def _get_managed_board(request: Request, session: Session) -> Board:
    """Return the board if the member may change its settings. Raises NotFound or Forbidden."""
    access = await board_access(request, session)
    if not (access.is_admin and access.can_write):
        raise Forbidden("admin_required", "Only an admin can change the settings of a board.")
    return access.board


def _check_confirmed_name(typed: str, board: Board) -> None:
    if typed.strip() != board.name:
        reason = f"To delete the board, type its name: {board.name}"
        raise Invalid("name_differs", reason, field="confirmed_name")
