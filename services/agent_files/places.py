"""Where an agent lives on its gateway: its session, and its folder (contract, agents 14)."""

import shlex

from kit.text import slugged
from models import Agent

LONGEST_KEY = 64  # characters of an agent's id on a gateway


def session_key(agent: Agent) -> str:
    """Return the key of an agent's main session, "" if it is on no gateway."""
    return agent.openclaw_session_id or agent.session_key or ""


def workspace(root: str, key: str) -> str:
    """Return the folder of the agent whose main session has this key. A `~` stays as it is."""
    id = key.split(":")[1] if key.count(":") else key
    name = slugged(id, most=LONGEST_KEY)
    return f"{root.rstrip('/')}/workspace-{name.removeprefix('mc-') if _is_main(id) else name}"


def quoted(path: str) -> str:
    """Return a path as a shell takes it, whatever is in it. A `~` in front is still somebody's."""
    home, slash, rest = path.partition("/")
    if home == "~" and slash:
        return f"~/{shlex.quote(rest)}" if rest else "~/"
    return shlex.quote(path)


def _is_main(id: str) -> bool:
    return id.startswith("mc-gateway-")
