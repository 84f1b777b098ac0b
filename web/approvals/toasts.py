"""Toasts about decisions. One toast undoes a series of decisions.

A toast replaces older ones that are only about approvals which it is `about` too.
"""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from core.errors import AppError
from models import ApprovalStatus
from services import approvals
from services.approvals import ApprovalDetail, DecisionResult
from web.approvals.sentences import describe_lapses, describe_question
from web.ui import forms
from web.ui.locale_format import describe_error
from web.ui.translation import _, ngettext

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
    id, question = detail.approval.id, describe_question(detail)
    if detail.is_undecided and (lapses := describe_lapses(detail)):
        text = _(
            "%(reason)s Your approval is now the first of two: %(question)s",
            reason=lapses,
            question=question,
        )
        return {"text": text, "undo": f"/approvals/{id}/undoings", "about": [id]}
    if detail.is_undecided:
        text = _("You approved: %(question)s One more person must approve it.", question=question)
        return {"text": text, "undo": f"/approvals/{id}/undoings", "about": [id]}
    if detail.shown_status is ApprovalStatus.APPROVED:
        text = _("Approved. %(question)s", question=question)
    else:
        text = _("Rejected. %(question)s", question=question)
    if not detail.can_undo:
        return {"text": text, "about": [id]}
    return {"text": text, "undo": f"/approvals/{id}/undoings", "series": str(id), "about": [id]}


def build_series_toast(details: Sequence[ApprovalDetail]) -> Toast:
    """Build a toast that undoes several decisions together: "2 approved, 1 rejected"."""
    approved = sum(one.shown_status is ApprovalStatus.APPROVED for one in details)
    rejected = len(details) - approved
    if approved and rejected:
        text = _(
            "%(approved)d approved, %(rejected)d rejected", approved=approved, rejected=rejected
        )
    else:
        text = _describe_count(approved or rejected, is_approved=bool(approved))
    ids = [one.approval.id for one in details]
    return {"text": text, "undo": "/approvals/undoings", "series": _join_ids(ids), "about": ids}


def build_undo_toast(results: Sequence[tuple[UUID, AppError | None]]) -> Toast:
    """Build the toast after several decisions were undone, as far as they were not final."""
    ids, errors = [id for id, _error in results], [error for _id, error in results if error]
    count = len(results) - len(errors)
    if not errors:
        text = ngettext("%(num)d undone. Pending again.", "%(num)d undone. Pending again.", count)
        return {"text": text, "about": ids}
    others = [one for one in errors if one.code != "too_late_to_undo"]
    if final := len(errors) - len(others):
        text = ngettext(
            "Undid %(done)d of %(total)d; %(num)d was final.",
            "Undid %(done)d of %(total)d; %(num)d were final.",
            final,
            done=count,
            total=len(results),
        )
    else:
        text = _("Undid %(done)d of %(total)d.", done=count, total=len(results))
    reasons = sorted({describe_error(error) for error in others})
    return {"text": " ".join([text, *reasons]), "tone": "danger", "about": ids}


def build_bulk_toast(
    results: Sequence[DecisionResult], status: ApprovalStatus, earlier: Sequence[ApprovalDetail]
) -> Toast:
    """Build the toast after a decision about several approvals, with the reasons of failed ones."""
    succeeded = [one.detail for one in results if one.detail]
    decided = [one for one in succeeded if not one.is_undecided]
    undoable = [one for one in decided if one.can_undo]
    reasons = sorted({describe_error(one.error) for one in results if one.error})
    reasons += sorted({lapses for one in succeeded if (lapses := describe_lapses(one))})
    if first := len(succeeded) - len(decided):
        reasons.append(
            ngettext(
                "You approved %(num)d, and one more person must approve it.",
                "You approved %(num)d, and one more person must approve them.",
                first,
            )
        )
    if not reasons and len(undoable) == len(decided):
        ids = {one.approval.id for one in undoable}
        return build_series_toast(
            [*(one for one in earlier if one.approval.id not in ids), *undoable]
        )
    is_approved = status is ApprovalStatus.APPROVED
    text = _describe_count(len(decided), is_approved=is_approved)
    if reasons:
        text = _describe_share(len(decided), len(results), is_approved=is_approved)
        text = " ".join([text, *reasons])
    about = [one.approval.id for one in succeeded]
    if not undoable:
        return {"text": text, "about": about}
    # It stays apart from the series, whose text would not fit to its reasons.
    fields = {"series": _join_ids(one.approval.id for one in undoable)}
    return {"text": text, "undo": "/approvals/undoings", "fields": fields, "about": about}


def _describe_count(count: int, *, is_approved: bool) -> str:
    if is_approved:
        return ngettext("%(num)d approved", "%(num)d approved", count)
    return ngettext("%(num)d rejected", "%(num)d rejected", count)


def _describe_share(done: int, total: int, *, is_approved: bool) -> str:
    if is_approved:
        return _("%(done)d of %(total)d approved.", done=done, total=total)
    return _("%(done)d of %(total)d rejected.", done=done, total=total)


def _join_ids(ids: Iterable[UUID]) -> str:
    return ",".join(map(str, ids))
