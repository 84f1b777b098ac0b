"""Requests that may be sent again: what was done once is not done twice, and answered alike.

docs/decisions/idempotency.md says what is kept, for how long, and why refusals are not.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, delete, literal, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from kit.errors import Conflict, Invalid
from kit.sealing import Seal, SealBroken
from models import IdempotencyKey, new_id

KEPT = timedelta(hours=24)  # after which a key is as good as new
AT_WORK = timedelta(minutes=5)  # that a request may take which waits for the network

_FREE = text("pg_try_advisory_xact_lock(hashtextextended(:lock, 1))")


@dataclass(frozen=True)
class Asked:
    """What somebody asks under a key. The fingerprint tells it from anything else."""

    caller_id: UUID
    key: str
    fingerprint: str


@dataclass(frozen=True)
class Given:
    """An answer as it was given."""

    status: int
    headers: Mapping[str, str]
    body: str


async def claim(session: AsyncSession, asked: Asked, seal: Seal) -> Given | None:
    """Take a key for this transaction, or return the answer that was given under it before.

    The claim is written in the transaction that does what is asked, so either both are there in
    the end or neither is, however the process ends. Nobody waits: raises Conflict while another
    transaction has the key, and Invalid if it was used for something else.

    What waits for the network claims in a transaction of its own, and keeps or releases in another.
    """
    if await _taken(session, asked):
        return None
    kept = await session.scalar(select(IdempotencyKey).where(_of(asked)))
    if kept is not None and kept.fingerprint != asked.fingerprint:
        reason = "This Idempotency-Key was used for another request. Take a new one."
        raise Invalid("idempotency_key_reused", reason)
    if kept is None or kept.answer is None:
        reason = "The first request with this Idempotency-Key is not answered yet. Try again soon."
        raise Conflict("idempotency_key_in_use", reason)
    return _opened(asked, kept.answer, seal)


async def keep(session: AsyncSession, asked: Asked, given: Given, seal: Seal) -> None:
    """Keep the answer to what was claimed. It is sealed: some answers show a secret, once."""
    sealed = seal.close(json.dumps(asdict(given)), _place(asked))
    await session.execute(update(IdempotencyKey).where(_of(asked)).values(answer=sealed))


async def release(session: AsyncSession, asked: Asked) -> None:
    """Give a key back, after what was asked has failed."""
    await session.execute(delete(IdempotencyKey).where(_of(asked)))


async def purge(session: AsyncSession) -> None:
    """Forget the answers that were given longer ago than KEPT."""
    old = IdempotencyKey.created_at < now() - KEPT
    await session.execute(delete(IdempotencyKey).where(old))


async def _taken(session: AsyncSession, asked: Asked) -> bool:
    """Write the claim if nobody has the key, in one statement, and say whether it was written.

    The lock keeps a second request from waiting at the unique key for the first one to end.
    """
    values = {
        "id": new_id(),
        "caller_id": asked.caller_id,
        "key": asked.key,
        "fingerprint": asked.fingerprint,
        "created_at": now(),
    }
    columns = [
        literal(value, IdempotencyKey.__table__.c[name].type) for name, value in values.items()
    ]
    row = select(*columns).where(_FREE.bindparams(lock=_place(asked)))
    claimed = insert(IdempotencyKey).from_select(list(values), row)
    claimed = claimed.on_conflict_do_update(
        index_elements=["caller_id", "key"],
        set_={name: claimed.excluded[name] for name in ("fingerprint", "created_at")},
        where=_left_behind(),
    )
    return await session.scalar(claimed.returning(IdempotencyKey.id)) is not None


def _left_behind() -> ColumnElement[bool]:
    """Say which claims nobody is working on any more: their process was killed meanwhile."""
    is_old = IdempotencyKey.created_at < now() - AT_WORK
    return IdempotencyKey.answer.is_(None) & is_old


def _of(asked: Asked) -> ColumnElement[bool]:
    return (IdempotencyKey.caller_id == asked.caller_id) & (IdempotencyKey.key == asked.key)


def _opened(asked: Asked, answer: str, seal: Seal) -> Given:
    try:
        return Given(**json.loads(seal.open(answer, _place(asked))))
    except SealBroken as error:
        reason = "This was done, but the answer cannot be read any more: SECRET_KEY has changed."
        raise Conflict("idempotency_answer_lost", reason) from error


def _place(asked: Asked) -> str:
    return f"idempotency:{asked.caller_id}:{asked.key}"
