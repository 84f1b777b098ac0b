"""Browsers in words, so that people know again where they have signed in."""

import re

BROWSERS = (
    ("Edg(?:e|A|iOS)?/", "Edge"),
    ("OPR/|Opera", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Vivaldi/", "Vivaldi"),
    ("Firefox/|FxiOS/", "Firefox"),
    ("Chrome/|CriOS/|Chromium/", "Chrome"),
    ("Safari/", "Safari"),
    ("curl/", "curl"),
)
"""Each browser by what it calls itself. Those that also call themselves like others come first."""

SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("CrOS", "ChromeOS"),
    ("Windows", "Windows"),
    ("Mac OS X|Macintosh", "Mac"),
    ("Linux|X11", "Linux"),
)


def browser(user_agent: str | None) -> str:
    """Say which browser this is, and on what: "Firefox on Linux"."""
    named = _first(BROWSERS, user_agent) or "A browser"
    system = _first(SYSTEMS, user_agent)
    return f"{named} on {system}" if system else named


def is_phone(user_agent: str | None) -> bool:
    """Say whether this browser is held in the hand."""
    return bool(re.search("iPhone|Android.*Mobile", user_agent or ""))


def _first(known: tuple[tuple[str, str], ...], user_agent: str | None) -> str:
    found = (name for pattern, name in known if re.search(pattern, user_agent or ""))
    return next(found, "")
