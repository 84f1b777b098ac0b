"""Which answers a request takes, and how it stands. Pure: no database, and no clock."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kit.errors import Conflict, Invalid
from kit.secrets import masked_within
from kit.values import words
from models import GatewayRequest, RequestKind, RequestState, User

LONGEST_ANSWER = 4_000  # characters of one answer to a question
MOST_ANSWERS = 20  # to one question

OPEN = (RequestState.WAITING, RequestState.ANSWERING)
ASK_NO_MORE = {"cancel": True}  # the answer that is none

text = words(LONGEST_ANSWER)


@dataclass(frozen=True)
class Wish:
    """What somebody answers, to what they saw: the hash of exactly that."""

    sha256: str
    decision: str | None = None
    answers: Mapping[str, Sequence[str]] | None = None
    cancel: bool = False


@dataclass(frozen=True)
class Fate:
    """What a gateway says has become of a request; `gone` where it knows nothing of it any more."""

    is_answered: bool = False
    answer: Mapping[str, Any] | None = None
    by: str | None = None
    is_expired: bool = False
    is_cancelled: bool = False


def checked(request: GatewayRequest, wish: Wish) -> dict[str, Any]:
    """Return an answer as it is kept. Raises Conflict if it is not to what is asked, and Invalid.

    The hash ties an answer to every byte of what the person has seen.
    """
    if wish.sha256.lower() != request.sha256:
        raise Conflict(
            "request_differs", "This is not what is asked. Read it again, then answer it."
        )
    if request.kind is RequestKind.EXEC:
        return _decided(request, wish)
    if is_secret(request):
        raise Conflict("request_secret", "It asks for a secret. Answer it on the gateway itself.")
    if wish.decision is not None:
        raise Invalid("answers_required", "Answer the questions.", field="answers")
    return dict(ASK_NO_MORE) if wish.cancel else {"answers": _answered(request, wish.answers or {})}


def again(request: GatewayRequest, user: User, answer: Mapping[str, Any]) -> bool:
    """Say whether somebody repeats what they have answered. Raises Conflict if it is too late."""
    if request.answered_by_user_id == user.id and request.answer == answer:
        return True
    if request.answered_by is not None:
        raise Conflict(
            "already_answered",
            f"{request.answered_by} has answered this already.",
            by=request.answered_by,
            state=request.state.value,
        )
    reason = "It has expired." if request.state is RequestState.EXPIRED else "It is asked no more."
    raise Conflict("request_over", reason, state=request.state.value)


def is_secret(request: GatewayRequest) -> bool:
    """Say whether a secret is asked for. We would keep it where everybody reads it."""
    return any(one.get("isSecret") or one.get("secretStore") for one in request.questions)


def meet(request: GatewayRequest, fate: Fate, at: datetime) -> bool:
    """Let an open request meet its fate, and say whether the answer that was given here counts."""
    given = request.state is RequestState.ANSWERING
    request.ended_at = at
    if given and _is_ours(fate, request):
        request.state = RequestState.ANSWERED
        request.delivered_at = at
        return True
    request.state, request.error = _state(fate, at >= request.expires_at), _error(fate, given)
    if fate.is_answered and not given:
        request.answer = _kept(request, fate.answer or {})
        request.answered_by = fate.by or "Somebody on the gateway"
        request.answered_at = at
    return False


def _kept(request: GatewayRequest, answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return what we keep of an answer that was given on the gateway: nothing that is secret."""
    return {"answers": {}} if is_secret(request) else masked_within(dict(answer))


def _is_ours(fate: Fate, request: GatewayRequest) -> bool:
    if fate.is_cancelled:
        return request.answer == ASK_NO_MORE
    return fate.is_answered and fate.answer == request.answer


def _state(fate: Fate, overdue: bool) -> RequestState:
    if fate.is_cancelled:
        return RequestState.CANCELLED
    is_expired = fate.is_expired or (overdue and not fate.is_answered)
    return RequestState.EXPIRED if is_expired else RequestState.LOST


def _error(fate: Fate, given: bool) -> str | None:
    who = fate.by or "Somebody on the gateway"
    if fate.is_answered:
        return f"{who} had answered it before." if given else f"{who} answered it."
    if fate.is_cancelled:
        return "It was asked no more before the answer arrived." if given else None
    if fate.is_expired:
        return "It expired before the answer arrived." if given else None
    if given:
        return "The gateway knows nothing of it any more, nor whether the answer arrived."
    return "The gateway knows nothing of it any more."


def _decided(request: GatewayRequest, wish: Wish) -> dict[str, Any]:
    allowed = request.allowed_decisions
    if wish.decision not in allowed:
        offered = " or ".join(allowed) or "nothing"
        raise Invalid("decision_invalid", f"The gateway takes {offered}.", field="decision")
    return {"decision": wish.decision}


def _answered(
    request: GatewayRequest, answers: Mapping[str, Sequence[str]]
) -> dict[str, list[str]]:
    questions = {one["questionId"]: one for one in request.questions}
    unknown = sorted(answers.keys() - questions.keys())
    if unknown:
        raise Invalid("question_unknown", "That was not asked.", field="answers")
    return {id: _one(question, answers.get(id, ())) for id, question in questions.items()}


def _one(question: Mapping[str, Any], given: Sequence[str]) -> list[str]:
    """Return the answers to one question, as the gateway will take them."""
    said = [text(answer, "answers") for answer in given if answer.strip()]
    if not said:
        raise Invalid("answer_required", f"Answer: {question['question']}", field="answers")
    if len(said) > (MOST_ANSWERS if question.get("multiSelect") else 1):
        reason = f"Too many answers: {question['question']}"
        raise Invalid("answers_too_many", reason, field="answers")
    labels = {option["label"].strip(): option["label"] for option in question.get("options", [])}
    strange = [answer for answer in said if answer not in labels]
    if labels and strange and not question.get("isOther"):
        reason = f"Choose one of those that are offered: {question['question']}"
        raise Invalid("answer_unknown", reason, field="answers")
    return list(dict.fromkeys(labels.get(answer, answer) for answer in said))
