"""Rules for the addresses of gateways: who may use private ones, and what a change needs.

The token of a gateway is sent to its address. Whoever changes the address must know the token, or
they could have the stored one sent to a host of theirs.
"""

import posixpath
import socket
from collections.abc import Mapping
from ipaddress import IPv6Address, ip_address
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

import openclaw
from core.db.transactions import lock_name
from core.errors import Conflict, Invalid
from core.text import N_
from models import Gateway
from services import audit
from services.gateways.connector import GatewayConnector

TRUST_FIELDS = ("allow_insecure_tls", "ca_certificates")
"""Fields with which another certificate, and so another host, may be trusted."""


def moves_host(gateway: Gateway, new: Mapping[str, Any]) -> bool:
    """Return whether changes lead to another host, port or path, or to a connection without TLS.

    A proxy may lead each of its paths to the gateway of another person.
    """
    if "url" not in new:
        return False
    old_address, new_address = map(openclaw.parse_address, (gateway.url, new["url"]))
    return _endpoint(old_address) != _endpoint(new_address)


def check_token_is_given(
    gateway: Gateway, new: Mapping[str, Any], given: Mapping[str, Any]
) -> None:
    """Raise Invalid if the stored token would be sent elsewhere, or without TLS verification."""
    if (
        _may_send_tokens_elsewhere(gateway, new)
        and gateway.encrypted_token is not None
        and "token" not in given
    ):
        reason = N_(
            "Enter the token again: the stored one is not sent to another host, port or path,"
            " and not after a change of the TLS verification."
        )
        raise Invalid("gateway_token_required", reason, field="token")


async def check_address_is_free(
    session: AsyncSession, organization_id: UUID, url: str, *, except_id: UUID | None = None
) -> None:
    """Raise Conflict if another gateway of the organization has the same host, port and path.

    Two entries would be two sets of agents on one gateway, which overwrite its configuration. Other
    changes of addresses wait until the commit.
    """
    await lock_name(session, f"gateway addresses of {organization_id}")
    query = select(Gateway.id, Gateway.name, Gateway.url)
    endpoint = parse_endpoint(url)
    for id, name, other_url in await session.execute(
        query.where(Gateway.organization_id == organization_id)
    ):
        if id != except_id and parse_endpoint(other_url) == endpoint:
            reason = N_("The gateway %(name)s already has this address.")
            raise Conflict("gateway_address_taken", reason, field="url", name=name)


async def load_address_changes(
    session: AsyncSession, connector: GatewayConnector, gateway: Gateway, new: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the attributes that change with the host: its device token, and private addresses."""
    changes: dict[str, Any] = (
        {"encrypted_device_token": None} if _may_send_tokens_elsewhere(gateway, new) else {}
    )
    if moves_host(gateway, new):
        id = gateway.organization_id
        changes["allows_private"] = await may_be_private(session, connector, id)
    return changes


async def may_be_private(
    session: AsyncSession, connector: GatewayConnector, organization_id: UUID
) -> bool:
    """Return whether an organization may use loopback and private addresses.

    Which of these addresses are allowed is a setting. Only the first organization of the
    installation may use them, unless another setting allows all to do so: they are addresses in the
    network of whoever runs the server.
    """
    if connector.allows_private_for_all:
        return True
    return await audit.find_first_organization_id(session) == organization_id


def _may_send_tokens_elsewhere(gateway: Gateway, new: Mapping[str, Any]) -> bool:
    """Return whether another host could receive the stored tokens after these changes."""
    return moves_host(gateway, new) or any(name in new for name in TRUST_FIELDS)


def _endpoint(address: openclaw.GatewayAddress) -> tuple[str, int, str, bool]:
    return address.host, address.port, address.path.rstrip("/"), address.is_secure


def parse_endpoint(url: str) -> tuple[str, int, str]:
    """Return the host, port and path of a gateway's address: the same with and without TLS."""
    address = openclaw.parse_address(url)
    return _normalize_host(address.host), address.port, posixpath.normpath(address.path)


def _normalize_host(host: str) -> str:
    """Return one spelling of a host; an IP address has many."""
    name = host.removesuffix(".")
    if name == "localhost":
        return "127.0.0.1"
    try:
        return socket.inet_ntoa(socket.inet_aton(name))
    except OSError:
        pass
    try:
        ip = ip_address(name)
    except ValueError:
        return name
    mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None
    return str(mapped or ip)
