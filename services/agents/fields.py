"""What the fields of an agent may hold."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kit.errors import Invalid
from kit.values import Check, json_object, optional, trimmed, words
from services.agents.rules import DEFAULT_HEARTBEAT, duration

LONGEST_NAME = 100  # characters
LONGEST_TEMPLATE = 100_000  # characters
LARGEST_JSON = 64 * 1024  # characters

_name = words(LONGEST_NAME)
_object = json_object(LARGEST_JSON)
_template = optional(trimmed(LONGEST_TEMPLATE))


@dataclass(frozen=True, kw_only=True)
class AgentDraft:
    """An agent that somebody wants. Its board and its token are not theirs to choose."""

    name: str
    heartbeat_config: Mapping[str, Any] | None = None
    identity_profile: Mapping[str, Any] | None = None
    identity_template: str | None = None
    soul_template: str | None = None


def name(value: object, field: str) -> str:
    """Check a name: one line, trimmed."""
    line = _name(value, field)
    if not line.isprintable():
        raise Invalid("bad_character", "A name is one line of letters and signs.", field=field)
    return line


def heartbeat(value: object, field: str) -> dict[str, Any]:
    """Check how an agent is to check in. Where nothing is said, it is the usual way."""
    if value is None:
        return dict(DEFAULT_HEARTBEAT)
    config = _object(value, field)
    every = config.get("every")
    if every is not None and not (isinstance(every, str) and duration(every) is not None):
        raise Invalid("heartbeat_invalid", "Say how often as 30s, 10m or 1h.", field=field)
    if not isinstance(config.get("quiet", True), bool):
        raise Invalid("heartbeat_invalid", "Quiet is true or false.", field=field)
    return config


def profile(value: object, field: str) -> dict[str, str] | None:
    """Check who an agent is, and return all of it as text (contract, agents 7.2).

    Lists are joined with commas, what is empty is left out, and None says that nothing is left.
    """
    given = {} if value is None else _object(value, field)
    texts = {str(name).strip(): _text(said) for name, said in given.items()}
    return {name: text for name, text in texts.items() if name and text} or None


def template(value: object, field: str) -> str | None:
    """Check a template. A blank one is none."""
    return _template(value, field) or None


CHECKS: dict[str, Check] = {
    "name": name,
    "heartbeat_config": heartbeat,
    "identity_profile": profile,
    "identity_template": template,
    "soul_template": template,
}
"""What may be set and changed of an agent."""


def _text(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(filter(None, (_text(item) for item in value)))
    return "" if value is None else str(value).strip()
