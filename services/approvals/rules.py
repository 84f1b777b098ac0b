"""Validate approval requests, find their tasks, and format their question. Pure functions."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import lru_cache
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints, ValidationInfo

from core.errors import Forbidden, Invalid
from core.fields import MAX_INTEGER, Fields, Name, limit_keys
from core.text import N_, is_storable_json
from models import Actor, Agent, ApprovalStatus
from services.approval_actions import COMPLETION_KIND, is_completion_kind

MAX_JSON_LENGTH = 256 * 1024  # characters of the JSON of a payload or of the scores
MAX_TASKS = 100  # tasks of one approval
MAX_SCORES = 50_000  # keys of the scores

TASK_LIST_KEYS = ("task_ids", "taskIds", "taskIDs")
TASK_KEYS = ("task_id", "taskId", "taskID")
TITLE_KEYS = ("title", "question", "summary")


def _check_json(value: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
    if not is_storable_json(value, max_length=MAX_JSON_LENGTH):
        reason = N_("This is too large, or not valid JSON.")
        raise Invalid("not_storable", reason, field=info.field_name)
    return value


Note = Annotated[str, StringConstraints(max_length=10_000)]
"""A note, or a question to the requester."""
Score = Annotated[int, Field(ge=-MAX_INTEGER, le=MAX_INTEGER)]


class ApprovalCreate(Fields):
    """A new request for approval. The caller is the requester: `agent_id` is accepted and ignored.

    Give the reason in `payload.reason`, in `payload.decision.reason`, or in `lead_reasoning`.
    """

    example = {
        "action_type": "task.complete",
        "task_ids": ["0193a5c2-7d1e-7c63-9a58-2f1d8f0b6a11"],
        "confidence": 90,
        "payload": {"reason": "All checks pass, and the notes are written."},
    }

    action_type: Name
    confidence: float = Field(ge=0, le=100)
    task_id: UUID | None = None
    task_ids: Annotated[list[UUID], Field(max_length=MAX_TASKS)] = []
    payload: Annotated[dict[str, Any], AfterValidator(_check_json)] | None = None
    rubric_scores: (
        Annotated[
            dict[str, Score],
            Field(max_length=MAX_SCORES),
            limit_keys(MAX_SCORES),
            AfterValidator(_check_json),
        ]
        | None
    ) = None
    status: ApprovalStatus = Field(
        default=ApprovalStatus.PENDING, description="Only `pending`: the requester does not decide."
    )
    agent_id: UUID | None = None
    lead_reasoning: Note | None = None


def require_undecided(fields: ApprovalCreate, actor: Actor) -> None:
    """Raise Forbidden for an agent and Invalid for a user whose request has a decision."""
    if fields.status is ApprovalStatus.PENDING:
        return
    if isinstance(actor, Agent):
        raise Forbidden(
            "approval_status_forbidden", "Agents request approvals. Only people decide them."
        )
    raise Invalid("approval_status_invalid", "A new approval is pending.", field="status")


def payload_with_reason(fields: ApprovalCreate) -> dict[str, Any]:
    """Return the payload including the reason. Raises Invalid if no reason is given."""
    payload = dict(fields.payload or {})
    if find_reason(payload):
        return payload
    reason = _non_blank(fields.lead_reasoning)
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


def linked_task_ids(fields: ApprovalCreate) -> list[UUID]:
    """Return the task ids of a request and its payload, the primary one first.

    Raises Invalid if there are more than MAX_TASKS.
    """
    payload = fields.payload or {}
    found = [fields.task_id, *fields.task_ids]
    for name in TASK_LIST_KEYS:
        named = payload.get(name)
        found += [_parse_uuid(item) for item in named] if isinstance(named, list) else []
    found += [_parse_uuid(payload.get(name)) for name in TASK_KEYS]
    ids = list(dict.fromkeys(id for id in found if id is not None))
    if len(ids) > MAX_TASKS:
        raise Invalid(
            "too_many_tasks",
            f"An approval can be about at most {MAX_TASKS} tasks.",
            field="task_ids",
        )
    return ids


def find_agent_text(payload: Mapping[str, Any] | None) -> str | None:
    """Return the title, question or summary that the requester has written, if any."""
    texts = (_non_blank((payload or {}).get(name)) for name in TITLE_KEYS)
    return next(filter(None, texts), None)


def format_question(kind: str, titles: Sequence[str] = ()) -> str:
    """Return the question to decide as one sentence with a question mark.

    It is built from the kind of an approval and the titles of its tasks. Words of the requester
    about it are not used: they could describe something else than what is allowed.
    """
    sentence = " ".join(_describe_action(kind, titles).split()).rstrip(" .!?:;")
    return f"{sentence[:199]}…?" if len(sentence) > 200 else f"{sentence}?"


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


TOOL_PREFIX = "tool."  # of the kinds of tool calls
EDITED_INPUT = "edited_input"  # the key in the payload of a tool call that was allowed with an edit
TOOL_CALL_RETENTION = timedelta(days=30)  # after which the input of a tool call is deleted


def _describe_action(kind: str, titles: Sequence[str]) -> str:
    """Format `task.complete` as "Complete the task “X”", and `deploy_site` as "Deploy site".

    The name of a tool is that of its client: `tool.Bash` is "Call Bash".
    """
    if kind.startswith(TOOL_PREFIX) and not titles:
        return f"Call {kind.removeprefix(TOOL_PREFIX)}"
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


@lru_cache(1_000)
def _humanize(name: str) -> str:
    return " ".join(name.replace("_", " ").replace("-", " ").replace(".", " ").split())


def _non_blank(value: object) -> str | None:
    return (value.strip() or None) if isinstance(value, str) else None


def _parse_uuid(value: object) -> UUID | None:
    try:
        return UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None
