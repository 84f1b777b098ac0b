"""Watching what happens on a gateway: it tells much, and what it does not tell is looked for."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection

from openclaw.errors import GatewayError
from openclaw.frames import Event
from openclaw.link import Link
from openclaw.subscriptions import MISSED

log = logging.getLogger(__name__)


async def watch(
    link: Link,
    names: Collection[str],
    *,
    look: Callable[[bool], Awaitable[None]],
    take: Callable[[Event], Awaitable[None]],
    every: float,
    rest: Callable[[GatewayError], float],
) -> None:
    """Take events of these names until cancelled, and look at the whole now and then.

    That is after every connection, wherever events were missed, and all so many seconds, however
    much is told meanwhile: a gateway drops events for whom it finds too slow. `look` is given
    whether something was missed. What a gateway refuses is looked at again after `rest` seconds.
    """
    heard, clock = link.subscribe(*names), asyncio.get_running_loop().time
    event: Event | None = MISSED
    look_at = clock()
    try:
        while True:
            await link.up()
            try:
                if event is None or event is MISSED:
                    await look(event is MISSED)
                    look_at = clock() + every
                else:
                    await take(event)
            except GatewayError as error:
                log.info("a gateway cannot be looked at: %s", error)
                event = MISSED
                await asyncio.sleep(rest(error))
                continue
            event = await heard.before(look_at)
    finally:
        heard.close()
