"""Getting a WebSocket to a gateway: to the very address that was looked at, and nowhere else."""

import asyncio
import json
import logging
import socket
import ssl
from collections.abc import Sequence
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import InvalidStatus, WebSocketException

from openclaw.addresses import IP, Address, Guard, parse, resolve
from openclaw.errors import BY_DETAIL, GatewayError, Trouble
from openclaw.frames import LARGEST

TO_RESOLVE = 5.0  # seconds
TO_ANSWER = 5.0  # seconds for the port, each address of a name
TO_UPGRADE = 10.0  # seconds for TLS and the WebSocket's own handshake
PING = 20.0  # seconds between two signs of life; a gateway drops who is silent for 25
TO_CLOSE = 1.0  # seconds
MOST_ADDRESSES = 4  # of a name that are tried
MOST_WAITING = 64  # frames that wait to be read
NO_TLS = "Who answers there does not speak TLS."
AWAY = (502, 503, 504)  # what a proxy answers for a gateway that is not there


frames_log = logging.getLogger("openclaw.frames")
frames_log.setLevel(logging.WARNING)  # below that it would tell every frame, and the token in it


async def dial(url: str, guard: Guard, *, allow_insecure_tls: bool = False) -> ClientConnection:
    """Open a WebSocket. Raises GatewayError, with what is in the way.

    No proxy of the environment is used, and no redirect is followed: both would lead elsewhere.
    """
    address = parse(url)
    taken = await _socket(address, await _resolved(address, guard))
    try:
        return await _upgraded(address, taken, allow_insecure_tls=allow_insecure_tls)
    except BaseException:
        taken.close()
        raise


async def _resolved(address: Address, guard: Guard) -> Sequence[IP]:
    try:
        async with asyncio.timeout(TO_RESOLVE):
            return await resolve(address, guard)
    except TimeoutError:
        reason = f"Nobody says where {address.host} is: the name service does not answer."
        raise GatewayError(Trouble.DNS, reason) from None


async def _socket(address: Address, ips: Sequence[IP]) -> socket.socket:
    """Connect to the first of these addresses that answers."""
    trouble = Trouble.UNREACHABLE
    for ip in ips[:MOST_ADDRESSES]:
        try:
            return await _connected(ip, address.port)
        except ConnectionRefusedError:
            trouble = Trouble.REFUSED
        except (OSError, TimeoutError):
            continue
    reason = f"Nobody answers at {address.host}, port {address.port}."
    raise GatewayError(trouble, reason)


async def _connected(ip: IP, port: int) -> socket.socket:
    family = socket.AF_INET6 if ip.version == 6 else socket.AF_INET
    taken = socket.socket(family, socket.SOCK_STREAM)
    taken.setblocking(False)
    try:
        async with asyncio.timeout(TO_ANSWER):
            await asyncio.get_running_loop().sock_connect(taken, (str(ip), port))
    except BaseException:
        taken.close()
        raise
    return taken


async def _upgraded(
    address: Address, taken: socket.socket, *, allow_insecure_tls: bool
) -> ClientConnection:
    secure: dict[str, Any] = {}
    if address.is_secure:
        secure = {"ssl": _trust(allow_insecure_tls), "server_hostname": address.host}
    opening = open_websocket(
        address.url,
        sock=taken,
        proxy=None,
        compression=None,
        max_size=LARGEST,
        max_queue=MOST_WAITING,
        open_timeout=None,
        ping_interval=PING,
        ping_timeout=PING,
        close_timeout=TO_CLOSE,
        user_agent_header="mission-control",
        logger=frames_log,
        **secure,
    )
    try:
        async with asyncio.timeout(TO_UPGRADE):
            return await opening
    except (OSError, WebSocketException, ValueError) as error:
        raise _in_the_way(error, is_secure=address.is_secure) from None


def _in_the_way(error: Exception, *, is_secure: bool) -> GatewayError:
    """Say what kept a connection from becoming a WebSocket."""
    if isinstance(error, ssl.SSLError):
        return _no_trust(error)
    if isinstance(error, InvalidStatus):
        return _no_gateway(error)
    if isinstance(error, TimeoutError):
        return GatewayError(Trouble.TIMEOUT, "Somebody is there, and does not answer.")
    if isinstance(error, OSError):
        if is_secure:  # cut while TLS was agreed on: afterwards it is no OSError
            return GatewayError(Trouble.NO_TLS, NO_TLS)
        return GatewayError(Trouble.CLOSED, "The connection was cut before it was open.")
    return GatewayError(Trouble.NOT_A_GATEWAY, "It opens no WebSocket.")


def _trust(everybody: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if everybody:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _no_trust(error: ssl.SSLError) -> GatewayError:
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = f"The certificate is not trusted: {error.verify_message}."
        return GatewayError(Trouble.TLS, reason)
    return GatewayError(Trouble.NO_TLS, NO_TLS)


def _no_gateway(error: InvalidStatus) -> GatewayError:
    """Say why a WebSocket was refused with a status of HTTP."""
    status = error.response.status_code
    reason = f"The answer is {status}, and not a WebSocket."
    if status in AWAY:
        return GatewayError(Trouble.UNAVAILABLE, reason)
    trouble = BY_DETAIL.get(_kind(error.response.body), Trouble.NOT_A_GATEWAY)
    return GatewayError(trouble, reason, code=str(status))


def _kind(body: object) -> str:
    """Return the type of the error that is in a body, as gateways write it."""
    try:
        said = json.loads(bytes(body)) if isinstance(body, bytes | bytearray) else {}
        return str(said["error"]["type"])
    except (ValueError, TypeError, KeyError):
        return ""
