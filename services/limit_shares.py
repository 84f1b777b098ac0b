"""The shares of limits that processes have claimed (core/shared_limiters.py).

Only the clock of the database counts: processes say how long a claim lasts, not until when.
"""

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import String, Uuid, bindparam, cast, func, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession

from core.db.engine import TransactionFactory
from core.db.transactions import Write, delete_unlocked
from core.security.secrets import hash_token
from core.shared_limiters import Claim, Share
from models import LimitShare, new_id

SPARE_PART = 4  # at most a quarter of what is left is given in advance

_LOCK_KEYS = Write(
    text("""
    select count(*) from (
        select pg_advisory_xact_lock(hashtextextended(key, 2)) from unnest(:keys) as key
    ) as locks
""").bindparams(bindparam("keys", type_=ARRAY(String())))
)
"""Locks keys until the commit, in the order in which they are given."""

_CLAIM = Write(
    text(f"""
    with claims as (
        select
            claim.*,
            (
                select coalesce(sum(taken), 0) from limit_shares
                where key_hash = key and process_id <> :process
                and expires_at > statement_timestamp()
            ) as others
        from unnest(
            :keys, cast(:limit as int[]), cast(:used as int[]), cast(:needed as int[]),
            cast(:spare as int[]), cast(:seconds as double precision[])
        ) as claim (key, max_count, used, needed, spare, seconds)
    ),
    written as (
        insert into limit_shares (id, key_hash, process_id, taken, expires_at)
        select
            gen_random_uuid(), key, :process,
            greatest(used, least(
                needed + least(spare, greatest(max_count - others - needed, 0) / {SPARE_PART}),
                max_count - others
            )),
            statement_timestamp() + make_interval(secs => seconds)
        from claims
        on conflict (key_hash, process_id)
        do update set taken = excluded.taken, expires_at = excluded.expires_at
        returning key_hash, taken
    )
    select key_hash, taken, (
        select cast(extract(epoch from min(expires_at) - statement_timestamp()) as float8)
        from limit_shares
        where limit_shares.key_hash = written.key_hash and process_id <> :process
        and expires_at > statement_timestamp()
    )
    from written
""").bindparams(  # noqa: S608 - the inserted number is a constant
        bindparam("keys", type_=ARRAY(String())), bindparam("process", type_=Uuid())
    )
)


class LimitShareTable:
    """The shares of one process."""

    def __init__(self, transaction: TransactionFactory) -> None:
        self._transaction = transaction
        self._process_id = new_id()

    async def claim(self, claims: Sequence[Claim]) -> Mapping[str, Share]:
        """Replace the claims of these keys, and return the shares."""
        sent = sorted((hash_token(claim.key), claim) for claim in claims)  # against deadlocks
        keys = [key_hash for key_hash, _ in sent]
        columns = zip(*(claim[1:] for _, claim in sent), strict=True)
        parameters = dict(zip(Claim._fields[1:], map(list, columns), strict=True))
        async with self._transaction() as session:
            await _LOCK_KEYS.execute(session, keys=keys)
            rows = await _CLAIM.execute(session, keys=keys, process=self._process_id, **parameters)
        found = {key_hash: Share(taken, ends_in) for key_hash, taken, ends_in in rows}
        return {claim.key: found[key_hash] for key_hash, claim in sent}

    async def give_back(self, keys: Collection[str]) -> int:
        """Delete the claims of these keys, and return how many there were."""
        hashes = [hash_token(key) for key in keys]
        is_one = LimitShare.key_hash == func.any(cast(hashes, ARRAY(String)))
        is_own = LimitShare.process_id == self._process_id
        async with self._transaction() as session:
            return await delete_unlocked(session, LimitShare, is_own & is_one, limit=len(hashes))


async def delete_expired_shares(session: AsyncSession) -> int:
    """Delete a batch of the claims that nobody renews, and return their number."""
    is_expired = LimitShare.expires_at < func.statement_timestamp()
    return await delete_unlocked(session, LimitShare, is_expired)
