"""What the fields of a gateway may hold. Nothing here asks the network."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import openclaw
from kit.errors import Invalid
from kit.values import Check, optional, trimmed, words, yes_or_no

LONGEST_NAME = 200  # characters
LONGEST_PATH = 1_000
LONGEST_TOKEN = 4_000
AS_IN_THE_CONFIG = re.compile(r"""["']?token["']?\s*:\s*(["'])(?P<token>.*)\1\s*,?""")
"""The line that `grep token` prints, which people copy whole."""


_name = words(LONGEST_NAME)
_path = words(LONGEST_PATH)
_url = words(openclaw.LONGEST_URL)
_token = optional(trimmed(LONGEST_TOKEN))


@dataclass(frozen=True, kw_only=True)
class GatewayDraft:
    """A gateway that somebody has, and how it is reached."""

    name: str
    url: str
    workspace_root: str
    token: str | None = None
    allow_insecure_tls: bool = False
    disable_device_pairing: bool = False


def name(value: object, field: str) -> str:
    """Check a name: one line, trimmed."""
    return _one_line(_name(value, field), field)


def path(value: object, field: str) -> str:
    """Check a folder on the gateway's machine, where its agents have their workspaces."""
    return _one_line(_path(value, field), field)


def url(value: object, field: str) -> str:
    """Check an address: ws or wss, a host, and no secrets. Nobody is asked where it leads."""
    text: str = _url(value, field)
    try:
        openclaw.parse(text)
    except openclaw.GatewayError as error:
        raise Invalid("url_invalid", error.message, field=field) from None
    return text


def token(value: object, field: str) -> str | None:
    """Check a token. A blank one is none; of its line in the config only the token is taken."""
    text = _token(value, field) or ""
    line = AS_IN_THE_CONFIG.fullmatch(text)
    return _one_line(line["token"].strip() if line else text, field) or None


CHECKS: Mapping[str, Check] = {
    "name": name,
    "url": url,
    "workspace_root": path,
    "token": token,
    "allow_insecure_tls": yes_or_no,
    "disable_device_pairing": yes_or_no,
}
"""The fields of a gateway that somebody may write, and what each takes."""


def _one_line(text: str, field: str) -> str:
    if not text.isprintable():
        raise Invalid("bad_character", "This is one line of letters and signs.", field=field)
    return text
