"""Cleanup of deleted gateways: our agents are removed from each as soon as it is reachable.

A row remains after the deletion. It has the connection of the gateway and the keys of our agents.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from sqlalchemy import (
    Interval,
    bindparam,
    cast,
    delete,
    func,
    literal,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.engine import TransactionFactory
from core.db.reads import Query, ReadFactory
from core.errors import AppError
from models import Agent, Gateway, GatewayCleanup
from services.gateways import GatewayConnector, parse_endpoint
from services.gateways.provisioning.state_machine import CREATION_TIMEOUT
from services.gateways.provisioning.steps import remove_agents

CLEANUP_TIMEOUT = 20.0  # seconds for one attempt
BATCH_SIZE = 20  # gateways in one run
FIRST_DELAY = timedelta(seconds=30)  # longer than an attempt takes; doubled with each attempt
MAX_DELAY = timedelta(minutes=10)
MAX_DOUBLINGS = 10  # more would exceed the range of PostgreSQL's intervals after some days
EXPIRES_AFTER = timedelta(days=7)  # then the cleanup is given up

DUE_CLEANUPS = Query(
    select(GatewayCleanup.id).where(GatewayCleanup.next_try_at <= bindparam("at")).limit(1)
)

log = logging.getLogger(__name__)


async def run_cleanup(
    open_transaction: TransactionFactory,
    connector: GatewayConnector,
    *,
    open_read: ReadFactory,
    clock: Callable[[], datetime] = now,
) -> None:
    """Remove our agents from all deleted gateways whose next attempt is due.

    It may be interrupted at any point, and run in several processes at once. Each gateway is tried
    for seven days.
    """
    async with open_read() as source:
        if not await DUE_CLEANUPS.fetch(source, at=clock()):
            return
    async with open_transaction() as session:
        at = clock()
        has_failed = (GatewayCleanup.attempts > 0) & (GatewayCleanup.next_try_at <= at)
        is_old = GatewayCleanup.created_at < at - EXPIRES_AFTER
        expiry = delete(GatewayCleanup).where(has_failed, is_old).returning(GatewayCleanup)
        expired = (await session.scalars(expiry)).all()
        due = await claim_due_cleanups(session, clock())
    for one in expired:
        keys = ", ".join(one.agent_keys)
        log.warning("Agents may be left on the gateway %s: %s (%s)", one.url, keys, one.last_error)
    attempts = [_clean_up_gateway(open_transaction, connector, one, clock) for one in due]
    # All of them end here: the worker does not close the database while one uses it.
    for error in await asyncio.gather(*attempts, return_exceptions=True):
        if error is not None:
            raise error


async def claim_due_cleanups(session: AsyncSession, moment: datetime) -> Sequence[GatewayCleanup]:
    """Return the cleanups that are due, and postpone them, so that no other process gets them.

    The attempt is counted now: also an interrupted one counts.
    """
    due = (
        select(GatewayCleanup.id)
        .where(GatewayCleanup.next_try_at <= moment)
        .order_by(GatewayCleanup.next_try_at)
        .limit(BATCH_SIZE)
        .with_for_update(skip_locked=True)
    )
    factor = func.power(2, func.least(GatewayCleanup.attempts, MAX_DOUBLINGS))
    delay = func.least(FIRST_DELAY * factor, MAX_DELAY)
    attempted = {
        "attempts": GatewayCleanup.attempts + 1,
        "next_try_at": literal(moment) + cast(delay, Interval),
    }
    claimed = update(GatewayCleanup).where(GatewayCleanup.id.in_(due)).values(**attempted)
    return (await session.scalars(claimed.returning(GatewayCleanup))).all()


async def _clean_up_gateway(
    open_transaction: TransactionFactory,
    connector: GatewayConnector,
    cleanup: GatewayCleanup,
    clock: Callable[[], datetime],
) -> None:
    """Try to remove our agents from one gateway; delete the cleanup, or record why it failed.

    An agent whose creation was requested just before the deletion may appear late. So an attempt
    counts as successful only if it started after that was possible.
    """
    started_at = clock()
    async with open_transaction() as session:
        keys = await _list_former_keys(session, cleanup)
    error = await _try_cleanup(connector, cleanup, keys)
    is_it = GatewayCleanup.id == cleanup.id
    if error is None and started_at >= cleanup.created_at + CREATION_TIMEOUT:
        change = delete(GatewayCleanup).where(is_it)
    else:
        change = update(GatewayCleanup).where(is_it).values(last_error=error)
    async with open_transaction() as session:
        await session.execute(change)


async def _list_former_keys(session: AsyncSession, cleanup: GatewayCleanup) -> list[str]:
    """Return the keys without those of agents that are back: the gateway was added again."""
    query = select(Agent.gateway_key, Gateway.url).join(Gateway, Gateway.id == Agent.gateway_id)
    found = await session.execute(query.where(Agent.gateway_key.in_(cleanup.agent_keys)))
    endpoint = parse_endpoint(cleanup.url)
    present = {key for key, url in found if parse_endpoint(url) == endpoint}
    return [key for key in cleanup.agent_keys if key not in present]


async def _try_cleanup(
    connector: GatewayConnector, cleanup: GatewayCleanup, keys: Sequence[str]
) -> str | None:
    """Remove our agents from a gateway; return an error message unless all were removed."""
    try:
        async with asyncio.timeout(CLEANUP_TIMEOUT), connector.connect(cleanup) as client:
            await client.get_hello()
            await remove_agents(client, keys)
    except AppError as error:
        return error.message
    except TimeoutError:
        return f"It did not answer in {CLEANUP_TIMEOUT:g} s."
    except Exception:
        log.exception("The agents could not be removed from the gateway %s.", cleanup.url)
        return "Something went wrong in Mission Control. See the log of the server."
    return None
