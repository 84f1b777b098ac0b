"""How the values of settings are read: addresses, lists, levels.

A ValueError from here ends a sentence that starts with the setting's name.
"""

import ipaddress
import logging
import shlex
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

THIS_MACHINE = tuple(map(ipaddress.ip_network, ("127.0.0.0/8", "::1/128")))
PRIVATE = (
    *THIS_MACHINE,
    *map(
        ipaddress.ip_network,
        ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"),
    ),
)

SCHEMES = ("postgres", "postgresql")
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where to reach it from here
TRACE = 5  # the level below DEBUG (contract, 1.14)


def address(text: str) -> str:
    """Read an absolute http(s) address; a slash at its end is dropped."""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an address like https://control.example.com")
    if parts.query or parts.fragment:
        raise ValueError("must be an address without ? and #")
    return text.rstrip("/")


def issuer(text: str) -> str:
    """Read the address of an OpenID provider. What it says of people must not be forged on the way.

    A slash at its end stays: to some providers it is a part of their name.
    """
    if not text:
        return ""
    address(text)
    parts = urlsplit(text)
    if parts.scheme != "https" and not _is_here(parts.hostname or ""):
        raise ValueError("must start with https://, unless the provider is on this machine")
    return text


def host_of(text: str) -> str:
    """Return the host in an address, or nothing where there is none."""
    return urlsplit(text).hostname or ""


def address_if_any(text: str) -> str:
    """Read an address, or nothing."""
    return address(text) if text else ""


def address_of(host: str, port: int) -> str:
    """Return the address at which a server on this machine is reached."""
    host = EVERYWHERE.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def database(text: str) -> str:
    """Read the address of a PostgreSQL database, whatever driver it names."""
    if not text:
        return ""
    scheme, found, rest = text.partition("://")
    if not found or scheme.partition("+")[0] not in SCHEMES:
        raise ValueError("must be an address like postgresql://user:password@host:5432/name")
    parts = urlsplit(f"postgresql://{rest}")
    if not parts.path.strip("/"):
        raise ValueError("must name a database after the host: postgresql://host:5432/name")
    return parts.geturl()


def for_sqlalchemy(dsn: str) -> str:
    """Return the same address for SQLAlchemy and asyncpg, where `sslmode` is called `ssl`."""
    parts = urlsplit(dsn)
    names = {"sslmode": "ssl"}
    query = [(names.get(name, name), value) for name, value in parse_qsl(parts.query)]
    return urlunsplit(("postgresql+asyncpg", *parts[1:3], urlencode(query), ""))


def networks(value: object) -> object:
    """Read a list of addresses and networks, with commas between them."""
    try:
        return tuple(ipaddress.ip_network(str(item), strict=False) for item in _items(value))
    except ValueError as error:
        raise ValueError(f"must list addresses or networks: {error}") from None


def private_networks(value: object) -> object:
    """Read which networks that are not public may be gone to: all, none, or a list of them."""
    words = {"true": PRIVATE, "false": ()}
    known = words.get(str(value).strip().lower())
    return networks(value) if known is None else known


def origins(value: object) -> object:
    """Read a list of origins, with commas between them."""
    found = tuple(str(item).rstrip("/") for item in _items(value))
    for origin in found:
        parts = urlsplit(origin)
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.path:
            raise ValueError(f"must list origins like https://app.example.com, not {origin}")
    return found


def words(value: object) -> object:
    """Read a list of words, with commas between them."""
    return tuple(str(item) for item in _items(value))


def options(value: object) -> object:
    """Read PostgreSQL's own settings, `name=value`, with spaces between them."""
    if not isinstance(value, str):
        return value
    try:
        return dict(_pair(word) for word in shlex.split(value))
    except ValueError:
        raise ValueError("must be like shared_buffers=256MB max_connections=200") from None


def level(text: str) -> str:
    """Read a level of logging: its name, or its number."""
    logging.addLevelName(TRACE, "TRACE")
    name = text.strip().upper()
    if name.isdecimal():
        name = str(logging.getLevelName(int(name))).upper()
        logging.addLevelName(int(text), name)
    if name not in logging.getLevelNamesMapping():
        raise ValueError("must be TRACE, DEBUG, INFO, WARNING, ERROR, CRITICAL or a number")
    return name


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _pair(word: str) -> tuple[str, str]:
    name, value = word.split("=", 1)
    return name, value


def _items(value: object) -> list[object]:
    if isinstance(value, str):
        return [item.strip() for item in value.split(",") if item.strip()]
    return list(value) if isinstance(value, list | tuple) else [value]
