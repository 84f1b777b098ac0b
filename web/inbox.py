"""What "Needs you" shows: which questions wait, what was decided, and one of them in full."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from starlette.requests import Request

from services.approvals import ApprovalDetail
from services.gateway_requests import RequestDetail
from services.onboarding import Waiting
from services.tasks import TaskDetail
from web import forms
from web.payloads import Payload

LOW = 80  # of 100: whoever is less sure is looked at once more
DECIDED = 50  # answers on a page
OVER = ("decided", "gateways")
MICROSECONDS = 1_000_000


@dataclass(frozen=True)
class InboxAddress:
    """Which questions are listed. New ones, asked after `until`, are only counted."""

    state: str = "waiting"  # or decided, or gateways: what was decided there
    board: str = ""
    until: int = 0  # microseconds since 1970; 0 for now
    selected: str = ""
    offset: int = 0

    @classmethod
    def of(cls, request: Request) -> "InboxAddress":
        """Read the address of a request. What makes no sense counts as not there."""
        given = request.query_params
        return cls(
            state=given.get("state", "") if given.get("state") in OVER else "waiting",
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
class Row:
    """What an agent asks, as it is listed: by the API, on a gateway, or as it sets a board up."""

    approval: ApprovalDetail | None = None
    request: RequestDetail | None = None
    setting_up: Waiting | None = None

    @property
    def id(self) -> UUID:
        """The id of what is asked."""
        if self.setting_up is not None:
            return self.setting_up.id
        if self.request is not None:
            return self.request.request.id
        assert self.approval is not None
        return self.approval.approval.id

    @property
    def asked_at(self) -> datetime:
        """Since when it waits, for all we know."""
        if self.setting_up is not None:
            return self.setting_up.since
        if self.request is not None:
            return self.request.request.created_at
        assert self.approval is not None
        return self.approval.approval.created_at

    @property
    def decided_at(self) -> datetime:
        """When it was answered."""
        if self.request is not None:
            row = self.request.request
            return row.answered_at or row.ended_at or row.created_at
        assert self.approval is not None
        approval = self.approval.approval
        return approval.decided_at or approval.resolved_at or approval.created_at

    @property
    def path(self) -> str:
        """The address of its page."""
        if self.setting_up is not None:
            there = f"/boards/{self.setting_up.board.id}/onboarding"
            return f"{there}/review" if self.setting_up.wants == "review" else there
        return f"/approvals/requests/{self.id}" if self.request else f"/approvals/{self.id}"


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
    waiting: list[Row]
    new: int  # questions that came after the page was opened
    decided: list[Row]
    decided_count: int
    opened: Row | None  # what is shown in full
    selected: Question | None  # the same, where an agent asks by the API
    writable: set[UUID]  # the boards on which the person may answer
    view: str  # what a phone shows: list or detail
    problems: dict[UUID, str] = field(default_factory=dict)  # why an answer was refused

    @property
    def asked(self) -> RequestDetail | None:
        """What is shown in full, where an agent on a gateway asks."""
        return self.opened.request if self.opened else None

    @property
    def setting_up(self) -> Waiting | None:
        """What is shown in full, where an agent that sets a board up asks."""
        return self.opened.setting_up if self.opened else None

    @property
    def position(self) -> int:
        """Where the selected question stands among those that wait, from 1; 0 if it doesn't."""
        ids = [one.id for one in self.waiting]
        if self.opened is None or self.opened.id not in ids:
            return 0
        return ids.index(self.opened.id) + 1

    @property
    def following(self) -> Row | None:
        """The question that waits after the selected one."""
        return self.waiting[self.position] if self.position < len(self.waiting) else None

    @property
    def path(self) -> str:
        """The address of what is shown."""
        here = self.opened.path if self.view == "detail" and self.opened else "/approvals"
        return here + self.address.but(selected="")

    @property
    def part(self) -> str:
        """Where what is shown is fetched from again: with the same question, and no new ones."""
        return self._again(self.address)

    @property
    def fresh(self) -> str:
        """Where it is fetched from with the new ones, and the same question."""
        return self._again(replace(self.address, until=0))

    def _again(self, address: InboxAddress) -> str:
        kept = self.opened and self.view == "list" and not self.setting_up
        selected = str(self.opened.id) if self.opened and kept else ""
        return self.path.partition("?")[0] + address.but(selected=selected)
