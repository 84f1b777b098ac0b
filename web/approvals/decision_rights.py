"""Which decisions a member may make, and whom a policy lets decide."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from core.db.reads import Source
from models import ApprovalStatus, Member
from services import approvals, organizations, policies
from services.approvals import ApprovalDetail
from web.ui.translation import _, ngettext

MAX_NAMES = 5  # in a sentence


@dataclass(frozen=True)
class DecisionRights:
    """What a member may do with an approval: by the rights on the board and by the policy."""

    can_write: bool  # on the board
    can_approve: bool
    allowed: Collection[ApprovalStatus]  # by the policy
    is_first_approver: bool  # of two people
    has_approved: bool  # as the first of two people, and the content is the same
    decider_names: Sequence[str] = ()  # of the people whom the policy names and lets decide

    @property
    def can_reject(self) -> bool:
        """Return whether the member may reject the approval."""
        return self.can_write and ApprovalStatus.REJECTED in self.allowed

    @property
    def named_deciders(self) -> str:
        """Return the names of the people whom the policy names, as a phrase."""
        names = list(self.decider_names)
        if len(names) > MAX_NAMES:
            others = len(names) - MAX_NAMES + 1
            names[MAX_NAMES - 1 :] = [ngettext("%(num)d other", "%(num)d others", others)]
        first, last = ", ".join(names[:-1]), "".join(names[-1:])
        return _("%(names)s and %(last_name)s", names=first, last_name=last) if first else last

    @property
    def is_excluded(self) -> bool:
        """Return whether the policy leaves the approval to other people."""
        return ApprovalStatus.APPROVED not in self.allowed


def build_decision_rights(
    detail: ApprovalDetail,
    member: Member,
    writable: Collection[UUID],
    named: Sequence[Member] = (),
) -> DecisionRights:
    """Return the rights of a member of the organization. `named` are members named by policies."""
    can_write = detail.board.id in writable
    verdict = detail.approval.policy_verdict
    return DecisionRights(
        can_write=can_write,
        can_approve=can_write and approvals.may_approve(detail, member),
        allowed=approvals.list_allowed_decisions(detail, member),
        is_first_approver=detail.approval.first_approver_id == member.user_id,
        has_approved=approvals.has_approved_first(detail, member.user_id),
        decider_names=[
            one.user.display_name
            for one in named
            if one.user_id in verdict.decider_ids
            and policies.may_decide(verdict, one.user_id, one.role)
        ],
    )


def list_decidable_ids(
    details: Iterable[ApprovalDetail], member: Member, writable: Collection[UUID]
) -> set[UUID]:
    """Return the ids of the undecided approvals that wait for a member: who may approve them."""
    return {
        one.approval.id
        for one in details
        if build_decision_rights(one, member, writable).can_approve
    }


async def load_decision_rights(
    source: Source, member: Member, details: Sequence[ApprovalDetail], writable: Collection[UUID]
) -> dict[UUID, DecisionRights]:
    """Load the rights of a user on approvals of one organization, with one query for the names."""
    if not details:
        return {}
    organization_id = details[0].board.organization_id
    if organization_id != member.organization_id:  # an address can lead to another organization
        found = await organizations.find_membership(source, member.user, organization_id)
        assert found is not None  # the user sees the board
        member = found
    named_ids = {id for one in details for id in one.approval.policy_verdict.decider_ids}
    named = await policies.list_named_members(source, organization_id, named_ids)
    return {one.approval.id: build_decision_rights(one, member, writable, named) for one in details}
