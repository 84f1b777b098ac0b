"""The inbox "Needs you": its items, the lists of pending and decided ones, and one in full."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import groupby
from uuid import UUID

from core.db.reads import Source
from core.errors import AppError
from core.paging import Paging
from models import Approval, Board, Member, RequestKind
from services import approvals, inbox, tool_calls
from services.agents import OFFLINE_AFTER, UncalledAgent
from services.approvals import ApprovalDetail, LimitedAgent, has_approved_first
from services.gateways import requests
from services.gateways.requests import RequestDetail
from services.inbox import (
    EMPTY_PAGE,
    FIRST_KEY,
    NO_CHOICES,
    PAGE_SIZE,
    FilterChoices,
    InboxSummary,
    NextItem,
    SomeItems,
    WaitingItem,
    WaitingKey,
    WaitingOrder,
    WaitingPage,
    WaitingPaging,
)
from services.onboarding import PendingOnboarding
from services.pickers import PickerKind
from services.questions import QuestionDetail
from services.tool_calls import WaitState
from services.waiting_counts import WaitingCounts
from web.approvals.evidence import load_evidence_views
from web.approvals.presenter import (
    ApprovalView,
    build_decision_rights,
    is_last_approval,
    load_approval_views,
)
from web.approvals.query_parameters import InboxAddress, format_key, parse_key
from web.approvals.request_content import RequestContent, build_request_content
from web.approvals.sentences import describe_question, describe_reason, describe_requester
from web.approvals.tool_calls import build_excerpt, load_excerpts, load_tool_call
from web.pickers import Chosen, load_chosen
from web.stale_parts import MAX_SINGLE_COMMENTS
from web.ui import forms
from web.ui.translation import _


@dataclass(frozen=True)
class InboxItem:
    """An item of the inbox: an approval, a gateway request, an onboarding, or a question."""

    approval: ApprovalDetail | None = None
    gateway_request: RequestDetail | None = None
    onboarding: PendingOnboarding | None = None
    agent_question: QuestionDetail | None = None
    waits_for_others: bool = False  # the member may not decide it, or has approved it first
    is_approved: bool = False  # by the member, as the first of two people
    place: str = ""  # of a pending item in the list, as the address formats it
    equal_count: int = 1  # identical requests that the item stands for, with this one
    equal: Sequence["InboxItem"] = ()  # the others, if they are shown
    excerpt: str = ""  # of a decided tool call: the beginning of its input

    @property
    def id(self) -> UUID:
        """Return the id of the approval, request or onboarding."""
        if self.agent_question is not None:
            return self.agent_question.question.id
        if self.onboarding is not None:
            return self.onboarding.id
        if self.gateway_request is not None:
            return self.gateway_request.request.id
        assert self.approval is not None
        return self.approval.approval.id

    @property
    def board(self) -> Board | None:
        """Return the board of the item; None for a request of an agent without one."""
        found = self.approval or self.gateway_request or self.onboarding or self.agent_question
        return found.board if found else None

    @property
    def requested_at(self) -> datetime:
        """Return the time since when the item has been waiting."""
        if self.agent_question is not None:
            return self.agent_question.question.created_at
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
    def equal_items(self) -> list["InboxItem"]:
        """Return the item and those that are equal to it and shown."""
        return [self, *self.equal]

    @property
    def question(self) -> str:
        """Return the question of an approval."""
        return describe_question(self.approval) if self.approval else ""

    @property
    def reason(self) -> str:
        """Return the reason of an approval, or the beginning of a tool call."""
        if self.approval is None:
            return ""
        if self.approval.approval.is_tool_call:
            return build_excerpt(self.approval.approval.payload or {})
        return describe_reason(self.approval)

    @property
    def requester_name(self) -> str:
        """Return the name of the agent or user who requested an approval."""
        return describe_requester(self.approval) if self.approval else ""

    @property
    def task_ids_to_complete(self) -> list[UUID]:
        """Return the tasks that the agent may move to Done after the next approval."""
        found = self.approval
        if found is None or not (found.agent and found.completes_tasks and is_last_approval(found)):
            return []
        return [task.id for task in found.tasks if not task.is_done]

    @property
    def path(self) -> str:
        """Return the path of its page."""
        if self.agent_question is not None:
            return f"/questions/{self.id}"
        if self.onboarding is not None:
            there = f"/boards/{self.onboarding.board.id}/onboarding"
            return f"{there}/review" if self.onboarding.pending_action == "review" else there
        return f"/approvals/requests/{self.id}" if self.gateway_request else f"/approvals/{self.id}"


def build_item(found: WaitingItem, member: Member) -> InboxItem:
    """Build the item of a row of the inbox."""
    detail, waits_for_others = found.detail, found.key.waits_for_others
    place = format_key(found.key)
    if isinstance(detail, ApprovalDetail):
        return InboxItem(
            detail,
            waits_for_others=waits_for_others,
            place=place,
            is_approved=has_approved_first(detail, member.user_id) and detail.may_first_vote,
            equal_count=found.equal_count,
            equal=[build_item(one, member) for one in found.equal],
        )
    if isinstance(detail, RequestDetail):
        return InboxItem(gateway_request=detail, waits_for_others=waits_for_others, place=place)
    if isinstance(detail, PendingOnboarding):
        return InboxItem(onboarding=detail, waits_for_others=waits_for_others, place=place)
    return InboxItem(agent_question=detail, waits_for_others=waits_for_others, place=place)


@dataclass(frozen=True)
class Inbox:
    """The lists of the inbox, and the selected item."""

    address: InboxAddress
    waiting: list[InboxItem]  # of this page; those that wait for the member come first
    choices: FilterChoices  # what the filter offers
    page: WaitingPage  # the place of `waiting` among all pending items
    needs_count: int  # items of these boards that wait for the member, on all pages
    decided: list[InboxItem]
    decided_count: int  # of `decided`, on all its pages
    decided_total: int  # approvals that were ever decided
    selected_item: InboxItem | None  # shown in full
    approval_view: ApprovalView | None  # the selected item if it is an approval
    selectable_ids: set[UUID]  # pending approvals that the member may approve and reject
    view: str  # what a phone shows: list or detail
    chosen_boards: Chosen = field(default_factory=Chosen)  # by the filter
    elsewhere_count: int = 0  # other items that wait for the member; 0 without a chosen board
    limited_agents: Sequence[LimitedAgent] = ()  # they requested too much, and are refused
    uncalled_agents: Sequence[UncalledAgent] = ()  # tasks wait for them, and they never called
    errors: dict[UUID, str] = field(default_factory=dict)  # of rejected decisions, by approval
    waits: Mapping[UUID, WaitState] = field(default_factory=dict)  # who waits for tool calls

    @property
    def is_count_cut(self) -> bool:
        """Return whether there are more decided items than `decided_count`."""
        counted = self.address.offset + requests.MAX_COUNTED
        return self.address.state == "gateways" and self.decided_count > counted

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
        details = (row.approval for row in self.rows if row.approval)
        unclear = (detail for detail in details if detail.has_open_clarification)
        ids = sorted({task.id for detail in unclear for task in detail.tasks})
        if len(ids) > MAX_SINGLE_COMMENTS:
            return ["comments from:body throttle:3s"]
        return [f"comments-{id} from:body throttle:500ms" for id in ids]

    @property
    def position(self) -> int:
        """Return the position of the selected item among the pending ones, from 1; 0 for none."""
        if self.selected_item is None:
            return 0
        for position, item in enumerate(self.waiting, start=self.page.offset + 1):
            if self.selected_item.id in [one.id for one in item.equal_items]:
                return position
        return 0

    @property
    def rows(self) -> list[InboxItem]:
        """Return the pending items of the page, with the equal ones that are shown."""
        return [row for item in self.waiting for row in item.equal_items]

    @property
    def waiting_sections(self) -> list[tuple[bool, list[InboxItem]]]:
        """Return the pending items, by whether they wait for other people."""
        grouped = groupby(self.waiting, key=lambda one: one.waits_for_others)
        return [(waits_for_others, list(items)) for waits_for_others, items in grouped]

    def list_decidable(self, item: InboxItem) -> list[Approval]:
        """Return those of identical requests that the member may approve and reject."""
        equal = (one.approval.approval for one in item.equal_items if one.approval)
        return [approval for approval in equal if approval.id in self.selectable_ids]

    @property
    def agent_options(self) -> list[tuple[str, str, int]]:
        """Return the agents that the filter offers, by name, then chosen ones without requests."""
        found = [(str(id), name, count) for id, name, count in self.choices.agents]
        others = sorted({*self.address.agent} - {id for id, _, _ in found})
        return [
            *sorted(found, key=lambda one: one[1].casefold()),
            *((id, _("Agent without requests"), 0) for id in others),
        ]

    @property
    def kind_options(self) -> list[tuple[str, str, int]]:
        """Return the kinds that the filter offers, with the chosen ones that wait no longer.

        The words for a kind are those of the requester, except for what is not an approval.
        """
        words = {
            RequestKind.EXEC: _("Command"),
            RequestKind.PLUGIN: _("Action of a plugin"),
            RequestKind.QUESTION: _("Question"),
            inbox.ONBOARDING: _("Setup"),
        }
        found = dict.fromkeys(self.address.kind, 0) | dict(self.choices.kinds)
        return [(kind, words.get(kind, kind), count) for kind, count in sorted(found.items())]

    @property
    def next_item(self) -> InboxItem | None:
        """Return the pending item of this page after the selected one."""
        item, rows = self.selected_item, self.rows
        following = 1 + next((at for at, row in enumerate(rows) if item and row.id == item.id), -1)
        return rows[following] if following < len(rows) else None

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
    counts: WaitingCounts | None = None,
    offline_after: timedelta = OFFLINE_AFTER,
) -> Inbox:
    """Load the inbox. Raises NotFound or Forbidden for the item `selected`.

    `counts` are those of `waiting_counts`, if they are loaded already.
    """
    chosen = selected or forms.parse_id(address.selected)
    if address.is_open:
        lists = await _load_waiting(
            source, member, address, chosen, counts=counts, offline_after=offline_after
        )
    else:
        summary = await inbox.load_inbox_summary(
            source, member, board_id=address.board_id, counts=counts, offline_after=offline_after
        )
        lists = _Lists(summary, *await _list_decided(source, member, address))
    summary, page = lists.summary, lists.page
    decided = await add_excerpts(source, lists.decided)
    items = [build_item(one, member) for one in page.items]
    shown = [row for item in items for row in item.equal_items]
    if selected is not None:
        selected_item = await _open_item(source, member, selected, shown, on_gateway=on_gateway)
    elif chosen is not None:
        selected_item = await _find_item(source, member, chosen, shown)
    else:
        selected_item = None
    selected_item = selected_item or _find_first(items, page, parse_key(address.before))
    is_row = any(one is selected_item for one in shown)  # of a list, without its content
    if selected_item is not None and selected_item.gateway_request is not None and is_row:
        selected_item = await _get_item(source, member, selected_item.id, on_gateway=True)
    first = page.items[0].key if page.items and page.offset else None
    needs_count = summary.counts.count(address.listed.board_ids)
    return Inbox(
        address=replace(address, start=format_key(first) if first else "", before=""),
        waiting=items,
        choices=lists.choices,
        page=page,
        needs_count=needs_count,
        decided=decided,
        decided_count=lists.decided_count,
        decided_total=summary.decided_total,
        selected_item=selected_item,
        approval_view=await _load_view(
            source, member, selected_item, summary.writable_board_ids, address
        ),
        selectable_ids=_list_selectable(shown, member, summary.writable_board_ids),
        view=view,
        chosen_boards=await load_chosen(
            source, member, PickerKind.BOARDS, "board", forms.Form(), address.board
        ),
        elsewhere_count=summary.counts.total - needs_count,
        limited_agents=summary.limited_agents,
        uncalled_agents=summary.uncalled_agents,
        errors=errors or {},
        waits=await _list_waits(source, shown),
    )


@dataclass(frozen=True)
class _Lists:
    """What the lists of one state contain."""

    summary: InboxSummary
    decided: list[InboxItem]
    decided_count: int  # on all pages
    page: WaitingPage = EMPTY_PAGE
    choices: FilterChoices = NO_CHOICES


async def _load_waiting(
    source: Source,
    member: Member,
    address: InboxAddress,
    chosen: UUID | None,
    *,
    counts: WaitingCounts | None,
    offline_after: timedelta,
) -> _Lists:
    """Load what waits, and without a filter what was decided today."""
    before = parse_key(address.before)
    found = await inbox.load_waiting_items(
        source,
        member,
        WaitingPaging(
            PAGE_SIZE,
            start=before or parse_key(address.start) or FIRST_KEY,
            is_before=before is not None,
            selected_id=chosen,
            opened_hash=address.group,
        ),
        address.listed,
        WaitingOrder(address.order),
        counts=counts,
        offline_after=offline_after,
    )
    decided: list[InboxItem] = []
    if not address.filter_count:  # it would not apply to them
        decided += [InboxItem(approval=one) for one in found.decided_approvals]
        decided += [InboxItem(gateway_request=one) for one in found.answered_requests]
        decided.sort(key=lambda one: one.decided_at, reverse=True)
    return _Lists(found.summary, decided, len(decided), found.page, found.choices)


def _find_first(
    items: Sequence[InboxItem], page: WaitingPage, before: WaitingKey | None
) -> InboxItem | None:
    """Return the first item of a page, or the last one that precedes `before`."""
    if not items:
        return None
    earlier = [one for one in page.items if before and one.key < before]
    return items[max(0, len(earlier) - 1)]


async def _list_waits(source: Source, rows: Iterable[InboxItem]) -> Mapping[UUID, WaitState]:
    """Return who waits for the tool calls of rows, by approval."""
    shown = (row.approval.approval for row in rows if row.approval)
    return await tool_calls.list_waiting(source, [one.id for one in shown if one.is_tool_call])


async def add_excerpts(source: Source, decided: Sequence[InboxItem]) -> list[InboxItem]:
    """Return decided items, tool calls with the beginning of their input."""
    excerpts = await load_excerpts(source, [one.approval for one in decided])
    return [replace(one, excerpt=excerpts.get(one.id, "")) for one in decided]


async def load_rows(
    source: Source, member: Member, address: InboxAddress, ids: Sequence[UUID]
) -> Inbox:
    """Load the rows of approvals that have changed: those that wait, and those that are decided."""
    order = WaitingOrder(address.order)
    found = await inbox.load_some_items(source, member, address.listed, order, ids)
    waiting = [build_item(one, member) for one in found.items]
    decided: list[InboxItem] = []
    for id in ids if not address.filter_count else ():
        with suppress(AppError):
            one = await _get_item(source, member, id, on_gateway=False)
            is_listed = address.board_id in (None, one.approval.board.id if one.approval else None)
            if one.approval and not one.approval.is_undecided and is_listed:
                decided.append(one)
    decided = await add_excerpts(source, decided)
    shown = _build_some(found, member, address, waiting, decided)
    return replace(shown, waits=await _list_waits(source, waiting))


async def load_next(
    source: Source,
    member: Member,
    address: InboxAddress,
    following: Sequence[NextItem],
    *,
    view: str,
) -> Inbox:
    """Load the first of two items, which follow each other, to show it after a decision.

    Of the lists nothing else is loaded.
    """
    ids = [one.id for one in following]
    order = WaitingOrder(address.order)
    found = await inbox.load_some_items(source, member, address.listed, order, ids)
    listed = {one.id: one for one in (build_item(one, member) for one in found.items)}
    waiting = [
        listed.get(one.id) or await _get_item(source, member, one.id, on_gateway=one.is_request)
        for one in following
    ]
    selected, place = waiting[0], found.places.get(ids[0])
    writable = found.writable_board_ids
    shown = _build_some(found, member, replace(address, before=""), waiting if place else [], [])
    return replace(
        shown,
        page=replace(shown.page, offset=place - 1 if place else 0),
        selected_item=selected,
        approval_view=await _load_view(source, member, selected, writable, address),
        view=view,
        waits=await _list_waits(source, shown.waiting),
    )


def _build_some(
    found: SomeItems,
    member: Member,
    address: InboxAddress,
    waiting: list[InboxItem],
    decided: list[InboxItem],
) -> Inbox:
    """Build an inbox that contains some rows only."""
    return Inbox(
        address=address,
        waiting=waiting,
        choices=NO_CHOICES,
        page=replace(EMPTY_PAGE, total=found.total),
        needs_count=found.counts.count(address.listed.board_ids),
        decided=decided,
        decided_count=len(decided),
        decided_total=found.decided_total,
        selected_item=None,
        approval_view=None,
        selectable_ids=_list_selectable(waiting, member, found.writable_board_ids),
        view="list",
    )


async def _load_view(
    source: Source,
    member: Member,
    item: InboxItem | None,
    writable: set[UUID],
    address: InboxAddress,
) -> ApprovalView | None:
    """Load what is shown of the selected item, if it is an approval."""
    if item is None or item.approval is None:
        return None
    complete = address.all == 1
    [view] = await load_approval_views(source, member, [item.approval], writable, complete=complete)
    if item.approval.approval.is_tool_call:
        view = replace(view, tool_call=await load_tool_call(source, member, item.approval))
    note = approvals.find_undone_note(item.approval.approval, member.user)
    if not item.approval.is_undecided:
        return replace(view, undone_note=note)
    texts = {one.detail.task.id: one.detail.task.description or "" for one in view.tasks}
    evidence = await load_evidence_views(source, item.approval, texts)
    return replace(view, undone_note=note, evidence=evidence)


def _list_selectable(rows: Iterable[InboxItem], member: Member, writable: set[UUID]) -> set[UUID]:
    """Return the approvals that can be selected: who may approve them sees a checkbox.

    It needs the hash of the content. Of a tool call the list shows only the beginning.
    """
    shown = (one.approval for one in rows if one.approval and one.approval.approval.action_hash)
    return {
        one.approval.id
        for one in shown
        if not one.approval.is_tool_call
        and build_decision_rights(one, member, writable).can_approve
    }


async def _list_decided(
    source: Source, member: Member, address: InboxAddress
) -> tuple[list[InboxItem], int]:
    board_id, paging = address.board_id, Paging(PAGE_SIZE, address.offset)
    if address.state == "gateways":
        ended = await requests.list_ended_requests(source, member, paging, board_id=board_id)
        return [InboxItem(gateway_request=one) for one in ended.items], ended.total
    page = await approvals.list_decided_approvals(source, member, paging, board_id=board_id)
    return [InboxItem(approval=one) for one in page.items], page.total


async def _get_item(source: Source, member: Member, id: UUID, *, on_gateway: bool) -> InboxItem:
    if on_gateway:
        return InboxItem(gateway_request=await requests.get_request(source, member.user, id))
    return InboxItem(approval=await approvals.get_member_approval(source, member, id))


async def _open_item(
    source: Source, member: Member, id: UUID, shown: Sequence[InboxItem], *, on_gateway: bool
) -> InboxItem:
    """Return the item of a path. Raises NotFound or Forbidden."""
    for one in shown:
        if one.id == id and (one.gateway_request if on_gateway else one.approval):
            return one
    return await _get_item(source, member, id, on_gateway=on_gateway)


async def _find_item(
    source: Source, member: Member, id: UUID, shown: Sequence[InboxItem]
) -> InboxItem | None:
    """Return the item that was selected before, even if no list contains it now.

    Questions that were answered, and onboardings that are over, are not found.
    """
    for one in shown:
        if one.id == id:
            return one
    for on_gateway in (False, True):
        with suppress(AppError):
            return await _get_item(source, member, id, on_gateway=on_gateway)
    return None
