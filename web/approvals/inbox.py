"""Data of the inbox "Needs you": pending and decided items, and one item in full."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import groupby
from uuid import UUID

from core.db.reads import Source
from core.errors import AppError
from core.paging import Paging
from models import Member
from services import approvals, inbox
from services.agents import OFFLINE_AFTER, UncalledAgent
from services.approvals import LimitedAgent
from services.gateways import requests
from services.gateways.requests import RequestDetail
from services.inbox import (
    FIRST_KEY,
    PAGE_SIZE,
    NextItem,
    WaitingFilter,
    WaitingItems,
    WaitingKey,
    WaitingPage,
    WaitingPaging,
)
from services.onboarding import PendingOnboarding
from services.questions import QuestionDetail
from web.approvals.address import InboxAddress, format_key, parse_key
from web.approvals.decision_rights import list_decidable_ids
from web.approvals.items import InboxItem, build_item
from web.approvals.presenter import ApprovalView, load_approval_views
from web.approvals.request_content import RequestContent, build_request_content
from web.stale_parts import MAX_SINGLE_COMMENTS


@dataclass(frozen=True)
class Inbox:
    """The lists of the inbox, and the selected item."""

    address: InboxAddress
    waiting: list[InboxItem]  # of this page; those that wait for the member come first
    page: WaitingPage  # the place of `waiting` among all pending items
    needs_count: int  # items of these boards that wait for the member, on all pages
    decided: list[InboxItem]
    decided_count: int  # of `decided`, on all its pages
    decided_total: int  # approvals that were ever decided
    selected_item: InboxItem | None  # shown in full
    approval_view: ApprovalView | None  # the selected item if it is an approval
    selectable_ids: set[UUID]  # pending approvals that the member may approve and reject
    view: str  # what a phone shows: list or detail
    elsewhere_count: int = 0  # other items that wait for the member; 0 without a chosen board
    limited_agents: Sequence[LimitedAgent] = ()  # they requested too much, and are refused
    uncalled_agents: Sequence[UncalledAgent] = ()  # tasks wait for them, and they never called
    errors: dict[UUID, str] = field(default_factory=dict)  # of rejected decisions, by approval

    @property
    def gateway_request(self) -> RequestDetail | None:
        """Return the selected gateway request, or None."""
        return self.selected_item.gateway_request if self.selected_item else None

    @property
    def request_content(self) -> RequestContent | None:
        """Return what the page shows of the selected gateway request, or None."""
        detail = self.gateway_request
        complete = self.address.all == 1
        return build_request_content(detail.request, complete=complete) if detail else None

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
        index = self._selected_index
        return 0 if index is None else self.page.offset + index + 1

    @property
    def _selected_index(self) -> int | None:
        if self.selected_item is None:
            return None
        ids = [one.id for one in self.waiting]
        return ids.index(self.selected_item.id) if self.selected_item.id in ids else None

    @property
    def waiting_sections(self) -> list[tuple[bool, list[InboxItem]]]:
        """Return the pending items, by whether they wait for other people."""
        grouped = groupby(self.waiting, key=lambda one: one.waits_for_others)
        return [(waits_for_others, list(items)) for waits_for_others, items in grouped]

    @property
    def next_item(self) -> InboxItem | None:
        """Return the pending item of this page after the selected one."""
        following = 0 if self._selected_index is None else self._selected_index + 1
        return self.waiting[following] if following < len(self.waiting) else None

    @property
    def next_query(self) -> str:
        """Return the query of the next page, or "" on the last one."""
        if self.page.next_key is None:
            return ""
        return self.address.query_with(start=format_key(self.page.next_key), selected="")

    @property
    def previous_query(self) -> str:
        """Return the query of the page before, or "" on the first one."""
        if not self.page.offset:
            return ""
        return self.address.query_with(
            before=format_key(self.page.items[0].key), start="", selected=""
        )

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
        """Return the address that reloads the view."""
        kept = self.selected_item if self.view == "list" else None
        selected = str(kept.id) if kept else ""
        query = self.address.query_with(selected=selected, all=self.address.all)
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
    selected_item = None
    if selected is not None:
        selected_item = await _get_item(source, member, selected, on_gateway=on_gateway)
    elif address.selected:
        selected_item = await _find_item(source, member, address, found)
    if selected_item is not None and address.is_open:
        found = await _load_items_with(source, member, address, offline_after, found, selected_item)
    shown = [build_item(one, member) for one in found.page.items]
    decided, count = await _list_decided(source, member, address, found)
    if selected_item is None and shown and address.is_open:
        before = parse_key(address.before)
        earlier = [one for one in found.page.items if before and one.key < before]
        selected_item = shown[max(0, len(earlier) - 1)]
    board_ids = [address.board_id] if address.board_id else None
    first = found.page.items[0].key if found.page.items and found.page.offset else None
    return Inbox(
        address=replace(address, start=format_key(first) if first else "", before=""),
        waiting=shown if address.is_open else [],
        page=found.page,
        needs_count=found.counts.count(board_ids),
        decided=decided,
        decided_count=count,
        decided_total=found.decided_total,
        selected_item=selected_item,
        approval_view=await _load_view(source, member, selected_item, found, address),
        selectable_ids=_list_selectable(shown, member, found.writable_board_ids),
        view=view,
        elsewhere_count=found.counts.total - found.counts.count(board_ids),
        limited_agents=found.limited_agents,
        uncalled_agents=found.uncalled_agents,
        errors=errors or {},
    )


async def _load_items(
    source: Source, member: Member, address: InboxAddress, offline_after: timedelta
) -> WaitingItems:
    """Load the page of an address; if it is empty now, the first one."""
    before = parse_key(address.before)
    start = before or parse_key(address.start) or FIRST_KEY
    found = await _load_page(source, member, address, offline_after, start, is_before=bool(before))
    is_first = before is not None and not found.page.offset
    if start != FIRST_KEY and (not found.page.items or is_first):
        found = await _load_page(source, member, address, offline_after, FIRST_KEY)
    return found


async def _load_items_with(
    source: Source,
    member: Member,
    address: InboxAddress,
    offline_after: timedelta,
    found: WaitingItems,
    item: InboxItem,
) -> WaitingItems:
    """Load the page that begins with an item, unless the page that was found contains it."""
    ids = {one.key.id for one in found.page.items}
    is_listed = item.is_pending and address.board in ("", str(item.board.id if item.board else ""))
    if item.id in ids or not is_listed:
        return found
    waits_for_others = not _may_decide(item, member, found.writable_board_ids)
    key = WaitingKey(waits_for_others, item.requested_at, item.id)
    page_with = await _load_page(source, member, address, offline_after, key)
    ids = {one.key.id for one in page_with.page.items}
    return page_with if item.id in ids else found


async def _load_page(
    source: Source,
    member: Member,
    address: InboxAddress,
    offline_after: timedelta,
    start: WaitingKey,
    *,
    is_before: bool = False,
) -> WaitingItems:
    return await inbox.load_waiting_items(
        source,
        member,
        WaitingPaging(PAGE_SIZE, start, is_before),
        board_id=address.board_id,
        min_confidence=address.min,
        offline_after=offline_after,
    )


def _may_decide(item: InboxItem, member: Member, writable: set[UUID]) -> bool:
    """Return whether an approval or a gateway request waits for the member."""
    return item.approval is None or bool(list_decidable_ids([item.approval], member, writable))


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
    source: Source, member: Member, address: InboxAddress, requested_at: datetime, id: UUID
) -> NextItem | None:
    """Return the item to show after an item was decided; items with own pages are left out."""
    board_ids = [address.board_id] if address.board_id else None
    listed = WaitingFilter(board_ids, address.min)
    return await inbox.find_next_item(source, member, listed, requested_at, id)


def _list_selectable(rows: Iterable[InboxItem], member: Member, writable: set[UUID]) -> set[UUID]:
    """Return the approvals that can be selected; a checkbox needs the hash of the content."""
    shown = (one.approval for one in rows if one.approval and one.approval.approval.action_hash)
    return list_decidable_ids(shown, member, writable)


async def _list_decided(
    source: Source, member: Member, address: InboxAddress, found: WaitingItems
) -> tuple[list[InboxItem], int]:
    board_id, paging = address.board_id, Paging(PAGE_SIZE, address.offset)
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


async def _find_item(
    source: Source, member: Member, address: InboxAddress, found: WaitingItems
) -> InboxItem | None:
    """Return the item that was selected before, even if no list contains it now.

    Questions that were answered, and onboardings that are over, are not found.
    """
    id = UUID(address.selected)
    for one in found.page.items:
        if one.key.id == id:
            return build_item(one, member)
    for on_gateway in (False, True):
        with suppress(AppError):
            return await _get_item(source, member, id, on_gateway=on_gateway)
    return None
