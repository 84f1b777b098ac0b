"""How it stands with the turn that a message begins: read from what a gateway says. No database.

A gateway knows a turn by the key under which the message was sent, and keeps that key with what
was said. So asking again under the same key begins no second turn, however often it is done, and
also after the gateway was restarted. docs/decisions/carrying.md tells what was seen.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from kit.secrets import masked
from kit.text import mended
from openclaw import Event, GatewayError, Link, Trouble
from services.messages.texts.parts import SHORT_SNIPPET, one_line, snippet

Said = Mapping[str, Any]

MOST_LOOKED_AT = 200  # of what was said last in a session
LONGEST_KEY = 200  # characters of a turn's key, if it can be one of ours
STOPPED = "Its turn was stopped before it was over."
CHANGED = re.compile(r"[-_]changed$", re.IGNORECASE)
"""How the reason ends of a refusal that passes: something of the session was just written."""


class Fate(StrEnum):
    """What has become of a message on a gateway."""

    RUNNING = "running"  # it is taken, and its turn is not over
    ENDED = "ended"  # the agent has it
    FAILED = "failed"  # its turn has, or it can't be sent at all
    REFUSED = "refused"  # the gateway does not take it
    LOST = "lost"  # it was taken, and no agent will ever read it: it needs another turn
    UNKNOWN = "unknown"  # nobody knows: the same may be asked again


@dataclass(frozen=True)
class Turn:
    """What has become of a message, and why, where it is no good news.

    `is_new` says that the gateway has taken it only now.
    """

    fate: Fate
    reason: str = ""
    is_new: bool = False


RUNNING, ENDED = Turn(Fate.RUNNING), Turn(Fate.ENDED)
BEGUN = Turn(Fate.RUNNING, is_new=True)
LOST = Turn(Fate.LOST, "The gateway was cut off before the agent could read it.")
UNKNOWN = Turn(Fate.UNKNOWN, "The gateway knows nothing of it.")


async def begin(link: Link, session_key: str, content: str, run_id: str, *, deliver: bool) -> Turn:
    """Say something to an agent, once however often it is asked, and return what came of it."""
    params = {
        "sessionKey": session_key,
        "message": content,
        "deliver": deliver,
        "idempotencyKey": run_id,
    }
    try:
        said = _object(await link.ask("chat.send", params))
    except GatewayError as error:
        return await _refused(link, session_key, run_id, error)
    if said.get("status") == "started":
        return BEGUN
    if said.get("status") == "in_flight":
        return RUNNING
    if said.get("status") == "ok":
        found = await _look_at(link, session_key, run_id)
        return ENDED if found is UNKNOWN else found or RUNNING
    return _ended_badly(said)


async def look(link: Link, session_key: str, keys: Sequence[str]) -> dict[str, Turn] | None:
    """Look in an agent's session what has become of turns; None if the gateway won't tell."""
    asked = {"sessionKey": session_key, "limit": MOST_LOOKED_AT}
    try:
        waited = {key: await link.ask("agent.wait", {"runId": key, "timeoutMs": 0}) for key in keys}
        history = _object(await link.ask("chat.history", asked))
    except GatewayError as error:
        return dict.fromkeys(keys, UNKNOWN) if error.trouble is Trouble.REJECTED else None
    return {key: fate(history, _object(said), key) for key, said in waited.items()}


async def _look_at(link: Link, session_key: str, run_id: str) -> Turn | None:
    seen = await look(link, session_key, [run_id])
    return seen[run_id] if seen else None


def fate(history: Said, waited: Said, run_id: str) -> Turn:
    """Tell what has become of a turn by what its session has, and what is remembered of it.

    What waits in the session, to be taken in by a turn that runs, is read by nobody once that
    turn was cut off.
    """
    pending = [one for one in _objects(history, "pendingInputs") if one.get("runId") == run_id]
    if pending:
        is_cut_off = pending[-1].get("state") == "interrupted"
        return LOST if is_cut_off else RUNNING
    if waited.get("status") == "error":
        return _ended_badly(waited)
    running = _object(history.get("inFlightRun")).get("runId") == run_id
    if running or waited.get("status") == "pending":
        return RUNNING
    if waited.get("status") == "ok":
        return ENDED
    return next(_traces(history, run_id), UNKNOWN)


def told(event: Event) -> tuple[str, Turn | None] | None:
    """Tell what an event says of the end of a turn: its key, and what came of it.

    A turn that is only told of again, or was taken in by another, has no word of its own at its
    end: then one has to look, and the second is None.
    """
    said, run_id = event.payload, event.payload.get("runId")
    if event.name != "chat" or not isinstance(run_id, str) or len(run_id) > LONGEST_KEY:
        return None
    state = said.get("state")
    if state == "aborted":
        return run_id, Turn(Fate.FAILED, STOPPED)
    if state == "error":
        return run_id, _ended_badly(said) if said.get("errorDetail") else None
    if state == "final":
        return run_id, ENDED if said.get("message") else None
    return None


async def _refused(link: Link, session_key: str, run_id: str, error: GatewayError) -> Turn:
    """Tell what an error means. One that says "not now" may repeat how a turn has ended."""
    reason = _short(error.message)
    if error.trouble is Trouble.TOO_LARGE:
        return Turn(Fate.FAILED, reason)
    if error.trouble is Trouble.REJECTED and not _passes(error):
        return Turn(Fate.REFUSED, f"The gateway refused it: {reason}")
    found = None
    if error.trouble is Trouble.UNAVAILABLE:
        found = await _look_at(link, session_key, run_id)
    if found is None or found.fate is Fate.UNKNOWN:
        return Turn(Fate.UNKNOWN, reason)
    return found


def _passes(error: GatewayError) -> bool:
    named = [error.details.get(name) for name in ("code", "reason")]
    return any(isinstance(one, str) and CHANGED.search(one) for one in named)


def _traces(history: Said, run_id: str) -> Iterator[Turn]:
    """Yield what is kept of a turn in what was said: first that it has failed, if it has."""
    kept = _objects(history, "messages")
    for one in kept:
        if one.get("idempotencyKey") == f"{run_id}:terminal-error":
            yield Turn(Fate.FAILED, _short(_text(one)) or "Its turn has failed.")
    for one in kept:
        of_run = _object(one.get("__openclaw")).get("runId")
        if one.get("idempotencyKey") == f"{run_id}:user" or of_run == run_id:
            yield ENDED


def _ended_badly(said: Said) -> Turn:
    reason = said.get("errorMessage") or said.get("error") or said.get("summary")
    if reason == "aborted" or not isinstance(reason, str):
        return Turn(Fate.FAILED, STOPPED)
    return Turn(Fate.FAILED, _short(reason))


def _short(reason: str) -> str:
    """Return the first line of a gateway's own words, as it can be kept and shown."""
    first = masked(mended(reason.partition("\n")[0]))
    return snippet(one_line(first), SHORT_SNIPPET)


def _text(message: Said) -> str:
    content = message.get("content")
    parts = content if isinstance(content, list) else [{"text": content}]
    texts = [_object(part).get("text") for part in parts]
    return " ".join(text for text in texts if isinstance(text, str))


def _object(value: object) -> Said:
    return value if isinstance(value, dict) else {}


def _objects(said: Said, name: str) -> list[Said]:
    """Return the objects of a list, or of the items of what stands under a name."""
    found = said.get(name)
    found = found.get("items") if isinstance(found, dict) else found
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
