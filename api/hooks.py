"""POST /hooks/{client}: what the hooks of coding agents' clients ask and report.

It stands outside of /api/v1, because its requests and responses are those of the clients, each in
its own format. A call that must not run gets a denial with status 200, since clients run a call
after some errors. Only errors of the caller, such as a wrong token, are those of the API.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from typing import Any

import pydantic_core
from starlette.exceptions import HTTPException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route, Router

from api.framework.auth import AllowedCaller, authenticate, authenticate_request
from api.framework.errors import handle_app_error, handle_unknown_address
from core.clock import now
from core.db.listen import PostgresListener
from core.errors import AppError, Invalid, NotFound, TooMany, Unauthorized
from core.http.caller import get_agent_token, get_bearer_token
from core.http.long_wait import SharedTransactions, WaitEnd, wait_long
from core.http.request import MAX_BODY_SIZE, Session, count_wait, open_transaction, read_body
from core.limiters import RateLimiter
from models import Agent, CodingClient, ToolAnswer
from services import coding_sessions, tool_calls
from services.coding_sessions import TEST_SECONDS, ConnectionKind
from services.tool_calls import HeldCall, PreparedCall, ToolReply

DEFAULT_WAIT = 570.0  # seconds; less than the timeout of ten minutes that clients have
MAX_WAIT = 86_000.0
LONG_INPUT = 10_000  # bytes of a request whose facts are read in a thread
EVENT_HEADER = "X-Hook-Event"
VERSION_HEADER = "X-Client-Version"
NO_LONGER_VALID = (
    "The token of this agent is no longer valid, so no decision counts for this call. A person must"
    " connect the client again."
)


async def receive_hook(request: Request) -> Response:
    """Answer a tool call, or record what has happened in a session."""
    try:
        client = CodingClient(request.path_params["client"])
    except ValueError:
        known = ", ".join(CodingClient)
        raise NotFound(
            "client_not_found", f"There is no such client. The known clients are: {known}."
        ) from None
    agent = await authenticate_request(request, AllowedCaller.AGENT)
    assert isinstance(agent, Agent)
    event_name = request.headers.get(EVENT_HEADER) or request.query_params.get("event") or ""
    is_asking = True  # until it is known
    try:
        body, is_long = await _read_body(request)
        event_name = tool_calls.find_event_name(body, event_name)
        is_asking = tool_calls.is_asking(body, event_name)
        if not is_asking:
            await _record_event(request, agent, client, body, event_name)
            return _respond({})
        wait, is_headless = _read_options(request)
        asked = tool_calls.read_tool_request(client, body, event_name, is_headless=is_headless)
        prepare = partial(tool_calls.prepare_call, asked)
        call = await asyncio.to_thread(prepare) if is_long else prepare()
        await _record_connection(request, agent, client)
        del body, asked, prepare  # nothing of the input stays in memory while the call is held
        with ExitStack() as stack:
            reply, notified = await _ask(stack, request, agent, call, wait)
            del call, agent
            if isinstance(reply, HeldCall):
                assert notified is not None
                reply = await _wait_for_decision(request, reply, notified, wait)
    except AppError as error:
        if not is_asking or isinstance(error, Unauthorized):
            raise
        reply = ToolReply(ToolAnswer.DENY, error.message)
    answer = tool_calls.build_answer(
        client, event_name, reply.answer, reply.text, reply.updated_input
    )
    return _respond(answer)


async def _read_body(request: Request) -> tuple[dict[str, Any], bool]:
    """Return the body, and whether it is long. Raises Invalid and TooLarge."""
    raw = await read_body(request, MAX_BODY_SIZE)
    try:
        body = pydantic_core.from_json(raw)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise Invalid("json_invalid", "The request of the hook is not a JSON object.")
    return body, len(raw) > LONG_INPUT


def _read_options(request: Request) -> tuple[float, bool]:
    """Return the seconds to wait, and whether the client runs without a person. Raises Invalid."""
    given, headless = (request.query_params.get(one, "") for one in ("wait", "headless"))
    try:
        wait = float(given) if given else DEFAULT_WAIT
    except ValueError:
        wait = 0.0
    if not 1 <= wait <= MAX_WAIT:
        reason = f"In the address of the hook, wait must be from 1 to {MAX_WAIT:.0f} seconds."
        raise Invalid("wait_invalid", reason)
    if headless not in ("", "0", "1"):
        raise Invalid("headless_invalid", "In the address of the hook, headless must be 1 or 0.")
    return wait, headless == "1"


async def _ask(
    stack: ExitStack, request: Request, agent: Agent, call: PreparedCall, wait: float
) -> tuple[ToolReply | HeldCall, asyncio.Event | None]:
    """Answer a call, or hold it, with the event that its decision sets.

    A wait is counted before the transaction, which locks the board: the count may take a while.
    Raises TooMany for a call that would be held.
    """
    too_many = None
    try:
        stack.callback(await count_wait(request, agent.id, agent.organization_id))
    except TooMany as error:
        too_many = error
    async with open_transaction(request) as session:
        reply = await tool_calls.ask(session, agent, call, wait=timedelta(seconds=wait))
        if not isinstance(reply, HeldCall):
            return reply, None
        if too_many is not None:
            raise too_many
        return reply, _subscribe(stack, request, agent, reply)


def _subscribe(stack: ExitStack, request: Request, agent: Agent, held: HeldCall) -> asyncio.Event:
    """Notice the decision of a held call: before the commit, so that none is missed.

    A token that ends, and an agent that is deleted or moved, are noticed too.
    """
    listener: PostgresListener = request.state.postgres_listener
    notified = stack.enter_context(listener.subscribe(f"tool-decision:{held.approval_id}"))
    return stack.enter_context(listener.subscribe(f"rights:{agent.id}", notified))


async def _wait_for_decision(
    request: Request, held: HeldCall, notified: asyncio.Event, seconds: float
) -> ToolReply:
    """Return the answer of people, or a denial at the end of the wait or of the token.

    The call that tests a connection gets no answer before TEST_SECONDS have passed. Raises
    ClientDisconnect if the connection was closed. An answer that came at this moment is given to
    the next identical call. Calls with one approval and one token are answered together.
    """
    shared: SharedTransactions = request.state.shared_transactions
    key = held.approval_id, get_agent_token(request) or get_bearer_token(request)
    expires_at = request.state.credential_expires_at
    if expires_at is not None:
        seconds = min(seconds, (expires_at - now()).total_seconds())
    with wait_long(request, notified, seconds) as wait:
        if held.is_test:
            await wait.sleep(TEST_SECONDS)
        while await wait.next() is WaitEnd.NOTIFIED:
            replies = await shared.join(key, held, partial(_find_answers, request))
            if held in replies and wait.end is not WaitEnd.CLOSED:
                return replies[held]
        end = wait.end
    if end is WaitEnd.STOPPED:
        await shared.join(end, held, partial(tool_calls.abandon_calls, is_shown=False))
        return ToolReply(ToolAnswer.DENY, tool_calls.STILL_WAITING)
    async with open_transaction(request) as session:
        if end is WaitEnd.TIMEOUT:
            replies = await _find_answers(request, session, [held])
            if held in replies:
                return replies[held]
        await tool_calls.abandon_calls(session, [held], is_cut=end is WaitEnd.CLOSED)
    if end is WaitEnd.CLOSED:
        raise ClientDisconnect
    return ToolReply(ToolAnswer.DENY, tool_calls.STILL_WAITING)


async def _find_answers(
    request: Request, session: Session, held: Sequence[HeldCall]
) -> Mapping[HeldCall, ToolReply]:
    """Return the answers to held calls of an approval with the rights that their token has now."""
    try:
        agent = await authenticate(session, request, AllowedCaller.AGENT)
    except Unauthorized:
        agent = None
    if agent is None:
        await tool_calls.abandon_calls(session, held)
        return dict.fromkeys(held, ToolReply(ToolAnswer.DENY, NO_LONGER_VALID))
    return await tool_calls.answer_held_calls(session, held)


async def _record_event(
    request: Request, agent: Agent, client: CodingClient, body: dict[str, Any], event_name: str
) -> None:
    if tool_calls.is_disconnection(event_name):
        async with open_transaction(request) as session:
            await coding_sessions.record_disconnection(session, agent, client)
        return
    event = tool_calls.read_session_event(client, body, event_name)
    if event is not None:
        async with open_transaction(request) as session:
            await tool_calls.record_session_event(session, agent, event)
    await _record_connection(request, agent, client)


async def _record_connection(request: Request, agent: Agent, client: CodingClient) -> None:
    """Record that the hook of a client has called; this process does it twice a minute at most."""
    version = request.headers.get(VERSION_HEADER) or None
    contacts: RateLimiter = request.state.hook_contacts
    try:
        contacts.hit(f"{agent.id} {client} {(version or '')[:100]}")
    except TooMany:
        return
    async with open_transaction(request) as session:
        await coding_sessions.record_connection(
            session, agent, client, kind=ConnectionKind.HOOK, version=version
        )


def _respond(answer: dict[str, Any]) -> Response:
    return Response(pydantic_core.to_json(answer), media_type="application/json")


app = ExceptionMiddleware(
    Router([Route("/{client}", receive_hook, methods=["POST"])]),
    handlers={AppError: handle_app_error, HTTPException: handle_unknown_address},
)
