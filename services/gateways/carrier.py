"""What carries words to gateways: the one place where their secrets are opened.

Services ask it for a link and don't care where it comes from: today one is made for each call, and
is gone when the call is over.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

from kit.errors import Conflict, OutsideFailed
from kit.sealing import Seal, SealBroken
from kit.settings import Settings
from models import Gateway, Reached
from openclaw import (
    Budget,
    Device,
    GatewayError,
    Guard,
    Hello,
    Ladder,
    Link,
    Target,
    Trouble,
    advise,
    climb,
    locked,
    seen,
)

IMPATIENT = Budget(call=15.0, whole=20.0, longest_rest=2.0)
"""How long a person who has asked something waits."""


CAPS = ("tool-events", "exec-approvals")
"""What who holds a gateway understands. Without the second one no agent there can ask anything."""

REST = 5.0  # seconds after which a station that has failed works on

Station = Callable[[Gateway, Link], Awaitable[None]]
"""What works over the connection to a gateway for as long as it is held. It ends by cancellation.

It finds out by itself what is to be done, so it may be stopped at any moment, and work on in
another process. The gateway is as it was when it was claimed: what changes of it is read again.
"""

log = logging.getLogger(__name__)

GOING = (Trouble.RESTARTING, Trouble.CLOSED)
"""How a connection ends that was well. Trying again tells more: what fails so is no such end."""


@dataclass(frozen=True)
class Secrets:
    """What a gateway's row keeps sealed. It is not in a `repr`, nor in any answer."""

    token: str
    device: Device
    device_token: str

    def __repr__(self) -> str:
        """Name it without telling it."""
        return f"Secrets({self.device})"


class Carrier:
    """Reaches gateways, with the secrets that are sealed in their rows."""

    def __init__(self, seal: Seal, guard: Guard, *, budget: Budget = IMPATIENT) -> None:
        self._seal = seal
        self._guard = guard
        self._budget = budget

    @classmethod
    def of(cls, settings: Settings, seal: Seal) -> "Carrier":
        """Make the one that is set."""
        return cls(seal, Guard(settings.gateway_allow_private))

    @asynccontextmanager
    async def link(self, gateway: Reached) -> AsyncGenerator[Link]:
        """Give a link to a gateway. What goes wrong with it is raised as OutsideFailed.

        Never open one inside a transaction: a gateway may take its time.
        """
        async with self.link_to(self.target(gateway)) as link:
            yield link

    @asynccontextmanager
    async def link_to(self, target: Target) -> AsyncGenerator[Link]:
        """Give a link to what is perhaps nobody's gateway. Raises as `link` does."""
        try:
            async with Link(target, budget=self._budget) as link:
                yield link
        except GatewayError as error:
            raise failed(error, target.url) from error

    async def keep(
        self,
        gateway: Gateway,
        heard: Callable[[Ladder], Awaitable[None]],
        *,
        stations: Sequence[Station] = (),
        budget: Budget,
    ) -> None:
        """Stay connected to a gateway until cancelled, and tell how the ladder stands each time.

        Meanwhile the stations work over the same connection. That a gateway is about to come back
        is not told: soon it is there, or it is not. Raises Conflict, once that is told.
        """
        try:
            target, was_well = self.target(gateway), False
        except Conflict as refusal:
            await heard(locked(refusal.message, refusal.code))
            raise

        async def hear(news: Hello | GatewayError) -> None:
            nonlocal was_well
            ends = was_well and isinstance(news, GatewayError) and news.trouble in GOING
            was_well = isinstance(news, Hello)
            if not ends:
                await heard(seen(target, news))

        async with Link(target, caps=CAPS, budget=budget) as link, asyncio.TaskGroup() as group:
            for station in stations:
                group.create_task(_work(station, gateway, link))
            await link.keep(hear)

    async def climb(self, gateway: Gateway) -> Ladder:
        """See whether a gateway can be reached, and what is in the way."""
        return await climb(self.target(gateway))

    def target(self, gateway: Reached) -> Target:
        """Return how a gateway is reached. Raises Conflict where its secrets cannot be opened."""
        opened = self.opened(gateway)
        return Target(
            gateway.url,
            token=opened.token,
            device=None if gateway.disable_device_pairing else opened.device,
            device_token=opened.device_token,
            allow_insecure_tls=gateway.allow_insecure_tls,
            guard=self._guard,
        )

    def asked_for(
        self,
        url: str,
        token: str,
        *,
        like: Gateway | None,
        allow_insecure_tls: bool | None = None,
        disable_device_pairing: bool | None = None,
    ) -> Target:
        """Return how an address is reached with a token that somebody gives.

        What is not said is as with `like`, the gateway that has this address; the device is its
        device, but none of its tokens is used.
        """
        insecure, hidden = allow_insecure_tls, disable_device_pairing
        if like is not None:
            insecure = like.allow_insecure_tls if insecure is None else insecure
            hidden = like.disable_device_pairing if hidden is None else hidden
        device = self.opened(like).device if like and not hidden else None
        return Target(url, token, device, allow_insecure_tls=bool(insecure), guard=self._guard)

    def opened(self, gateway: Reached) -> Secrets:
        """Open what is sealed in a gateway's row. Raises Conflict."""
        try:
            return Secrets(
                self._open(gateway.sealed_token, gateway.id, "token"),
                Device(self._seal.open(gateway.sealed_device, place(gateway.id, "device"))),
                self._open(gateway.sealed_device_token, gateway.id, "device_token"),
            )
        except SealBroken:
            reason = (
                "The secrets of this gateway were sealed with another SECRET_KEY. Bring that key"
                " back, or enter the token again; then the gateway has to be paired again."
            )
            raise Conflict("gateway_secrets_unreadable", reason) from None

    def can_open(self, gateway: Gateway) -> bool:
        """Say whether what is sealed in a gateway's row was sealed with our key."""
        try:
            self.opened(gateway)
        except Conflict:
            return False
        return True

    def seal(self, gateway_id: UUID, name: str, secret: str | bytes | None) -> str | None:
        """Seal a secret for a gateway's row; nothing stays nothing."""
        return self._seal.close(secret, place(gateway_id, name)) if secret else None

    def new_device(self, gateway_id: UUID) -> str:
        """Make a device for a gateway, and return it sealed."""
        sealed = self.seal(gateway_id, "device", Device.new().seed)
        assert sealed is not None
        return sealed

    def _open(self, sealed: str | None, gateway_id: UUID, name: str) -> str:
        return self._seal.open(sealed, place(gateway_id, name)).decode() if sealed else ""


async def _work(station: Station, gateway: Gateway, link: Link) -> None:
    """Let a station work until cancelled. What goes wrong with one is no trouble to the others."""
    while True:
        try:
            await station(gateway, link)
        except Exception as error:
            log.warning("Work for the gateway %s: %s", gateway.id, error, exc_info=True)
        await asyncio.sleep(REST)


def place(gateway_id: UUID, name: str) -> str:
    """Name the place that a secret is sealed for, so that it opens in no other row or column."""
    return f"gateways.{name}:{gateway_id}"


def failed(error: GatewayError, url: str) -> OutsideFailed:
    """Make a refusal of what went wrong at a gateway: its name is the code, for machines."""
    sentence, command = advise(error, url)
    told = f"{sentence} Run there: {command}" if command else sentence
    return OutsideFailed(f"gateway_{error.trouble.value}", told)
