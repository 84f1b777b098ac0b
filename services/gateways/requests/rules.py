"""Rules of requests: which answers are valid, and how a resolution is applied. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from core.errors import Conflict, Invalid
from core.fields import Fields
from core.security.secrets import mask_tokens_within
from core.text import N_
from models import GatewayRequest, RequestState, User
from services.gateways.requests.parser import RequestHash

OPEN_STATES = (RequestState.WAITING, RequestState.ANSWERING)
CANCELLATION = {"cancel": True}  # the stored answer of a cancelled question
UNKNOWN_RESOLVER = "Somebody on the gateway"
UNSHOWN_ERROR = "It was allowed on a page that had not shown everything, so it is asked again."


AnswerText = Annotated[str, StringConstraints(max_length=4_000)]


class GatewayAnswer(Fields):
    """An answer: a decision about a command, answers to questions, or a cancellation."""

    example = {
        "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "decision": "allow-once",
    }

    sha256: Annotated[
        str,
        StringConstraints(pattern="^[0-9A-Fa-f]{64}$"),
        Field(
            description="The `sha256` of the request that you saw. The answer applies to exactly "
            "that content."
        ),
    ]
    decision: Annotated[
        str | None,
        Field(max_length=40, description="One of the request's `allowed_decisions`."),
    ] = None
    answers: Annotated[
        dict[str, Annotated[list[AnswerText], Field(max_length=20)]] | None,
        Field(max_length=100, description="By the questions' `questionId`."),
    ] = None
    cancel: Annotated[bool, Field(description="Cancel the questions without an answer.")] = False


@dataclass(frozen=True)
class Resolution:
    """How a gateway has resolved a request. The default: it does not have the request any more."""

    is_answered: bool = False
    answer: Mapping[str, Any] | None = None
    resolved_by: str | None = None
    is_expired: bool = False
    is_cancelled: bool = False


def validate_answer(request: GatewayRequest, answer: GatewayAnswer) -> dict[str, Any]:
    """Return an answer in its stored form. Raises Invalid, and Conflict if the content differs.

    The hash ties an answer to every byte that the user has seen.
    """
    if answer.sha256.lower() != request.sha256:
        raise Conflict(
            "request_changed", N_("The request has changed. Read it again, then answer it.")
        )
    if request.takes_decision:
        allowed = request.allowed_decisions
        if answer.decision not in allowed:
            reason = N_("The gateway offers no decision. Answer it on the gateway itself.")
            if allowed:
                reason = N_("The gateway accepts only these decisions: %(offered)s.")
            raise Invalid("decision_invalid", reason, field="decision", offered=list(allowed))
        return {"decision": answer.decision}
    if asks_for_secret(request):
        raise Conflict(
            "request_asks_for_secret", N_("It asks for a secret. Answer it on the gateway itself.")
        )
    if answer.decision is not None:
        raise Invalid("answers_required", N_("Answer the questions."), field="answers")
    if answer.cancel:
        return dict(CANCELLATION)
    if has_duplicate_question_ids(request):
        raise Conflict(
            "question_ids_equal",
            N_("Two of these questions have the same id. Answer them on the gateway itself."),
        )
    answers, questions = answer.answers or {}, {one["questionId"]: one for one in request.questions}
    if answers.keys() - questions.keys():
        raise Invalid("question_unknown", N_("This question was not asked."), field="answers")
    return {
        "answers": {
            id: _validate_question_answers(question, answers.get(id, ()))
            for id, question in questions.items()
        }
    }


def require_repeated_answer(request: GatewayRequest, user: User, answer: Mapping[str, Any]) -> None:
    """Raise Conflict for a request that is over, unless the user repeats their own answer."""
    if request.answered_by_user_id == user.id and request.answer == answer:
        return
    if request.answered_by is not None:
        raise Conflict(
            "already_answered",
            N_("%(by)s has answered this already."),
            by=request.answered_by,
            state=request.state.value,
        )
    raise Conflict(
        "request_closed", N_("This request is no longer open."), state=request.state.value
    )


def is_answered_unseen(request: GatewayRequest, hash: RequestHash) -> bool:
    """Return whether a request was allowed on a page that did not show all of it.

    That was before a release that shows everything. It must not become a permission of what nobody
    has seen; nothing is wrong with a denial.
    """
    decision = (request.answer or {}).get("decision")
    is_allowed = request.takes_decision and decision not in (None, "deny")
    return is_allowed and request.content is None and hash.shows_more


def asks_for_secret(request: GatewayRequest) -> bool:
    """Return whether a secret is requested. We would store it where all members can read it."""
    return any(one.get("isSecret") or one.get("secretStore") for one in request.questions)


def has_duplicate_question_ids(request: GatewayRequest) -> bool:
    """Return whether two questions have the same id, by which gateways tell answers apart."""
    ids = [one["questionId"] for one in request.questions]
    return len(set(ids)) < len(ids)


def apply_resolution(request: GatewayRequest, resolution: Resolution, at: datetime) -> None:
    """Apply the gateway's resolution to an open request."""
    was_answered_here = request.state is RequestState.ANSWERING
    is_our_answer = (
        request.answer == CANCELLATION
        if resolution.is_cancelled
        else resolution.is_answered and resolution.answer == request.answer
    )
    request.ended_at = at
    if was_answered_here and is_our_answer:
        request.state = RequestState.ANSWERED
        request.delivered_at = at
        return
    is_overdue = at >= request.expires_at and not resolution.is_answered
    request.state = RequestState.LOST
    if resolution.is_cancelled:
        request.state = RequestState.CANCELLED
    elif resolution.is_expired or is_overdue:
        request.state = RequestState.EXPIRED
    request.error = _error_text(resolution, was_answered_here)
    if resolution.is_answered and not was_answered_here:
        asks_secret = asks_for_secret(request)
        request.answer = (
            {"answers": {}} if asks_secret else mask_tokens_within(dict(resolution.answer or {}))
        )
        request.answered_by = resolution.resolved_by or UNKNOWN_RESOLVER
        request.answered_at = at


def _error_text(resolution: Resolution, was_answered_here: bool) -> str | None:
    who = resolution.resolved_by or UNKNOWN_RESOLVER
    if resolution.is_answered:
        return f"{who} had answered it before." if was_answered_here else f"{who} answered it."
    if resolution.is_cancelled:
        return "It was withdrawn before the answer arrived." if was_answered_here else None
    if resolution.is_expired:
        return "It expired before the answer arrived." if was_answered_here else None
    if was_answered_here:
        return "The gateway no longer knows this request, nor whether the answer arrived."
    return "The gateway no longer knows this request."


def _validate_question_answers(question: Mapping[str, Any], answers: Sequence[str]) -> list[str]:
    """Return the answers to one question in the form that the gateway accepts."""
    given = [answer.strip() for answer in answers if answer.strip()]
    asked = question["question"]
    if not given:
        raise Invalid(
            "answer_required", N_("Answer: %(question)s"), field="answers", question=asked
        )
    if len(given) > 1 and not question.get("multiSelect"):
        reason = N_("Too many answers: %(question)s")
        raise Invalid("answers_too_many", reason, field="answers", question=asked)
    labels = {option["label"].strip(): option["label"] for option in question.get("options", [])}
    unknown = [answer for answer in given if answer not in labels]
    if labels and unknown and not question.get("isOther"):
        reason = N_("Choose one of those that are offered: %(question)s")
        raise Invalid("answer_unknown", reason, field="answers", question=asked)
    return list(dict.fromkeys(labels.get(answer, answer) for answer in given))
