"""Data of a board for the templates: access, agents panel, columns and filters."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from core.errors import NotFound
from core.http.request import Session
from core.paging import Paging
from models import Agent, Board, DesiredState, Member, ReadKind, Status, User
from services import (
    agents,
    approvals,
    boards,
    gateways,
    presence,
    tags,
    tasks,
)
from services.agents import AgentCard, AgentState
from services.approvals import ApprovalDetail
from services.boards import BoardPermissions
from services.gateways.runs import RunPhase
from services.memory import get_author_name
from services.tasks import BoardFilters
from web.approvals.decision_rights import list_decidable_ids
from web.boards import cards
from web.boards.address import UNASSIGNED, BoardAddress

PAUSED = "paused"
NEVER_CHECKED_IN = "Never checked in"
MINUTE = timedelta(minutes=1)  # shorter silence is not mentioned
WEEK = timedelta(days=7)  # longer ages are shown as dates


@dataclass(frozen=True)
class AgentLine:
    """A line of the agents panel; `since` is shown after the text."""

    agent: Agent
    state: str
    text: str
    since: datetime | None = None
    ago: bool = False


def build_agent_lines(
    board: Board, cards: Sequence[AgentCard], approvals: Sequence[ApprovalDetail]
) -> list[AgentLine]:
    """Describe what each agent of a board is doing."""
    waiting_ids = {detail.approval.agent_id for detail in approvals}
    is_paused = board.paused_at is not None
    return [
        _build_line(card, is_waiting=card.agent.id in waiting_ids, is_paused=is_paused)
        for card in cards
    ]


def _build_line(card: AgentCard, *, is_waiting: bool, is_paused: bool) -> AgentLine:
    agent = card.agent
    if card.state is AgentState.PROVISIONING:
        return AgentLine(agent, card.state, "Starting: no check-in yet")
    if card.state is AgentState.AWAY:
        return AgentLine(agent, card.state, "Its gateway is away")
    if card.state in (AgentState.OFFLINE, AgentState.LATE):
        return _silent_line(card)
    if agent.hold is not None:
        return AgentLine(agent, PAUSED, "Held: a person has to release it")
    if is_paused and card.run is None:
        return AgentLine(agent, PAUSED, f"Paused · {card.task.title}" if card.task else "Paused")
    work = _describe_work(card, is_waiting=is_waiting)
    return AgentLine(agent, card.state, work) if work is not None else _idle_line(card)


def _idle_line(card: AgentCard) -> AgentLine:
    agent, seen = card.agent, card.agent.last_seen_at
    if seen is None:
        return AgentLine(agent, card.state, NEVER_CHECKED_IN)
    words = "Lead · checked in" if agent.is_board_lead else "Checked in"
    return AgentLine(agent, card.state, words, seen, ago=True)


def _describe_work(card: AgentCard, *, is_waiting: bool) -> str | None:
    """Describe what an agent does or waits for, or return None if it is idle."""
    if is_waiting:
        return "Waiting for your answer"
    if card.run is not None and card.run.phase == RunPhase.WAITING:
        return "Waits for a person's answer"
    if card.task is not None:
        return card.task.title
    return "At work on its gateway" if card.run is not None else None


def _silent_line(card: AgentCard) -> AgentLine:
    if card.agent.desired_state is DesiredState.GONE:
        return AgentLine(card.agent, card.state, "Is being removed")
    if card.silent_for is None:
        return AgentLine(card.agent, card.state, NEVER_CHECKED_IN)
    if card.silent_for < MINUTE:
        return AgentLine(card.agent, card.state, "Not there")
    words = "Silent for" if card.silent_for < WEEK else "Silent since"
    return AgentLine(card.agent, card.state, words, card.agent.last_seen_at)


async def load_board_access(session: Session, member: Member, board_id: UUID) -> BoardPermissions:
    """Return a board with the permissions of the member. Raises NotFound or Forbidden.

    A board of another organization of the user is not found, because the sidebar and the live
    updates of a page belong to one organization.
    """
    access = await boards.get_board_permissions(session, member.user, board_id)
    _check_organization(member, access.board)
    return access


async def lock_board(session: Session, member: Member, board_id: UUID) -> Board:
    """Lock a board that the member can change. Raises NotFound or Forbidden."""
    board = await boards.lock_board(session, member.user, board_id)
    _check_organization(member, board)
    return board


def _check_organization(member: Member, board: Board) -> None:
    if board.organization_id != member.organization_id:
        raise NotFound("board_not_found", "There is no such board.")


async def list_other_viewers(session: Session, board: Board, user: User) -> list[str]:
    """Return the names of other users who have the board open, in order of arrival."""
    found = await presence.list_viewers(session, board)
    return [one.user.display_name for one in found if one.user.id != user.id]


async def load_pause_notice(session: Session, board: Board, user: User) -> dict[str, Any]:
    """Load who paused a board, and its agents that a circuit breaker holds."""
    return {
        "paused_by": await _find_pauser_name(session, board, user),
        "held_agents": await agents.list_held_agents(session, board),
    }


async def _find_pauser_name(session: Session, board: Board, user: User) -> str:
    """Return the name of the user who paused the board, "you" for the viewer, "" if not paused."""
    pauser = await boards.find_pauser(session, board)
    if pauser is None:
        return ""
    return "you" if pauser.id == user.id else get_author_name(pauser)


async def count_unread_chat(session: Session, member: Member, board: Board) -> int:
    """Return the number of chat messages of others that the member has not read."""
    found = await presence.list_unread(session, member, Paging(), board_id=board.id)
    return sum(one.count for one in found.items if one.kind is ReadKind.CHAT)


@dataclass(frozen=True)
class BoardStatus:
    """The agents of a board, and its undecided approvals."""

    agents: list[AgentCard]
    approvals: list[ApprovalDetail]  # undecided


async def load_board_view(
    session: Session,
    member: Member,
    board_id: UUID,
    address: BoardAddress,
    *,
    offline_after: timedelta,
    rejected_move: cards.RejectedMove | None = None,
) -> dict[str, Any]:
    """Load the tasks of a board as the address filters them, as a template context."""
    access = await load_board_access(session, member, board_id)
    board, user = access.board, member.user
    await presence.mark_read(session, user, board, ReadKind.COMMENTS)
    status = await load_board_status(session, member, board, offline_after=offline_after)
    loaded = await tasks.list_board_columns(session, user, board, address.filters)
    columns = cards.build_columns(loaded, status.approvals, status.agents, rejected_move)
    return {
        "access": access,
        "board": board,
        "can_write": access.can_write,
        "is_admin": access.is_admin and access.can_write,
        "address": address,
        "board_status": status,
        "decidable_ids": _list_decidable_ids(status, member, access),
        "columns": columns,
        "statuses": tuple(Status),
        "groups": cards.build_groups(columns, address.sort) if address.view == "list" else [],
        "phone_column": cards.choose_phone_column(columns, address.column),
        "board_waiting_count": len(cards.group_by_task(status.approvals)),
        "blocked_count": await _count_blocked(session, user, board, address, columns),
        "agent_options": _agent_filter_options(status.agents),
        "tag_options": await _tag_filter_options(session, board),
        "unread_task_ids": await _list_unread_tasks(session, member, board),
        "rejected_move": rejected_move,
    }


async def load_card(
    session: Session,
    member: Member,
    board_id: UUID,
    task_id: UUID,
    address: BoardAddress,
    *,
    offline_after: timedelta,
    rejected_move: cards.RejectedMove | None = None,
) -> dict[str, Any]:
    """Load the card of a task, as a template context. Raises NotFound or Forbidden."""
    access = await load_board_access(session, member, board_id)
    board = access.board
    await presence.mark_read(session, member.user, board, ReadKind.COMMENTS)
    detail = await tasks.get_task_detail(session, board, task_id)
    status = await load_board_status(session, member, board, offline_after=offline_after)
    cards_by_agent = {card.agent.id: card for card in status.agents}
    approvals_by_task = cards.group_by_task(status.approvals)
    return {
        "board": board,
        "can_write": access.can_write,
        "address": address,
        "card": cards.build_card(detail, approvals_by_task, cards_by_agent, rejected_move),
        "statuses": tuple(Status),
        "decidable_ids": _list_decidable_ids(status, member, access),
        "unread_task_ids": await _list_unread_tasks(session, member, board),
    }


def _list_decidable_ids(
    status: "BoardStatus", member: Member, access: BoardPermissions
) -> Collection[UUID]:
    writable = [access.board.id] if access.can_write else ()
    return list_decidable_ids(status.approvals, member, writable)


async def _count_blocked(
    session: Session,
    user: User,
    board: Board,
    address: BoardAddress,
    columns: Sequence[cards.CardColumn],
) -> int:
    """Count the blocked tasks of a board, also those that the filters exclude."""
    if not address.filters.is_narrowed:
        return sum(card.detail.is_blocked for column in columns for card in column.cards)
    all_blocked = await tasks.list_board_columns(session, user, board, BoardFilters(blocked=True))
    return sum(column.total for column in all_blocked)


async def _list_unread_tasks(session: Session, member: Member, board: Board) -> set[UUID | None]:
    """Return the ids of tasks with comments of others that the member has not read."""
    found = await presence.list_unread(session, member, Paging(), board_id=board.id)
    return {one.task_id for one in found.items if one.kind is ReadKind.COMMENTS}


def _agent_filter_options(cards: list[AgentCard]) -> list[tuple[str, str]]:
    fixed = [("", "Everybody"), (UNASSIGNED, "Nobody yet")]
    return fixed + [(str(card.agent.id), card.agent.name) for card in cards]


async def _tag_filter_options(session: Session, board: Board) -> list[tuple[str, str]]:
    board_tags = await tags.list_board_tags(session, board)
    return [("", "All tags"), *[(tag.slug, tag.name) for tag in board_tags]]


async def load_board_status(
    session: Session, member: Member, board: Board, *, offline_after: timedelta
) -> BoardStatus:
    """Load the agents of a board and its undecided approvals."""
    board_agents = await agents.list_agent_cards(
        session, member, board_id=board.id, offline_after=offline_after
    )
    undecided = await approvals.list_undecided_approvals(session, member, board_id=board.id)
    return BoardStatus(list(board_agents), list(undecided))


async def load_new_task_options(session: Session, access: BoardPermissions) -> dict[str, Any]:
    """Load the options of the form for a new task."""
    board_agents = await agents.list_board_agents(session, access.board)
    lead = next((agent.name for agent in board_agents if agent.is_board_lead), None)
    workers = await tasks.list_assignable_agents(session, access.board)
    unassigned = ("", f"Let {lead} decide" if lead else "Nobody yet")
    return {
        "assignee_options": [unassigned, *[(agent.id, agent.name) for agent in workers]],
        "tag_choices": await tags.list_board_tags(session, access.board),
    }


NO_GATEWAY = ("", "None: its agents are programs that call")


async def list_gateway_options(session: Session, member: Member) -> list[tuple[str, str]]:
    """Return the gateways of the organization as options."""
    summaries = await gateways.list_gateway_summaries(session, member)
    return [(str(summary.gateway.id), summary.gateway.name) for summary in summaries]
