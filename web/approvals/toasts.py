"""Toasts about decisions. One toast undoes a series of decisions.

A toast replaces older ones that are only about approvals which it is `about` too.
"""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from core.errors import AppError
from models import ApprovalStatus
from services import approvals, tool_calls
from services.approvals import ApprovalDetail, DecisionResult
from services.tool_calls import GrantScope
from web.approvals.sentences import describe_arrival, describe_lapses, describe_question
from web.ui import forms
from web.ui.locale_format import describe_error
from web.ui.text_display import reveal_text
from web.ui.translation import N_, _, ngettext

ALWAYS = "always"  # an answer to a tool call that also adds a rule

Toast = dict[str, Any]


def parse_series(text: str) -> list[UUID]:
    """Parse ids separated by commas; what is not an id is ignored."""
    found = map(forms.parse_id, text.split(",")[: approvals.MAX_DECISIONS])
    return list(dict.fromkeys(id for id in found if id is not None))


def build_decision_toast(
    detail: ApprovalDetail,
    earlier: Sequence[ApprovalDetail] = (),
    *,
    answer: str = "",
    is_awaited: bool = False,
) -> Toast:
    """Build a toast that undoes a decision together with the earlier ones of its series.

    An `answer` to a tool call that is more than a decision has a toast of its own, which says so.
    `is_awaited`: the client of a tool call waits for the decision, and gets it when it is final.
    """
    arrival = describe_arrival(detail) if is_awaited else ""
    undo = {"undo": f"/approvals/{detail.approval.id}/undoings"} if detail.can_undo else {}
    if detail.approval.is_tool_call and (more := _describe_lasting_answer(detail, answer)):
        return _add({**more, **undo, "about": [detail.approval.id]}, arrival)
    others = [one for one in earlier if one.approval.id != detail.approval.id]
    if others and detail.can_undo:
        toast = build_series_toast([*others, detail])
        return _add({**toast, "text": f"{toast['text']}."}, arrival) if arrival else toast
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
    is_approved = detail.shown_status is ApprovalStatus.APPROVED
    if detail.approval.is_tool_call:
        text = N_("Allowed: %(question)s.") if is_approved else N_("Denied: %(question)s.")
    else:
        text = N_("Approved. %(question)s") if is_approved else N_("Rejected. %(question)s")
    series = {"series": str(id)} if detail.can_undo else {}
    return _add({"text": _(text, question=question), **undo, **series, "about": [id]}, arrival)


def _add(toast: Toast, sentence: str) -> Toast:
    return {**toast, "text": f"{toast['text']} {sentence}".rstrip()}


def _describe_lasting_answer(detail: ApprovalDetail, answer: str) -> Toast | None:
    """Say what an answer allows besides this tool call, and where that is shown."""
    if detail.shown_status is not ApprovalStatus.APPROVED or detail.agent is None:
        return None
    if answer == ALWAYS:
        rule = tool_calls.build_allow_rule(detail)
        name = reveal_text(rule.name) if rule else ""
        path = f"/boards/{detail.board.id}/policy"
        text = _("Allowed, and a rule was added: %(rule)s.", rule=name)
        if detail.can_undo:
            text = f"{text} {_('Undo does not remove the rule.')}"
        return {"text": text, "link": (_("Show the policy"), path)}
    if answer not in list(GrantScope):
        return None
    is_for_task = answer == GrantScope.TASK
    text = _("Allowed until the task is done.") if is_for_task else _("Allowed for this session.")
    path = f"/agents/{detail.agent.id}/sessions#permissions"
    return {"text": text, "link": (_("Show the permissions"), path)}


def build_series_toast(details: Sequence[ApprovalDetail]) -> Toast:
    """Build a toast that undoes several decisions together: "2 approved, 1 rejected"."""
    of_tools = all(one.approval.is_tool_call for one in details)
    approved = sum(one.shown_status is ApprovalStatus.APPROVED for one in details)
    rejected = len(details) - approved
    if approved and rejected and of_tools:
        text = _("%(allowed)d allowed, %(denied)d denied", allowed=approved, denied=rejected)
    elif approved and rejected:
        text = _(
            "%(approved)d approved, %(rejected)d rejected", approved=approved, rejected=rejected
        )
    elif of_tools and approved:
        text = ngettext("%(num)d allowed", "%(num)d allowed", approved)
    elif of_tools:
        text = ngettext("%(num)d denied", "%(num)d denied", rejected)
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
