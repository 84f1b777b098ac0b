"""Typed calls about the heartbeats of agents. All calls raise GatewayError; each is sent once."""

from dataclasses import dataclass

from openclaw.answers import get_list, get_mapping
from openclaw.api import call_method, get_agent_file, write_agent_file
from openclaw.capabilities import Capability
from openclaw.client import GatewayClient

HEARTBEAT_FILE = "HEARTBEAT.md"  # read at each heartbeat by agents on older gateways


@dataclass(frozen=True)
class Heartbeat:
    """The scheduled heartbeat of an agent, and the text that the agent reads then."""

    job_id: str | None  # None on gateways where the text is in a file
    text: str | None


async def find_heartbeat(client: GatewayClient, agent_id: str) -> Heartbeat | None:
    """Return the heartbeat of an agent with its text; None if the gateway gives it none.

    Older gateways have no job for it: there the text is in a file.
    """
    if not client.capabilities.supports(Capability.HEARTBEAT_SCRATCH):
        return Heartbeat(None, (await get_agent_file(client, agent_id, HEARTBEAT_FILE)).content)
    params = {"agentId": agent_id, "includeDisabled": True}
    for job in get_list(await call_method(client, "cron.list", params), "jobs"):
        if get_mapping(job, "payload").get("kind") == "heartbeat" and isinstance(
            job.get("id"), str
        ):
            answer = await call_method(client, "cron.scratch.get", {"id": job["id"]})
            return Heartbeat(job["id"], get_mapping(answer, "scratch").get("content"))
    return None


async def set_heartbeat_text(
    client: GatewayClient, agent_id: str, heartbeat: Heartbeat, text: str | None
) -> None:
    """Set the text that an agent reads at each heartbeat; None removes it, or empties its file."""
    if heartbeat.job_id is None:
        await write_agent_file(client, agent_id, HEARTBEAT_FILE, text or "")
    else:
        params = {"id": heartbeat.job_id, "content": text}
        await call_method(client, "cron.scratch.set", params)
