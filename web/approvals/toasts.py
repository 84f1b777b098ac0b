"""Toasts about decisions. One toast undoes a series of decisions."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from models import ApprovalStatus
from services import approvals
from services.approvals import ApprovalDetail, DecisionResult
from web.ui import forms

Toast = dict[str, Any]


def parse_series(text: str) -> list[UUID]:
    """Parse ids separated by commas; what is not an id is ignored."""
    found = map(forms.parse_id, text.split(",")[: approvals.MAX_DECISIONS])
    return list(dict.fromkeys(id for id in found if id is not None))


def build_decision_toast(detail: ApprovalDetail, earlier: Sequence[ApprovalDetail] = ()) -> Toast:
    """Build a toast that undoes a decision together with the earlier ones of its series."""
    others = [one for one in earlier if one.approval.id != detail.approval.id]
    if others and detail.can_undo:
        return build_series_toast([*others, detail])
    id = detail.approval.id
    if detail.is_undecided:
        text = "Approved by you. One more person must approve it."
        return {"text": text, "undo": f"/approvals/{id}/undoings"}
    text = f"{detail.shown_status.value.capitalize()}. {detail.question}"
    if not detail.can_undo:
        return {"text": text}
    return {"text": text, "undo": f"/approvals/{id}/undoings", "series": str(id)}


def build_series_toast(details: Sequence[ApprovalDetail]) -> Toast:
    """Build a toast that undoes several decisions together: "2 approved, 1 rejected"."""
    counts = {
        status: sum(one.shown_status is status for one in details)
        for status in (ApprovalStatus.APPROVED, ApprovalStatus.REJECTED)
    }
    text = ", ".join(f"{count} {status.value}" for status, count in counts.items() if count)
    return {"text": text, "undo": "/approvals/undoings", "series": _join_ids(details)}


def build_bulk_toast(
    results: Sequence[DecisionResult], status: str, earlier: Sequence[ApprovalDetail]
) -> Toast:
    """Build the toast after a decision about several approvals, with the reasons of failed ones."""
    succeeded = [one.detail for one in results if one.detail]
    decided = [one for one in succeeded if not one.is_undecided]
    undoable = [one for one in decided if one.can_undo]
    reasons = sorted({one.error.message for one in results if one.error})
    if first := len(succeeded) - len(decided):
        reasons.append(f"{first} approved by you, and one more person must approve.")
    if not reasons and len(undoable) == len(decided):
        ids = {one.approval.id for one in undoable}
        return build_series_toast(
            [*(one for one in earlier if one.approval.id not in ids), *undoable]
        )
    count = f"{len(decided)} of {len(results)}" if reasons else f"{len(decided)}"
    text = f"{count} {status}" + (f". {' '.join(reasons)}" if reasons else "")
    if not undoable:
        return {"text": text}
    # It stays apart from the series, whose text would not fit to its reasons.
    return {"text": text, "undo": "/approvals/undoings", "fields": {"series": _join_ids(undoable)}}


def _join_ids(details: Sequence[ApprovalDetail]) -> str:
    return ",".join(str(one.approval.id) for one in details)
