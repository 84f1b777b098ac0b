"""Pages and forms of the saved views of a board."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from core.errors import NotFound
from core.http.request import open_reader, open_transaction
from models import Board, SavedView
from services import saved_views
from services.saved_views import ListedView, SavedViewCreate, SavedViewUpdate
from web.boards.query_parameters import BoardAddress
from web.boards.views import board_access
from web.saved_views.presenter import (
    ViewMenu,
    build_view_address,
    describe_view,
    load_names,
    parse_view_query,
)
from web.ui import forms
from web.ui.edit_conflicts import ConflictContext, render_conflict
from web.ui.edited_fields import check_edit
from web.ui.flash_cookies import redirect_deleted
from web.ui.layout import load_layout
from web.ui.object_forms import list_edited_fields
from web.ui.render import render_page
from web.ui.translation import N_, _


async def show_views(request: Request) -> Response:
    """Show the saved views of a board."""
    return await _render_views(request, forms.Form())


async def show_new_view_form(request: Request) -> Response:
    """Show the form that saves the board, as the address shows it, as a view."""
    return await _render_new_view(request, forms.Form())


async def create_view(request: Request) -> Response:
    """Save a view, and redirect to it."""
    form = await forms.read_form(request)
    with form.catch_errors():
        query = parse_view_query(form.value("query")).view_query  # without invalid parameters
        fields = form.parse(SavedViewCreate, {"query": query})
        async with open_transaction(request) as session:
            board = (await board_access(request, session)).board
            view = await saved_views.create_saved_view(
                session, request.user, board, fields, is_shared=form.is_on("shared")
            )
            if form.is_on("default"):
                await saved_views.set_default_view(session, request.user, board, view.id)
        return _redirect_to_view(board, view)
    return await _render_new_view(request, form)


async def open_view(request: Request) -> Response:
    """Redirect to the board as a view shows it."""
    async with open_reader(request) as source:
        board = (await board_access(request, source)).board
        views = await saved_views.list_saved_views(source, request.user, board)
    view = _get_view(request, views)
    return RedirectResponse(f"/boards/{board.id}{build_view_address(view).query}", 303)


async def update_view(request: Request) -> Response:
    """Rename a view, or save what the board shows now as this view."""
    form = await forms.read_form(request)
    view_id = forms.path_id(request, "view_id")
    with form.catch_errors():
        given = {}
        if "query" in form.values:
            given["query"] = parse_view_query(form.value("query")).view_query
        fields = form.parse(SavedViewUpdate, given)
        async with open_transaction(request) as session:
            board = (await board_access(request, session)).board
            view = await saved_views.lock_saved_view(session, request.user, board, view_id)
            fields = fields.without(check_edit(form, list_edited_fields(SavedViewUpdate, view)))
            if fields.model_fields_set:
                await saved_views.update_saved_view(session, request.user, board, view, fields)
        if "name" in form.values:
            return RedirectResponse(_list_path(board), 303)
        return _redirect_to_view(board, view)
    if form.conflicts:
        return await _render_conflict(request, form)
    return await _render_views(request, form)


async def delete_view(request: Request) -> Response:
    """Delete a view, and redirect to the list."""
    async with open_transaction(request) as session:
        board = (await board_access(request, session)).board
        view_id = forms.path_id(request, "view_id")
        view = await saved_views.lock_saved_view(session, request.user, board, view_id)
        await saved_views.delete_saved_view(session, request.user, board, view)
    return redirect_deleted(request, _list_path(board), view.name)


async def set_default_view(request: Request) -> Response:
    """Choose the view that the user sees first, or all tasks, and redirect to where this was.

    That is the board with the query of the form, or the list of views.
    """
    form = await forms.read_form(request)
    view_id = forms.parse_id(form.value("view_id"))
    async with open_transaction(request) as session:
        board = (await board_access(request, session)).board
        await saved_views.set_default_view(session, request.user, board, view_id)
    if "query" not in form.values:
        return RedirectResponse(_list_path(board), 303)
    address = parse_view_query(form.value("query"))
    return RedirectResponse(f"/boards/{board.id}{address.query}", 303)


def _list_path(board: Board) -> str:
    return f"/boards/{board.id}/views"


def _redirect_to_view(board: Board, view: SavedView) -> Response:
    return RedirectResponse(f"{_list_path(board)}/{view.id}", 303)


def _get_view(request: Request, views: Sequence[ListedView]) -> ListedView:
    view_id = forms.path_id(request, "view_id")
    found = next((view for view in views if view.id == view_id), None)
    if found is None:
        raise NotFound("saved_view_not_found", N_("There is no such view."))
    return found


async def _render_views(request: Request, form: forms.Form) -> Response:
    """Render the views of a board, with a rejected form if there is one."""
    layout = await load_layout(request)
    async with open_reader(request) as source:
        access = await board_access(request, source)
        views = await saved_views.list_saved_views(source, request.user, access.board)
        queries = [view.query for view in views]
        names = await load_names(source, access.board, queries)
    return render_page(
        request,
        "saved_views/index.html",
        layout=layout,
        status=form.status,
        board=access.board,
        can_write=access.can_write,
        view_menu=ViewMenu(views, BoardAddress()),
        descriptions={view.id: describe_view(view.query, names) for view in views},
        form=form,
        blank=forms.Form(),
        rejected_id=request.path_params.get("view_id"),
    )


async def _render_new_view(request: Request, form: forms.Form) -> Response:
    layout = await load_layout(request)
    async with open_reader(request) as source:
        access = await board_access(request, source)
        address = BoardAddress.from_query(request.query_params)
        query = form.value("query", address.view_query)
        names = await load_names(source, access.board, [query])
    return render_page(
        request,
        "saved_views/new.html",
        layout=layout,
        status=form.status,
        board=access.board,
        can_write=access.can_write,
        form=form,
        query=query,
        description=describe_view(query, names),
    )


async def _render_conflict(request: Request, form: forms.Form) -> Response:
    """Render the view as the user and as somebody else have changed it."""
    async with open_reader(request) as source:
        board = (await board_access(request, source)).board
        views = await saved_views.list_saved_views(source, request.user, board)
        view = _get_view(request, views)
        queries = (view.query, form.value("query"))
        names = await load_names(source, board, queries)
    about = ConflictContext(
        title=_("View “%(name)s”", name=view.name),
        back=f"{_list_path(board)}/{view.id}",
        organization_id=board.organization_id,
        object_id=view.id,
        names={"query": {query: describe_view(query, names) for query in queries}},
    )
    return await render_conflict(request, form, about)


VIEWS_PATH = "/boards/{board_id:uuid}/views"

SAVED_VIEW_ROUTES = [
    Route(f"{VIEWS_PATH}{path}", handler, methods=[method])
    for path, method, handler in [
        ("", "GET", show_views),
        ("", "POST", create_view),
        ("/new", "GET", show_new_view_form),
        ("/defaults", "POST", set_default_view),
        ("/{view_id:uuid}", "GET", open_view),
        ("/{view_id:uuid}", "POST", update_view),
        ("/{view_id:uuid}/deletions", "POST", delete_view),
    ]
]
"""Everyone who can read a board has views of it (`services.saved_views`)."""
