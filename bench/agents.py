"""How the CPU of an agent's calls depends on the number of agents."""

import asyncpg

from bench.dataset import Dataset, Scale
from bench.installation import open_client
from bench.measurement import Cost, Meter
from bench.requests import list_api_calls
from bench.results import Row
from core.config.settings import Settings
from tests.support.row_copies import multiply_rows

MAX_GROWTH = 1.2  # "the same", within the noise of a measurement


async def measure_many_agents(
    few: Settings, many: Settings, data: Dataset, scale: Scale
) -> list[Row]:
    """Measure the calls of an agent with few agents, and with many."""
    factor = scale.many_agents // scale.agents
    await multiply_rows(many, {"agents": "true"}, factor, {("agents", "is_board_lead"): "false"})
    connections = [await asyncpg.connect(settings.dsn) for settings in (few, many)]
    rows = []
    async with open_client(few) as client, open_client(many) as other:
        meters = [
            Meter(one, connection, scale.calls, scale.rounds)
            for one, connection in zip((client, other), connections, strict=True)
        ]
        for name, factory in list_api_calls(data).items():
            if name.startswith("agent:"):
                costs = [await meter.measure(factory) for meter in meters]
                rows.append(_compare(name, costs, scale))
    for connection in connections:
        await connection.close()
    return rows


def _compare(name: str, costs: list[Cost], scale: Scale) -> Row:
    """Return the row of a call; the CPU of PostgreSQL is included."""
    before, after = (cost.cpu_ms + cost.database_ms for cost in costs)
    return Row(
        "agents",
        f"{scale.many_agents:,} agents: {name}",
        f"x CPU of {scale.agents}",
        after / before,
        goal=MAX_GROWTH,
        details={"cpu_before_ms": before, "cpu_after_ms": after},
    )
