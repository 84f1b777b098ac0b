"""How people, agents and labels look: initials, tints, glyphs, all made of what they are."""

import re
import zlib
from collections.abc import Mapping

from markupsafe import Markup

TINT = 15  # degrees between two hues that static/app.css knows

GLYPHS = {
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
"""Which icon is drawn for the name of an emoji that an agent's profile holds."""

STATE_GLYPHS = {"online": "idle", "updating": "provisioning", "deleting": "paused", "away": "late"}
STATE_NAMES = {"provisioning": "Starting", "away": "Gateway away"}
KNOWN_STATES = {"working", "idle", "late", "offline", "provisioning", "paused", "failed"}


def hue(id: object) -> int:
    """Return the tint of an agent, in degrees: the same for the same id, everywhere."""
    return zlib.crc32(str(id).encode()) % (360 // TINT) * TINT


def glyph(emoji: str | None) -> str:
    """Return the icon for an agent's emoji, or "" if the emoji has to be shown as text."""
    named = (emoji or "robot").strip().strip(":")
    if named in GLYPHS:
        return GLYPHS[named]
    return "bot" if named.isascii() else ""


def state_glyph(state: str) -> str:
    """Return which of our state glyphs shows an agent's state."""
    drawn = STATE_GLYPHS.get(state, state)
    return drawn if drawn in KNOWN_STATES else "idle"


def state_name(state: str) -> str:
    """Return an agent's state in words. Agents may report words of their own."""
    return STATE_NAMES.get(state, state.replace("_", " ").capitalize())


def initials(name: str | None) -> str:
    """Return the two letters that stand for a person."""
    words = re.findall(r"\w+", name or "")
    letters = words[0][0] + words[-1][0] if len(words) > 1 else "".join(words)[:2]
    return letters.upper() or "?"


def hex_colour(colour: str | None) -> str:
    """Return a colour as "#rrggbb", or "" if it is none."""
    found = re.fullmatch(r"#?([0-9a-fA-F]{6})", colour or "")
    return f"#{found[1].lower()}" if found else ""


def step5(share: float) -> int:
    """Return a share of 0 to 100 in the steps of five that static/app.css knows."""
    return min(100, max(0, round(share / 5) * 5))


def attributes(given: Mapping[str, object]) -> Markup:
    """Write attributes of an element: `data_key` is data-key, True is there, None is not."""
    written = Markup()
    for key, value in given.items():
        name = key.replace("_", "-")
        if value is True:
            written += Markup(" {}").format(name)
        elif value is not None and value is not False:
            written += Markup(' {}="{}"').format(name, value)
    return written
