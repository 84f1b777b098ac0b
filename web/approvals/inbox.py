"""Data of the inbox "Needs you": pending and decided items, and one item in full."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, time
from uuid import UUID

from core.clock import now
from core.errors import AppError
from core.http.request import Session
from core.paging import Paging
from models import Member
from services import approvals, boards, onboarding
from services.approvals import ApprovalDetail, LimitedAgent
from services.gateways import requests
from services.gateways.requests import RequestDetail
from services.onboarding import PendingOnboarding
from web.approvals.address import MICROSECONDS, InboxAddress
from web.approvals.decision_rights import list_decidable_ids
from web.approvals.presenter import ApprovalView, load_approval_views
from web.ui import time_format

DECIDED_PAGE_SIZE = 50  # items on a page


@dataclass(frozen=True)
class InboxItem:
    """An item of the inbox: an approval, a gateway request, or an onboarding that waits."""

    approval: ApprovalDetail | None = None
    gateway_request: RequestDetail | None = None
    onboarding: PendingOnboarding | None = None

    @property
    def id(self) -> UUID:
        """Return the id of the approval, request or onboarding."""
        if self.onboarding is not None:
            return self.onboarding.id
        if self.gateway_request is not None:
            return self.gateway_request.request.id
        assert self.approval is not None
        return self.approval.approval.id

    @property
    def requested_at(self) -> datetime:
        """Return the time since when the item has been waiting."""
        if self.onboarding is not None:
            return self.onboarding.since
        if self.gateway_request is not None:
            return self.gateway_request.request.created_at
        assert self.approval is not None
        return self.approval.approval.created_at

    @property
    def decided_at(self) -> datetime:
        """Return the time of the decision."""
        if self.gateway_request is not None:
            row = self.gateway_request.request
            return row.answered_at or row.ended_at or row.created_at
        assert self.approval is not None
        approval = self.approval.approval
        return approval.decided_at or approval.resolved_at or approval.created_at

    @property
    def path(self) -> str:
        """Return the path of its page."""
        if self.onboarding is not None:
            there = f"/boards/{self.onboarding.board.id}/onboarding"
            return f"{there}/review" if self.onboarding.pending_action == "review" else there
        return f"/approvals/requests/{self.id}" if self.gateway_request else f"/approvals/{self.id}"


@dataclass(frozen=True)
class Inbox:
    """The lists of the inbox, and the selected item."""

    address: InboxAddress
    waiting: list[InboxItem]
    new_count: int  # items requested after the page was opened
    decided: list[InboxItem]
    decided_count: int
    selected_item: InboxItem | None  # shown in full
    approval_view: ApprovalView | None  # the selected item if it is an approval
    selectable_ids: set[UUID]  # pending approvals that the member may approve and reject
    view: str  # what a phone shows: list or detail
    limited_agents: Sequence[
        LimitedAgent
    ] = ()  # their requests were held, because there were too many
    errors: dict[UUID, str] = field(
        default_factory=dict
    )  # why a decision was rejected, by approval

    @property
    def gateway_request(self) -> RequestDetail | None:
        """Return the selected gateway request, or None."""
        return self.selected_item.gateway_request if self.selected_item else None

    @property
    def onboarding(self) -> PendingOnboarding | None:
        """Return the selected onboarding, or None."""
        return self.selected_item.onboarding if self.selected_item else None

    @property
    def position(self) -> int:
        """Return the position of the selected item among the pending ones, from 1; 0 for none."""
        ids = [one.id for one in self.waiting]
        if self.selected_item is None or self.selected_item.id not in ids:
            return 0
        return ids.index(self.selected_item.id) + 1

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
        kept = self.selected_item and self.view == "list" and not self.onboarding
        selected = str(self.selected_item.id) if self.selected_item and kept else ""
        query = address.query_with(selected=selected, all=self.address.all)
        return self.path.partition("?")[0] + query


async def load_inbox(
    session: Session,
    member: Member,
    address: InboxAddress,
    *,
    selected: UUID | None = None,
    on_gateway: bool = False,  # whether `selected` is a gateway request
    view: str = "list",
    errors: dict[UUID, str] | None = None,
) -> Inbox:
    """Load the inbox. Raises NotFound or Forbidden for the item `selected`."""
    waiting = await _list_waiting(session, member, address)
    shown, new_count = _hold_back_new(waiting, address.until, selected)
    decided, count = await _list_decided(session, member, address)
    selected_item = shown[0] if shown and address.state == "waiting" else None
    if selected is not None:
        selected_item = await _get_item(session, member, selected, on_gateway=on_gateway)
    elif address.selected:
        listed, id = [*shown, *decided], UUID(address.selected)
        selected_item = await _find_shown_item(session, member, id, listed)
    writable = set(await boards.list_writable_board_ids(session, member.user))
    found = [selected_item.approval] if selected_item and selected_item.approval else []
    views = await load_approval_views(session, member, found, writable, complete=bool(address.all))
    return Inbox(
        address=replace(address, until=address.until or _to_microseconds(now())),
        waiting=shown,
        new_count=new_count,
        decided=decided,
        decided_count=count,
        selected_item=selected_item,
        approval_view=views[0] if views else None,
        selectable_ids=list_decidable_ids(
            (one.approval for one in shown if one.approval), member, writable
        ),
        view=view,
        limited_agents=await approvals.list_limited_agents(session, member),
        errors=errors or {},
    )


async def find_next_item(
    session: Session, member: Member, address: InboxAddress, requested_at: datetime
) -> InboxItem | None:
    """Return the item to show after an item of `requested_at` was decided."""
    waiting = await _list_waiting(session, member, address)
    shown, _ = _hold_back_new(waiting, address.until, None)
    shown = [one for one in shown if not one.onboarding]  # onboardings have their own page
    older = (one for one in shown if one.requested_at < requested_at)
    return next(older, shown[0] if shown else None)


async def _list_waiting(session: Session, member: Member, address: InboxAddress) -> list[InboxItem]:
    """Return pending approvals, gateway requests and onboardings, newest first."""
    pending = await approvals.list_undecided_approvals(session, member, board_id=address.board_id)
    on_gateways = await requests.list_waiting_requests(session, member, board_id=address.board_id)
    onboardings = await onboarding.list_pending_onboardings(
        session, member, board_id=address.board_id
    )
    rows = [InboxItem(approval=detail) for detail in pending]
    rows += [InboxItem(gateway_request=detail) for detail in on_gateways]
    rows += [InboxItem(onboarding=one) for one in onboardings]
    return sorted(rows, key=lambda row: row.requested_at, reverse=True)


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
    session: Session, member: Member, address: InboxAddress
) -> tuple[list[InboxItem], int]:
    board_id, paging = address.board_id, Paging(DECIDED_PAGE_SIZE, address.offset)
    if address.state == "waiting":
        today = await _list_today(session, member, board_id)
        return today, len(today)
    if address.state == "gateways":
        ended = await requests.list_ended_requests(session, member, paging, board_id=board_id)
        return [InboxItem(gateway_request=one) for one in ended.items], ended.total
    page = await approvals.list_decided_approvals(session, member, paging, board_id=board_id)
    return [InboxItem(approval=one) for one in page.items], page.total


async def _list_today(session: Session, member: Member, board_id: UUID | None) -> list[InboxItem]:
    """Return the items decided since midnight in the user's time zone, newest first."""
    zone = time_format.get_time_zone(member.user.timezone)
    midnight = time_format.combine_local(now().astimezone(zone).date(), time.min, zone) or now()
    decided = await approvals.list_approvals_decided_today(session, member, board_id=board_id)
    on_gateways = await requests.list_answered_since(session, member, midnight, board_id=board_id)
    rows = [InboxItem(approval=detail) for detail in decided]
    rows += [InboxItem(gateway_request=detail) for detail in on_gateways]
    return sorted(rows, key=lambda row: row.decided_at, reverse=True)


async def _get_item(session: Session, member: Member, id: UUID, *, on_gateway: bool) -> InboxItem:
    if on_gateway:
        return InboxItem(gateway_request=await requests.get_request(session, member.user, id))
    return InboxItem(approval=await approvals.get_member_approval(session, member, id))


async def _find_shown_item(
    session: Session, member: Member, id: UUID, listed: list[InboxItem]
) -> InboxItem | None:
    """Return the item that was selected before, even if no list contains it now."""
    for row in listed:
        if row.id == id:
            return row
    try:
        return await _get_item(session, member, id, on_gateway=False)
    except AppError:
        return await _get_item(session, member, id, on_gateway=True)


def _to_microseconds(moment: datetime) -> int:
    return int(moment.timestamp() * MICROSECONDS)
