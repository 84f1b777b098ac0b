"""Looking into a gateway: its sessions, what was said in them, and saying something there.

Nothing here has a transaction: gateways may take their time. Looking changes nothing (W-52). Who
looks is shown no token of an agent, though the agent may have shown it: it would let them act.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kit.errors import NotFound
from kit.secrets import masked_within
from openclaw import GatewayError, Link, Trouble

MOST_SESSIONS = 200

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Sessions:
    """The sessions of a gateway, and among them the one of the agent that looks after it."""

    sessions: Sequence[Row]
    main_session: Row | None = None
    total: int = 0


@dataclass(frozen=True)
class History:
    """What was said in a session, oldest first."""

    messages: Sequence[Row]
    has_more: bool = False  # before the first of them
    is_working: bool = False  # its agent is in the middle of a turn


async def sessions(link: Link, main_key: str | None = None) -> Sessions:
    """Return a gateway's sessions. Raises GatewayError."""
    said = await link.call("sessions.list", {"limit": MOST_SESSIONS}, repeatable=True)
    rows = _rows(said, "sessions")
    total = said.get("totalCount") if isinstance(said, dict) else None
    main = next((row for row in rows if main_key and row.get("key") == main_key), None)
    return Sessions(rows, main, total if isinstance(total, int) else len(rows))


async def session_of(link: Link, key: str) -> Row:
    """Return a session by its key. Raises NotFound, and GatewayError."""
    found = await _described(link, key)
    if found is None:
        raise _no_session()
    return found


async def history(link: Link, key: str, *, limit: int) -> History:
    """Return the last messages of a session; of one that is not there, none.

    Raises NotFound for a key that is none, and GatewayError.
    """
    said = await _of_session(link, "chat.history", {"sessionKey": key, "limit": limit})
    told = said if isinstance(said, dict) else {}
    about = told.get("sessionInfo")
    works = isinstance(about, dict) and about.get("hasActiveRun") is True
    return History(
        _rows(said, "messages"),
        has_more=told.get("hasMore") is True,
        is_working=works or isinstance(told.get("inFlightRun"), dict),
    )


async def say(link: Link, key: str, content: str, *, once: str) -> None:
    """Say something in a session, and start a turn of its agent with it.

    `once` is the key by which the gateway knows the message again, so that it is said once however
    often it has to be sent (W-43). Raises NotFound, and GatewayError.
    """
    params = {"sessionKey": key, "message": content, "deliver": False, "idempotencyKey": once}
    await _of_session(link, "chat.send", params)


async def _of_session(link: Link, method: str, params: Mapping[str, Any]) -> Any:
    """Ask something about a session. Raises NotFound where there is none, and GatewayError.

    A refusal has one code whatever is wrong: whether it is the session, another question tells.
    """
    try:
        return await link.call(method, params, repeatable=True)
    except GatewayError as error:
        if error.trouble is Trouble.REJECTED and not await _is_there(link, params["sessionKey"]):
            raise _no_session() from error
        raise


async def _is_there(link: Link, key: str) -> bool:
    """Whether a gateway has a session, as far as it says so."""
    try:
        return await _described(link, key) is not None
    except GatewayError:
        return True


async def _described(link: Link, key: str) -> Row | None:
    """Return a session as it is, if it is there. Raises GatewayError.

    All that can be refused of this question is the key: one that is none names no session.
    """
    try:
        said = await link.call("sessions.describe", {"key": key}, repeatable=True)
    except GatewayError as error:
        if error.trouble is Trouble.REJECTED:
            return None
        raise
    found = said.get("session") if isinstance(said, dict) else None
    return masked_within(found) if isinstance(found, dict) else None


def _rows(said: object, name: str) -> list[Row]:
    """Return the objects of a list, or of the list that an answer has under a name."""
    found = said.get(name) if isinstance(said, dict) else said
    rows = found if isinstance(found, list) else []
    return [masked_within(row) for row in rows if isinstance(row, dict)]


def _no_session() -> NotFound:
    return NotFound("session_not_found", "The gateway has no such session.")
