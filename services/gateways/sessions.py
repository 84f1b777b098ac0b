"""Sessions of a gateway: list, read, send a message, and find the agent of ours in each.

The calls use no transaction, because gateways may respond slowly. Reading changes nothing.
Tokens in sessions are masked, also if an agent has printed its own: others could act as the agent.
"""

import asyncio
import re
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from sqlalchemy import bindparam, select

from core.db.reads import Query, Source
from core.errors import Forbidden, NotFound
from core.security.secrets import mask_tokens_within
from core.text import N_
from models import Agent, Gateway, User
from openclaw import ErrorKind, GatewayClient, GatewayError
from openclaw import api as gateway_api
from services import boards

MAX_SESSIONS = 200  # that a gateway is asked for
MAX_LISTED_SESSIONS = 1_000  # that are read; older gateways send all they have
MAX_AGENT_ID_LENGTH = 64  # characters of an agent's id on a gateway
COMMANDS = ("new", "reset", "stop", "compact", "status", "context", "usage", "help")
"""The commands with which a message of a user may begin: they allow an agent nothing."""
INVALID_ID_CHARACTERS = re.compile(r"[^a-z0-9_-]+")

Answer = TypeVar("Answer")
SessionRow = Mapping[str, Any]


@dataclass(frozen=True)
class SessionList:
    """Sessions of a gateway. `main_session` is that of the agent that manages the gateway."""

    sessions: Sequence[SessionRow]
    main_session: SessionRow | None = None
    total: int = 0


@dataclass(frozen=True)
class ChatHistory:
    """Messages of a session, oldest first."""

    messages: Sequence[SessionRow]
    has_more: bool = False  # before the first of them
    is_working: bool = False  # a turn of the agent is running
    session: SessionRow = field(default_factory=dict)  # empty if the gateway does not describe it


@dataclass(frozen=True)
class SessionOwner:
    """An agent of ours on a gateway, and the user's permissions for its board."""

    agent: Agent
    board_name: str | None
    can_read: bool
    can_write: bool


SessionOwners = Mapping[str, SessionOwner]
"""Our agents on a gateway, by their ids there."""


async def list_sessions(client: GatewayClient, main_key: str | None = None) -> SessionList:
    """Return the first sessions of a gateway. Raises GatewayError."""
    page = await gateway_api.list_sessions(client, limit=MAX_SESSIONS, retry=True)
    found = [row for row in page.sessions if main_key and row.get("key") == main_key][:1]
    main = await _mask_tokens(found)
    rows = await _mask_tokens(page.sessions[:MAX_LISTED_SESSIONS])
    total = len(page.sessions) if page.total is None else page.total
    return SessionList(rows, main[0] if main else None, total)


async def get_session(client: GatewayClient, key: str) -> SessionRow:
    """Return a session by its key. Raises NotFound and GatewayError."""
    found = await _describe_session(client, key)
    if found is None:
        raise _session_not_found()
    return found


async def load_chat_history(client: GatewayClient, key: str, *, limit: int) -> ChatHistory:
    """Return the latest messages of a session; none if the session does not exist.

    Raises NotFound for an invalid key, and GatewayError.
    """
    call = gateway_api.chat_history(client, key, limit=limit, retry=True)
    history = await _call_session_method(client, key, call)
    info = history.get("sessionInfo")
    row = await _mask_tokens(info) if isinstance(info, dict) else {}
    messages = history.get("messages")
    rows = messages if isinstance(messages, list) else []
    return ChatHistory(
        await _mask_tokens([row for row in rows[-limit:] if isinstance(row, dict)]),
        has_more=history.get("hasMore") is True or len(rows) > limit,
        is_working=row.get("hasActiveRun") is True or isinstance(history.get("inFlightRun"), dict),
        session=row,
    )


async def send_chat_message(
    client: GatewayClient, key: str, content: str, *, idempotency_key: str
) -> None:
    """Send a message into a session, which starts a turn of its agent.

    The gateway accepts each idempotency key once, so repeated calls send one message. Of its
    commands only COMMANDS are obeyed: others approve, or change what the agent may do.
    Raises NotFound and GatewayError.
    """
    call = gateway_api.send_chat(
        client, key, content, idempotency_key=idempotency_key, commands=COMMANDS, retry=True
    )
    await _call_session_method(client, key, call)


async def load_session_owners(source: Source, user: User, gateway: Gateway) -> SessionOwners:
    """Return our agents on a gateway, for an admin. Those without a board belong to all admins."""
    found = await OWNERS.fetch(source, user_id=user.id, gateway_id=gateway.id)
    return {one.agent.gateway_key: one for one in found if one.agent.gateway_key}


def _build_owner(row: tuple[Agent, str | None, bool | None, bool | None]) -> SessionOwner:
    agent, board_name, reads, writes = row
    if agent.board_id is None:
        return SessionOwner(agent, None, can_read=True, can_write=True)
    return SessionOwner(agent, board_name, bool(reads), bool(reads and writes))


USER_BOARD = boards.USER_BOARDS.subquery()
OWNERS = Query(
    select(Agent, USER_BOARD.c.name, USER_BOARD.c.reads, USER_BOARD.c.writes)
    .outerjoin(USER_BOARD, USER_BOARD.c.id == Agent.board_id)
    .where(Agent.gateway_id == bindparam("gateway_id")),
    _build_owner,
)


def agent_id_of_session_key(key: str) -> str:
    """Return the id of the agent of a session; a key without an agent is the first agent's.

    Gateways normalize keys: case, blanks, and characters that ids do not have. So does this.
    """
    parts = key.strip().lower().split(":")
    if len(parts) < 3 or parts[0] != "agent":
        return "main"
    return INVALID_ID_CHARACTERS.sub("-", parts[1].strip()).strip("-")[:MAX_AGENT_ID_LENGTH]


def find_session_owner(
    key: str, owners: SessionOwners, *, to_write: bool = False
) -> SessionOwner | None:
    """Return the agent of ours that owns a session, if there is one.

    Raises Forbidden if the user may not read the agent's board, or not change it with `to_write`.
    """
    owner = owners.get(agent_id_of_session_key(key))
    if owner is not None and not owner.can_read:
        raise Forbidden("board_read_forbidden", N_("You may not read this agent's board."))
    if owner is not None and to_write and not owner.can_write:
        raise Forbidden(
            "board_write_forbidden", N_("You can read the board of this agent but not change it.")
        )
    return owner


def filter_readable_sessions(found: SessionList, owners: SessionOwners) -> SessionList:
    """Return the sessions without those of agents whose boards the user may not read."""

    def can_read(row: SessionRow) -> bool:
        owner = owners.get(agent_id_of_session_key(str(row.get("key"))))
        return owner is None or owner.can_read

    return replace(found, sessions=[row for row in found.sessions if can_read(row)])


async def _call_session_method(client: GatewayClient, key: str, call: Awaitable[Answer]) -> Answer:
    """Await a call about a session. Raises NotFound if there is no such session, and GatewayError.

    A rejection has the same code for every reason, so a second call finds out about the session.
    """
    try:
        return await call
    except GatewayError as error:
        if error.kind is ErrorKind.REJECTED and not await _session_exists(client, key):
            raise _session_not_found() from error
        raise


async def _session_exists(client: GatewayClient, key: str) -> bool:
    """Return whether a gateway has a session; True if it does not say."""
    try:
        return await _describe_session(client, key) is not None
    except GatewayError:
        return True


async def _describe_session(client: GatewayClient, key: str) -> SessionRow | None:
    """Return a session, if it exists. Raises GatewayError.

    Only the key can be the reason of a rejection; an invalid key names no session.
    """
    try:
        found = await gateway_api.describe_session(client, key)
    except GatewayError as error:
        if error.kind is ErrorKind.REJECTED:
            return None
        raise
    return None if found is None else await _mask_tokens(found)


async def _mask_tokens(found: Any) -> Any:
    """Mask our tokens in an answer, in a thread: it can have hundreds of thousands of values."""
    return await asyncio.to_thread(mask_tokens_within, found)


def _session_not_found() -> NotFound:
    return NotFound("session_not_found", N_("The gateway has no such session."))
