"""Leaving gateways that are removed here: our agents go from each as soon as it is there."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from kit.errors import Refusal
from models import GatewayDeparture
from services import provisioning
from services.gateways.carrier import Carrier

Transaction = Callable[[], AbstractAsyncContextManager[AsyncSession]]

TO_LEAVE = 20.0  # seconds for one try

log = logging.getLogger(__name__)


async def take_leave(
    transaction: Transaction, carrier: Carrier, *, clock: Callable[[], datetime] = now
) -> None:
    """Have our agents removed from all gateways that are to be left and are due.

    It may be broken off anywhere, and done by several at once. Each is tried for seven days.
    """
    async with transaction() as session:
        given_up = await provisioning.give_up(session, clock())
        due = await provisioning.departures(session, clock())
    for one in given_up:
        keys = ", ".join(one.agent_keys)
        log.warning("Agents may be left on the gateway %s: %s (%s)", one.url, keys, one.last_error)
    await asyncio.gather(*[_leave(transaction, carrier, one, clock) for one in due])


async def _leave(
    transaction: Transaction,
    carrier: Carrier,
    departure: GatewayDeparture,
    clock: Callable[[], datetime],
) -> None:
    """Have our agents removed from one gateway, and write down what came of it."""
    asked_at = clock()
    error = await _in_the_way(carrier, departure)
    async with transaction() as session:
        await provisioning.departed(session, departure, asked_at, error)


async def _in_the_way(carrier: Carrier, departure: GatewayDeparture) -> str | None:
    """Have our agents removed from a gateway; if not all of them go, say what was in the way."""
    try:
        async with asyncio.timeout(TO_LEAVE), carrier.link(departure) as link:
            await link.hello()
            await provisioning.clear(link, departure.agent_keys)
    except Refusal as refusal:
        return refusal.message
    except TimeoutError:
        return f"It did not answer in {TO_LEAVE:g} s."
    except Exception:
        log.exception("Leaving the gateway %s", departure.url)
        return "Something went wrong here; the server's log says what."
    return None
