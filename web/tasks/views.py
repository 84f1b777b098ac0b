"""Pages of tasks: show, create, change, delete, comment."""

from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.errors import AppError, Conflict, Forbidden, Invalid
from core.http.request import STATUS_CODES, Session, open_transaction
from models import Task
from services import agents, approvals, tasks
from web.agents.presenter import load_task_runs
from web.auth.viewer import current_member
from web.boards import presenter
from web.boards.address import BoardAddress
from web.boards.cards import RejectedMove
from web.boards.views import board_access, board_for_update, load_board_context, render_board
from web.tasks.forms import CommentForm, MoveForm, NewTaskForm, TaskEditForm
from web.tasks.presenter import (
    FIELD_EDITORS,
    build_done_approval,
    load_conversation,
    load_task_view,
)
from web.ui import forms, time_format
from web.ui.layout import load_layout
from web.ui.render import is_part_request, render_page, render_part, retarget

READ_ONLY = "You can read this board, not change it. An admin of the organization can let you."


async def show_task(request: Request) -> Response:
    """Show a task."""
    return await render_task(request)


async def show_new_task_form(request: Request) -> Response:
    """Show the form for a new task as a page."""
    return await _render_new_task(request, forms.Form())


async def create_task(request: Request) -> Response:
    """Create a task, and redirect to its board."""
    form = await forms.read_form(request)
    with form.catch_errors():
        fields = form.parse(NewTaskForm)
        async with open_transaction(request) as session:
            board = await board_for_update(request, session)
            draft = fields.to_draft(time_format.get_time_zone(request.user.timezone))
            created = await tasks.create_task(session, request.user, board, draft)
        return await _render_created(request, created.task, again=form.is_on("again"))
    return await _render_new_task(request, form)


async def move_task(request: Request) -> Response:
    """Move a card, and show the board. A rejected move is explained on the card."""
    form = await forms.read_form(request)
    fields, task_id = form.parse(MoveForm), forms.path_id(request, "task_id")
    try:
        async with open_transaction(request) as session:
            board = await board_for_update(request, session)
            before = (await tasks.get_task_detail(session, board, task_id)).task
            undo = {"to": before.status.value, "assigned_agent_id": before.assigned_agent_id or ""}
            sent = {"status": fields.to} | fields.model_dump(
                include={"assigned_agent_id"} & set(form.values)
            )
            moved = await tasks.update_task(session, request.user, board, task_id, sent)
    except (Conflict, Invalid) as error:
        return await _render_rejected_move(request, error)
    if not is_part_request(request):
        return _redirect_to_board(request)
    text = "Moved back to" if form.is_on("back") else "Moved to"
    toast = {"text": f"{text} {moved.task.status.label}"}
    if not form.is_on("back"):
        toast |= {"undo": request.url.path, "fields": undo | {"back": "1"}}
    return await _render_board_view(request, toast)


async def update_task(request: Request) -> Response:
    """Apply the submitted fields to a task, and show it."""
    form = await forms.read_form(request)
    task_id = forms.path_id(request, "task_id")
    zone = time_format.get_time_zone(request.user.timezone)
    with form.catch_errors():
        fields = form.parse(TaskEditForm)
        async with open_transaction(request) as session:
            board = await board_for_update(request, session)
            detail = await tasks.get_task_detail(session, board, task_id)
            sent = fields.to_changes(form, detail, zone)
            await tasks.update_task(session, request.user, board, task_id, sent)
        if is_part_request(request):
            return await render_task(request)
        return _redirect_to_task(request)
    editor = next((FIELD_EDITORS[name] for name in form.values if name in FIELD_EDITORS), "")
    return await render_task(request, form, focus=editor)


async def delete_task(request: Request) -> Response:
    """Delete a task. It can be restored for a limited time."""
    task_id = forms.path_id(request, "task_id")
    async with open_transaction(request) as session:
        board = await board_for_update(request, session)
        title = (await tasks.get_task_detail(session, board, task_id)).task.title
        await tasks.delete_task(session, request.user, board, task_id)
    if not is_part_request(request):
        return RedirectResponse(f"/boards/{board.id}?deleted={task_id}", 303)
    undo = f"/boards/{board.id}/tasks/{task_id}/restorations"
    toast = {"text": f"Deleted “{title}”", "undo": undo}
    response = render_part(request, "tasks/_deleted_update.html", toast=toast)
    response.headers["HX-Push-Url"] = (
        f"/boards/{board.id}{BoardAddress.from_query(request.query_params).query}"
    )
    response.headers["HX-Trigger"] = "tasks"
    return response


async def restore_task(request: Request) -> Response:
    """Restore a deleted task."""
    async with open_transaction(request) as session:
        board = await board_for_update(request, session)
        task_id = forms.path_id(request, "task_id")
        restored = await tasks.restore_task(session, request.user, board, task_id)
    if not is_part_request(request):
        return _redirect_to_task(request)
    toast = {"text": f"“{restored.task.title}” is back"}
    response = render_part(request, "_toast.html", toast=toast)
    response.headers["HX-Trigger"] = "tasks"
    return response


async def request_approval(request: Request) -> Response:
    """Request the approval that the board requires before a task is done."""
    async with open_transaction(request) as session:
        board = await board_for_update(request, session)
        task = (await tasks.get_task_detail(session, board, forms.path_id(request, "task_id"))).task
        draft = build_done_approval(task, request.user)
        await approvals.request_approval(session, request.user, board, draft)
    if not is_part_request(request):
        return _redirect_to_task(request)
    return await _render_board_view(request, {"text": "Asked. It waits under “Needs you”."})


async def _render_new_task(request: Request, form: forms.Form) -> Response:
    """Render the form for a new task: as a page, or for htmx as the form of the dialog."""
    layout = None if is_part_request(request) else await load_layout(request)
    async with open_transaction(request) as session:
        access = await board_access(request, session)
        if not access.can_write:
            raise Forbidden("board_write_forbidden", READ_ONLY)
        choices = await presenter.load_new_task_options(session, access)
    address = BoardAddress.from_query(request.query_params)
    context: dict[str, Any] = {"board": access.board, "address": address, "form": form, **choices}
    if layout is not None:
        return render_page(request, "tasks/new.html", layout=layout, status=form.status, **context)
    response = render_part(request, "tasks/_new_form_update.html", form.status, **context)
    retarget(response, "#new-task-form")
    return response


async def _render_created(request: Request, task: Task, *, again: bool) -> Response:
    if not is_part_request(request):
        here = f"/boards/{task.board_id}"
        return RedirectResponse(f"{here}/tasks/new" if again else here, 303)
    async with open_transaction(request) as session:
        context = await load_board_context(request, session)
        context |= await presenter.load_new_task_options(session, context["access"])
    toast = {"text": f"Added “{task.title}”"}
    return render_part(
        request, "tasks/_created_update.html", toast=toast, form=forms.Form(), **context
    )


async def _load_task(request: Request, session: Session, form: forms.Form | None) -> dict[str, Any]:
    """Load the task of the path, as a template context. Raises NotFound or Forbidden."""
    return await load_task_view(
        session,
        current_member(request),
        await board_access(request, session),
        forms.path_id(request, "task_id"),
        request.query_params,
        form,
    )


async def _render_board_view(request: Request, toast: dict[str, object]) -> Response:
    """Render the tasks of the board with a toast."""
    async with open_transaction(request) as session:
        context = await load_board_context(request, session)
    response = render_part(request, "boards/_view_update.html", toast=toast, **context)
    if not request.headers.get("HX-Target", "").endswith("#board-view"):
        response.headers["HX-Trigger"] = "tasks"  # asked by a toast, which shows no board
    return response


async def _render_rejected_move(request: Request, error: AppError) -> Response:
    """Render the board with the card in its old column and the reason on it."""
    status = STATUS_CODES[type(error)]
    async with open_transaction(request) as session:
        access = await board_access(request, session)
        task_id = forms.path_id(request, "task_id")
        detail = await tasks.get_task_detail(session, access.board, task_id)
    rejected_move = RejectedMove.from_error(detail.task, error)
    if not is_part_request(request):
        return await render_board(request, rejected_move=rejected_move, status_code=status)
    async with open_transaction(request) as session:
        context = await load_board_context(request, session, rejected_move)
    return render_part(request, "boards/_view.html", status, **context)


def _redirect_to_board(request: Request) -> Response:
    board_id = forms.path_id(request, "board_id")
    return RedirectResponse(
        f"/boards/{board_id}{BoardAddress.from_query(request.query_params).query}", 303
    )


def _redirect_to_task(request: Request) -> Response:
    here = f"/boards/{request.path_params['board_id']}/tasks/{forms.path_id(request, 'task_id')}"
    return RedirectResponse(f"{here}{BoardAddress.from_query(request.query_params).query}", 303)


async def render_task(
    request: Request, form: forms.Form | None = None, *, focus: str = ""
) -> Response:
    """Render a task: as a page, or for htmx the part that it requests.

    After a rejected form htmx replaces only its editor and leaves it open, so that other text that
    is being typed on the page is not lost.
    """
    status = form.status if form else 200
    if not is_part_request(request):
        layout = await load_layout(request)
        async with open_transaction(request) as session:
            context = await _load_task(request, session, form)
            others = await presenter.list_other_viewers(session, context["board"], request.user)
        context["other_viewers"] = others
        return render_page(request, "tasks/show.html", layout=layout, status=status, **context)
    async with open_transaction(request) as session:
        context = await _load_task(request, session, form)
    response = render_part(request, _part_template(request), status, **context)
    context["unread_comments"].trigger_refresh(response)
    if form and form.status >= 400 and focus:
        retarget(response, f"#edit-{focus}")
    return response


def _part_template(request: Request) -> str:
    """Return the template for the target of the htmx request: the page or the drawer."""
    in_page = request.headers.get("HX-Target", "").endswith("#task")
    return "tasks/_page.html" if in_page else "tasks/_drawer.html"


async def show_conversation(request: Request) -> Response:
    """Show the current conversation about a task."""
    return await _render_conversation(request, "comments/_conversation.html")


async def _render_conversation(request: Request, template: str, **more: object) -> Response:
    async with open_transaction(request) as session:
        board = (await board_access(request, session)).board
        detail = await tasks.get_task_detail(session, board, forms.path_id(request, "task_id"))
        conversation = await load_conversation(
            session, request.user, board, detail.task.id, request.query_params
        )
    address = BoardAddress.from_query(request.query_params)
    context: dict[str, Any] = {"board": board, "task": detail.task, "address": address}
    response = render_part(request, template, **context, **conversation, **more)
    conversation["unread_comments"].trigger_refresh(response)
    return response


async def add_comment(request: Request) -> Response:
    """Add a comment to a task."""
    form = await forms.read_form(request)
    with form.catch_errors():
        fields = form.parse(CommentForm)
        async with open_transaction(request) as session:
            board = await board_for_update(request, session)
            task_id = forms.path_id(request, "task_id")
            await tasks.create_comment(session, request.user, board, task_id, fields.message)
            is_lead_missing = await agents.is_lead_missing(session, board, fields.message)
        if is_part_request(request):
            return await _render_conversation(
                request, "comments/_comment_update.html", is_lead_missing=is_lead_missing
            )
        task_path = request.url.path.removesuffix("/comments")
        query = BoardAddress.from_query(request.query_params).query
        notice = f"{'&' if query else '?'}unheard=1" if is_lead_missing else ""
        return RedirectResponse(f"{task_path}{query}{notice}#conversation", 303)
    return await render_task(request, form, focus="comment")


async def show_task_runs(request: Request) -> Response:
    """Show the runs of agents for a task."""
    async with open_transaction(request) as session:
        board = (await board_access(request, session)).board
        context = await load_task_runs(
            session, current_member(request), board, forms.path_id(request, "task_id")
        )
    return render_part(request, "runs/_task_runs.html", **context)
