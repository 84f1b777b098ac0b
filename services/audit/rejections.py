"""Record what was rejected: failed sign-ins, invalid tokens, and refused requests.

The transaction of the request was rolled back, so each has a transaction of its own. A flood cannot
fill the table: above a limit per chain and minute only a few records with the number are added.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from core.audit_context import get_audit_context
from core.db.engine import TransactionFactory, is_temporary_error
from core.security.secrets import token_prefix
from core.text import is_email
from models import Member, User
from services.audit.records import AuditAction, AuditObject, NewAuditRecord, record_audit

MAX_RECORDS_PER_MINUTE = 20  # of one action in one chain, by one process
MILESTONES = {10**power for power in range(2, 9)}  # attempts in a minute that are recorded as well

log = logging.getLogger(__name__)


class AttemptCounter:
    """Counts attempts in the current minute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._minute = 0
        self._counts: Counter[Hashable] = Counter()

    def count(self, *key: Hashable, limit: int = MAX_RECORDS_PER_MINUTE) -> int:
        """Count an attempt. Return its number in this minute, or 0 if it gets no record."""
        minute = int(self._clock() // 60)
        if minute != self._minute:
            self._minute = minute
            self._counts.clear()
        if key not in self._counts and len(self._counts) >= 10_000:  # in memory
            return 0
        self._counts[key] += 1
        number = self._counts[key]
        return number if number <= limit or number in MILESTONES else 0


attempts = AttemptCounter()  # by chain and action
limited_attempts = AttemptCounter()  # by account and address


async def record_failed_sign_in(transaction: TransactionFactory, account: str | User) -> None:
    """Record a wrong password in every organization of the account that was named.

    The account is what was entered as an e-mail address, or the signed-in user. An unknown name is
    recorded in the installation, and only if it is an e-mail address.
    """
    await _record_sign_in(transaction, AuditAction.SIGN_IN_FAILED, account)


async def record_limited_sign_in(transaction: TransactionFactory, account: str | User) -> None:
    """Record an attempt above the limit: the 1st, 100th, 1,000th … of an account in a minute.

    Each address of the caller is counted separately. These attempts verify no password and cost
    nothing, so the others are only counted.
    """
    name = account.email if isinstance(account, User) else account.strip().lower()
    number = limited_attempts.count(name, get_audit_context().address, limit=1)
    if number:
        details: dict[str, object] = {"attempts_of_this_account_and_address": number}
        await _record_sign_in(transaction, AuditAction.SIGN_IN_LIMITED, account, details)


async def record_rejected_request(
    transaction: TransactionFactory, method: str, path: str, token: str | None
) -> None:
    """Record a request that was refused, or one with an invalid token.

    A refused request belongs to the organization of the caller, an invalid token to the
    installation. Of tokens only the prefix of those that have our form is recorded.
    """
    after: dict[str, object] = {"method": method, "path": path}
    if token is None:
        chain = get_audit_context().organization_id
        refused = AuditObject("request", None, f"{method} {path}")
        await _record(transaction, AuditAction.REQUEST_REFUSED, refused, [chain], after)
        return
    rejected = AuditObject("token", token_prefix(token) if token.startswith("mc_") else None)
    await _record(transaction, AuditAction.TOKEN_REJECTED, rejected, [None], after)


async def _record_sign_in(
    transaction: TransactionFactory,
    action: AuditAction,
    account: str | User,
    after: dict[str, object] | None = None,
) -> None:
    query = select(User.id, Member.organization_id).outerjoin(Member, Member.user_id == User.id)
    if isinstance(account, User):
        name = account.email or account.display_name
        query = query.where(User.id == account.id)
    else:
        entered = account.strip().lower()
        # what was entered may be a password
        name = entered if is_email(entered) else "not an e-mail address"
        query = query.where(func.lower(User.email) == name)
    try:
        async with transaction() as session:
            rows = (await session.execute(query)).all()
    except (SQLAlchemyError, OSError) as error:
        _log_missing_record(error)
        return
    target = AuditObject("user", rows[0].id if rows else None, name)
    chains = {row.organization_id for row in rows} or {None}
    await _record(transaction, action, target, [*chains], after)


async def _record(
    transaction: TransactionFactory,
    action: AuditAction,
    target: AuditObject,
    chains: Sequence[UUID | None],
    after: dict[str, object] | None = None,
) -> None:
    """Add the records, unless there were too many. The request was rejected in any case."""
    numbers = {chain: attempts.count(chain, action) for chain in chains}
    records = [
        NewAuditRecord(
            action,
            target,
            organization_id=chain,
            after={**(after or {}), "attempts_in_this_minute": number},
        )
        for chain, number in numbers.items()
        if number
    ]
    try:
        async with transaction() as session:
            await record_audit(session, records)
    except (SQLAlchemyError, OSError) as error:
        _log_missing_record(error)


def _log_missing_record(error: Exception) -> None:
    is_ours = not is_temporary_error(error)
    log.warning("A rejected attempt could not be recorded: %s", error, exc_info=is_ours)
