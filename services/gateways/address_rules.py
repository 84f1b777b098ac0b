"""Rules for the addresses of gateways: who may use private ones, and what a change needs.

The token of a gateway is sent to its address. Whoever changes the address must know the token, or
they could have the stored one sent to a host of theirs.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

import openclaw
from core.errors import Invalid
from models import Gateway
from services import audit
from services.gateways.connector import GatewayConnector


def moves_host(gateway: Gateway, new: Mapping[str, Any]) -> bool:
    """Return whether changes lead to another host or port, or to a connection without TLS."""
    if "url" not in new:
        return False
    old_address, new_address = map(openclaw.parse_address, (gateway.url, new["url"]))
    return _endpoint(old_address) != _endpoint(new_address)


def check_token_is_given(
    gateway: Gateway, new: Mapping[str, Any], given: Mapping[str, Any]
) -> None:
    """Raise Invalid if the stored token would be sent elsewhere, or without TLS verification."""
    is_exposed = moves_host(gateway, new) or new.get("allow_insecure_tls") is not None
    if is_exposed and gateway.encrypted_token is not None and "token" not in given:
        reason = (
            "Enter the token again: the stored one is not sent to another host or port, and not"
            " after a change of the TLS verification."
        )
        raise Invalid("gateway_token_required", reason, field="token")


async def load_address_changes(
    session: AsyncSession, connector: GatewayConnector, gateway: Gateway, new: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the attributes that change with the host: its device token, and private addresses."""
    if not moves_host(gateway, new):
        return {}
    allows_private = await may_be_private(session, connector, gateway.organization_id)
    return {"encrypted_device_token": None, "allows_private": allows_private}


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


def _endpoint(address: openclaw.GatewayAddress) -> tuple[str, int, bool]:
    return address.host, address.port, address.is_secure
