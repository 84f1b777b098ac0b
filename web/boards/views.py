"""The page of a board with its tasks and agents, and its parts."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.db.reads import Source
from core.errors import NotFound
from core.http.request import Session, get_settings, open_reader, open_transaction
from models import Agent, Board, Member, ReadKind, Status
from services import agents, approvals, boards, filter_options, memory, onboarding, presence, tasks
from services.agents import AgentCard
from services.approvals import UndecidedApproval
from services.boards import BoardPermissions
from services.filter_options import FilterOptions
from services.presence import BoardUnread
from services.tasks import CardTask
from services.waiting_counts import WaitingCounts
from web.agents.setup import offline_threshold
from web.auth.viewer import current_member
from web.boards import cards, presenter
from web.boards.assignees import build_assignee_filter, build_assignee_options
from web.boards.calendar import load_calendar
from web.boards.card_cache import CardRenderer
from web.boards.forms import parse_task_ids
from web.boards.presenter import (
    build_agent_lines,
    build_new_task_options,
    list_other_viewers,
    load_board_access,
    load_pause_notice,
    load_pauser,
)
from web.boards.query_parameters import LIST_COLUMNS, LIST_ORDER, BoardAddress
from web.custom_fields.task_form import build_field_views
from web.onboarding.state import conversation_stage
from web.saved_views.presenter import COLUMN_NAMES, SORT_NAMES, ViewMenu, complete_address
from web.ui import forms
from web.ui.layout import load_layout
from web.ui.markdown import excerpt_markdown
from web.ui.render import is_part_request, redirect_to_page, render_page, render_part
from web.ui.translation import _, ngettext, translate

KNOWN_HASHES = "Board-Cards"
"""Header with the hashes of the cards and columns that a page shows (static/known_cards.js)."""

MAX_EXCERPT = 120  # characters of a description in the list
LIST_SORTS = ("title", "assignee")  # on a board only if its address says so


async def board_access(request: Request, source: Source) -> BoardPermissions:
    """Return the board of the path with the permissions of the viewer.

    Raises NotFound or Forbidden.
    """
    board_id = forms.path_id(request, "board_id")
    return await presenter.load_board_access(source, current_member(request), board_id)


async def board_for_update(request: Request, session: Session) -> Board:
    """Lock the board of the path, to change something on it. Raises NotFound or Forbidden."""
    board_id = forms.path_id(request, "board_id")
    return await presenter.lock_board(session, current_member(request), board_id)


async def load_board_context(
    request: Request,
    rejected_moves: Sequence[cards.RejectedMove] = (),
    *,
    moved_task_id: UUID | None = None,
) -> dict[str, Any]:
    """Load the board of the path as its address filters it, as a template context.

    The user has then seen its comments.
    """
    async with open_reader(request) as source:
        context = await _load_view(request, source, rejected_moves, moved_task_id=moved_task_id)
    await _mark_new_comments(request, context)
    return context


async def _load_view(
    request: Request,
    source: Source,
    rejected_moves: Sequence[cards.RejectedMove],
    *,
    moved_task_id: UUID | None = None,
    use_default: bool = False,
    counts: WaitingCounts | None = None,
) -> dict[str, Any]:
    return await load_board_view(
        source,
        current_member(request),
        forms.path_id(request, "board_id"),
        BoardAddress.from_query(request.query_params),
        offline_after=offline_threshold(get_settings(request)),
        rejected_moves=rejected_moves,
        moved_task_id=moved_task_id,
        known_hashes=frozenset(request.headers.get(KNOWN_HASHES, "").split(",")),
        use_default=use_default,
        counts=counts,
    )


async def _mark_new_comments(request: Request, context: dict[str, Any]) -> None:
    """Record that the user has seen the comments of a board, unless that is recorded already."""
    if not context["has_new_comments"]:
        return
    board, last_seq = context["board"], context["last_comment_seq"]
    async with open_transaction(request) as session:
        await presence.move_read_marker(
            session, request.user, board, ReadKind.COMMENTS, last_seq=last_seq
        )


async def show_board(request: Request) -> Response:
    """Show a board, without a query in the default view of the user.

    For htmx only its tasks and filters.
    """
    if is_part_request(request):
        return await show_columns(request)
    return await render_board(request, use_default=not request.url.query)


async def show_columns(request: Request) -> Response:
    """Show the current tasks of a board and the filters."""
    rejected_moves = cards.RejectedMove.parse_all(request.query_params.get("refused", ""))
    context = await load_board_context(request, rejected_moves)
    response = render_part(request, "boards/_view.html", **context)
    board_path = f"/boards/{context['board'].id}"
    if request.url.path == board_path:
        is_typing = request.headers.get("HX-Source", "").startswith("form")
        header = "HX-Replace-Url" if is_typing else "HX-Push-Url"
        response.headers[header] = board_path + context["address"].query
    return response


async def show_card(request: Request) -> Response:
    """Show the card of one task, or all tasks if it is no longer on the board."""
    address = BoardAddress.from_query(request.query_params)
    try:
        async with open_reader(request) as source:
            context = await load_card(
                source,
                current_member(request),
                forms.path_id(request, "board_id"),
                forms.path_id(request, "task_id"),
                address,
                offline_after=offline_threshold(get_settings(request)),
                rejected_move=cards.RejectedMove.parse(request.query_params.get("refused", "")),
            )
    except NotFound:
        response = await show_columns(request)
        response.headers.update({"HX-Retarget": "#board-view", "HX-Reswap": "outerMorph"})
        return response
    await _mark_new_comments(request, context)
    return render_part(request, "boards/_card_update.html", **context)


async def show_agents_panel(request: Request) -> Response:
    """Show the agents of a board."""
    async with open_reader(request) as source:
        access = await board_access(request, source)
        status = await load_board_status(
            source,
            current_member(request),
            access.board,
            offline_after=offline_threshold(get_settings(request)),
        )
    decidable = status.list_decidable_ids(can_write=access.can_write)
    lines = build_agent_lines(access.board, status.agents, status.approvals, decidable)
    is_admin = access.is_admin and access.can_write
    return render_part(
        request, "boards/_agents.html", board=access.board, agent_lines=lines, is_admin=is_admin
    )


async def redirect_from_slug(request: Request) -> Response:
    """Redirect from the readable address of a board to the address with its id."""
    async with open_reader(request) as source:
        board = await boards.get_board_by_slug(
            source, current_member(request), request.path_params["slug"]
        )
    query = f"?{request.url.query}" if request.url.query else ""
    return RedirectResponse(f"/boards/{board.id}{query}", 303)


async def render_board(
    request: Request,
    *,
    rejected_moves: Sequence[cards.RejectedMove] = (),
    form: forms.Form | None = None,
    status_code: int = 200,
    use_default: bool = False,
) -> Response:
    """Render the page of a board, with the rejected moves if there are any."""
    layout = await load_layout(request)
    async with open_reader(request) as source:
        context = await _load_view(
            request, source, rejected_moves, use_default=use_default, counts=layout.waiting
        )
        board, status = context["board"], context["board_status"]
        if context["can_write"]:
            context |= build_new_task_options(
                status.board_agents, context["board_tags"], context["board_people"]
            )
        conversation = await onboarding.find_conversation(source, board)
        context |= {
            "agent_lines": build_agent_lines(
                board, status.agents, status.approvals, context["card_renderer"].decidable_ids
            ),
            "toasts": _deleted_toasts(request, board.id),
            "onboarding_stage": conversation_stage(conversation),
            "other_viewers": await list_other_viewers(source, board, request.user),
            **await load_pauser(source, board, request.user),
            "held_agents": status.held_agents,
        }
    await _mark_new_comments(request, context)
    return render_page(
        request,
        "boards/show.html",
        layout=layout,
        status=status_code,
        form=form or forms.Form(),
        **context,
    )


def _deleted_toasts(request: Request, board_id: UUID) -> list[dict[str, Any]]:
    """Return the toast that offers to restore tasks that were deleted without scripts."""
    deleted = parse_task_ids(request.query_params.get("deleted", ""))
    return [build_deleted_toast(board_id, deleted)] if deleted else []


def build_deleted_toast(board_id: UUID, task_ids: Sequence[UUID]) -> dict[str, Any]:
    """Build the toast that offers to restore deleted tasks."""
    text = ngettext("%(num)d task deleted", "%(num)d tasks deleted", len(task_ids))
    here, fields = f"/boards/{board_id}", {"ids": ",".join(map(str, task_ids))}
    toast = {"text": text, "undo": f"{here}/restorations", "fields": fields}
    return toast | {"link": (_("Trash"), f"{here}/trash")}


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


async def show_viewers(request: Request) -> Response:
    """Show which other users have the board open."""
    async with open_reader(request) as source:
        board = (await board_access(request, source)).board
        names = await list_other_viewers(source, board, request.user)
    return render_part(request, "boards/_viewers.html", board=board, other_viewers=names)


class SortOption(NamedTuple):
    """What tasks can be sorted by."""

    name: str
    query: str
    direction: str  # "" if they are sorted by something else


@dataclass(frozen=True)
class BoardStatus:
    """The agents of a board, and its undecided approvals."""

    agents: list[AgentCard]
    approvals: list[UndecidedApproval]

    @property
    def board_agents(self) -> list[Agent]:
        """Return the agents without what their cards show."""
        return [card.agent for card in self.agents]

    @property
    def held_agents(self) -> list[Agent]:
        """Return the agents that a circuit breaker holds, the longest held first."""
        held = [agent for agent in self.board_agents if agent.held_at is not None]
        return sorted(held, key=lambda agent: (agent.held_at, agent.id))

    def list_decidable_ids(self, *, can_write: bool) -> set[UUID]:
        """Return the approvals that wait for a member with this right on the board."""
        return {one.id for one in self.approvals if can_write and one.may_approve}


async def load_board_view(
    source: Source,
    member: Member,
    board_id: UUID,
    address: BoardAddress,
    *,
    offline_after: timedelta,
    rejected_moves: Sequence[cards.RejectedMove] = (),
    moved_task_id: UUID | None = None,
    known_hashes: Collection[str] = (),
    use_default: bool = False,
    counts: WaitingCounts | None = None,
) -> dict[str, Any]:
    """Load the tasks of a board as the address filters them, as a template context.

    A task that was moved is shown, however far down it is. `known_hashes` are those of what the
    page shows. `use_default` shows the default view of the member. `counts` are what waits for the
    member, if that is loaded already.
    """
    access = await load_board_access(source, member, board_id)
    board = access.board
    options = await filter_options.load_filter_options(source, member.user, board, counts=counts)
    address = complete_address(address, options.views, use_default=use_default)
    status = await load_board_status(source, member, board, offline_after=offline_after)
    load = partial(_load_columns, source, board, status, rejected_moves)
    is_calendar = address.view == "calendar"
    columns = [] if is_calendar else await load(address)
    if columns and moved_task_id is not None and not cards.includes_card(columns, moved_task_id):
        index = await tasks.count_tasks_before(
            source, board, moved_task_id, address.filters, address.order
        )
        if index is not None:
            address = address.with_card_at(index)
        columns = await load(address)
    unread = await presence.load_board_unread(source, member, board)
    return {
        **_describe_board(access, status, options, unread),
        **_describe_options(options, member, address),
        "card_renderer": _build_renderer(access, address, status, unread, known_hashes),
        **_arrange_columns(columns, address),
        **await _load_list(source, member, board, columns, address),
        "calendar": await load_calendar(source, board, address, status.approvals, status.agents)
        if is_calendar
        else None,
        "rejected_moves": rejected_moves,
    }


async def _load_list(
    source: Source,
    member: Member,
    board: Board,
    columns: Sequence[cards.CardColumn],
    address: BoardAddress,
) -> dict[str, Any]:
    """Load what only the list shows: the other boards of the group, and descriptions."""
    if address.view != "list":
        return {}
    texts = {}
    if "description" in address.shown_columns:
        ids = [card.task.id for column in columns for card in column.cards]
        texts = await tasks.load_description_beginnings(source, board, ids)
    return {
        "related_boards": await boards.list_related_boards(source, member, board),
        "descriptions": {id: excerpt_markdown(text, MAX_EXCERPT) for id, text in texts.items()},
    }


def _describe_options(
    options: FilterOptions, member: Member, address: BoardAddress
) -> dict[str, Any]:
    return {
        "blocked_count": options.blocked_count,
        "board_fields": build_field_views(options.fields, member.user),
        "view_menu": ViewMenu(options.views, address),
        "sort_options": _list_sort_options(address),
        "list_columns": [(name, translate(COLUMN_NAMES[name])) for name in LIST_COLUMNS],
    }


async def _load_columns(
    source: Source,
    board: Board,
    status: BoardStatus,
    rejected_moves: Sequence[cards.RejectedMove],
    address: BoardAddress,
) -> list[cards.CardColumn]:
    loaded = await tasks.list_board_columns(
        source, board, address.filters, address.order, limit=address.limit
    )
    return cards.build_columns(loaded, status.approvals, status.agents, rejected_moves)


def _arrange_columns(columns: list[cards.CardColumn], address: BoardAddress) -> dict[str, Any]:
    is_list = address.view == "list"
    return {
        "address": address,
        "columns": columns,
        "phone_column": cards.choose_phone_column(columns, address.column) if columns else "",
        "groups": cards.build_groups(columns, LIST_ORDER) if is_list else [],
    }


def _describe_board(
    access: BoardPermissions,
    status: BoardStatus,
    options: FilterOptions,
    unread: BoardUnread,
) -> dict[str, Any]:
    """Return what a board page shows whatever the address filters, as a template context."""
    board_tags, people = options.tags, options.people
    return {
        "access": access,
        "board": access.board,
        "can_write": access.can_write,
        "is_admin": access.is_admin and access.can_write,
        "board_status": status,
        "board_agents": status.board_agents,
        "board_waiting_count": options.waiting_count,
        "statuses": tuple(Status),
        "bulk_assignees": build_assignee_options(status.board_agents, people, _("Unassigned")),
        "agent_options": build_assignee_filter(status.board_agents, people),
        "board_people": people,
        "unread_chat_count": unread.chat_count,
        "has_new_comments": unread.has_new_comments,
        "last_comment_seq": unread.last_comment_seq,
        "board_tags": board_tags,
        "tag_options": [("", _("All tags")), *[(tag.slug, tag.name) for tag in board_tags]],
    }


async def load_card(
    source: Source,
    member: Member,
    board_id: UUID,
    task_id: UUID,
    address: BoardAddress,
    *,
    offline_after: timedelta,
    rejected_move: cards.RejectedMove | None = None,
) -> dict[str, Any]:
    """Load the card of a task, as a template context. Raises NotFound or Forbidden."""
    access = await load_board_access(source, member, board_id)
    board = access.board
    task = await tasks.get_card_task(source, board, task_id)
    status = await _load_card_status(source, member, board, task, offline_after)
    cards_by_agent = {card.agent.id: card for card in status.agents}
    approvals_by_task = cards.group_by_task(status.approvals)
    unread = await presence.load_board_unread(source, member, board)
    renderer = _build_renderer(access, address, status, unread)
    card = cards.build_card(task, approvals_by_task, cards_by_agent, rejected_move)
    return {
        "board": board,
        "card": card,
        "card_renderer": renderer,
        "has_new_comments": unread.has_new_comments,
        "last_comment_seq": unread.last_comment_seq,
    }


async def _load_card_status(
    source: Source, member: Member, board: Board, task: CardTask, offline_after: timedelta
) -> BoardStatus:
    """Load the assigned agent of a task, and its undecided approvals."""
    assigned: Sequence[AgentCard] = ()
    if task.assignee is not None and not task.assignee.is_person:
        assigned = await agents.list_board_agent_cards(
            source, board, agent_id=task.assignee.id, offline_after=offline_after
        )
    undecided = await approvals.list_undecided_of_board(source, member, board, task_id=task.id)
    return BoardStatus(list(assigned), list(undecided))


def _build_renderer(
    access: BoardPermissions,
    address: BoardAddress,
    status: BoardStatus,
    unread: BoardUnread,
    known_hashes: Collection[str] = (),
) -> CardRenderer:
    return CardRenderer(
        query=address.query,
        can_write=access.can_write,
        decidable_ids=status.list_decidable_ids(can_write=access.can_write),
        unread_task_ids=unread.task_ids,
        known_hashes=known_hashes,
        context={"board": access.board, "address": address},
    )


def _list_sort_options(address: BoardAddress) -> list[SortOption]:
    """Return what the tasks can be sorted by; the list has more columns than cards show."""
    shown = [name for name in SORT_NAMES if address.view == "list" or name not in LIST_SORTS]
    return [
        SortOption(
            translate(SORT_NAMES[name]), address.sort_query(name), address.sort_direction(name)
        )
        for name in shown
    ]


async def load_board_status(
    source: Source, member: Member, board: Board, *, offline_after: timedelta
) -> BoardStatus:
    """Load the agents of a board and its undecided approvals."""
    board_agents = await agents.list_board_agent_cards(source, board, offline_after=offline_after)
    undecided = await approvals.list_undecided_of_board(source, member, board)
    return BoardStatus(list(board_agents), list(undecided))
