"""Supervisors of gateways as they run in a process."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import select

from core.db.engine import TransactionFactory
from core.db.listen import PostgresListener
from models import Gateway
from openclaw import RetryPolicy
from services import gateways
from services.gateways import GatewayConnector, GatewayCreate
from tests.support.fake_gateway import TOKEN, FakeGateway
from tests.support.world import World
from worker.gateway_supervisor import GatewaySupervisor

QUICK_POLICY = RetryPolicy(first_delay=0.01, max_delay=0.05, operator_delay=0.05)


@asynccontextmanager
async def run_supervisor(
    connector: GatewayConnector,
    transaction: TransactionFactory,
    listener: PostgresListener | None = None,
    **how: Any,
) -> AsyncGenerator[GatewaySupervisor]:
    """Run the supervisor of a process; without a listener nothing wakes it."""
    stop = asyncio.Event()
    how = {"interval": 0.05, "retry_policy": QUICK_POLICY} | how
    holder = GatewaySupervisor(connector, transaction, listener or PostgresListener(), **how)
    running = asyncio.create_task(holder.run(stop))
    try:
        yield holder
    finally:
        stop.set()
        await asyncio.wait_for(running, 20)


async def create_gateway(
    transaction: TransactionFactory,
    world: World,
    connector: GatewayConnector,
    fake: FakeGateway,
    **more: Any,
) -> Gateway:
    fields: dict[str, Any] = {"name": "Workshop", "url": fake.url, "workspace_root": "/x"}
    fields |= {"token": TOKEN, **more}
    async with transaction() as session:
        return await gateways.create_gateway(
            session, world.alice_member, connector, GatewayCreate(**fields)
        )


async def load_gateway(transaction: TransactionFactory, gateway: Gateway) -> Gateway | None:
    async with transaction() as session:
        return await session.scalar(select(Gateway).where(Gateway.id == gateway.id))


async def wait_for(is_so: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(10):
        while not await is_so():
            await asyncio.sleep(0.02)


def failed_check_name(gateway: Gateway | None) -> str | None:
    """Return the failed check, `nothing` if there is none, and None without checks."""
    if gateway is None or gateway.checks is None:
        return None
    return next((one["name"] for one in gateway.checks if one["state"] == "failed"), "nothing")


async def is_true(true: bool) -> bool:
    return true
