"""Validate approval requests, find their tasks, and format their question. Pure functions."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from uuid import UUID

from core.errors import Forbidden, Invalid
from core.text import N_
from core.validation import json_object, optional, trimmed_text
from models import Actor, Agent, ApprovalStatus
from services.approval_actions import COMPLETION_KIND, is_completion_kind

MAX_ACTION_LENGTH = 200  # characters
MAX_TEXT_LENGTH = 10_000  # characters of a note or a clarification question
MAX_JSON_LENGTH = 256 * 1024  # characters of the JSON of a payload or of the scores
MAX_TASKS = 100  # tasks of one approval
MAX_QUESTION_LENGTH = 200  # characters of the formatted question
MAX_CACHED_NAMES = 1_000  # parts of action types

TASK_LIST_KEYS = ("task_ids", "taskIds", "taskIDs")
TASK_KEYS = ("task_id", "taskId", "taskID")
QUESTION_KEYS = ("title", "question", "summary")

_action_type = trimmed_text(MAX_ACTION_LENGTH)
_optional_text = optional(trimmed_text(MAX_TEXT_LENGTH))
_optional_json = optional(json_object(MAX_JSON_LENGTH))


@dataclass(frozen=True)
class ApprovalDraft:
    """The fields of an approval request. The requester is never taken from here."""

    action_type: str
    confidence: float
    task_id: UUID | None = None
    task_ids: Sequence[UUID] = ()
    payload: Mapping[str, Any] | None = None
    rubric_scores: Mapping[str, int] | None = None
    status: ApprovalStatus = ApprovalStatus.PENDING
    lead_reasoning: str | None = None


def check_draft(draft: ApprovalDraft, actor: Actor) -> None:
    """Raise the error of the first rule that the draft violates: Forbidden or Invalid."""
    if draft.status is not ApprovalStatus.PENDING:
        if isinstance(actor, Agent):
            raise Forbidden("approval_status_forbidden", "Agents ask. A person decides.")
        raise Invalid("approval_status_invalid", "A question starts undecided.", field="status")
    _action_type(draft.action_type, "action_type")
    validate_text(draft.lead_reasoning, "lead_reasoning")
    if not (math.isfinite(draft.confidence) and 0 <= draft.confidence <= 100):
        raise Invalid(
            "confidence_out_of_range", N_("Confidence is between 0 and 100."), field="confidence"
        )
    _optional_json(draft.payload, "payload")
    _optional_json(draft.rubric_scores, "rubric_scores")


def payload_with_reason(draft: ApprovalDraft) -> dict[str, Any]:
    """Return the payload including the reason. Raises Invalid if no reason is given."""
    payload = dict(draft.payload or {})
    if find_reason(payload):
        return payload
    reason = _non_blank(draft.lead_reasoning)
    if not reason:
        raise Invalid(
            "reason_required",
            "Say why: in payload.reason, payload.decision.reason or lead_reasoning.",
            field="lead_reasoning",
        )
    return payload | {"reason": reason}


def find_reason(payload: Mapping[str, Any] | None) -> str | None:
    """Return the reason in a payload, if any."""
    payload = payload or {}
    decision = payload.get("decision")
    nested = decision.get("reason") if isinstance(decision, Mapping) else None
    return _non_blank(payload.get("reason")) or _non_blank(nested)


def linked_task_ids(draft: ApprovalDraft) -> list[UUID]:
    """Return the task ids in a draft and its payload, the primary one first (contract 3.11.1).

    Raises Invalid if there are more than MAX_TASKS.
    """
    payload = draft.payload or {}
    found = [draft.task_id, *draft.task_ids]
    for name in TASK_LIST_KEYS:
        named = payload.get(name)
        found += [_parse_uuid(item) for item in named] if isinstance(named, list) else []
    found += [_parse_uuid(payload.get(name)) for name in TASK_KEYS]
    ids = list(dict.fromkeys(id for id in found if id is not None))
    if len(ids) > MAX_TASKS:
        raise Invalid(
            "too_many_tasks", f"A question is about {MAX_TASKS} tasks at most.", field="task_ids"
        )
    return ids


def validate_text(value: str | None, field: str) -> str | None:
    """Return a note or a question trimmed; None if it is blank. Raises Invalid."""
    return _optional_text(value, field) or None


def find_agent_text(payload: Mapping[str, Any] | None) -> str | None:
    """Return the title, question or summary that the requester has written, if any."""
    texts = (_non_blank((payload or {}).get(name)) for name in QUESTION_KEYS)
    return next(filter(None, texts), None)


def format_question(kind: str, titles: Sequence[str] = ()) -> str:
    """Return the question to decide as one sentence with a question mark.

    It is built from the kind of an approval and the titles of its tasks. Words of the requester
    about it are not used: they could describe something else than what is allowed.
    """
    sentence = " ".join(_describe_action(kind, titles).split()).rstrip(" .!?:;")
    if len(sentence) > MAX_QUESTION_LENGTH:
        sentence = sentence[: MAX_QUESTION_LENGTH - 1] + "…"
    return f"{sentence}?"


VERBS = {
    *("archive", "build", "buy", "cancel", "change", "close", "create", "delete", "deploy"),
    *("disable", "drop", "enable", "execute", "export", "grant", "import", "install", "invite"),
    *("launch", "merge", "migrate", "move", "open", "pay", "publish", "purchase", "push", "refund"),
    *("release", "remove", "rename", "restart", "restore", "revoke", "roll", "rotate", "run"),
    *("send", "ship", "start", "stop", "transfer", "update", "upgrade", "upload"),
}
"""Verbs with which kinds of actions begin, or end."""


def split_kind(kind: str) -> tuple[str, str]:
    """Return the verb and the noun of a kind: ("deploy", "site") for `site.deploy`.

    All kinds that complete tasks have the same ones. There is no noun without a dot, and in a kind
    that begins with a verb: ("deploy production", "") for `deploy.production`.
    """
    name = COMPLETION_KIND if is_completion_kind(kind) else kind.strip()
    noun, _, verb = name.rpartition(".")
    begins_with_verb = _humanize(noun).partition(" ")[0].casefold() in VERBS
    if begins_with_verb and verb.casefold() not in VERBS:
        return _humanize(name), ""
    return _humanize(verb), _humanize(noun)


def _describe_action(kind: str, titles: Sequence[str]) -> str:
    """Format `task.complete` as "Complete the task “X”", and `deploy_site` as "Deploy site"."""
    action, subject = split_kind(kind)
    about = f" “{titles[0]}”" if titles else ""
    if len(titles) > 1:
        about += f" and {len(titles) - 1} more"
    if not action:
        return f"Go on with{about}" if about else "Go ahead"
    action = action[0].upper() + action[1:]
    if subject == "task":
        return f"{action} the task{about}"
    suffix = f" for{about}" if about else ""
    return f"{action} the {subject}{suffix}" if subject else f"{action}{suffix}"


@lru_cache(MAX_CACHED_NAMES)
def _humanize(name: str) -> str:
    return " ".join(name.replace("_", " ").replace("-", " ").replace(".", " ").split())


def _non_blank(value: object) -> str | None:
    return (value.strip() or None) if isinstance(value, str) else None


def _parse_uuid(value: object) -> UUID | None:
    try:
        return UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None
