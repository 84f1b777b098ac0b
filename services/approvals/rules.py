"""What may be asked, what it is about, and how the question reads. Pure: no database, no clock."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from kit.errors import Forbidden, Invalid
from kit.values import json_object, optional, trimmed
from models import Actor, Agent, Approval, ApprovalStatus

LONGEST_ACTION = 200  # characters
LONGEST_TEXT = 10_000  # characters of a note or a question
LARGEST_JSON = 256 * 1024  # characters of a payload, or of the scores
MOST_TASKS = 100  # that one approval may be about
LONGEST_QUESTION = 200  # characters that people read as the question itself

LISTS_OF_TASKS = ("task_ids", "taskIds", "taskIDs")
SINGLE_TASKS = ("task_id", "taskId", "taskID")
TITLES = ("title", "question", "summary")

action_type = trimmed(LONGEST_ACTION)
text = optional(trimmed(LONGEST_TEXT))
json = optional(json_object(LARGEST_JSON))


@dataclass(frozen=True)
class ApprovalDraft:
    """What somebody wants to ask. Who asks is never taken from here."""

    action_type: str
    confidence: float
    task_id: UUID | None = None
    task_ids: Sequence[UUID] = ()
    payload: Mapping[str, Any] | None = None
    rubric_scores: Mapping[str, int] | None = None
    status: ApprovalStatus = ApprovalStatus.PENDING
    lead_reasoning: str | None = None


def check(draft: ApprovalDraft, actor: Actor) -> None:
    """Raise the Refusal of the first rule that the draft breaks."""
    _asks_and_does_not_answer(draft, actor)
    action_type(draft.action_type, "action_type")
    checked_text(draft.lead_reasoning, "lead_reasoning")
    if not (math.isfinite(draft.confidence) and 0 <= draft.confidence <= 100):
        raise Invalid(
            "confidence_out_of_range", "Confidence is between 0 and 100.", field="confidence"
        )
    json(draft.payload, "payload")
    json(draft.rubric_scores, "rubric_scores")


def _asks_and_does_not_answer(draft: ApprovalDraft, actor: Actor) -> None:
    if draft.status is ApprovalStatus.PENDING:
        return
    if isinstance(actor, Agent):
        raise Forbidden("approval_status_forbidden", "Agents ask. A person decides.")
    raise Invalid("approval_status_invalid", "A question starts undecided.", field="status")


def with_reason(draft: ApprovalDraft) -> dict[str, Any]:
    """Return the payload with the reason in it. Raises Invalid if there is none anywhere."""
    payload = dict(draft.payload or {})
    if reason_in(payload):
        return payload
    reason = _text(draft.lead_reasoning)
    if not reason:
        raise Invalid(
            "reason_required",
            "Say why: in payload.reason, payload.decision.reason or lead_reasoning.",
            field="lead_reasoning",
        )
    return payload | {"reason": reason}


def reason_in(payload: Mapping[str, Any] | None) -> str | None:
    """Return the reason that a payload gives, if any."""
    payload = payload or {}
    decision = payload.get("decision")
    nested = decision.get("reason") if isinstance(decision, Mapping) else None
    return _text(payload.get("reason")) or _text(nested)


def linked_task_ids(draft: ApprovalDraft) -> list[UUID]:
    """Return the tasks that a draft is about; the first is the primary one (contract, 3.11.1)."""
    payload = draft.payload or {}
    found = [draft.task_id, *draft.task_ids]
    for name in LISTS_OF_TASKS:
        named = payload.get(name)
        found += [_uuid(item) for item in named] if isinstance(named, list) else []
    found += [_uuid(payload.get(name)) for name in SINGLE_TASKS]
    ids = list(dict.fromkeys(id for id in found if id is not None))
    if len(ids) > MOST_TASKS:
        raise Invalid(
            "too_many_tasks", f"A question is about {MOST_TASKS} tasks at most.", field="task_ids"
        )
    return ids


def checked_text(value: str | None, field: str) -> str | None:
    """Return a note or a question trimmed, None if it is blank. Raises Invalid."""
    return text(value, field) or None


def question(approval: Approval, titles: Sequence[str] = ()) -> str:
    """Return what is asked, as one sentence with a question mark.

    `titles` are those of the tasks it is about.
    """
    payload = approval.payload or {}
    said = next((found for name in TITLES if (found := _bare(payload.get(name)))), None)
    asked = said or _bare(_in_words(approval.action_type, titles))
    if len(asked) > LONGEST_QUESTION:
        asked = asked[: LONGEST_QUESTION - 1] + "…"
    return f"{asked}?"


def _in_words(action_type: str, titles: Sequence[str]) -> str:
    """Write `task.complete` as "Complete the task “X”", and `deploy_site` as "Deploy site"."""
    noun, _, verb = action_type.strip().rpartition(".")
    what, about = _words(noun), f" “{titles[0]}”" if titles else ""
    if len(titles) > 1:
        about += f" and {len(titles) - 1} more"
    if not _words(verb):
        return f"Go on with{about}" if about else "Go ahead"
    deed = _words(verb)
    deed = deed[0].upper() + deed[1:]
    if what == "task":
        return f"{deed} the task{about}"
    for_what = f" for{about}" if about else ""
    return f"{deed} the {what}{for_what}" if what else f"{deed}{for_what}"


def _words(name: str) -> str:
    return " ".join(name.replace("_", " ").replace("-", " ").replace(".", " ").split())


def _bare(value: object) -> str:
    """Return a sentence on one line, without the sign at its end."""
    return " ".join(value.split()).rstrip(" .!?:;") if isinstance(value, str) else ""


def _text(value: object) -> str | None:
    return (value.strip() or None) if isinstance(value, str) else None


def _uuid(value: object) -> UUID | None:
    try:
        return UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None
