"""What stands around every page: who looks, where they can go, and how much needs them."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from starlette.requests import Request

from kit.http import transaction
from models import Member, Organization, User
from services import (
    boards,
    events,
    gateway_requests,
    gateways,
    onboarding,
    organizations,
    read_markers,
)
from web.auth import member_of


@dataclass(frozen=True)
class RailBoard:
    """A board in the rail, and how many of its questions wait for the person to answer."""

    id: UUID
    name: str
    needs: int
    is_paused: bool = False
    has_news: bool = False  # others commented there since the person last looked


@dataclass(frozen=True)
class Rail:
    """What the rail lists."""

    boards: Sequence[RailBoard]
    agents_online: int
    agents: int
    gateways: int = 0
    gateways_down: int = 0


@dataclass(frozen=True)
class Frame:
    """The frame of a page. `seen` is the number of the last event that the page knows of."""

    user: User
    member: Member
    organizations: Sequence[Organization]
    rail: Rail
    seen: int
    needs_elsewhere: int = 0  # what is asked on no board

    @property
    def needs(self) -> int:
        """How many questions wait for the person."""
        return sum(board.needs for board in self.rail.boards) + self.needs_elsewhere

    @property
    def name(self) -> str:
        """How the person is called on their own pages."""
        return self.user.name or self.user.preferred_name or self.user.email or "You"

    @property
    def is_admin(self) -> bool:
        """Whether the person looks after the organization."""
        return self.member.is_admin


async def load(request: Request) -> Frame:
    """Load the frame of the page that is asked for, before anything else that the page shows.

    The page listens from `seen` on, so whatever happens while the rest is loaded is not missed.
    """
    member = member_of(request)
    async with transaction(request) as session:
        seen = await events.latest(session, member.organization_id)
        summaries = await boards.summaries(session, member)
        memberships = await organizations.memberships(session, request.auth.user)
        found = await gateways.counts(session, member) if member.is_admin else (0, 0)
        asked = await gateway_requests.waiting_by_board(session, member) if member.is_admin else {}
        set_up = await onboarding.waiting_by_board(session, member)
        news = await read_markers.boards_with_news(session, member)
    rail = Rail(
        boards=[
            RailBoard(
                id=one.board.id,
                name=one.board.name,
                needs=one.waiting + set_up.get(one.board.id, 0) if one.can_write else 0,
                is_paused=one.board.paused_at is not None,
                has_news=one.board.id in news,
            )
            for one in summaries
        ],
        agents_online=sum(one.agents_online for one in summaries),
        agents=sum(one.agents for one in summaries),
        gateways=found[0],
        gateways_down=found[1],
    )
    organized = [one.organization for one in memberships]
    return Frame(request.auth.user, member, organized, rail, seen, asked.get(None, 0))
