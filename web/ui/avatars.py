"""Avatars, state icons and colours of users, agents and labels."""

import re
import zlib
from collections.abc import Mapping

from markupsafe import Markup, escape

from web.ui.translation import N_, translate

HUE_STEP = 15  # degrees between two hues that static/app.css knows

EMOJI_ICONS = {
    "gear": "settings-2",
    "alarm_clock": "alarm-clock",
    "art": "palette",
    "brain": "brain",
    "wrench": "wrench",
    "dart": "target",
    "computer": "laptop",
    "chart_with_upwards_trend": "trending-up",
    "bulb": "lightbulb",
    "zap": "zap",
    "lock": "lock",
    "mailbox": "mailbox",
    "megaphone": "megaphone",
    "memo": "notebook-pen",
    "owl": "bird",
    "robot": "bot",
    "rocket": "rocket",
    "mag": "search",
    "shield": "shield",
    "sparkles": "sparkles",
    "compass": "compass",
}
"""Icon for each emoji name in an agent's profile."""

STATE_ICONS = {"online": "idle", "updating": "provisioning", "deleting": "paused", "away": "late"}
STATE_ICONS |= {
    "waiting": "late",
    "unknown": "offline",
    "closed": "paused",
}  # of the sessions of coding agents
STATE_NAMES = {
    "working": N_("Working"),
    "idle": N_("Idle"),
    "late": N_("Late"),
    "online": N_("Online"),
    "offline": N_("Offline"),
    "away": N_("Gateway away"),
    "provisioning": N_("Starting"),
    "updating": N_("Updating"),
    "deleting": N_("Deleting"),
    "paused": N_("Paused"),
    "failed": N_("Failed"),
    "waiting": N_("Waits for a decision"),
    "unknown": N_("Unknown"),
    "closed": N_("No session"),
}
KNOWN_STATES = {"working", "idle", "late", "offline", "provisioning", "paused", "failed"}


def agent_hue(id: object) -> int:
    """Return the hue of an agent in degrees. It depends only on the id."""
    return zlib.crc32(str(id).encode()) % (360 // HUE_STEP) * HUE_STEP


def emoji_icon(emoji: str | None) -> str:
    """Return the icon of an agent's emoji, or "" if the emoji is shown as text."""
    named = (emoji or "robot").strip().strip(":")
    if named in EMOJI_ICONS:
        return EMOJI_ICONS[named]
    return "bot" if named.isascii() else ""


def state_icon(state: str) -> str:
    """Return the icon of an agent state."""
    drawn = STATE_ICONS.get(state, state)
    return drawn if drawn in KNOWN_STATES else "idle"


def state_name(state: str) -> str:
    """Return the label of an agent state. Agents may report states of their own."""
    name = STATE_NAMES.get(state)
    return translate(name) if name else state.replace("_", " ").capitalize()


def initials(name: str | None) -> str:
    """Return two initials of a user."""
    words = re.findall(r"\w+", name or "")
    initials = words[0][0] + words[-1][0] if len(words) > 1 else "".join(words)[:2]
    return initials.upper() or "?"


def hex_colour(colour: str | None) -> str:
    """Return a colour as "#rrggbb", or "" if it is not valid."""
    found = re.fullmatch(r"#?([0-9a-fA-F]{6})", colour or "")
    return f"#{found[1].lower()}" if found else ""


def round_to_five(share: float) -> int:
    """Round a percentage to the steps of five that static/app.css defines."""
    return min(100, max(0, round(share / 5) * 5))


def html_attributes(given: Mapping[str, object]) -> Markup:
    """Format HTML attributes: `data_key` becomes data-key, True has no value, None is omitted."""
    written = []
    for key, value in given.items():
        name = escape(key.replace("_", "-"))
        if value is True:
            written.append(f" {name}")
        elif value is not None and value is not False:
            written.append(f' {name}="{escape(value)}"')
    return Markup("".join(written))  # noqa: S704 (escaped; Markup.format takes five times as long)
