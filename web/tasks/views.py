"""Pages of tasks: show, create, move, delete."""

from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.errors import AppError, Conflict, Forbidden, Invalid, NotFound
from core.http.request import STATUS_CODES, Session, open_reader, open_transaction
from models import ReadKind, Status, Task
from services import agents, approvals, custom_fields, presence, tasks
from services.notifications import OpenedPage
from services.task_pages import load_task_page_data
from services.tasks import BulkResult, TaskCreate, TaskUpdate
from web.agents.presenter import load_run_context, load_task_runs
from web.approvals.completions import Confirmation, build_done_approval
from web.approvals.presenter import load_approval_views
from web.auth.viewer import current_member
from web.boards import presenter
from web.boards.assignees import format_assignee, parse_assignee
from web.boards.bulk_views import list_to_confirm, load_rejections, redirect_to_board
from web.boards.cards import STATUS_NAMES
from web.boards.forms import read_task_values
from web.boards.query_parameters import BoardAddress
from web.boards.task_links import label_link
from web.boards.views import (
    board_access,
    board_for_update,
    build_deletion_toast,
    load_board_context,
    render_board,
)
from web.custom_fields import task_form
from web.notifications.views import mark_page_read
from web.tasks.conversation import UnreadComments, keep_filter, load_conversation
from web.tasks.forms import MoveForm, list_edited_fields, load_chosen_values
from web.tasks.trash_views import render_trashed_task
from web.ui import forms, time_format
from web.ui.formatted_texts import format_texts
from web.ui.layout import load_layout
from web.ui.object_forms import build_form_fields
from web.ui.render import is_part_request, render_in_thread, render_page, render_part, retarget
from web.ui.translation import N_, _, translate


async def show_task(request: Request) -> Response:
    """Show a task, or that it is in the trash."""
    await mark_page_read(request, OpenedPage(task_id=forms.path_id(request, "task_id")))
    try:
        return await render_task(request)
    except NotFound:
        return await render_trashed_task(request)


async def show_new_task_form(request: Request) -> Response:
    """Show the form for a new task as a page."""
    return await _render_new_task(request, forms.Form())


async def create_task(request: Request) -> Response:
    """Create a task, and redirect to its board."""
    form = await forms.read_form(request)
    with form.catch_errors():
        zone = time_format.get_time_zone(request.user.timezone)
        fields = form.parse(TaskCreate, read_task_values(form, zone))
        async with open_transaction(request) as session:
            board = await board_for_update(request, session)
            created = await task_form.create_task(session, request.user, board, fields, form)
        return await _render_created(request, created.task, again=form.is_on("again"))
    return await _render_new_task(request, form)


async def move_task(request: Request) -> Response:
    """Move a card, and show the board. A rejected move is explained on the card."""
    form = await forms.read_form(request)
    fields, task_id = form.parse(MoveForm), forms.path_id(request, "task_id")
    changes = TaskUpdate.of(status=fields.to, **parse_assignee(form))  # undoing a move assigns, too
    try:
        async with open_transaction(request) as session:
            board = await board_for_update(request, session)
            before = (await tasks.get_task_detail(session, board, task_id)).task
            old_status, undo = before.status, await describe_undo(session, before)
            if fields.to is not old_status:
                await tasks.update_task(session, request.user, board, task_id, changes)
            await tasks.reorder_task(session, request.user, board, task_id, fields.position)
    except (Conflict, Invalid) as error:
        return await _render_rejected_move(request, error, fields)
    if not is_part_request(request):
        return redirect_to_board(request)
    status = translate(STATUS_NAMES[fields.to])
    toast: dict[str, object] = {"text": _("Moved back to %(status)s", status=status)}
    if fields.to is old_status:
        toast = {}
    elif not form.is_on("back"):
        text = _("Moved to %(status)s", status=status)
        toast = {"text": text, "undo": request.url.path, "fields": undo | {"back": "1"}}
    return await _render_board_view(request, toast, moved_task_id=task_id)


async def describe_undo(session: Session, task: Task) -> dict[str, object]:
    """Return the fields of the form that moves a task back to its position."""
    position = await tasks.find_position(session, task)
    return {
        "to": task.status.value,
        "assignee": format_assignee(task),
        "before": position.before or "",
        "after": position.after or "",
    }


async def delete_task(request: Request) -> Response:
    """Delete a task. It can be restored for a limited time."""
    task_id = forms.path_id(request, "task_id")
    async with open_transaction(request) as session:
        board = await board_for_update(request, session)
        title = (await tasks.get_task_detail(session, board, task_id)).task.title
        await tasks.delete_task(session, request.user, board, task_id)
    if not is_part_request(request):
        return RedirectResponse(f"/boards/{board.id}?deleted={task_id}", 303)
    toast = build_deletion_toast(board, task_id, title)
    response = render_part(request, "tasks/_deleted_update.html", toast=toast)
    query = BoardAddress.from_query(request.query_params).query
    response.headers["HX-Push-Url"] = f"/boards/{board.id}{query}"
    response.headers["HX-Trigger"] = "tasks"
    return response


async def restore_task(request: Request) -> Response:
    """Restore a deleted task."""
    async with open_transaction(request) as session:
        board = await board_for_update(request, session)
        task_id = forms.path_id(request, "task_id")
        restored = await tasks.restore_task(session, request.user, board, task_id)
    if not is_part_request(request):
        return redirect_to_task(request)
    toast = {"text": _("Restored “%(title)s”", title=restored.task.title)}
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
        return redirect_to_task(request)
    return await _render_board_view(
        request, {"text": _("Approval requested. It is under “Needs you”.")}
    )


async def _render_new_task(request: Request, form: forms.Form) -> Response:
    """Render the form for a new task: as a page, or for htmx as the form of the dialog."""
    layout = None if is_part_request(request) else await load_layout(request)
    async with open_reader(request) as source:
        access = await board_access(request, source)
        if not access.can_write:
            raise Forbidden(
                "board_write_forbidden", N_("You can read this board but not change it.")
            )
        board = access.board
        lead = await agents.find_board_lead(source, board)
        shown = await presenter.load_new_task_form(source, current_member(request), lead, form)
        fields = await custom_fields.list_task_fields(source, board)
    address = BoardAddress.from_query(request.query_params)
    context: dict[str, Any] = {"board": board, "address": address, **shown}
    context["board_fields"] = task_form.build_field_views(fields, request.user)
    if layout is not None:
        return render_page(request, "tasks/new.html", layout=layout, status=form.status, **context)
    response = render_part(request, "tasks/_new_form_update.html", form.status, **context)
    retarget(response, "#new-task-form")
    return response


async def _render_created(request: Request, task: Task, *, again: bool) -> Response:
    if not is_part_request(request):
        here = f"/boards/{task.board_id}"
        return RedirectResponse(f"{here}/tasks/new" if again else here, 303)
    context = await load_board_context(request)
    lead = next((agent for agent in context["board_agents"] if agent.is_board_lead), None)
    async with open_reader(request) as source:
        context |= await presenter.load_new_task_form(
            source, current_member(request), lead, forms.Form()
        )
    toast = {"text": _("Added “%(title)s”", title=task.title)}
    return render_part(request, "tasks/_created_update.html", toast=toast, **context)


async def _load_task(request: Request, form: forms.Form | None) -> dict[str, Any]:
    """Load the task of the path with all that its page shows. Raises NotFound or Forbidden."""
    member, task_id = current_member(request), forms.path_id(request, "task_id")
    query = keep_filter(request.query_params, form)
    address = BoardAddress.from_query(query)
    form = form or forms.Form()
    async with open_reader(request) as source:
        access = await board_access(request, source)
        board, user = access.board, member.user
        page = await load_task_page_data(source, user, board, task_id)
        detail = page.detail
        writable = {board.id} if access.can_write else set[UUID]()
        edited = list_edited_fields(detail, time_format.get_time_zone(user.timezone))
        submitted = build_form_fields(form, TaskCreate, edited) if form.values else {}
        context: dict[str, Any] = {
            "board": board,
            "can_write": access.can_write,
            "address": address,
            "neighbors": await tasks.find_neighbors(  # in the view from which it was opened
                source, board, detail.task, address.filters, address.order
            ),
            "detail": detail,
            "task": detail.task,
            "short_id": str(detail.task.id)[-6:],  # enough to distinguish the tasks of a board
            "current": {field.name: field.value for field in edited},
            # One form changes a few of the fields; the others keep their values.
            "fields": build_form_fields(forms.Form(), TaskCreate, edited)
            | {name: field for name, field in submitted.items() if name in form.values},
            "open_approvals": await load_approval_views(
                source, member, page.open_approvals, writable
            ),
            "form": form,
            "has_description_versions": page.has_description_versions,
            "task_fields": task_form.build_field_views(page.fields, user),
            "task_links": [label_link(one) for one in page.links],
            "is_lead_missing": "unheard" in query,
            "workers": page.workers,
            "watchers": page.watchers,
            "reader_id": user.id,
            **await load_run_context(
                source, member, board, task_id, page.runs, page.messages_without_action
            ),
            **await load_conversation(
                source,
                user,
                board,
                task_id,
                query,
                address_query=address.query,
                read_position=page.read_position,
            ),
            "other_viewers": presenter.name_other_viewers(page.viewers, user),
            **await load_chosen_values(source, member, board, detail, form),
        }
    comments = [line.markdown for line in context["entries"]]
    context["formatted"] = await format_texts([*comments, detail.task.description])
    for view in context["open_approvals"]:
        await view.reveal_texts()
    return context


async def mark_comments_read(request: Request, context: dict[str, Any]) -> None:
    """Record that the user has read the comments that the context holds, if any are new.

    The first view of a task is recorded too: comments after it are new.
    """
    unread: UnreadComments = context["unread_comments"]
    if not (unread.has_new or unread.is_first_view):
        return
    async with open_transaction(request) as session:
        await presence.move_read_marker(
            session,
            request.user,
            context["board"],
            ReadKind.COMMENTS,
            task_id=context["task"].id,
            last_seq=unread.last_seq,
        )


async def _render_board_view(
    request: Request, toast: dict[str, object], moved_task_id: UUID | None = None
) -> Response:
    """Render the tasks of the board with a toast."""
    context = await load_board_context(request, moved_task_id=moved_task_id)
    response = render_part(request, "boards/_view_update.html", toast=toast, **context)
    if not request.headers.get("HX-Target", "").endswith("#board-view"):
        response.headers["HX-Trigger"] = "tasks"  # asked by a toast, which shows no board
    return response


async def _render_rejected_move(request: Request, error: AppError, fields: MoveForm) -> Response:
    """Render the board with the card in its old column and the reason on it.

    Who may approve a move to Done confirms it: in a dialog, or without scripts on a page.
    """
    status = STATUS_CODES[type(error)]
    result = BulkResult(forms.path_id(request, "task_id"), error)
    to_confirm = list_to_confirm([result]) if fields.to is Status.DONE else []
    rejected_moves, confirmation = await load_rejections(request, [result], to_confirm=to_confirm)
    if not is_part_request(request):
        if confirmation is not None:
            return RedirectResponse(task_path(request, "/completions"), 303)
        return await render_board(request, rejected_moves=rejected_moves, status_code=status)
    context = await load_board_context(request, rejected_moves)
    context |= {
        "confirmation": confirmation,
        "whole": "#board-view",
        "drop_position": fields.position,
    }
    return render_part(request, "boards/_view_update.html", status, toast={}, **context)


def redirect_to_task(request: Request) -> Response:
    """Redirect to the page of the task of the path."""
    return RedirectResponse(task_path(request), 303)


def task_path(request: Request, rest: str = "") -> str:
    """Return an address below that of the task of the path, with the filters of its board."""
    here = f"/boards/{request.path_params['board_id']}/tasks/{forms.path_id(request, 'task_id')}"
    return f"{here}{rest}{BoardAddress.from_query(request.query_params).query}"


async def render_task(
    request: Request,
    form: forms.Form | None = None,
    *,
    focus: str = "",
    confirmation: Confirmation | None = None,
    status: int = 200,
) -> Response:
    """Render a task: as a page, or for htmx the part that it requests, with a confirmation.

    After a rejected form htmx replaces only its editor and leaves it open, so that other text that
    is being typed on the page is not lost.
    """
    status = form.status if form else status
    layout = None if is_part_request(request) else await load_layout(request)
    context = await _load_task(request, form)
    await mark_comments_read(request, context)
    if layout is not None:
        context["layout"] = layout
        render, template = render_page, "tasks/show.html"
    else:
        in_page = request.headers.get("HX-Target", "").endswith("#task")  # or else in the drawer
        part = "tasks/_page.html" if in_page else "tasks/_drawer.html"
        context |= {"part": part, "confirmation": confirmation}
        render, template = render_part, "tasks/_update.html"
    if context["open_approvals"]:  # then all texts are shown exactly
        response = await render_in_thread(render, request, template, status=status, **context)
    else:
        response = render(request, template, status=status, **context)
    if layout is not None:
        return response
    context["unread_comments"].trigger_refresh(response)
    if form and form.status >= 400 and focus:
        retarget(response, f"#edit-{focus}")
    return response


async def show_task_runs(request: Request) -> Response:
    """Show the runs of agents for a task."""
    async with open_reader(request) as source:
        board = (await board_access(request, source)).board
        context = await load_task_runs(
            source, current_member(request), board, forms.path_id(request, "task_id")
        )
    return render_part(request, "runs/_task_runs.html", **context)
