"""Leaving a gateway that is removed here: our agents go from it, if it is there to be asked."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from kit.errors import Refusal
from models import Gateway
from openclaw import GatewayError
from services import provisioning
from services.gateways.carrier import Carrier
from services.gateways.standing import in_the_way

TO_LEAVE = 10.0  # seconds

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Leaving:
    """A gateway that is removed here, and what it may still have of ours: the keys of agents."""

    gateway: Gateway
    keys: Sequence[str]


async def take_leave(carrier: Carrier, leaving: Leaving) -> None:
    """Have our agents removed from a gateway that we shall not know any more.

    Nobody waits long for that: their tokens are worth nothing already. Never call it inside a
    transaction.
    """
    gateway = leaving.gateway
    if not leaving.keys or in_the_way(gateway) is not None:
        return
    try:
        async with asyncio.timeout(TO_LEAVE), carrier.link(gateway) as link:
            await link.hello()
            await provisioning.clear(link, leaving.keys)
    except (Refusal, GatewayError, TimeoutError) as error:
        log.warning("Agents may be left on the gateway %s: %s", gateway.id, error)
