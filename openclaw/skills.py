"""The skills that a gateway knows, as `skills.status` lists them."""

from collections.abc import Mapping
from dataclasses import dataclass

from openclaw.answers import JsonObject, to_object, value_of_type
from openclaw.client import GatewayClient
from openclaw.errors import ErrorKind, GatewayError

STATUS_METHOD = "skills.status"
"""The method needs the scope `operator.read`. It reads the folders of the agent each time."""


@dataclass(frozen=True)
class ListedSkill:
    """A skill that an agent of a gateway can have, and the folder that it is in."""

    name: str
    folder: str  # without the folders that contain it
    is_bundled: bool = False  # part of OpenClaw


async def list_skills(client: GatewayClient, agent_id: str) -> list[ListedSkill]:
    """Return the skills that an agent can have, also those that miss a requirement.

    An answer without a list raises GatewayError: a skill that is not listed must be known to be
    missing.
    """
    answer = await client.call_once(STATUS_METHOD, {"agentId": agent_id})
    rows = answer.get("skills") if isinstance(answer, Mapping) else None
    if not isinstance(rows, list):
        raise GatewayError(ErrorKind.MALFORMED, "The gateway did not list its skills.")
    return [parse_skill(to_object(row)) for row in rows]


def parse_skill(row: JsonObject) -> ListedSkill:
    """Return a skill of the list. Parts of an unexpected shape are blank."""
    name, folder = (value_of_type(row.get(key), str) or "" for key in ("name", "baseDir"))
    return ListedSkill(name, get_last_part(folder), row.get("bundled") is True)


def get_last_part(folder: str) -> str:
    """Return the name of a folder on a gateway, which may run on Windows."""
    return folder.replace("\\", "/").rstrip("/").rpartition("/")[2]
