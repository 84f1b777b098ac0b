"""The conversation about a task: its history and comments."""

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.http.request import open_reader, open_transaction
from services import agents, tasks
from services.tasks import TaskCommentCreate
from web.boards.query_parameters import BoardAddress
from web.boards.views import board_access, board_for_update
from web.tasks.conversation import (
    ONLY_COMMENTS,
    add_parameters,
    keep_filter,
    load_conversation,
    parse_selection,
)
from web.tasks.views import mark_comments_read, redirect_to_task, render_task
from web.ui import forms
from web.ui.formatted_texts import format_texts
from web.ui.render import is_part_request, render_part


async def show_conversation(request: Request) -> Response:
    """Show the current conversation about a task."""
    return await _render_conversation(request, "comments/_conversation.html", request.query_params)


async def _render_conversation(
    request: Request, template: str, query: QueryParams, **more: object
) -> Response:
    address = BoardAddress.from_query(query)
    async with open_reader(request) as source:
        board = (await board_access(request, source)).board
        detail = await tasks.get_task_detail(source, board, forms.path_id(request, "task_id"))
        context: dict[str, Any] = {
            "board": board,
            "task": detail.task,
            "address": address,
            **await load_conversation(
                source, request.user, board, detail.task.id, query, address_query=address.query
            ),
        }
    formatted = await format_texts(line.markdown for line in context["entries"])
    if context["unread_comments"].has_new:
        await mark_comments_read(request, context)
    response = render_part(request, template, formatted=formatted, **context, **more)
    context["unread_comments"].trigger_refresh(response)
    return response


async def watch_task(request: Request) -> Response:
    """Watch a task: the reader is told about its comments and moves."""
    return await _change_watching(request, tasks.watch_task)


async def unwatch_task(request: Request) -> Response:
    """Stop watching a task."""
    return await _change_watching(request, tasks.unwatch_task)


async def _change_watching(request: Request, change: Callable[..., Awaitable[None]]) -> Response:
    async with open_transaction(request) as session:
        board = (await board_access(request, session)).board
        await change(session, request.user, board, forms.path_id(request, "task_id"))
    return await render_task(request) if is_part_request(request) else redirect_to_task(request)


async def add_comment(request: Request) -> Response:
    """Add a comment to a task."""
    form = await forms.read_form(request)
    with form.catch_errors():
        fields = form.parse(TaskCommentCreate)
        async with open_transaction(request) as session:
            board = await board_for_update(request, session)
            task_id = forms.path_id(request, "task_id")
            await tasks.create_comment(session, request.user, board, task_id, fields.message)
            is_lead_missing = await agents.is_lead_missing(session, board, fields.message)
        query = keep_filter(request.query_params, form)
        if is_part_request(request):
            return await _render_conversation(
                request, "comments/_comment_update.html", query, is_lead_missing=is_lead_missing
            )
        task_path = request.url.path.removesuffix("/comments")
        notice = {"unheard": "1"} if is_lead_missing else {}
        filter = ONLY_COMMENTS if parse_selection(query).comments_only else {}
        address = add_parameters(BoardAddress.from_query(query).query, {**filter, **notice})
        return RedirectResponse(f"{task_path}{address}#conversation", 303)
    return await render_task(request, form, focus="comment")
