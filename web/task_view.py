"""A task as it is shown: beside its board, in the drawer, or as a page of its own."""

from datetime import datetime
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from kit.http import Session, transaction
from kit.paging import Paging
from models import ApprovalStatus, Board
from services import agents, approvals, tags, tasks
from services.activity import NOT_YET
from services.approvals import ApprovalDetail
from web import ages, forms, presence, runs
from web import frame as frames
from web.board_address import BoardAddress
from web.editors import put_in_place
from web.html import page, render, wants_part
from web.listening import listen
from web.reach import looked_at, task_id_in
from web.telling import told

SHORT = 6  # last characters of an id, enough to tell tasks of a board apart
OPEN = ApprovalStatus.PENDING
EDITORS = {
    "title": "text",
    "description": "text",
    "due_at": "due",
    "tag_ids": "tags",
}
"""The fields of a task that are edited in a form that opens, and which one that is."""


async def look(
    request: Request, session: Session, form: forms.Form | None = None
) -> dict[str, Any]:
    """Load a task with all that is shown of it. Raises NotFound or Forbidden."""
    access = await looked_at(request, session)
    board, task_id = access.board, task_id_in(request)
    detail = await tasks.detail(session, board, task_id)
    shown = {
        "board": board,
        "can_write": access.can_write,
        "address": BoardAddress.of(request),
        "detail": detail,
        "task": detail.task,
        "short_id": str(detail.task.id)[-SHORT:],
        "due_day": _day(request, detail.task.due_at),
        "questions": await _questions(session, board, task_id),
        "form": form or forms.Form(),
        "unheard": "unheard" in request.query_params,
        **await runs.done_for(request, session, board, task_id),
        **await conversation(request, session, board, task_id),
    }
    if access.can_write:
        others = await tasks.dependency_choices(session, board, task_id)
        known = detail.depends_on_task_ids
        shown |= {
            "assignees": await tasks.assignable(session, board),
            "dependency_options": [(one.id, one.title) for one in others if one.id not in known],
            "tag_choices": await tags.of_board(session, board),
        }
    return shown


async def conversation(
    request: Request, session: Session, board: Board, task_id: UUID
) -> dict[str, Any]:
    """Load what was said about a task, and, unless only that is wanted, what happened to it."""
    heard = await listen(request, session, board, task_id)
    entries = await tasks.history(session, board, task_id)
    only_comments = request.query_params.get("show") == "comments"
    if only_comments:
        entries = [entry for entry in entries if entry.comment]
    entries = [entry for entry in entries if not entry.event or entry.event.type not in NOT_YET]
    everybody = await agents.of_board(session, board)
    return {
        "entries": [told(entry) for entry in entries],
        "only_comments": only_comments,
        "heard": heard,
        "crew": {agent.id: agent for agent in everybody},
        "lead": next((agent for agent in everybody if agent.is_board_lead), None),
    }


async def shown(request: Request, form: forms.Form | None = None, *, focus: str = "") -> Response:
    """Show a task: as a page, or to htmx as the part that it asks for.

    With a form that came back, htmx is told to put only its editor in place, open, so that
    nothing else that is being typed on the page gets lost.
    """
    status = form.status if form else 200
    if not wants_part(request):
        frame = await frames.load(request)
        async with transaction(request) as session:
            context = await look(request, session, form)
            context["others"] = await presence.others(request, session, context["board"])
        return page(request, "tasks/show.html", frame=frame, status=status, **context)
    async with transaction(request) as session:
        context = await look(request, session, form)
    response = render(request, _template(request), status, **context)
    context["heard"].tell(response)
    if form and form.status >= 400 and focus:
        put_in_place(response, f"#edit-{focus}")
    return response


def _day(request: Request, moment: datetime | None) -> str:
    """Return the day of a deadline where the person is, as a field takes it."""
    zone = ages.zone(request.user.timezone)
    return moment.astimezone(zone).date().isoformat() if moment else ""


def _template(request: Request) -> str:
    """Return the part that holds a task where htmx asks from: the page's, or the drawer."""
    in_page = request.headers.get("HX-Target", "").endswith("#task")
    return "tasks/_page.html" if in_page else "tasks/_drawer.html"


async def _questions(session: Session, board: Board, task_id: UUID) -> list[ApprovalDetail]:
    """Return the questions about a task that wait, or whose answer can still be taken back."""
    found = await approvals.listed(session, board, Paging(), status=OPEN)
    return [one for one in found.items if task_id in one.task_ids]
