"""Record what was rejected: failed sign-ins, invalid tokens, and refused requests.

The transaction of the request was rolled back, so each has a transaction of its own. A flood cannot
fill the table: above a limit per chain and minute only a few records with the number are added.
"""

import logging
import time
from collections import Counter
from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from core.audit_context import get_audit_context
from core.db.engine import TransactionFactory
from core.security.secrets import token_prefix
from core.validation import is_email
from models import Member, User
from services.audit.records import AuditAction, AuditObject, NewAuditRecord, record_audit

MAX_RECORDS_PER_MINUTE = 20  # of one action in one chain, by one process
MILESTONES = {10**power for power in range(2, 9)}  # attempts in a minute that are recorded as well
MINUTE = 60  # seconds
UNKNOWN_NAME = "not an e-mail address"  # what was entered may be a password

log = logging.getLogger(__name__)


class AttemptCounter:
    """Counts attempts by chain and action in the current minute."""

    def __init__(self) -> None:
        self._minute = 0
        self._counts: Counter[tuple[UUID | None, str]] = Counter()

    def count(self, chain: UUID | None, action: str) -> int:
        """Count an attempt. Return its number in this minute, or 0 if it gets no record."""
        minute = int(time.monotonic() // MINUTE)
        if minute != self._minute:
            self._minute = minute
            self._counts.clear()
        self._counts[chain, action] += 1
        number = self._counts[chain, action]
        return number if number <= MAX_RECORDS_PER_MINUTE or number in MILESTONES else 0


attempts = AttemptCounter()


async def record_failed_sign_in(transaction: TransactionFactory, email: str) -> None:
    """Record a failed sign-in in every organization of the account that was named.

    An unknown name is recorded in the installation, and only if it is an e-mail address.
    """
    address = email.strip().lower()
    address = address if is_email(address) else ""
    query = select(User.id, Member.organization_id).outerjoin(Member, Member.user_id == User.id)
    try:
        async with transaction() as session:
            rows = (await session.execute(query.where(func.lower(User.email) == address))).all()
    except (SQLAlchemyError, OSError) as error:
        log.warning("A failed sign-in could not be recorded: %s", error)
        return
    user_id = rows[0].id if rows else None
    account = AuditObject("user", user_id, address or UNKNOWN_NAME)
    chains = {row.organization_id for row in rows} or {None}
    await _record(transaction, AuditAction.SIGN_IN_FAILED, account, [*chains])


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
        log.warning("A rejected attempt could not be recorded: %s", error)
