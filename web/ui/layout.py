"""The layout around every page: viewer, sidebar, and the number of pending decisions."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit
from uuid import UUID

from starlette.background import BackgroundTasks
from starlette.requests import Request

from core.http.request import get_settings, open_reader, open_transaction
from models import Member, User
from services import organizations
from services.organizations import AgentStop, EndedMembership
from services.sidebar import SidebarData, load_sidebar, record_opening
from services.waiting_counts import WaitingCounts
from web.auth.viewer import EVENTS_PATH, current_member
from web.ui import forms
from web.ui.translation import _

DOCUMENT = "document"  # in Sec-Fetch-Dest: a page in a tab

_BOARD_PATH = re.compile(r"/boards/([0-9a-f-]{36})(?:/|$)")


@dataclass(frozen=True)
class PageLayout:
    """What every page shows around its content."""

    user: User
    member: Member
    sidebar: SidebarData
    removal: EndedMembership | None = None  # which the user has not read about yet
    background: BackgroundTasks = field(
        default_factory=BackgroundTasks
    )  # runs after the page is sent

    @property
    def waiting(self) -> WaitingCounts:
        """What waits for the member."""
        return self.sidebar.waiting

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

    The page subscribes to events after `sidebar.last_seq`, so an event that happens while the
    content is loaded is not missed. The page of a board or of a task makes the board a recent one.
    """
    member = current_member(request)
    board_id = _find_board_id(request)
    async with open_reader(request) as reader:
        offline_after = get_settings(request).offline_after
        sidebar = await load_sidebar(reader, member, board_id=board_id, offline_after=offline_after)
    background = BackgroundTasks()
    if not _is_page(request):
        return PageLayout(request.auth.user, member, sidebar, None, background)
    removal = None
    if request.auth.user.unread_removal_event_id is not None:
        async with open_reader(request) as reader:
            removal = await organizations.find_unread_removal(reader, request.auth.user)
        background.add_task(_mark_removal_read, request)
    if board_id is not None and _opens_board(request, board_id, sidebar):
        background.add_task(_record_opening, request, board_id)
    return PageLayout(request.auth.user, member, sidebar, removal, background)


def current_path(request: Request) -> str:
    """Return the path of the page that the user sees, also for a request of a part."""
    try:
        return urlsplit(request.headers.get("HX-Current-URL", "")).path or request.url.path
    except ValueError:  # not an address, so no page of ours sent it
        return request.url.path


def _find_board_id(request: Request) -> UUID | None:
    """Return the board of the page that the user sees."""
    board_id: UUID | None = request.path_params.get("board_id")
    if board_id is None and (found := _BOARD_PATH.match(current_path(request))):
        board_id = forms.parse_id(found[1])
    return board_id


def _is_page(request: Request) -> bool:
    """Return whether the user sees the response as a page.

    Requests of parts, of the event stream and of icons get the page of an error, and those for HEAD
    and of a browser that prefetches have no reader.
    """
    is_part = "HX-Request" in request.headers or request.url.path == EVENTS_PATH
    is_document = request.headers.get("Sec-Fetch-Dest", DOCUMENT) == DOCUMENT
    is_prefetch = "prefetch" in request.headers.get("Sec-Purpose", "")
    return is_document and not is_part and not is_prefetch and request.method != "HEAD"


def _opens_board(request: Request, board_id: UUID, sidebar: SidebarData) -> bool:
    """Return whether the page opens another board than the last one: it, or one of its tasks."""
    task_id = request.path_params.get("task_id")
    path = f"/boards/{board_id}/tasks/{task_id}" if task_id else f"/boards/{board_id}"
    is_readable = any(board.id == board_id for board in sidebar.boards)
    is_opened = request.method == "GET" and request.url.path == path
    return is_opened and is_readable and board_id != sidebar.last_opened_id


async def _mark_removal_read(request: Request) -> None:
    async with open_transaction(request) as session:
        await organizations.mark_removal_read(session, request.auth.user)


async def _record_opening(request: Request, board_id: UUID) -> None:
    async with open_transaction(request) as session:
        await record_opening(session, current_member(request), board_id)
