"""Data of the inbox "Needs you": pending and decided items, and one item in full."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import groupby
from uuid import UUID

from core.clock import now
from core.db.reads import Source
from core.errors import AppError
from core.paging import Paging
from models import Member
from services import approvals, inbox
from services.agents import OFFLINE_AFTER, UncalledAgent
from services.approvals import LimitedAgent
from services.gateways import requests
from services.gateways.requests import RequestDetail
from services.inbox import WaitingItems
from services.onboarding import PendingOnboarding
from services.questions import QuestionDetail
from web.approvals.address import MICROSECONDS, InboxAddress
from web.approvals.decision_rights import list_decidable_ids
from web.approvals.items import InboxItem, list_waiting
from web.approvals.presenter import ApprovalView, load_approval_views
from web.stale_parts import MAX_SINGLE_COMMENTS

DECIDED_PAGE_SIZE = 50  # items on a page


@dataclass(frozen=True)
class Inbox:
    """The lists of the inbox, and the selected item."""

    address: InboxAddress
    waiting: list[InboxItem]  # those that wait for the member come first
    needs_count: int  # items that wait for the member, with new ones and held agents
    new_count: int  # items requested after the page was opened
    decided: list[InboxItem]
    decided_count: int  # of `decided`, on all its pages
    decided_total: int  # approvals that were ever decided
    selected_item: InboxItem | None  # shown in full
    approval_view: ApprovalView | None  # the selected item if it is an approval
    selectable_ids: set[UUID]  # pending approvals that the member may approve and reject
    view: str  # what a phone shows: list or detail
    elsewhere_count: int = 0  # items on other boards, if nothing of the chosen board waits
    limited_agents: Sequence[LimitedAgent] = ()  # they requested too much, and are refused
    uncalled_agents: Sequence[UncalledAgent] = ()  # tasks wait for them, and they never called
    errors: dict[UUID, str] = field(default_factory=dict)  # of rejected decisions, by approval

    @property
    def gateway_request(self) -> RequestDetail | None:
        """Return the selected gateway request, or None."""
        return self.selected_item.gateway_request if self.selected_item else None

    @property
    def onboarding(self) -> PendingOnboarding | None:
        """Return the selected onboarding, or None."""
        return self.selected_item.onboarding if self.selected_item else None

    @property
    def agent_question(self) -> QuestionDetail | None:
        """Return the selected question of a worker, or None."""
        return self.selected_item.agent_question if self.selected_item else None

    @property
    def comment_triggers(self) -> list[str]:
        """Return the htmx triggers for comments that can be clarifications that were requested.

        Their number is limited: for many tasks there is one for the comments on all tasks.
        """
        details = (row.approval for row in self.waiting if row.approval)
        unclear = (detail for detail in details if detail.has_open_clarification)
        ids = sorted({task.id for detail in unclear for task in detail.tasks})
        if len(ids) > MAX_SINGLE_COMMENTS:
            return ["comments from:body throttle:3s"]
        return [f"comments-{id} from:body throttle:500ms" for id in ids]

    @property
    def position(self) -> int:
        """Return the position of the selected item among the pending ones, from 1; 0 for none."""
        ids = [one.id for one in self.waiting]
        if self.selected_item is None or self.selected_item.id not in ids:
            return 0
        return ids.index(self.selected_item.id) + 1

    @property
    def waiting_sections(self) -> list[tuple[bool, list[InboxItem]]]:
        """Return the pending items, by whether they wait for other people."""
        grouped = groupby(self.waiting, key=lambda one: one.is_for_others)
        return [(is_for_others, list(items)) for is_for_others, items in grouped]

    @property
    def next_item(self) -> InboxItem | None:
        """Return the pending item after the selected one."""
        return self.waiting[self.position] if self.position < len(self.waiting) else None

    @property
    def path(self) -> str:
        """Return the address of the current view."""
        here = (
            self.selected_item.path
            if self.view == "detail" and self.selected_item
            else "/approvals"
        )
        return here + self.address.query_with(selected="")

    @property
    def refresh_url(self) -> str:
        """Return the address that reloads the view without new items."""
        return self._build_url(self.address)

    @property
    def refresh_all_url(self) -> str:
        """Return the address that reloads the view with new items."""
        return self._build_url(replace(self.address, until=0))

    def _build_url(self, address: InboxAddress) -> str:
        kept = self.selected_item if self.view == "list" else None
        selected = str(kept.id) if kept else ""
        query = address.query_with(selected=selected, all=self.address.all)
        return self.path.partition("?")[0] + query


async def load_inbox(
    source: Source,
    member: Member,
    address: InboxAddress,
    *,
    selected: UUID | None = None,
    on_gateway: bool = False,  # whether `selected` is a gateway request
    view: str = "list",
    errors: dict[UUID, str] | None = None,
    offline_after: timedelta = OFFLINE_AFTER,
) -> Inbox:
    """Load the inbox. Raises NotFound or Forbidden for the item `selected`."""
    found = await _load_items(source, member, address, offline_after)
    listed = list_waiting(found, member, address.min)
    shown, new_count = _hold_back_new(listed, address.until, selected)
    decided, count = await _list_decided(source, member, address, found)
    if selected is not None:
        selected_item = await _get_item(source, member, selected, on_gateway=on_gateway)
    else:
        selected_item = await _find_shown_item(source, member, address, [*shown, *decided])
        if selected_item is None and shown and address.is_open:
            selected_item = shown[0]
    return Inbox(
        address=replace(address, until=address.until or _to_microseconds(now())),
        waiting=shown,
        needs_count=_count_own(listed) + len(found.held_agent_ids),
        new_count=new_count,
        decided=decided,
        decided_count=count,
        decided_total=found.decided_total,
        selected_item=selected_item,
        approval_view=await _load_view(source, member, selected_item, found, address),
        selectable_ids=_list_selectable(shown, member, found.writable_board_ids),
        view=view,
        elsewhere_count=0 if listed else await _count_elsewhere(source, member, address),
        limited_agents=found.limited_agents,
        uncalled_agents=found.uncalled_agents,
        errors=errors or {},
    )


async def _load_items(
    source: Source, member: Member, address: InboxAddress, offline_after: timedelta
) -> WaitingItems:
    return await inbox.load_waiting_items(
        source,
        member,
        board_id=address.board_id,
        with_decided=address.is_open,
        offline_after=offline_after,
    )


async def _load_view(
    source: Source,
    member: Member,
    item: InboxItem | None,
    found: WaitingItems,
    address: InboxAddress,
) -> ApprovalView | None:
    """Load what is shown of the selected item, if it is an approval."""
    if item is None or item.approval is None:
        return None
    complete = address.all == 1
    writable = found.writable_board_ids
    [view] = await load_approval_views(source, member, [item.approval], writable, complete=complete)
    note = approvals.find_undone_note(item.approval.approval, member.user)
    return replace(view, undone_note=note)


async def find_next_item(
    source: Source, member: Member, address: InboxAddress, requested_at: datetime
) -> InboxItem | None:
    """Return the item to show after an item of `requested_at` was decided.

    Items that wait for other people are shown only if nothing else waits.
    """
    found = await inbox.load_waiting_items(
        source, member, board_id=address.board_id, with_decided=False
    )
    shown, _ = _hold_back_new(list_waiting(found, member, address.min), address.until, None)
    shown = [one for one in shown if not (one.onboarding or one.agent_question)]  # own pages
    shown = [one for one in shown if not one.is_for_others] or shown
    older = (one for one in shown if one.requested_at < requested_at)
    return next(older, shown[0] if shown else None)


def _list_selectable(rows: Iterable[InboxItem], member: Member, writable: set[UUID]) -> set[UUID]:
    """Return the approvals that can be selected; a checkbox needs the hash of the content."""
    shown = (one.approval for one in rows if one.approval and one.approval.approval.action_hash)
    return list_decidable_ids(shown, member, writable)


async def _count_elsewhere(source: Source, member: Member, address: InboxAddress) -> int:
    """Return the number of items that wait for the member outside of the board of the filter."""
    if address.board_id is None:
        return 0
    found = await inbox.load_waiting_items(source, member, with_decided=False)
    return _count_own(list_waiting(found, member, address.min))


def _count_own(rows: Iterable[InboxItem]) -> int:
    return sum(not row.is_for_others for row in rows)


def _hold_back_new(
    rows: list[InboxItem], until: int, selected: UUID | None
) -> tuple[list[InboxItem], int]:
    """Separate the items requested after `until`, unless there are no others."""
    shown = [
        row
        for row in rows
        if not until or _to_microseconds(row.requested_at) <= until or row.id == selected
    ]
    return (shown, len(rows) - len(shown)) if shown else (rows, 0)


async def _list_decided(
    source: Source, member: Member, address: InboxAddress, found: WaitingItems
) -> tuple[list[InboxItem], int]:
    board_id, paging = address.board_id, Paging(DECIDED_PAGE_SIZE, address.offset)
    if address.is_open:
        today = _list_today(found)
        return today, len(today)
    if address.state == "gateways":
        ended = await requests.list_ended_requests(source, member, paging, board_id=board_id)
        return [InboxItem(gateway_request=one) for one in ended.items], ended.total
    page = await approvals.list_decided_approvals(source, member, paging, board_id=board_id)
    return [InboxItem(approval=one) for one in page.items], page.total


def _list_today(found: WaitingItems) -> list[InboxItem]:
    """Return the items decided today, newest first."""
    rows = [InboxItem(approval=detail) for detail in found.decided_approvals]
    rows += [InboxItem(gateway_request=detail) for detail in found.answered_requests]
    return sorted(rows, key=lambda row: row.decided_at, reverse=True)


async def _get_item(source: Source, member: Member, id: UUID, *, on_gateway: bool) -> InboxItem:
    if on_gateway:
        return InboxItem(gateway_request=await requests.get_request(source, member.user, id))
    return InboxItem(approval=await approvals.get_member_approval(source, member, id))


async def _find_shown_item(
    source: Source, member: Member, address: InboxAddress, rows: list[InboxItem]
) -> InboxItem | None:
    """Return the item that was selected before, even if no list contains it now.

    Decided approvals are listed without their contents, so they are loaded. Questions that were
    answered, and onboardings that are over, are not found.
    """
    if not address.selected:
        return None
    id = UUID(address.selected)
    for row in rows:
        if row.id == id and (row.approval is None or row.approval.is_undecided):
            return row
    for on_gateway in (False, True):
        with suppress(AppError):
            return await _get_item(source, member, id, on_gateway=on_gateway)
    return None


def _to_microseconds(moment: datetime) -> int:
    return int(moment.timestamp() * MICROSECONDS)
