"""Whether a gateway can be reached: looked at without a transaction, and then written down."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from models import EventType, Gateway, Member
from openclaw import Ladder
from services import events
from services.gateways.carrier import Carrier
from services.gateways.finding import get

Rung = dict[str, Any]


@dataclass(frozen=True)
class Look:
    """What was seen of a gateway at one moment: its ladder, and what it gave us on top of it."""

    checks: list[Rung]  # each as in openclaw, and since when it stands so
    at: datetime
    is_well: bool
    gateway_version: str | None
    sealed_device_token: str | None

    @classmethod
    async def at_gateway(cls, carrier: Carrier, gateway: Gateway) -> "Look":
        """Go and look. Never inside a transaction. Raises Conflict for secrets out of reach."""
        seen = cls.of(carrier, gateway.id, await carrier.climb(gateway))
        return replace(seen, checks=seen.rungs_after(gateway.checks))

    @classmethod
    def of(cls, carrier: Carrier, gateway_id: UUID, ladder: Ladder) -> "Look":
        """Make one of a ladder that was climbed."""
        hello = ladder.hello
        given = hello.device_token if hello else None
        return cls(
            checks=[asdict(check) | {"since": ladder.at.isoformat()} for check in ladder.checks],
            at=ladder.at,
            is_well=ladder.is_well,
            gateway_version=hello.version if hello else None,
            sealed_device_token=carrier.seal(gateway_id, "device_token", given),
        )

    def rungs_after(self, before: Sequence[Rung] | None) -> list[Rung]:
        """Return the rungs; those that stand as they did before, do so since then."""
        known = {rung["name"]: rung for rung in before or ()}
        return [_dated(rung, known.get(rung["name"], {})) for rung in self.checks]

    def columns(self) -> dict[str, Any]:
        """Return the columns of a gateway in which this is kept."""
        seen: dict[str, Any] = {"checks": self.checks, "checked_at": self.at}
        if self.gateway_version is not None:
            seen["gateway_version"] = self.gateway_version
        if self.sealed_device_token is not None:
            seen["sealed_device_token"] = self.sealed_device_token
        return seen


async def record(session: AsyncSession, member: Member, gateway: Gateway, look: Look) -> Gateway:
    """Write down what a person saw, as `note` does, and return the gateway as it is.

    Raises NotFound if it is gone.
    """
    return await note(session, gateway, look) or await get(session, member, gateway.id)


async def note(session: AsyncSession, gateway: Gateway, look: Look) -> Gateway | None:
    """Write down what was seen, and return the gateway as it is; None if it was changed meanwhile.

    What is seen of a gateway is no change of it: its version stays. That it stands as before is no
    event.
    """
    query = select(Gateway).where(Gateway.id == gateway.id, Gateway.version == gateway.version)
    query = query.with_for_update(key_share=True).execution_options(populate_existing=True)
    row = await session.scalar(query)
    if row is None:
        return None
    seen = look.columns() | {"checks": look.rungs_after(row.checks)}
    is_news = row.checks != seen["checks"]
    for name, value in seen.items():
        setattr(row, name, value)
    await session.flush()
    if is_news:
        await events.record_all(session, [_stands_otherwise(row)])
    return row


def _stands_otherwise(gateway: Gateway) -> events.Happened:
    return events.Happened(
        EventType.GATEWAY_UPDATED,
        None,
        organization_id=gateway.organization_id,
        data={"gateway_id": str(gateway.id), "name": gateway.name, "changed": ["checks"]},
    )


def _dated(rung: Rung, before: Mapping[str, Any]) -> Rung:
    is_as_before = all(rung[key] == before.get(key) for key in ("state", "code"))
    return rung | {"since": before.get("since") or rung["since"]} if is_as_before else rung
