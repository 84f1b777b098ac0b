"""The page of a board with its tasks and agents, and its parts."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.db.reads import Source
from core.errors import NotFound
from core.http.request import Session, get_settings, open_reader, open_transaction
from models import Board, Member, ReadKind, Status
from services import agents, approvals, boards, memory, onboarding, presence, task_pages, tasks
from services.approvals import UndecidedApproval
from services.boards import BoardPermissions
from services.pickers import PickerKind
from services.tasks import BoardColumn, CardTask, UndoableChange
from services.waiting_counts import WaitingCounts
from web.auth.viewer import current_member
from web.boards.calendar import load_calendar
from web.boards.cards import STATUS_NAMES, CardRenderer, RejectedMove
from web.boards.list_groups import GROUPING_NAMES, SHOWN_ROWS, TaskList, load_list, load_page
from web.boards.presenter import (
    build_agent_strip,
    list_other_viewers,
    load_new_task_form,
    load_pause_notice,
    load_pauser,
)
from web.boards.query_parameters import LIST_COLUMNS, PLACE, BoardAddress
from web.custom_fields.task_form import build_field_views
from web.onboarding.state import conversation_stage
from web.pickers import load_chosen
from web.saved_views.presenter import COLUMN_NAMES, SORT_NAMES, ViewMenu, complete_address
from web.ui import forms
from web.ui.layout import PageLayout, load_layout
from web.ui.markdown import excerpt_markdown
from web.ui.render import (
    is_part_request,
    redirect_to_page,
    render_page,
    render_part,
    start_page,
)
from web.ui.translation import _, ngettext, translate

KNOWN_HASHES = "Board-Cards"
"""Header with the hashes of the cards and columns that a page shows (static/known_cards.js)."""

BULK_PICKERS = {
    "assignee": PickerKind.ASSIGNEES,
    "add_tag": PickerKind.TAGS,
    "remove_tag": PickerKind.TAGS,
}
"""What is chosen for the selected tasks, by the name of the field."""

FILTER_PICKERS = {
    "agent": PickerKind.ACTORS,
    "not_agent": PickerKind.ACTORS,
    "tag": PickerKind.TAG_SLUGS,
    "not_tag": PickerKind.TAG_SLUGS,
}

LIST_SORTS = (
    "title",
    "assignee",
    "description",
    "flags",
    "approvals",
    "tags",
)  # on a board only if its address says so


async def board_access(request: Request, source: Source) -> BoardPermissions:
    """Return the board of the path with the permissions of the viewer.

    A board of another organization of the user is not found, because the sidebar and the live
    updates of a page belong to one organization. Raises NotFound or Forbidden.
    """
    board_id = forms.path_id(request, "board_id")
    return await boards.get_board_permissions(source, current_member(request), board_id)


async def board_for_update(request: Request, session: Session) -> Board:
    """Lock the board of the path, to change something on it. Raises NotFound or Forbidden."""
    board_id = forms.path_id(request, "board_id")
    return await boards.lock_board(session, current_member(request), board_id)


async def show_board(request: Request) -> Response:
    """Show a board, without a query in the default view of the user.

    For htmx only its tasks and filters.
    """
    if is_part_request(request):
        return await show_columns(request)
    return await render_board(request, use_default=not request.url.query)


async def render_board(
    request: Request,
    *,
    rejected_moves: Sequence[RejectedMove] = (),
    status_code: int = 200,
    use_default: bool = False,
    toasts: Sequence[dict[str, Any]] = (),
) -> Response:
    """Render the page of a board, with the rejected moves and toasts if there are any.

    Without them the beginning of the page is sent before the tasks are loaded.
    """
    layout = await load_layout(request)
    async with open_reader(request) as source:
        access = await board_access(request, source)
    load = partial(
        _load_page, request, layout, access, rejected_moves, toasts, use_default=use_default
    )
    if status_code == 200:
        return start_page(request, "boards/show.html", access.board.name, load, layout=layout)
    context = await load()
    return render_page(request, "boards/show.html", layout=layout, status=status_code, **context)


async def _load_page(
    request: Request,
    layout: PageLayout,
    access: BoardPermissions,
    rejected_moves: Sequence[RejectedMove],
    toasts: Sequence[dict[str, Any]],
    *,
    use_default: bool,
) -> dict[str, Any]:
    """Load what the page of a board shows."""
    async with open_reader(request) as source:
        context = await load_board(
            request,
            source,
            rejected_moves,
            access=access,
            use_default=use_default,
            counts=layout.waiting,
        )
        board, board_agents = context["board"], context["board_agents"]
        if context["can_write"]:
            lead = next((agent for agent in board_agents if agent.is_board_lead), None)
            member = current_member(request)
            context |= await load_new_task_form(source, member, lead, forms.Form())
        conversation = await onboarding.find_conversation(source, board)
        context |= {
            "onboarding_stage": conversation_stage(conversation),
            "other_viewers": await list_other_viewers(source, board, request.user),
            **await load_pauser(source, board, request.user),
            "held_agents": agents.build_held_agents(board_agents),
        }
        if context["can_write"]:
            toasts = [*toasts, *await _load_change_toast(request, source, board)]
    await _mark_new_comments(request, context)
    return context | {"toasts": list(toasts)}


async def show_columns(request: Request) -> Response:
    """Show the current tasks of a board and the filters."""
    rejected_moves = RejectedMove.parse_all(request.query_params.get("refused", ""))
    context = await load_board_context(request, rejected_moves)
    response = render_part(request, "boards/_view.html", **context)
    board_path = f"/boards/{context['board'].id}"
    if request.url.path == board_path:
        is_typing = request.headers.get("HX-Source", "").startswith("form")
        header = "HX-Replace-Url" if is_typing else "HX-Push-Url"
        response.headers[header] = board_path + context["address"].query
    return response


async def load_board_context(
    request: Request,
    rejected_moves: Sequence[RejectedMove] = (),
    *,
    moved_task_id: UUID | None = None,
) -> dict[str, Any]:
    """Load the board of the path as `load_board` does. The user has then seen its comments."""
    async with open_reader(request) as source:
        context = await load_board(request, source, rejected_moves, moved_task_id=moved_task_id)
    await _mark_new_comments(request, context)
    return context


async def load_board(
    request: Request,
    source: Source,
    rejected_moves: Sequence[RejectedMove],
    *,
    moved_task_id: UUID | None = None,
    access: BoardPermissions | None = None,
    use_default: bool = False,
    counts: WaitingCounts | None = None,
) -> dict[str, Any]:
    """Load the tasks of the board of the path as its address filters them, as a template context.

    A task that was moved is shown, however far down it is. `use_default` shows the default view of
    the member. `access` and `counts`, what waits for the member, are given if they are loaded.
    """
    member = current_member(request)
    access = access or await board_access(request, source)
    board, can_write = access.board, access.can_write
    options = await task_pages.load_filter_options(source, member.user, board, counts=counts)
    address = BoardAddress.from_query(request.query_params)
    address = complete_address(address, options.views, use_default=use_default)
    undecided = await approvals.list_undecided_of_board(source, member, board)
    columns: list[BoardColumn] = []
    task_list = TaskList(())
    if address.view == "list":
        task_list = await load_list(source, board, address, request.headers.get(SHOWN_ROWS, ""))
    elif address.view == "board":
        address, columns = await _load_columns(source, board, address, moved_task_id)
    shown = [task for one in columns for task in one.cards]
    shown += [task for one in task_list.groups for task in one.tasks]
    board_agents = await _load_agents(request, source, board, undecided, shown)
    unread = await presence.load_board_unread(source, member, board)
    renderer = CardRenderer(
        query=address.query,
        can_write=can_write,
        agent_cards=board_agents.cards,
        approvals=undecided,
        rejected_moves=rejected_moves,
        unread_task_ids=unread.task_ids,
        known_hashes=frozenset(request.headers.get(KNOWN_HASHES, "").split(",")),
        context={"board": board, "address": address},
    )
    context = {
        "board": board,
        "can_write": can_write,
        "is_admin": access.is_admin and can_write,
        "address": address,
        "columns": columns,
        "phone_column": renderer.choose_phone_column(columns, address.column) if columns else "",
        "card_renderer": renderer,
        "rejected_moves": rejected_moves,
        "agent_strip": build_agent_strip(board, board_agents, undecided, renderer.decidable_ids),
        "board_agents": [card.agent for card in board_agents.cards],
        "board_fields": build_field_views(options.fields, member.user),
        "board_waiting_count": options.waiting_count,
        "blocked_count": options.blocked_count,
        "unread_chat_count": unread.chat_count,
        "has_new_comments": unread.has_new_comments,
        "last_comment_seq": unread.last_comment_seq,
        "view_menu": ViewMenu(options.views, address),
        "matching": _count_matching(address, columns, task_list),
        "max_bulk": tasks.MAX_BULK_TASKS,
        "form": forms.Form(),
        **_build_menu_options(address),
        **await _load_chosen_values(source, member, address),
    }
    if address.view == "list":
        context |= {
            "groups": task_list.groups,
            "is_cut": task_list.is_cut,
            "groupings": [(key, translate(name)) for key, name in GROUPING_NAMES.items()],
            "related_boards": await boards.list_related_boards(source, member, board),
            "descriptions": await _load_descriptions(source, board, address, shown),
        }
    if address.view == "calendar":
        context["calendar"] = await load_calendar(source, board, address)
    return context


async def _load_columns(
    source: Source, board: Board, address: BoardAddress, moved_task_id: UUID | None
) -> tuple[BoardAddress, list[BoardColumn]]:
    """Load the columns of a board, up to a task that was moved; return the address of them all."""

    async def list_columns(address: BoardAddress) -> list[BoardColumn]:
        return await tasks.list_board_columns(
            source, board, address.filters, address.order, limits=address.column_limits
        )

    columns = await list_columns(address)
    if moved_task_id is None or any(
        task.id == moved_task_id for one in columns for task in one.cards
    ):
        return address, columns
    index = await tasks.count_tasks_before(
        source, board, moved_task_id, address.filters, address.order
    )
    if index is None:
        return address, columns
    address = address.with_card_at(index)
    return address, await list_columns(address)


def _build_menu_options(address: BoardAddress) -> dict[str, Any]:
    """List what the menus and forms of a board offer that does not depend on its tasks."""
    sorts = [name for name in SORT_NAMES if address.view == "list" or name not in LIST_SORTS]
    return {
        "statuses": tuple(Status),
        "status_options": [(status, translate(STATUS_NAMES[status])) for status in Status],
        "list_columns": [(name, translate(COLUMN_NAMES[name])) for name in LIST_COLUMNS],
        "sort_options": [
            {
                "name": translate(SORT_NAMES[name]),
                "query": address.sort_query(name),
                "direction": address.sort_direction(name),
            }
            for name in sorts
        ],
    }


async def _load_chosen_values(
    source: Source, member: Member, address: BoardAddress
) -> dict[str, Any]:
    """Load the names of the values that the pickers of the filter and of bulk changes show."""
    load = partial(load_chosen, source, member)
    return {
        "bulk_chosen": {
            name: await load(kind, name, forms.Form()) for name, kind in BULK_PICKERS.items()
        },
        "filter_chosen": {
            name: await load(kind, name, forms.Form(), address.list_values(name))
            for name, kind in FILTER_PICKERS.items()
        },
    }


async def _load_descriptions(
    source: Source, board: Board, address: BoardAddress, shown: Sequence[CardTask]
) -> dict[UUID, str]:
    """Load the beginnings of descriptions, if the list has a column for them."""
    if "description" not in address.shown_columns:
        return {}
    texts = await tasks.load_description_beginnings(source, board, [task.id for task in shown])
    return {id: excerpt_markdown(text, 120) for id, text in texts.items()}


async def show_rows(request: Request) -> Response:
    """Show the rows of a group of the list after those that a page shows already."""
    member = current_member(request)
    address = BoardAddress.from_query(request.query_params)
    async with open_reader(request) as source:
        access = await board_access(request, source)
        board = access.board
        shown = forms.parse_offset(request.query_params, "shown")
        group = await load_page(source, board, address, shown)
        undecided = await approvals.list_undecided_of_board(source, member, board)
        unread = await presence.load_board_unread(source, member, board)
        descriptions = await _load_descriptions(source, board, address, group.tasks)
    address = replace(address, **dict.fromkeys(PLACE, ""))  # of the page that gets the rows
    return render_part(
        request,
        "boards/_task_rows.html",
        board=board,
        can_write=access.can_write,
        address=address,
        group=group,
        descriptions=descriptions,
        card_renderer=CardRenderer(
            query=address.query,
            can_write=access.can_write,
            approvals=undecided,
            unread_task_ids=unread.task_ids,
            context={"board": board, "address": address},
        ),
    )


async def _load_agents(
    request: Request,
    source: Source,
    board: Board,
    undecided: Sequence[UndecidedApproval],
    shown: Sequence[CardTask],
) -> agents.BoardAgents:
    """Load the agents of the tasks that are shown, and those that work or wait."""
    assignees = [task.assignee for task in shown if task.assignee]
    ids = {one.id for one in assignees if not one.is_person}
    ids |= {one.agent_id for one in undecided if one.agent_id}
    offline_after = get_settings(request).offline_after
    return await agents.load_board_agents(source, board, ids, offline_after=offline_after)


def _count_matching(
    address: BoardAddress, columns: Sequence[BoardColumn], task_list: TaskList
) -> int:
    """Count the tasks that one change can reach: those that the board or list shows, as pages.

    0 for a part of them: a page of one group, or the first groups.
    """
    if address.only or task_list.is_cut:
        return 0
    shown = [one for one in columns if one.status in address.order.statuses]
    return sum(one.total for one in (*shown, *task_list.groups))


async def _mark_new_comments(request: Request, context: dict[str, Any]) -> None:
    """Record that the user has seen the comments of a board, unless that is recorded already."""
    if not context["has_new_comments"]:
        return
    board, last_seq = context["board"], context["last_comment_seq"]
    async with open_transaction(request) as session:
        await presence.move_read_marker(
            session, request.user, board, ReadKind.COMMENTS, last_seq=last_seq
        )


async def show_card(request: Request) -> Response:
    """Show the card of one task, or all tasks if it is no longer on the board."""
    try:
        context = await _load_card(request)
    except NotFound:
        response = await show_columns(request)
        response.headers.update({"HX-Retarget": "#board-view", "HX-Reswap": "outerMorph"})
        return response
    await _mark_new_comments(request, context)
    return render_part(request, "boards/_card_update.html", **context)


async def _load_card(request: Request) -> dict[str, Any]:
    """Load the task of the path with its agent and approvals. Raises NotFound or Forbidden."""
    member, task_id = current_member(request), forms.path_id(request, "task_id")
    address = BoardAddress.from_query(request.query_params)
    rejected_move = RejectedMove.parse(request.query_params.get("refused", ""))
    async with open_reader(request) as source:
        access = await board_access(request, source)
        board = access.board
        task = await tasks.get_card_task(source, board, task_id)
        agent_cards: Sequence[agents.AgentCard] = ()
        if task.assignee is not None and not task.assignee.is_person:
            agent_cards = await agents.list_board_agent_cards(
                source,
                board,
                agent_id=task.assignee.id,
                offline_after=get_settings(request).offline_after,
            )
        undecided = await approvals.list_undecided_of_board(source, member, board, task_id=task.id)
        unread = await presence.load_board_unread(source, member, board)
    renderer = CardRenderer(
        query=address.query,
        can_write=access.can_write,
        agent_cards=agent_cards,
        approvals=undecided,
        rejected_moves=[rejected_move] if rejected_move else [],
        unread_task_ids=unread.task_ids,
        context={"board": board, "address": address},
    )
    return {
        "board": board,
        "task": task,
        "card_renderer": renderer,
        "has_new_comments": unread.has_new_comments,
        "last_comment_seq": unread.last_comment_seq,
    }


def build_change_toast(
    request: Request,
    board: Board,
    change: UndoableChange | None,
    number: int,
    *,
    is_deletion: bool,
) -> dict[str, Any]:
    """Build the toast that says how many tasks were changed or deleted, and offers to undo it."""
    here = f"/boards/{board.id}"
    text = ngettext("%(num)d task changed", "%(num)d tasks changed", number)
    toast: dict[str, Any] = {"text": text}
    if is_deletion:
        toast["text"] = ngettext("%(num)d task deleted.", "%(num)d tasks deleted.", number)
        toast["link"] = (_("Trash"), f"{here}/trash")
    if change is not None:
        query = BoardAddress.from_query(request.query_params).query
        toast["undo"] = f"{here}/changes/{change.id}/undos{query}"
    return toast


def build_deletion_toast(board: Board, task_id: UUID, title: str) -> dict[str, Any]:
    """Build the toast that offers to restore a deleted task."""
    here = f"/boards/{board.id}"
    return {
        "text": _("Deleted “%(title)s”", title=title),
        "undo": f"{here}/tasks/{task_id}/restorations",
        "link": (_("Trash"), f"{here}/trash"),
    }


async def _load_change_toast(
    request: Request, source: Source, board: Board
) -> list[dict[str, Any]]:
    """Load the toast of the change or deleted task that the address names, without scripts."""
    deleted_id = forms.parse_id(request.query_params.get("deleted"))
    if deleted_id is not None:
        deleted = await tasks.find_trashed_task(source, board, deleted_id)
        return [build_deletion_toast(board, deleted_id, deleted.title)] if deleted else []
    change_id = forms.parse_id(request.query_params.get("changed"))
    if change_id is None:
        return []
    change = await tasks.find_undoable_change(source, request.user, board, change_id)
    if change is None:
        return []
    number, is_deletion = len(change.task_ids), change.is_deletion
    return [build_change_toast(request, board, change, number, is_deletion=is_deletion)]


async def show_agents_panel(request: Request) -> Response:
    """Show the agents of a board."""
    async with open_reader(request) as source:
        access = await board_access(request, source)
        undecided = await approvals.list_undecided_of_board(
            source, current_member(request), access.board
        )
        board_agents = await _load_agents(request, source, access.board, undecided, [])
    decidable = {one.id for one in undecided if access.can_write and one.may_approve}
    return render_part(
        request,
        "boards/_agents.html",
        board=access.board,
        agent_strip=build_agent_strip(access.board, board_agents, undecided, decidable),
        is_admin=access.is_admin and access.can_write,
    )


async def redirect_from_slug(request: Request) -> Response:
    """Redirect from the readable address of a board to the address with its id."""
    async with open_reader(request) as source:
        board = await boards.get_board_by_slug(
            source, current_member(request), request.path_params["slug"]
        )
    query = f"?{request.url.query}" if request.url.query else ""
    return RedirectResponse(f"/boards/{board.id}{query}", 303)


async def show_viewers(request: Request) -> Response:
    """Show which other users have the board open."""
    async with open_reader(request) as source:
        board = (await board_access(request, source)).board
        names = await list_other_viewers(source, board, request.user)
    return render_part(request, "boards/_viewers.html", board=board, other_viewers=names)


async def show_pause(request: Request) -> Response:
    """Show whether the agents of a board are paused."""
    async with open_reader(request) as source:
        access = await board_access(request, source)
        notice = await load_pause_notice(source, access.board, request.user)
    context: dict[str, Any] = {"board": access.board, "can_write": access.can_write}
    return render_part(request, "boards/_pause_update.html", **context, **notice)


async def pause_board(request: Request) -> Response:
    """Pause the agents of a board."""
    return await _set_paused(request, is_paused=True)


async def resume_board(request: Request) -> Response:
    """Resume the agents of a board."""
    return await _set_paused(request, is_paused=False)


async def _set_paused(request: Request, *, is_paused: bool) -> Response:
    async with open_transaction(request) as session:
        board = await board_for_update(request, session)
        await memory.set_board_paused(session, request.user, board, is_paused=is_paused)
    if is_part_request(request):
        return await show_pause(request)
    return redirect_to_page(request, "board", board_id=board.id)
