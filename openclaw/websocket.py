"""Open a WebSocket to a checked IP address of a gateway, with or without TLS."""

import asyncio
import json
import logging
import socket
import ssl
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from websockets import CloseCode, State
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import InvalidStatus, WebSocketException

from core.http.address_policy import (
    MAX_ADDRESSES,
    AddressPolicy,
    IpAddress,
    connect_socket,
)
from openclaw.addresses import GatewayAddress, parse_address, resolve_address
from openclaw.errors import BEFORE_WEBSOCKET, KIND_BY_DETAIL_CODE, ErrorKind, GatewayError
from openclaw.frames import MAX_FRAME_SIZE

PROBE_TIMEOUT = 5.0  # seconds
NO_TLS_SENTENCE = "The server does not use TLS."
TLS_REQUIRED_SENTENCE = "The server uses TLS."

KIND_BY_VERIFY_CODE: Mapping[int, ErrorKind] = {
    10: ErrorKind.CERTIFICATE_EXPIRED,  # X509_V_ERR_CERT_HAS_EXPIRED
    62: ErrorKind.CERTIFICATE_NAME,  # X509_V_ERR_HOSTNAME_MISMATCH
    64: ErrorKind.CERTIFICATE_NAME,  # X509_V_ERR_IP_ADDRESS_MISMATCH
    92: ErrorKind.CA_KEY_USAGE,  # X509_V_ERR_CA_CERT_MISSING_KEY_USAGE, since Python 3.13
}
"""Error kinds by the code with which OpenSSL rejects a certificate."""

UPGRADE_TIMEOUT = 10.0  # seconds for the TLS and WebSocket handshakes
PING_INTERVAL = 5.0  # seconds
PING_TIMEOUT = 40.0  # seconds; a frozen gateway is disconnected after 45 s, because it may be busy
CLOSE_TIMEOUT = 1.0  # seconds
MAX_QUEUE = 64  # frames that are received ahead

KIND_BY_STATUS = {
    404: ErrorKind.PATH_NOT_FOUND,
    502: ErrorKind.DOWN_BEHIND_PROXY,
    503: ErrorKind.DOWN_BEHIND_PROXY,
    504: ErrorKind.DOWN_BEHIND_PROXY,
}
"""Error kinds by the HTTP status that a proxy in front of a gateway returns."""

REDIRECTS = (301, 302, 307, 308)
MAYBE_TLS_STATUSES = ("", "400")
"""What a server that expects TLS answers to a plain request: no HTTP, or this status."""

frames_log = logging.getLogger("openclaw.frames")
frames_log.setLevel(logging.WARNING)  # lower levels would log every frame, including tokens


class GatewayWebSocket(ClientConnection):
    """A WebSocket that is closed when too many bytes of one gateway wait to be read.

    The library limits the size of a message and the number of messages, but not their sum.
    """

    max_waiting: int = MAX_FRAME_SIZE

    def set_size_limit(self, max_size: int) -> None:
        """Limit the size in bytes of a message, and of all messages that wait."""
        self.max_waiting = self.protocol.max_message_size = max_size

    def data_received(self, data: bytes) -> None:
        """Receive data, and close the connection if more waits than is allowed."""
        super().data_received(data)
        if self.protocol.state is State.OPEN and self.count_waiting() > self.max_waiting:
            self.protocol.fail(CloseCode.MESSAGE_TOO_BIG, "too many bytes wait to be read")
            self.send_data()
            self.transport.close()

    def count_waiting(self) -> int:
        """Return the bytes of the received messages and of the one that is being received."""
        queued = sum(len(frame.data) for frame in self.recv_messages.frames.queue)
        return queued + len(self.protocol.reader.buffer)


async def open_gateway_websocket(
    url: str, policy: AddressPolicy, *, ca_certificates: str = "", allow_insecure_tls: bool = False
) -> GatewayWebSocket:
    """Open a WebSocket. Raises GatewayError with the cause of a failure.

    Proxies of the environment and redirects are ignored, because the address was checked.
    """
    address = parse_address(url)
    tls = None
    if address.is_secure:
        tls = _create_tls_context(ca_certificates=ca_certificates, allow_any=allow_insecure_tls)
    ip, open_socket = await _open_socket(address, await resolve_address(address, policy))
    try:
        return await _upgrade(address, open_socket, tls)
    except GatewayError as error:
        open_socket.close()
        if _may_require_tls(address, error) and await _speaks_tls(ip, address.port, address.host):
            raise GatewayError(ErrorKind.TLS_REQUIRED, TLS_REQUIRED_SENTENCE) from None
        raise
    except BaseException:
        open_socket.close()
        raise


def _create_tls_context(*, ca_certificates: str, allow_any: bool) -> ssl.SSLContext:
    """Return which certificates are trusted. Raises GatewayError for invalid ones.

    `ca_certificates` are PEM texts: only certificates that they have signed are trusted. Without
    them those of this machine are, or those of the file that `SSL_CERT_FILE` names.
    """
    try:
        context = ssl.create_default_context(cadata=ca_certificates or None)
    except ssl.SSLError:
        reason = "The CA certificates of the gateway cannot be read."
        raise GatewayError(ErrorKind.TLS, reason) from None
    if allow_any:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _may_require_tls(address: GatewayAddress, error: GatewayError) -> bool:
    """Return whether a failure of a plain connection may be that of a server that expects TLS."""
    is_strange = error.kind in (ErrorKind.NOT_A_GATEWAY, ErrorKind.CLOSED)
    return not address.is_secure and is_strange and error.code in MAYBE_TLS_STATUSES


async def _speaks_tls(ip: IpAddress, port: int, host: str) -> bool:
    """Return whether a port accepts a TLS handshake. Nothing is sent after it."""
    context = _create_tls_context(ca_certificates="", allow_any=True)
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(PROBE_TIMEOUT):
            _reader, writer = await asyncio.open_connection(
                str(ip), port, ssl=context, server_hostname=host
            )
            writer.transport.abort()
            return True
    return False


async def _open_socket(
    address: GatewayAddress, ips: Sequence[IpAddress]
) -> tuple[IpAddress, socket.socket]:
    """Connect to the first address that responds, and return it with the socket."""
    kind = ErrorKind.UNREACHABLE
    for ip in ips[:MAX_ADDRESSES]:
        try:
            return ip, await connect_socket(ip, address.port)
        except ConnectionRefusedError:
            kind = ErrorKind.REFUSED
        except (OSError, TimeoutError):
            continue
    reason = f"Nothing answers at {address.host}, port {address.port}."
    raise GatewayError(kind, reason)


async def _upgrade(
    address: GatewayAddress, open_socket: socket.socket, tls: ssl.SSLContext | None
) -> GatewayWebSocket:
    tls_options: dict[str, Any] = {"ssl": tls, "server_hostname": address.host} if tls else {}
    opening = open_websocket(
        address.url,
        sock=open_socket,
        proxy=None,
        compression=None,
        create_connection=GatewayWebSocket,
        max_size=MAX_FRAME_SIZE,
        max_queue=MAX_QUEUE,
        open_timeout=None,
        ping_interval=PING_INTERVAL,
        ping_timeout=PING_TIMEOUT,
        close_timeout=CLOSE_TIMEOUT,
        user_agent_header="mission-control",
        logger=frames_log,
        **tls_options,
    )
    try:
        async with asyncio.timeout(UPGRADE_TIMEOUT):
            opened = await opening
            assert isinstance(opened, GatewayWebSocket)
            return opened
    except (OSError, WebSocketException, ValueError) as error:
        raise _to_gateway_error(error, is_secure=address.is_secure) from None


def _to_gateway_error(error: Exception, *, is_secure: bool) -> GatewayError:
    """Convert an error of the handshake."""
    if isinstance(error, ssl.SSLCertVerificationError):
        kind = KIND_BY_VERIFY_CODE.get(error.verify_code, ErrorKind.TLS)
        reason = f"The certificate is not trusted: {error.verify_message}."
        return GatewayError(kind, reason, details={"certificateProblem": error.verify_message})
    if isinstance(error, ssl.SSLError):
        return GatewayError(ErrorKind.NO_TLS, NO_TLS_SENTENCE)
    phase = {"phase": BEFORE_WEBSOCKET}
    status = error if isinstance(error, InvalidStatus) else error.__context__  # of a redirect
    if isinstance(status, InvalidStatus):
        return _status_error(status)
    if isinstance(error, TimeoutError):
        return GatewayError(
            ErrorKind.TIMEOUT, "The server accepted the connection, but did not answer."
        )
    if isinstance(error, OSError):
        if is_secure:  # closed during the TLS handshake; afterwards it is another exception
            return GatewayError(ErrorKind.NO_TLS, NO_TLS_SENTENCE, details=phase)
        cut = "The connection was closed before it was open."
        return GatewayError(ErrorKind.CLOSED, cut, details=phase)
    return GatewayError(
        ErrorKind.NOT_A_GATEWAY, "The server did not open a WebSocket.", details=phase
    )


def _status_error(error: InvalidStatus) -> GatewayError:
    """Convert an HTTP status that the host returned instead of a WebSocket."""
    status = error.response.status_code
    reason = f"The server answered with status {status}, not with a WebSocket."
    if status in REDIRECTS and error.response.headers.get("Location", "").startswith("https:"):
        return GatewayError(ErrorKind.TLS_REQUIRED, TLS_REQUIRED_SENTENCE)
    kind = KIND_BY_DETAIL_CODE.get(_kind(error.response.body)) or KIND_BY_STATUS.get(status)
    return GatewayError(kind or ErrorKind.NOT_A_GATEWAY, reason, code=str(status))


def _kind(body: object) -> str:
    """Return the error type in a response body of a gateway, or an empty string."""
    try:
        content = json.loads(bytes(body)) if isinstance(body, bytes | bytearray) else {}
        return str(content["error"]["type"])
    except (ValueError, TypeError, KeyError):
        return ""
