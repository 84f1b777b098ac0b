"""What "Needs you" shows: which questions wait, what was decided, and one of them in full."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from starlette.requests import Request

from kit.clock import now
from kit.http import Session
from kit.paging import Paging
from services import approvals, boards, tasks
from services.approvals import ApprovalDetail
from services.tasks import TaskDetail
from web import forms
from web.auth import member_of
from web.payloads import Payload, read

LOW = 80  # of 100: whoever is less sure is looked at once more
MOST_TASKS = 5  # of which the detail says what waits for them
DECIDED = 50  # answers on a page
MICROSECONDS = 1_000_000


@dataclass(frozen=True)
class InboxAddress:
    """Which questions are listed. New ones, asked after `until`, are only counted."""

    state: str = "waiting"  # or decided
    board: str = ""
    until: int = 0  # microseconds since 1970; 0 for now
    selected: str = ""
    offset: int = 0

    @classmethod
    def of(cls, request: Request) -> "InboxAddress":
        """Read the address of a request. What makes no sense counts as not there."""
        given = request.query_params
        return cls(
            state="decided" if given.get("state") == "decided" else "waiting",
            board=str(forms.id_in(given.get("board")) or ""),
            until=forms.number_in(given.get("until")),
            selected=str(forms.id_in(given.get("selected")) or ""),
            offset=forms.number_in(given.get("offset")) % MICROSECONDS,
        )

    @property
    def query(self) -> str:
        """The address's query, with its question mark, "" if there is nothing to say."""
        said = {name: value for name, value in vars(self).items() if value and value != "waiting"}
        return f"?{urlencode(said)}" if said else ""

    def but(self, **changes: Any) -> str:
        """Return the query of an address that differs in a few things."""
        return replace(self, **changes).query

    @property
    def board_id(self) -> UUID | None:
        """The board whose questions are listed, None for all."""
        return forms.id_in(self.board)


@dataclass(frozen=True)
class Question:
    """A question in full: what it says, what hangs on it, and what the person may do."""

    detail: ApprovalDetail
    payload: Payload
    tasks: list[TaskDetail]
    can_write: bool

    @property
    def id(self) -> UUID:
        """The id of the question."""
        return self.detail.approval.id


@dataclass(frozen=True)
class Inbox:
    """The lists beside a question."""

    address: InboxAddress
    waiting: list[ApprovalDetail]
    new: int  # questions that came after the page was opened
    decided: list[ApprovalDetail]
    decided_count: int
    selected: Question | None
    writable: set[UUID]  # the boards on which the person may answer
    view: str  # what a phone shows: list or detail
    problems: dict[UUID, str] = field(default_factory=dict)  # why an answer was refused

    @property
    def position(self) -> int:
        """Where the selected question stands among those that wait, from 1; 0 if it doesn't."""
        ids = [one.approval.id for one in self.waiting]
        if self.selected is None or self.selected.id not in ids:
            return 0
        return ids.index(self.selected.id) + 1

    @property
    def following(self) -> ApprovalDetail | None:
        """The question that waits after the selected one."""
        return self.waiting[self.position] if self.position < len(self.waiting) else None

    @property
    def path(self) -> str:
        """The address of what is shown."""
        here = f"/approvals/{self.selected.id}" if self.view == "detail" and self.selected else ""
        return (here or "/approvals") + self.address.but(selected="")

    @property
    def part(self) -> str:
        """Where what is shown is fetched from again: with the same question, and no new ones."""
        return self._again(self.address)

    @property
    def fresh(self) -> str:
        """Where it is fetched from with the new ones, and the same question."""
        return self._again(replace(self.address, until=0))

    def _again(self, address: InboxAddress) -> str:
        selected = str(self.selected.id) if self.selected and self.view == "list" else ""
        return self.path.partition("?")[0] + address.but(selected=selected)


async def look(
    request: Request,
    session: Session,
    *,
    selected: UUID | None = None,
    view: str = "list",
    problems: dict[UUID, str] | None = None,
) -> Inbox:
    """Load what "Needs you" shows. Raises NotFound or Forbidden for a question in the address."""
    member, address = member_of(request), InboxAddress.of(request)
    waiting = await approvals.waiting(session, member, board_id=address.board_id)
    shown, new = _until(list(waiting), address.until, selected)
    decided, count = await _decided(request, session, address)
    wanted = selected or forms.id_in(address.selected)
    first = shown[0] if shown and address.state == "waiting" else None
    detail = await approvals.detail_for(session, member, wanted) if wanted else first
    writable = set(await boards.writable_ids(session, request.user))
    return Inbox(
        address=replace(address, until=address.until or _micro(now())),
        waiting=shown,
        new=new,
        decided=decided,
        decided_count=count,
        selected=await _question(session, detail, writable) if detail else None,
        writable=writable,
        view=view,
        problems=problems or {},
    )


async def next_after(
    request: Request, session: Session, answered: ApprovalDetail
) -> ApprovalDetail | None:
    """Return the question that is looked at after one was answered."""
    address = InboxAddress.of(request)
    waiting = await approvals.waiting(session, member_of(request), board_id=address.board_id)
    shown, _ = _until(list(waiting), address.until, None)
    older = (one for one in shown if one.approval.created_at < answered.approval.created_at)
    return next(older, shown[0] if shown else None)


def _until(
    waiting: list[ApprovalDetail], until: int, selected: UUID | None
) -> tuple[list[ApprovalDetail], int]:
    """Hold back what came after `until`, but not if nothing else is there to be seen."""
    shown = [
        one
        for one in waiting
        if not until or _micro(one.approval.created_at) <= until or one.approval.id == selected
    ]
    return (shown, len(waiting) - len(shown)) if shown else (waiting, 0)


async def _decided(
    request: Request, session: Session, address: InboxAddress
) -> tuple[list[ApprovalDetail], int]:
    member = member_of(request)
    if address.state == "waiting":
        today = await approvals.decided_today(session, member, board_id=address.board_id)
        return list(today), len(today)
    paging = Paging(DECIDED, address.offset)
    page = await approvals.decided(session, member, paging, board_id=address.board_id)
    return list(page.items), page.total


async def _question(session: Session, detail: ApprovalDetail, writable: set[UUID]) -> Question:
    ids = [task.id for task in detail.tasks[:MOST_TASKS]]
    found = await tasks.details_of(session, detail.board, ids)
    about = [found[id] for id in ids if id in found]
    return Question(detail, read(detail.approval), about, detail.board.id in writable)


def _micro(moment: datetime) -> int:
    return int(moment.timestamp() * MICROSECONDS)
