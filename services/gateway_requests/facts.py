"""What is written down about a request, whatever becomes of it: never the command, but its hash."""

from models import Actor, EventType, GatewayRequest, RequestState
from services import events

OF_STATE = {
    RequestState.ANSWERING: EventType.GATEWAY_REQUEST_ANSWERED,
    RequestState.ANSWERED: EventType.GATEWAY_REQUEST_DELIVERED,
    RequestState.LOST: EventType.GATEWAY_REQUEST_LOST,
    RequestState.EXPIRED: EventType.GATEWAY_REQUEST_EXPIRED,
    RequestState.CANCELLED: EventType.GATEWAY_REQUEST_CANCELLED,
}
"""What has happened to a request that has come into a state."""

EVENTS = frozenset({EventType.GATEWAY_REQUEST_DELIVERED})
"""What is recorded for pages alone: a feed tells that it was answered."""

ANSWERS = {"allow-once": "allowed once", "allow-always": "allowed always", "deny": "denied"}
ASKED = {"exec": "leave to run a command", "question": "an answer"}


def happened(
    type: EventType, actor: Actor | None, request: GatewayRequest, name: str
) -> events.Happened:
    """Return what is to be written down. Who reads a board reads it, and may not see commands."""
    return events.Happened(
        type,
        actor,
        organization_id=request.organization_id,
        board=request.board_id,
        about=request.agent_id,
        data={
            "request_id": str(request.id),
            "gateway_id": str(request.gateway_id) if request.gateway_id else None,
            "kind": request.kind.value,
            "name": name,
            "asked": ASKED[request.kind],
            "sha256": request.sha256,
            "hash": request.sha256[:12],
            "answer": said(request),
            "by": request.answered_by,
            "error": request.error,
        },
    )


def said(request: GatewayRequest) -> str | None:
    """Say in few words what was answered."""
    answer = request.answer
    if answer is None:
        return None
    if "decision" in answer:
        return ANSWERS.get(answer["decision"], str(answer["decision"]))
    return "not answered" if answer.get("cancel") else "answered"
