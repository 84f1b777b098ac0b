"""Parse values of settings: addresses, lists, log levels.

The text of a ValueError completes a sentence that begins with the name of the setting.
"""

import ipaddress
import logging
import re
import shlex
from email.utils import parseaddr
from pathlib import Path
from urllib.parse import urlencode, urlsplit

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

LOOPBACK_NETWORKS = tuple(map(ipaddress.ip_network, ("127.0.0.0/8", "::1/128")))
PRIVATE_NETWORKS = (
    *LOOPBACK_NETWORKS,
    *map(
        ipaddress.ip_network,
        ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"),
    ),
)

SCHEMES = ("postgres", "postgresql")
ESCAPED = "with other characters than letters, digits and - . _ ~ of the password like %2F"
SMTP_PORTS = {"starttls": 587, "tls": 465, "none": 25}
WILDCARD_HOSTS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - loopback addresses to connect to
DATABASE_HOSTS = re.compile(r"(?:(?:\[[^\[\]]*\]|[^\[\]:,]*)(?::\d{0,5})?(?:,|$))*")
PATH_SEGMENT = re.compile(r"(?!\.\.?$)[\w.~-]+", re.ASCII)
TRACE = 5  # a log level below DEBUG, which the original has


def parse_address(text: str) -> str:
    """Parse an absolute HTTP(S) URL; a trailing slash is removed."""
    example = "must be an address like https://control.example.com"
    try:
        parts = urlsplit(text)
        _ = parts.port  # raises ValueError
    except ValueError:
        raise ValueError(example) from None
    is_one_word = text.isprintable() and not any(map(str.isspace, text))
    if parts.scheme not in ("http", "https") or not parts.hostname or not is_one_word:
        raise ValueError(example)
    if parts.query or parts.fragment:
        raise ValueError("must be an address without ? and #")
    return text.rstrip("/")


def parse_base_url(text: str) -> str:
    """Parse the address of an installation, whose path needs no escaping anywhere."""
    address = parse_address(text)
    path = urlsplit(address).path
    if not all(PATH_SEGMENT.fullmatch(segment) for segment in path.split("/")[1:]):
        raise ValueError("must have a path of letters, digits and - . _ ~, like /mission-control")
    return address


def parse_issuer(text: str) -> str:
    """Parse the issuer URL of an OpenID provider; HTTPS is required except on loopback.

    A trailing slash is kept, because it is part of the issuer name of some providers.
    """
    if not text:
        return ""
    parse_address(text)
    parts = urlsplit(text)
    if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
        raise ValueError("must start with https://, unless the provider is on this machine")
    return text


def get_host(text: str) -> str:
    """Return the host of a URL, or an empty string."""
    return urlsplit(text).hostname or ""


def parse_optional_address(text: str) -> str:
    """Parse a URL; an empty string is accepted."""
    return parse_address(text) if text else ""


def local_address(host: str, port: int) -> str:
    """Return the URL of a server on this machine."""
    host = WILDCARD_HOSTS.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def parse_database_url(text: str) -> str:
    """Parse a PostgreSQL URL; a driver name in the scheme is removed.

    A password with characters that are not escaped must not be taken for a host, a port or a name,
    which errors quote.
    """
    if not text:
        return ""
    example = "must be an address like postgresql://user:password@host:5432/name"
    scheme, found, rest = text.partition("://")
    if not found or scheme.partition("+")[0] not in SCHEMES:
        raise ValueError(example)
    try:
        parts = urlsplit(f"postgresql://{rest}")
    except ValueError:  # quotes the address
        raise ValueError(f"{example}, {ESCAPED}") from None
    hosts = parts.netloc.rpartition("@")[2]
    if "@" in parts.path or not DATABASE_HOSTS.fullmatch(hosts):
        raise ValueError(f"{example}, {ESCAPED}")
    if any(int(port) > 65_535 for port in re.findall(r":(\d+)(?:,|$)", hosts)):
        raise ValueError("must have a port up to 65535")
    if not parts.path.strip("/"):
        raise ValueError("must name a database after the host: postgresql://host:5432/name")
    return parts.geturl()


def to_sqlalchemy_url(dsn: str) -> str:
    """Convert to a URL for SQLAlchemy that passes all of it to asyncpg.

    SQLAlchemy itself knows neither the parameters for TLS nor a list of hosts.
    """
    return f"postgresql+asyncpg://?{urlencode({'dsn': dsn})}"


def expand_folder(path: Path) -> Path:
    """Return the absolute path of a folder that may begin with `~`."""
    try:
        return path.expanduser().absolute()
    except RuntimeError:
        raise ValueError(f"must be another folder: {path} is in a home that is unknown") from None


def parse_mailbox(text: str) -> str:
    """Parse the sender of e-mails: an address, or a name and an address in angle brackets."""
    if not text:
        return ""
    _, address = parseaddr(text)
    local, _, domain = address.rpartition("@")
    if not (local and domain) or not text.isprintable():
        raise ValueError("must be an address like Mission Control <control@example.com>")
    return text


def parse_networks(value: object) -> object:
    """Parse a comma-separated list of IP addresses and networks."""
    try:
        return tuple(ipaddress.ip_network(str(item), strict=False) for item in _split_list(value))
    except ValueError as error:
        raise ValueError(f"must list addresses or networks: {error}") from None


def parse_private_networks(value: object) -> object:
    """Parse the allowed private networks: `true`, `false`, or a list."""
    words = {"true": PRIVATE_NETWORKS, "false": ()}
    known = words.get(str(value).strip().lower())
    return parse_networks(value) if known is None else known


def parse_origins(value: object) -> object:
    """Parse a comma-separated list of origins."""
    found = tuple(str(item).rstrip("/") for item in _split_list(value))
    for origin in found:
        parts = urlsplit(origin)
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.path:
            raise ValueError(f"must list origins like https://app.example.com, not {origin}")
    return found


def parse_word_list(value: object) -> object:
    """Parse a comma-separated list of words."""
    return tuple(str(item) for item in _split_list(value))


def parse_postgres_options(value: object) -> object:
    """Parse PostgreSQL settings, `name=value`, separated by spaces."""
    if not isinstance(value, str):
        return value
    try:
        return dict(word.split("=", 1) for word in shlex.split(value))
    except ValueError:
        raise ValueError("must be like shared_buffers=256MB max_connections=200") from None


def check_retention(days: int) -> int:
    """Check for how many days something is kept; 0 means without a limit."""
    if days and not 30 <= days <= 36_500:
        raise ValueError("must be 0, for no limit, or 30 to 36500")
    return days


def parse_log_level(text: str) -> str:
    """Parse a log level given as a name or a number."""
    logging.addLevelName(TRACE, "TRACE")
    name = text.strip().upper()
    if name.isdecimal():
        name = str(logging.getLevelName(int(name))).upper()
        logging.addLevelName(int(text), name)
    if name not in logging.getLevelNamesMapping():
        raise ValueError("must be TRACE, DEBUG, INFO, WARNING, ERROR, CRITICAL or a number")
    return name


def is_loopback(host: str) -> bool:
    """Return whether a host of an address is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _split_list(value: object) -> list[object]:
    if isinstance(value, str):
        return [item.strip() for item in value.split(",") if item.strip()]
    return list(value) if isinstance(value, list | tuple) else [value]
