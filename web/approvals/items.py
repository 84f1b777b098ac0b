"""Items of the inbox "Needs you"."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from models import Board, Member
from services.approvals import ApprovalDetail, has_approved_first
from services.gateways.requests import RequestDetail
from services.inbox import WaitingItem
from services.onboarding import PendingOnboarding
from services.questions import QuestionDetail
from web.approvals.query_parameters import format_key
from web.approvals.sentences import describe_question, describe_reason, describe_requester


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
    equal_count: int = 1  # equal requests that the item stands for, with this one
    equal: Sequence["InboxItem"] = ()  # the others, if they are shown

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
        """Return the reason of an approval."""
        return describe_reason(self.approval) if self.approval else ""

    @property
    def requester_name(self) -> str:
        """Return the name of the agent or user who requested an approval."""
        return describe_requester(self.approval) if self.approval else ""

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
