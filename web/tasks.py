"""Tasks as pages: a new one, and what becomes of one."""

from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from kit.errors import Conflict, Forbidden, Invalid, Refusal
from kit.http import STATUS_CODES, transaction
from models import Task
from services import approvals, tasks
from services.approvals import ApprovalDraft
from web import ages, board, forms
from web import frame as frames
from web.board_address import BoardAddress
from web.cards import Refused
from web.editors import put_in_place
from web.html import page, render, wants_part
from web.reach import held, looked_at, task_id_in
from web.task_forms import Changes, Move, NewTask
from web.task_view import EDITORS, shown

SURE = 100.0  # of 100: how sure a person is who asks
NOT_YOURS = "You can read this board, not change it. An admin of the organization can let you."


async def show(request: Request) -> Response:
    """Show a task."""
    return await shown(request)


async def new(request: Request) -> Response:
    """Show the form for a new task, as a page."""
    return await _new(request, forms.Form())


async def create(request: Request) -> Response:
    """Create a task, and go back to its board."""
    form = await forms.read(request)
    with form.refusals():
        wanted = form.into(NewTask)
        async with transaction(request) as session:
            on = await held(request, session)
            draft = wanted.draft(ages.zone(request.user.timezone))
            created = await tasks.create(session, request.user, on, draft)
        return await _created(request, created.task, again=form.is_on("again"))
    return await _new(request, form)


async def move(request: Request) -> Response:
    """Move a card, and show the board. A move that was refused is told on the card."""
    form = await forms.read(request)
    wanted, task_id = form.into(Move), task_id_in(request)
    try:
        async with transaction(request) as session:
            on = await held(request, session)
            before = (await tasks.detail(session, on, task_id)).task
            undo = {"to": before.status.value, "assigned_agent_id": before.assigned_agent_id or ""}
            sent = {"status": wanted.to} | wanted.model_dump(
                include={"assigned_agent_id"} & set(form.values)
            )
            moved = await tasks.change(session, request.user, on, task_id, sent)
    except (Conflict, Invalid) as refusal:
        return await _not_moved(request, refusal)
    if not wants_part(request):
        return _to_board(request)
    said = "Moved back to" if form.is_on("back") else "Moved to"
    toast = {"text": f"{said} {moved.task.status.label}"}
    if not form.is_on("back"):
        toast |= {"undo": request.url.path, "fields": undo | {"back": "1"}}
    return await _board(request, toast)


async def change(request: Request) -> Response:
    """Change what was sent of a task, and show it."""
    form = await forms.read(request)
    task_id, zone = task_id_in(request), ages.zone(request.user.timezone)
    with form.refusals():
        wanted = form.into(Changes)
        async with transaction(request) as session:
            on = await held(request, session)
            detail = await tasks.detail(session, on, task_id)
            sent = wanted.changes(form, detail, zone)
            await tasks.change(session, request.user, on, task_id, sent)
        return await shown(request) if wants_part(request) else _to_task(request)
    editor = next((EDITORS[name] for name in form.values if name in EDITORS), "")
    return await shown(request, form, focus=editor)


async def delete(request: Request) -> Response:
    """Delete a task. It can be brought back for a while."""
    task_id = task_id_in(request)
    async with transaction(request) as session:
        on = await held(request, session)
        title = (await tasks.detail(session, on, task_id)).task.title
        await tasks.delete(session, request.user, on, task_id)
    if not wants_part(request):
        return RedirectResponse(f"/boards/{on.id}?deleted={task_id}", 303)
    undo = f"/boards/{on.id}/tasks/{task_id}/restorations"
    toast = {"text": f"Deleted “{title}”", "undo": undo}
    response = render(request, "tasks/_deleted.html", toast=toast)
    response.headers["HX-Push-Url"] = f"/boards/{on.id}{BoardAddress.of(request).query}"
    response.headers["HX-Trigger"] = "tasks"
    return response


async def restore(request: Request) -> Response:
    """Bring a deleted task back."""
    async with transaction(request) as session:
        on = await held(request, session)
        back = await tasks.restore(session, request.user, on, task_id_in(request))
    if not wants_part(request):
        return _to_task(request)
    toast = {"text": f"“{back.task.title}” is back"}
    response = render(request, "_said.html", toast=toast)
    response.headers["HX-Trigger"] = "tasks"
    return response


async def ask(request: Request) -> Response:
    """Ask for the approval that a board wants before a task is done."""
    async with transaction(request) as session:
        on = await held(request, session)
        task = (await tasks.detail(session, on, task_id_in(request))).task
        reason = f"{request.user.called} would move it to Done, and this board asks first."
        draft = ApprovalDraft(
            action_type="task.complete",
            confidence=SURE,
            task_id=task.id,
            payload={"title": f"Is “{task.title}” done?", "reason": reason},
        )
        await approvals.request(session, request.user, on, draft)
    if not wants_part(request):
        return _to_task(request)
    return await _board(request, {"text": "Asked. It waits under “Needs you”."})


async def _new(request: Request, form: forms.Form) -> Response:
    """Show the form for a new task: as a page, or to htmx the dialog's form as it came back."""
    part = wants_part(request)
    frame = None if part else await frames.load(request)
    async with transaction(request) as session:
        access = await looked_at(request, session)
        if not access.can_write:
            raise Forbidden("board_write_forbidden", NOT_YOURS)
        choices = await board.new_task_choices(session, access)
    context: dict[str, Any] = {"board": access.board, "form": form, **choices}
    context["address"] = BoardAddress.of(request)
    if not part:
        return page(request, "tasks/new.html", frame=frame, status=form.status, **context)
    response = render(request, "tasks/_new_in_dialog.html", form.status, **context)
    put_in_place(response, "#new-task-form")
    return response


async def _created(request: Request, task: Task, *, again: bool) -> Response:
    if not wants_part(request):
        here = f"/boards/{task.board_id}"
        return RedirectResponse(f"{here}/tasks/new" if again else here, 303)
    async with transaction(request) as session:
        context = await board.look(request, session)
        context |= await board.new_task_choices(session, context["access"])
    toast = {"text": f"Added “{task.title}”"}
    return render(request, "tasks/_created.html", toast=toast, form=forms.Form(), **context)


async def _board(request: Request, toast: dict[str, object]) -> Response:
    """Show the tasks of the board as they stand now, and say what was done."""
    async with transaction(request) as session:
        context = await board.look(request, session)
    response = render(request, "boards/_moved.html", toast=toast, **context)
    if not request.headers.get("HX-Target", "").endswith("#board-view"):
        response.headers["HX-Trigger"] = "tasks"  # asked by a toast, which shows no board
    return response


async def _not_moved(request: Request, refusal: Refusal) -> Response:
    """Show the board with the card where it was, and on it why."""
    status = STATUS_CODES[type(refusal)]
    async with transaction(request) as session:
        access = await looked_at(request, session)
        task = (await tasks.detail(session, access.board, task_id_in(request))).task
    refused = Refused.of(task, refusal)
    if not wants_part(request):
        return await board.whole(request, refused=refused, status=status)
    async with transaction(request) as session:
        context = await board.look(request, session, refused)
    return render(request, "boards/_view.html", status, **context)


def _to_board(request: Request) -> Response:
    board_id = request.path_params["board_id"]
    return RedirectResponse(f"/boards/{board_id}{BoardAddress.of(request).query}", 303)


def _to_task(request: Request) -> Response:
    here = f"/boards/{request.path_params['board_id']}/tasks/{task_id_in(request)}"
    return RedirectResponse(f"{here}{BoardAddress.of(request).query}", 303)
