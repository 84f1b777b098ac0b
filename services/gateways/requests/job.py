"""The gateway job for requests: it stores new requests and delivers the answers of users."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

from core.db.engine import TransactionFactory
from core.db.listen import PostgresListener
from core.db.reads import ReadFactory
from core.errors import TooMany
from core.limiters import RateLimiter
from core.text import is_storable_json, replace_unstorable
from models import DECISION_KINDS, Gateway, GatewayRequest, RequestKind
from openclaw import ErrorKind, GatewayClient, GatewayError, GatewayEvent, poll_events, request_api
from services.gateways.requests import commands
from services.gateways.requests.parser import (
    MAX_CONTENT_LENGTH,
    ParsedRequest,
    RequestHash,
    parse_request,
)
from services.gateways.requests.queries import STORED_AS_WAITING, UNDELIVERED_ANSWERS
from services.gateways.requests.rules import UNSHOWN_ERROR, Resolution, is_answered_unseen

POLL_INTERVAL = 20.0  # seconds between two loads of the waiting requests, whatever events arrive
DEBOUNCE = 0.2  # seconds in which several notifications become one
STORED_AT_ONCE = 20  # requests in one transaction
MAX_STORED = 1_000  # new requests of a gateway in an hour; further ones wait on the gateway
RETRY_DELAY = 1.0  # seconds after an attempt that the gateway did not answer

KIND_OF_EVENT = {
    "exec.approval.requested": RequestKind.EXEC,
    "exec.approval.resolved": RequestKind.EXEC,
    "plugin.approval.requested": RequestKind.PLUGIN,
    "plugin.approval.resolved": RequestKind.PLUGIN,
    "question.requested": RequestKind.QUESTION,
    "question.resolved": RequestKind.QUESTION,
}
"""The gateway events about requests."""

OVER_REASONS = ("APPROVAL_ALREADY_RESOLVED", "APPROVAL_NOT_FOUND", "QUESTION_NOT_FOUND")
OVER_REASONS += ("QUESTION_ALREADY_TERMINAL",)
"""Values of `details.reason` of a request that takes no answer any more."""

CLOSING_REASONS = ("gateway-restarting", "gateway-suspending")
"""Values of `details.reason` of a gateway that lists nothing, but takes answers until it stops."""

PERMANENT_ERRORS = (ErrorKind.REJECTED, ErrorKind.MISSING_SCOPE)
"""Errors that a retry cannot change."""

ABORTED_RESOLVER = "approval-scope-closed"  # the resolver of approvals whose run has ended

log = logging.getLogger(__name__)


class RequestSyncJob:
    """A gateway job: synchronizes requests and answers.

    The gateway's list of waiting requests is authoritative; events only report changes sooner.
    """

    def __init__(
        self,
        open_transaction: TransactionFactory,
        open_read: ReadFactory,
        listener: PostgresListener,
        *,
        poll_interval: float = POLL_INTERVAL,
        max_stored: int = MAX_STORED,
    ) -> None:
        self._open_transaction = open_transaction
        self._open_read = open_read
        self._listener = listener
        self._poll_interval = poll_interval
        self._limiter = RateLimiter(max_stored, 3_600.0)
        self._known_hashes: defaultdict[tuple[UUID, RequestKind], dict[str, RequestHash]]
        self._known_hashes = defaultdict(dict)
        self._counted: defaultdict[UUID, set[tuple[str, str]]] = defaultdict(set)  # by gateway

    async def __call__(self, gateway: Gateway, client: GatewayClient) -> None:
        """Work for a gateway until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._receive_requests(gateway, client))
            group.create_task(self._deliver_answers(gateway, client))

    async def _receive_requests(self, gateway: Gateway, client: GatewayClient) -> None:
        async def load_all(_has_missed: bool) -> None:
            await self._refresh(gateway, client)

        async def handle_event(event: GatewayEvent) -> None:
            kind = KIND_OF_EVENT[event.name]
            if event.name.endswith(".resolved"):
                await self._resolve(gateway, client, kind, str(event.payload.get("id") or ""))
            elif request := parse_request(kind, event.payload):
                self._known_hashes[gateway.id, kind][request.request_id] = request.hash
                await self._store(gateway, self._limit_new(gateway, [request]))

        await poll_events(
            client,
            KIND_OF_EVENT,
            load_all=load_all,
            handle_event=handle_event,
            interval=self._poll_interval,
            retry_delay=lambda _: RETRY_DELAY,
        )

    async def _refresh(self, gateway: Gateway, client: GatewayClient) -> None:
        """Store all waiting requests of a gateway, and resolve those that do not wait any more."""
        listed = {kind: await list_waiting(client, kind) for kind in RequestKind}
        waiting = {kind: found for kind, found in listed.items() if found is not None}
        for kind, found in waiting.items():
            self._known_hashes[gateway.id, kind] = {id: one.hash for id, one in found.items()}
        all_waiting = [one for found in waiting.values() for one in found.values()]
        self._counted[gateway.id] &= set(map(_identify, all_waiting))
        requests = self._limit_new(gateway, all_waiting)
        if len(requests) < len(all_waiting):
            rest = len(all_waiting) - len(requests)
            log.warning("The gateway %s has too many requests: %d wait there.", gateway.id, rest)
        for start in range(0, len(requests), STORED_AT_ONCE):
            await self._store(gateway, requests[start : start + STORED_AT_ONCE])
        async with self._open_read() as source:
            stored = await STORED_AS_WAITING.fetch(source, gateway_id=gateway.id)
        for kind, request_id in stored:
            if kind in waiting and request_id not in waiting[kind]:
                await self._resolve(gateway, client, kind, request_id)

    def _limit_new(
        self, gateway: Gateway, waiting: Sequence[ParsedRequest]
    ) -> Sequence[ParsedRequest]:
        """Return the requests that are known, and as many new ones as the limit allows.

        The others are stored later, if the gateway still lists them then.
        """
        counted, kept = self._counted[gateway.id], []
        for one in waiting:
            if (key := _identify(one)) not in counted:
                try:
                    self._limiter.hit(str(gateway.id))
                except TooMany:
                    continue
                counted.add(key)
            kept.append(one)
        return kept

    async def _store(self, gateway: Gateway, waiting: Sequence[ParsedRequest]) -> None:
        if not waiting:
            return
        async with self._open_transaction() as session:
            await commands.store_requests(session, gateway, waiting)

    async def _resolve(
        self, gateway: Gateway, client: GatewayClient, kind: RequestKind, id: str
    ) -> None:
        resolution = await load_resolution(client, kind, id)
        if resolution is not None:
            async with self._open_transaction() as session:
                await commands.resolve_request(session, gateway, id, resolution)

    async def _deliver_answers(self, gateway: Gateway, client: GatewayClient) -> None:
        with self._listener.subscribe(str(gateway.organization_id)) as notified:
            while True:
                notified.clear()
                await client.wait_connected()
                async with self._open_read() as source:
                    requests = await UNDELIVERED_ANSWERS.fetch(source, gateway_id=gateway.id)
                results = [await self._deliver_one(gateway, client, one) for one in requests]
                if not all(results):
                    await asyncio.sleep(RETRY_DELAY)
                    continue
                with suppress(TimeoutError):
                    await asyncio.wait_for(notified.wait(), self._poll_interval)
                    await asyncio.sleep(DEBOUNCE)

    async def _deliver_one(
        self, gateway: Gateway, client: GatewayClient, request: GatewayRequest
    ) -> bool:
        """Deliver one answer; return False if the gateway is unreachable and the answer waits."""
        known_hash = self._known_hashes[gateway.id, request.kind].get(request.request_id)
        try:
            resolution = await deliver_answer(client, request, known_hash)
        except AnswerRejected as rejected:
            async with self._open_transaction() as session:
                await commands.record_rejected_answer(session, request, str(rejected))
        except GatewayError as error:
            log.info("An answer could not be sent to the gateway %s yet: %s", gateway.id, error)
            return False
        else:
            async with self._open_transaction() as session:
                await commands.resolve_request(session, gateway, request.request_id, resolution)
        return True


def _identify(request: ParsedRequest) -> tuple[str, str]:
    """Return what distinguishes a request of a gateway from others."""
    return request.request_id, request.hash.sha256


class AnswerRejected(Exception):
    """The gateway does not accept an answer, and will not accept it later."""


async def list_waiting(client: GatewayClient, kind: RequestKind) -> dict[str, ParsedRequest] | None:
    """Return the waiting requests of a kind, by id; None if the gateway does not have them."""
    try:
        if kind in DECISION_KINDS:
            rows = await request_api.list_approvals(client, kind.value)
        else:
            rows = await request_api.list_questions(client)
    except GatewayError as error:
        if error.kind in PERMANENT_ERRORS:
            return None
        raise
    waiting: dict[str, ParsedRequest] = {}
    for row in rows:
        await asyncio.sleep(0)  # each can be long, so others work between two of them
        if (request := parse_request(kind, row)) is not None:
            waiting[request.request_id] = request
    return waiting


async def load_resolution(
    client: GatewayClient, kind: RequestKind, request_id: str
) -> Resolution | None:
    """Return how a request was resolved; None while it waits."""
    try:
        if kind in DECISION_KINDS:
            return _approval_resolution(await request_api.get_approval(client, request_id))
        return _question_resolution(await request_api.get_question(client, request_id))
    except GatewayError as error:
        if error.kind in PERMANENT_ERRORS:
            return Resolution()
        raise


async def deliver_answer(
    client: GatewayClient, request: GatewayRequest, known_hash: RequestHash | None
) -> Resolution:
    """Deliver the answer to a request, and return its resolution. Raises AnswerRejected.

    The gateway must still list exactly the content that was answered. While it is stopping it lists
    nothing; then `known_hash`, of the content that it listed last, is compared instead. The gateway
    recognizes an answer, so it may be delivered again.
    """
    try:
        listed = (await list_waiting(client, request.kind) or {}).get(request.request_id)
        present_hash = listed.hash if listed else None
    except GatewayError as error:
        if known_hash is None or error.details.get("reason") not in CLOSING_REASONS:
            raise
        present_hash = known_hash
    if present_hash is not None and not present_hash.is_of(request):
        raise AnswerRejected(
            "The gateway now uses the id for another request, so the answer was not sent."
        )
    if present_hash is not None and is_answered_unseen(request, present_hash):
        raise AnswerRejected(UNSHOWN_ERROR)
    try:
        await _send_answer(client, request)
    except GatewayError as error:
        if error.details.get("reason") in OVER_REASONS:
            # Perhaps ours was delivered before, and its response was lost.
            if request.kind is RequestKind.QUESTION and await _has_our_answer(client, request):
                return _our_resolution(request)
            return await load_resolution(client, request.kind, request.request_id) or Resolution()
        if error.kind in PERMANENT_ERRORS:
            message = f"The gateway does not accept the answer: {error.message}"
            raise AnswerRejected(message) from None
        raise
    return _our_resolution(request)


async def _send_answer(client: GatewayClient, request: GatewayRequest) -> None:
    answer = request.answer or {}
    if request.takes_decision:
        id, kind = request.request_id, request.kind.value
        await request_api.resolve_approval(client, kind, id, answer)
        return
    await request_api.resolve_question(
        client,
        request.request_id,
        answers=None if answer.get("cancel") else answer["answers"],
        resolved_by=f"{request.answered_by} (Mission Control)",
        resolution_id=str(request.id),
    )


async def _has_our_answer(client: GatewayClient, request: GatewayRequest) -> bool:
    try:
        resolution_id = await request_api.question_resolution_id(client, request.request_id)
    except GatewayError as error:
        if error.kind in PERMANENT_ERRORS:
            return False
        raise
    return resolution_id == str(request.id)


def _our_resolution(request: GatewayRequest) -> Resolution:
    return Resolution(is_answered=True, answer=request.answer, resolved_by=request.answered_by)


def _approval_resolution(row: Mapping[str, Any]) -> Resolution | None:
    resolver = row.get("resolver")
    resolver = resolver if isinstance(resolver, Mapping) else {}
    by = _short_text(resolver.get("id"))
    if by and resolver.get("kind") == "device":
        by = f"The device {by[:8]}"
    decision = _short_text(row.get("decision"))
    is_by_user = row.get("reason") == "user" and by != ABORTED_RESOLVER
    match row.get("status"):
        case "pending":
            return None
        case "allowed" | "denied" if decision and is_by_user:
            return Resolution(is_answered=True, answer={"decision": decision}, resolved_by=by)
        case "expired":
            return Resolution(is_expired=True)
        case "cancelled" | "denied":
            return Resolution(is_cancelled=True)
    return Resolution()


def _question_resolution(row: Mapping[str, Any]) -> Resolution | None:
    by = _short_text(row.get("resolvedBy"))
    match row.get("status"):
        case "pending":
            return None
        case "answered":
            answer = {"answers": _read_answers(row.get("answers"))}
            return Resolution(is_answered=True, answer=answer, resolved_by=by)
        case "expired":
            return Resolution(is_expired=True)
        case "cancelled":
            return Resolution(is_cancelled=True)
    return Resolution()


def _read_answers(given: object) -> dict[str, list[str]]:
    """Return the texts that were answered, by the ids of the questions."""
    answers = given.get("answers") if isinstance(given, Mapping) else None
    is_storable = is_storable_json(answers, max_length=MAX_CONTENT_LENGTH)
    if not is_storable or not isinstance(answers, dict):
        return {}
    return {
        id: [text for text in texts if isinstance(text, str)]
        for id, texts in answers.items()
        if isinstance(texts, list)
    }


def _short_text(value: object) -> str | None:
    return replace_unstorable(value[:200]) if isinstance(value, str) and value else None
