"""The layout around every page: viewer, sidebar, and the number of pending decisions."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from starlette.requests import Request

from core.http.request import open_transaction
from models import Member, Organization, User
from services import agents, boards, events, gateways, onboarding, organizations, presence
from services.gateways import requests
from services.organizations import AgentStop
from web.auth.viewer import current_member


@dataclass(frozen=True)
class SidebarBoard:
    """A board in the sidebar, and the number of items that wait for a decision of the user."""

    id: UUID
    name: str
    waiting_count: int
    is_paused: bool = False
    has_unread: bool = False  # unread comments of others


@dataclass(frozen=True)
class Sidebar:
    """The contents of the sidebar."""

    boards: Sequence[SidebarBoard]
    agents_online: int
    agents: int
    gateways: int = 0
    gateways_down: int = 0


@dataclass(frozen=True)
class PageLayout:
    """The layout of a page. `last_seq` is the number of the last event that the page includes."""

    user: User
    member: Member
    organizations: Sequence[Organization]
    sidebar: Sidebar
    last_seq: int
    other_waiting_count: int = 0  # gateway requests that belong to no board
    held_agent_ids: Sequence[UUID] = ()  # agents that the user can release

    @property
    def waiting_count(self) -> int:
        """Return the number of items that wait for a decision of the user."""
        of_boards = sum(board.waiting_count for board in self.sidebar.boards)
        return of_boards + self.other_waiting_count + len(self.held_agent_ids)

    @property
    def held_agents_path(self) -> str:
        """Return the page on which the held agents can be released."""
        if len(self.held_agent_ids) == 1:
            return f"/agents/{self.held_agent_ids[0]}"
        return "/agents?state=held"

    @property
    def agent_stop(self) -> AgentStop | None:
        """Return the stop of all agents of the organization; None if they may work."""
        return AgentStop.find_in(self.member.organization)

    @property
    def name(self) -> str:
        """Return the name of the user on their own pages."""
        return self.user.name or self.user.preferred_name or self.user.email or "You"

    @property
    def is_admin(self) -> bool:
        """Return whether the user is an admin of the organization."""
        return self.member.is_admin


async def load_layout(request: Request) -> PageLayout:
    """Load the layout of a page before its content.

    The page subscribes to events after `last_seq`, so an event that happens while the content is
    loaded is not missed.
    """
    member = current_member(request)
    async with open_transaction(request) as session:
        last_seq = await events.get_last_seq(session, member.organization_id)
        summaries = await boards.list_board_summaries(session, member)
        memberships = await organizations.list_memberships(session, request.auth.user)
        gateway_counts = (
            await gateways.count_gateways(session, member) if member.is_admin else (0, 0)
        )
        request_counts = (
            await requests.count_waiting_by_board(session, member) if member.is_admin else {}
        )
        held_agent_ids = await agents.list_releasable_agent_ids(session, member)
        onboarding_counts = await onboarding.count_pending_by_board(session, member)
        unread_board_ids = await presence.list_boards_with_unread_comments(session, member)
    sidebar = Sidebar(
        boards=[
            _build_sidebar_board(summary, onboarding_counts, unread_board_ids)
            for summary in summaries
        ],
        agents_online=sum(summary.online_agent_count for summary in summaries),
        agents=sum(summary.agent_count for summary in summaries),
        gateways=gateway_counts[0],
        gateways_down=gateway_counts[1],
    )
    return PageLayout(
        request.auth.user,
        member,
        [membership.organization for membership in memberships],
        sidebar,
        last_seq,
        request_counts.get(None, 0),
        held_agent_ids,
    )


def _build_sidebar_board(
    summary: boards.BoardSummary, onboarding_counts: Mapping[UUID, int], unread: Collection[UUID]
) -> SidebarBoard:
    board, waiting_count = summary.board, 0
    if summary.can_write:
        waiting_count = summary.waiting_count + onboarding_counts.get(board.id, 0)
    return SidebarBoard(
        id=board.id,
        name=board.name,
        waiting_count=waiting_count,
        is_paused=board.paused_at is not None,
        has_unread=board.id in unread,
    )
