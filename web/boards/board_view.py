"""The tasks of a board as its address filters them, and single cards, for the templates."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

from core.db.reads import Source
from models import Agent, Board, Member, Status
from services import agents, approvals, boards, filter_options, presence, tasks
from services.agents import AgentCard
from services.approvals import UndecidedApproval
from services.boards import BoardPermissions
from services.filter_options import FilterOptions
from services.presence import BoardUnread
from services.tasks import CardTask
from services.waiting_counts import WaitingCounts
from web.boards import cards
from web.boards.address import LIST_COLUMNS, LIST_ORDER, BoardAddress
from web.boards.assignees import build_assignee_filter, build_assignee_options
from web.boards.calendar import load_calendar
from web.boards.card_cache import CardRenderer
from web.boards.presenter import load_board_access
from web.custom_fields.task_form import build_field_views
from web.saved_views.presenter import COLUMN_NAMES, SORT_NAMES, ViewMenu, complete_address
from web.ui.markdown import excerpt_markdown
from web.ui.translation import _, translate

MAX_EXCERPT = 120  # characters of a description in the list
LIST_SORTS = ("title", "assignee")  # on a board only if its address says so


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
        address = await _include_task(source, board, address, moved_task_id)
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


async def _include_task(
    source: Source, board: Board, address: BoardAddress, task_id: UUID
) -> BoardAddress:
    """Return the address that shows the card of a task too, if it matches the filters."""
    index = await tasks.count_tasks_before(source, board, task_id, address.filters, address.order)
    return address if index is None else address.with_card_at(index)


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
