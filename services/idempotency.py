"""Idempotency keys: a request that is sent again is not executed again, and gets the same response.

docs/decisions/idempotency.md says what is stored, for how long, and why errors are not.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, delete, literal, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.transactions import delete_unlocked
from core.errors import Conflict, Invalid
from core.security.encryption import DecryptionError, SecretCipher
from models import IdempotencyKey, build_encryption_context, new_id

RESPONSE_LIFETIME = timedelta(hours=24)  # after which a key is as good as new
CLAIM_TIMEOUT = timedelta(minutes=5)  # that a request may take which waits for the network

_TRY_LOCK = text("pg_try_advisory_xact_lock(hashtextextended(:lock, 1))")


@dataclass(frozen=True)
class IdempotentRequest:
    """A request with a key. The fingerprint distinguishes it from any other request."""

    caller_id: UUID
    key: str
    fingerprint: str


@dataclass(frozen=True)
class StoredResponse:
    """A response as it was sent."""

    status: int
    headers: Mapping[str, str]
    body: str


async def claim_key(
    session: AsyncSession, request: IdempotentRequest, cipher: SecretCipher
) -> StoredResponse | None:
    """Claim a key in this transaction, or return the response that was stored for it.

    The claim is written in the transaction of the change, so that both are committed or neither is.
    It never waits: raises Conflict while another transaction has the key, and Invalid if the key
    was used for another request.

    A request that waits for the network claims the key in a transaction of its own, and stores the
    response or releases the key in another.
    """
    if await _try_claim(session, request):
        return None
    stored = await session.scalar(select(IdempotencyKey).where(_key_condition(request)))
    if stored is not None and stored.fingerprint != request.fingerprint:
        reason = "This Idempotency-Key was used for another request. Use a new one."
        raise Invalid("idempotency_key_reused", reason)
    if stored is None or stored.encrypted_response is None:
        reason = "The first request with this Idempotency-Key is not answered yet. Try again soon."
        raise Conflict("idempotency_key_in_use", reason)
    try:
        plain = cipher.decrypt(stored.encrypted_response, _encryption_context(request))
    except DecryptionError as error:
        reason = "This was done, but the response can no longer be read: SECRET_KEY has changed."
        raise Conflict("idempotency_response_unreadable", reason) from error
    return StoredResponse(**json.loads(plain))


async def store_response(
    session: AsyncSession,
    request: IdempotentRequest,
    response: StoredResponse,
    cipher: SecretCipher,
) -> None:
    """Store the response to a claimed key, encrypted, because some responses contain a secret."""
    encrypted = cipher.encrypt(json.dumps(asdict(response)), _encryption_context(request))
    await session.execute(
        update(IdempotencyKey).where(_key_condition(request)).values(encrypted_response=encrypted)
    )


async def release_key(session: AsyncSession, request: IdempotentRequest) -> None:
    """Release a key after the request has failed."""
    await session.execute(delete(IdempotencyKey).where(_key_condition(request)))


async def delete_expired_responses(session: AsyncSession) -> int:
    """Delete a batch of the responses that are older than RESPONSE_LIFETIME."""
    is_expired = IdempotencyKey.created_at < now() - RESPONSE_LIFETIME
    return await delete_unlocked(session, IdempotencyKey, is_expired)


async def _try_claim(session: AsyncSession, request: IdempotentRequest) -> bool:
    """Insert the claim if the key is free, in one statement, and return whether it was inserted.

    A claim without a response after CLAIM_TIMEOUT is of a process that was killed. The advisory
    lock prevents a second request from waiting at the unique key for the first one.
    """
    values = {
        "id": new_id(),
        "caller_id": request.caller_id,
        "key": request.key,
        "fingerprint": request.fingerprint,
        "created_at": now(),
    }
    columns = [
        literal(value, IdempotencyKey.__table__.c[name].type) for name, value in values.items()
    ]
    row = select(*columns).where(_TRY_LOCK.bindparams(lock=_encryption_context(request)))
    claimed = insert(IdempotencyKey).from_select(list(values), row)
    claimed = claimed.on_conflict_do_update(
        index_elements=["caller_id", "key"],
        set_={name: claimed.excluded[name] for name in ("fingerprint", "created_at")},
        where=IdempotencyKey.encrypted_response.is_(None)
        & (IdempotencyKey.created_at < now() - CLAIM_TIMEOUT),
    )
    return await session.scalar(claimed.returning(IdempotencyKey.id)) is not None


def _key_condition(request: IdempotentRequest) -> ColumnElement[bool]:
    return (IdempotencyKey.caller_id == request.caller_id) & (IdempotencyKey.key == request.key)


def _encryption_context(request: IdempotentRequest) -> str:
    column = IdempotencyKey.encrypted_response
    return build_encryption_context(column, caller_id=request.caller_id, key=request.key)
