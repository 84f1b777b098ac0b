"""How an operation is declared: who may call it, and what agents pick it by."""

from api.auth import Caller
from api.hints import HINTS
from api.operations import Handler, Reach
from api.operations import Operation as Op

USER, AGENT, EITHER = Caller.USER, Caller.AGENT, Caller.EITHER

__all__ = ["AGENT", "EITHER", "USER", "Op", "either", "only"]


def only(method: str, path: str, handler: Handler, intent: str, reach: Reach | None = None) -> Op:
    """Declare an operation under /agent that only agents may call, with what they pick it by."""
    hint = HINTS[intent]
    tags = ["agent", *hint.tags]
    keys = hint.keys(intent)
    return Op(method, f"/agent{path}", handler, AGENT, tags, reach, keys, hint.operation_id)


def either(method: str, path: str, handler: Handler, tag: str, intent: str) -> Op:
    """Declare an operation for people and agents, with what agents pick it by."""
    hint = HINTS[intent]
    return Op(method, path, handler, EITHER, [tag, *hint.tags], None, hint.keys(intent))
