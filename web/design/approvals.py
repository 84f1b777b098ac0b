"""Example approvals for the page of all components: pending, of others, changed, and decided."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from core.clock import now
from models import Agent, Approval, ApprovalStatus, PolicyEffect, PolicyVerdict, User
from services.approvals import ApprovalDetail, LinkedTask
from web.approvals.payload import parse_payload
from web.approvals.presenter import ApprovalView, DecisionRights
from web.design.examples import BOARD_ID, build_board, minutes_ago
from web.ui.forms import Form

DIFF = """--- a/CHANGELOG.md
+++ b/CHANGELOG.md
@@ -1,4 +1,5 @@
 # Changes
-## 2.4 (unreleased)
+## 2.4
+Webhooks of version 1 stop on 1 March.
 ## 2.3
"""
ALL_DECISIONS = (ApprovalStatus.APPROVED, ApprovalStatus.REJECTED)
MAY_DECIDE = DecisionRights(
    can_write=True,
    can_approve=True,
    allowed=ALL_DECISIONS,
    is_first_approver=False,
    has_approved=False,
)
READ_ONLY = DecisionRights(
    can_write=False,
    can_approve=False,
    allowed=ALL_DECISIONS,
    is_first_approver=False,
    has_approved=False,
)


@dataclass(frozen=True)
class ShownApproval:
    """An approval and the form that decides it."""

    view: ApprovalView
    form: Form


def build_approvals(agent: Agent, user: User) -> list[ShownApproval]:
    """Build an approval in each state; the first one waits for the viewer."""
    two = PolicyVerdict(effect=PolicyEffect.ASK_TWO, rule_name="Two people for a release")
    devi = User(id=UUID(int=4), name="Devi Rao", email="devi@example.com")
    conflict = Form()
    conflict.problem = "Devi Rao has rejected this already."
    decided: dict[str, Any] = {"status": ApprovalStatus.APPROVED, "resolved_at": minutes_ago(180)}
    rejected: dict[str, Any] = decided | {
        "status": ApprovalStatus.REJECTED,
        "decided_by_user_id": devi.id,
    }
    undoable: dict[str, Any] = {"decided_status": ApprovalStatus.REJECTED, "decided_at": now()}
    scores = {"Completeness": 92, "Risk": 64}
    changes = {"changes": {"canary": {"from": "5 %", "to": "25 %"}}, "region": "eu-west"}
    return [
        _build_approval(70, "notes.publish", agent, payload={"diff": DIFF}, rubric_scores=scores),
        _build_approval(
            71,
            "canary.raise",
            agent,
            payload=changes,
            policy_verdict=two,
            confidence=74.0,
            expires_at=now(),
        ),
        _build_approval(72, "key.revoke", agent, rights=READ_ONLY, confidence=0.9),
        _build_approval(73, "build.deploy", agent, devi, form=conflict, **rejected),
        _build_approval(74, "notice.send", agent, user, **undoable, decided_by_user_id=user.id),
        _build_approval(76, "matrix.merge", agent, devi, **decided, decided_by_user_id=devi.id),
        _build_approval(
            75, "cache.clear", agent, **decided, is_decided_by_policy=True, policy_verdict=two
        ),
    ]


def _build_approval(
    number: int,
    kind: str,
    agent: Agent,
    decider: User | None = None,
    *,
    rights: DecisionRights = MAY_DECIDE,
    form: Form | None = None,
    payload: dict[str, Any] | None = None,
    **fields: Any,
) -> ShownApproval:
    defaults: dict[str, Any] = {
        "confidence": 92.0,
        "status": ApprovalStatus.PENDING,
        "policy_verdict": PolicyVerdict(),
        "created_at": minutes_ago(12),
    }
    approval = Approval(
        id=UUID(int=number),
        board_id=BOARD_ID,
        task_id=UUID(int=39),
        agent_id=agent.id,
        action_type=kind,
        payload={"reason": "All checks are green, and the notes were read twice."}
        | (payload or {}),
        **(defaults | fields),
    )
    task = LinkedTask(UUID(int=39), "Publish the 2.4 release notes")
    detail = ApprovalDetail(approval, build_board(), agent, decider, None, None, [task])
    return ShownApproval(ApprovalView(detail, parse_payload(detail), [], rights), form or Form())
