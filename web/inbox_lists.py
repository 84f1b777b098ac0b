"""Loading what "Needs you" shows: its lists, and one question in full."""

from dataclasses import replace
from datetime import datetime, time
from uuid import UUID

from starlette.requests import Request

from kit.clock import now
from kit.errors import Refusal
from kit.http import Session
from kit.paging import Paging
from models import Member
from services import approvals, boards, gateway_requests, onboarding, tasks
from services.approvals import ApprovalDetail
from web import ages
from web.auth import member_of
from web.inbox import DECIDED, MICROSECONDS, Inbox, InboxAddress, Question, Row
from web.payloads import read

MOST_TASKS = 5  # of which the detail says what waits for them


async def look(
    request: Request,
    session: Session,
    *,
    selected: UUID | None = None,
    there: bool = False,
    view: str = "list",
    problems: dict[UUID, str] | None = None,
) -> Inbox:
    """Load what "Needs you" shows. Raises NotFound or Forbidden for a question in the address.

    `selected` is shown in full; `there` says that it is asked on a gateway.
    """
    member, address = member_of(request), InboxAddress.of(request)
    shown, new = _until(await _waiting(session, member, address), address.until, selected)
    decided, count = await _decided(session, member, address)
    opened = shown[0] if shown and address.state == "waiting" else None
    if selected is not None:
        opened = await _opened(session, member, selected, there=there)
    elif address.selected:
        opened = await _still(session, member, UUID(address.selected), [*shown, *decided])
    writable = set(await boards.writable_ids(session, request.user))
    approval = opened.approval if opened else None
    return Inbox(
        address=replace(address, until=address.until or _micro(now())),
        waiting=shown,
        new=new,
        decided=decided,
        decided_count=count,
        opened=opened,
        selected=await _question(session, approval, writable) if approval else None,
        writable=writable,
        view=view,
        problems=problems or {},
    )


async def next_after(request: Request, session: Session, asked_at: datetime) -> Row | None:
    """Return the question that is looked at after one was answered."""
    address = InboxAddress.of(request)
    waiting = await _waiting(session, member_of(request), address)
    shown, _ = _until(waiting, address.until, None)
    shown = [one for one in shown if not one.setting_up]  # that is answered on a page of its own
    older = (one for one in shown if one.asked_at < asked_at)
    return next(older, shown[0] if shown else None)


async def _waiting(session: Session, member: Member, address: InboxAddress) -> list[Row]:
    """Return what waits for an answer: here, on gateways, where boards are set up; newest first."""
    asked = await approvals.waiting(session, member, board_id=address.board_id)
    there = await gateway_requests.waiting(session, member, board_id=address.board_id)
    set_up = await onboarding.waiting(session, member, board_id=address.board_id)
    rows = [Row(approval=one) for one in asked] + [Row(request=one) for one in there]
    rows += [Row(setting_up=one) for one in set_up]
    return sorted(rows, key=lambda row: row.asked_at, reverse=True)


def _until(rows: list[Row], until: int, selected: UUID | None) -> tuple[list[Row], int]:
    """Hold back what came after `until`, but not if nothing else is there to be seen."""
    shown = [
        row for row in rows if not until or _micro(row.asked_at) <= until or row.id == selected
    ]
    return (shown, len(rows) - len(shown)) if shown else (rows, 0)


async def _decided(
    session: Session, member: Member, address: InboxAddress
) -> tuple[list[Row], int]:
    board_id, paging = address.board_id, Paging(DECIDED, address.offset)
    if address.state == "waiting":
        today = await _decided_today(session, member, board_id)
        return today, len(today)
    if address.state == "gateways":
        over = await gateway_requests.over(session, member, paging, board_id=board_id)
        return [Row(request=one) for one in over.items], over.total
    page = await approvals.decided(session, member, paging, board_id=board_id)
    return [Row(approval=one) for one in page.items], page.total


async def _decided_today(session: Session, member: Member, board_id: UUID | None) -> list[Row]:
    """Return what was answered since midnight, where the person lives, last answer first."""
    zone = ages.zone(member.user.timezone)
    midnight = ages.moment_of(now().astimezone(zone).date(), time.min, zone) or now()
    asked = await approvals.decided_today(session, member, board_id=board_id)
    there = await gateway_requests.answered_since(session, member, midnight, board_id=board_id)
    rows = [Row(approval=one) for one in asked] + [Row(request=one) for one in there]
    return sorted(rows, key=lambda row: row.decided_at, reverse=True)


async def _opened(session: Session, member: Member, id: UUID, *, there: bool) -> Row:
    if there:
        return Row(request=await gateway_requests.found(session, member.user, id))
    return Row(approval=await approvals.detail_for(session, member, id))


async def _still(session: Session, member: Member, id: UUID, listed: list[Row]) -> Row | None:
    """Return what was shown beside the lists before, also where it is in none of them now."""
    for row in listed:
        if row.id == id:
            return row
    try:
        return await _opened(session, member, id, there=False)
    except Refusal:
        return await _opened(session, member, id, there=True)


async def _question(session: Session, detail: ApprovalDetail, writable: set[UUID]) -> Question:
    ids = [task.id for task in detail.tasks[:MOST_TASKS]]
    found = await tasks.details_of(session, detail.board, ids)
    about = [found[id] for id in ids if id in found]
    return Question(detail, read(detail.approval), about, detail.board.id in writable)


def _micro(moment: datetime) -> int:
    return int(moment.timestamp() * MICROSECONDS)
