"""The layout around every page: viewer, sidebar, and the number of pending decisions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from starlette.background import BackgroundTask
from starlette.requests import Request

from core.http.request import get_settings, open_reader, open_transaction
from models import Member, User
from services import organizations
from services.organizations import AgentStop, EndedMembership
from services.sidebar import OrganizationRef, SidebarBoard, load_sidebar
from services.waiting_counts import WaitingCounts
from web.auth.viewer import EVENTS_PATH, current_member
from web.ui.translation import _

DOCUMENT = "document"  # in Sec-Fetch-Dest: a page in a tab


@dataclass(frozen=True)
class Sidebar:
    """The contents of the sidebar."""

    boards: Sequence[SidebarBoard]
    agents_online: int
    agents: int
    gateways: int = 0
    gateways_down: int = 0

    @property
    def has_first_approvals(self) -> bool:
        """Return whether the user approved something that still needs another person.

        It waits for the user again when the content of its tasks changes.
        """
        return any(board.own_first_approval_count for board in self.boards)


@dataclass(frozen=True)
class PageLayout:
    """The layout of a page. `last_seq` is the number of the last event that the page includes."""

    user: User
    member: Member
    organizations: Sequence[OrganizationRef]
    sidebar: Sidebar
    last_seq: int
    waiting: WaitingCounts
    unread_count: int = 0  # notifications
    removal: EndedMembership | None = None  # which the user has not read about yet
    background: BackgroundTask | None = None  # runs after the page is sent

    @property
    def held_agent_ids(self) -> Sequence[UUID]:
        """Return the agents that the user can release, the longest held first."""
        return self.waiting.held_agent_ids

    @property
    def held_agents_path(self) -> str:
        """Return the page on which the held agents can be released."""
        if len(self.held_agent_ids) == 1:
            return f"/agents/{self.held_agent_ids[0]}"
        return "/agents?state=held"

    @property
    def notices(self) -> Sequence[Mapping[str, str]]:
        """Return what the page shows once, as toasts."""
        if self.removal is None:
            return ()
        names = {
            "organization": self.removal.organization_name,
            "own": self.member.organization.name,
        }
        if (by := self.removal.ended_by) is None:
            text = _("You were removed from %(organization)s. Now you see %(own)s.", **names)
        else:
            actor = by.display_name
            text = _(
                "%(actor)s removed you from %(organization)s. Now you see %(own)s.",
                actor=actor,
                **names,
            )
        return ({"text": text, "tone": "danger"},)

    @property
    def agent_stop(self) -> AgentStop | None:
        """Return the stop of all agents of the organization; None if they may work."""
        return AgentStop.find_in(self.member.organization)

    @property
    def name(self) -> str:
        """Return the name of the user on their own pages."""
        return self.user.name or self.user.preferred_name or self.user.email or _("You")

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
    async with open_reader(request) as reader:
        offline_after = get_settings(request).offline_after
        data = await load_sidebar(reader, member, offline_after=offline_after)
    sidebar = Sidebar(
        boards=data.boards,
        agents_online=sum(board.online_agent_count for board in data.boards),
        agents=sum(board.agent_count for board in data.boards),
        gateways=data.gateway_count,
        gateways_down=data.failed_gateway_count,
    )
    return PageLayout(
        request.auth.user,
        member,
        data.organizations,
        sidebar,
        data.last_seq,
        data.waiting,
        data.unread_count,
        *await _load_removal(request),
    )


async def _load_removal(
    request: Request,
) -> tuple[EndedMembership | None, BackgroundTask | None]:
    """Return the removal that moved the user to this organization, for the first page after it.

    The task marks it as read when the page is sent: redirects and failed requests do not show it.

    Requests whose response nobody sees as a page do not show it: those of parts, of the event
    stream and of icons, which get the page of an error, and those without a body.
    """
    is_part = "HX-Request" in request.headers or request.url.path == EVENTS_PATH
    is_page = (
        request.headers.get("Sec-Fetch-Dest", DOCUMENT) == DOCUMENT and request.method != "HEAD"
    )
    if is_part or not is_page or request.auth.user.unread_removal_event_id is None:
        return None, None
    async with open_reader(request) as reader:
        removal = await organizations.find_unread_removal(reader, request.auth.user)
    return removal, BackgroundTask(_mark_removal_read, request)


async def _mark_removal_read(request: Request) -> None:
    async with open_transaction(request) as session:
        await organizations.mark_removal_read(session, request.auth.user)


def group_boards(boards: Sequence[SidebarBoard]) -> list[tuple[str, list[SidebarBoard]]]:
    """Return boards by the name of their group: those without a group first, with the name ""."""
    groups: dict[str, list[SidebarBoard]] = {"": []}
    for board in boards:
        groups.setdefault(board.group_name or "", []).append(board)
    by_name = sorted(groups.items(), key=lambda one: one[0].casefold())
    return [(name, members) for name, members in by_name if members]
