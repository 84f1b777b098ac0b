"""A fake gateway that speaks protocol 4 and can misbehave in every way we know of.

Its responses were compared with a real gateway 2026.9.6 in tests/openclaw/test_real_gateway.py.
"""

import asyncio
import base64
import hashlib
import json
import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from openclaw import CAPABILITY_RULES, METHODS, SCOPES, Capability, DeviceIdentity, GatewayTarget

TOKEN = "the gateway's own token"
CHALLENGE_TIMESTAMP = 1_795_559_329_690
TIME_FOR_MORE = 0.02  # seconds in which a request that is one too many would arrive as well
JsonObject = dict[str, Any]
RequestHandler = Callable[[dict[str, Any]], Any]


class NoAnswer(Exception):
    """A handler raises it to leave a call without an answer."""


class ErrorResponse(Exception):
    """Raised by a handler to send an error response."""

    def __init__(self, code: str, message: str = "no", close: int = 1008, **fields: Any) -> None:
        super().__init__(message)
        self.error = {"code": code, "message": message, **fields}
        self.close = close


@dataclass
class FakeGateway:
    """The behaviour of the gateway, which tests may change, and a record of its requests."""

    token: str = TOKEN
    protocol: int = 4
    version: str = "2026.9.6"
    boot_id: str = "b-1"
    missing: frozenset[Capability] = frozenset()  # what this version does not support
    granted_scopes: tuple[str, ...] = SCOPES
    requires_pairing: bool = False
    accepts_device_token: bool = True  # instead of a wrong shared token
    max_payload: int = 25 * 1024 * 1024
    startup_rejections: int = 0  # how many more connections get "starting"
    http_response: tuple[int, str] | None = None  # status and body, instead of a WebSocket
    connect_error: dict[str, Any] | None = None  # the response to every connect
    first_frame: str | bytes | None = None  # instead of the challenge
    is_silent: bool = False  # sends nothing at all
    connect_close_code: int | None = None  # closes every connection at once with this code
    ignores_connect: bool = False  # never responds to `connect`
    hello_overrides: dict[str, Any] = field(default_factory=dict)
    handlers: dict[str, RequestHandler] = field(default_factory=dict)
    raw_responses: dict[str, str | bytes | None] = field(default_factory=dict)  # None: no response
    close_codes: dict[str, int] = field(default_factory=dict)  # by method; used once each

    url: str = ""
    port: int = 0
    connect_params: list[dict[str, Any]] = field(default_factory=list)
    http_requests: list[str] = field(default_factory=list)  # paths and headers
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    approved_devices: set[str] = field(default_factory=set)  # device ids
    max_connections: int = 0  # at one time
    overlap: int | None = None  # then requests overlap; no file is read before so many waited
    max_requests: int = 0  # that waited for an answer at one time, while they overlapped
    _is_overlapping: asyncio.Event = field(default_factory=asyncio.Event)
    _delayed: set[asyncio.Task[None]] = field(default_factory=set)
    _waiting: int = 0
    _connections: set[ServerConnection] = field(default_factory=set)

    @property
    def connection_count(self) -> int:
        """The number of connect requests."""
        return len(self.connect_params)

    @property
    def is_connected(self) -> bool:
        """Whether a client is connected."""
        return bool(self._connections)

    @property
    def methods(self) -> frozenset[str]:
        """The methods that this version has."""
        unknown = [CAPABILITY_RULES[capability].methods for capability in self.missing]
        return frozenset(METHODS).difference(*unknown)

    def approve_device(self) -> None:
        """Approve the device of the last connect, like `openclaw devices approve`."""
        self.approved_devices.add(self.connect_params[-1]["device"]["id"])

    async def send_event(self, event: str, payload: dict[str, Any]) -> None:
        """Send an event to all connected clients."""
        for socket in tuple(self._connections):
            with suppress(ConnectionClosed):
                await socket.send(json.dumps({"type": "event", "event": event, "payload": payload}))

    async def close_connections(self, code: int) -> None:
        """Close all connections."""
        for socket in tuple(self._connections):
            await socket.close(code)

    def freeze(self) -> None:
        """Read nothing from the connected clients, not even pings."""
        for socket in self._connections:
            socket.transport.pause_reading()

    def resume(self) -> None:
        """Read again after `freeze`."""
        for socket in self._connections:
            socket.transport.resume_reading()

    async def handle_connection(self, socket: ServerConnection) -> None:
        """Handle one connection until it ends."""
        assert socket.request
        self.http_requests.append(f"{socket.request.path} {socket.request.headers}")
        if self.is_silent:
            await socket.wait_closed()
            return
        if self.connect_close_code is not None:
            await socket.close(self.connect_close_code)
            return
        challenge = {"nonce": "n-0nce", "ts": CHALLENGE_TIMESTAMP}
        event = {"type": "event", "event": "connect.challenge", "payload": challenge}
        await socket.send(json.dumps(event) if self.first_frame is None else self.first_frame)
        with suppress(ConnectionClosed):
            if await self._accept_connect(socket):
                self._connections.add(socket)
                self.max_connections = max(self.max_connections, len(self._connections))
                try:
                    async for raw in socket:
                        if self.overlap is None:
                            await self._handle_request(socket, json.loads(raw))
                        else:
                            self._delay_request(socket, json.loads(raw), self.overlap)
                finally:
                    self._connections.discard(socket)

    def _delay_request(self, socket: ServerConnection, frame: dict[str, Any], overlap: int) -> None:
        async def handle() -> None:
            if 0 < overlap <= self._waiting:
                self._is_overlapping.set()
            if overlap and frame["method"] == "agents.files.get":
                await self._is_overlapping.wait()
            await asyncio.sleep(TIME_FOR_MORE)
            self._waiting -= 1  # before the answer: the client may call again while it is sent
            with suppress(ConnectionClosed):
                await self._handle_request(socket, frame)

        task = asyncio.create_task(handle())
        self._delayed.add(task)
        self._waiting += 1
        self.max_requests = max(self.max_requests, self._waiting)
        task.add_done_callback(self._delayed.discard)

    async def _accept_connect(self, socket: ServerConnection) -> bool:
        frame = json.loads(await socket.recv())
        self.connect_params.append(frame["params"])
        if self.ignores_connect:
            await socket.wait_closed()
            return False
        try:
            payload = self._create_hello(frame["params"])
        except ErrorResponse as response:
            await _send_response(socket, frame["id"], ok=False, error=response.error)
            await socket.close(response.close)
            return False
        await _send_response(socket, frame["id"], ok=True, payload=payload)
        return True

    def _create_hello(self, params: dict[str, Any]) -> dict[str, Any]:
        if self.startup_rejections:
            self.startup_rejections -= 1
            details = {"reason": "startup-sidecars"}
            raise ErrorResponse(
                "UNAVAILABLE", close=1013, retryable=True, retryAfterMs=10, details=details
            )
        if self.connect_error is not None:
            raise ErrorResponse(**self.connect_error)
        if not params["minProtocol"] <= self.protocol <= params["maxProtocol"]:
            details = {"code": "PROTOCOL_MISMATCH", "expectedProtocol": self.protocol}
            raise ErrorResponse("INVALID_REQUEST", "protocol mismatch", 1002, details=details)
        issued = self._authenticate(params)
        return {
            "type": "hello-ok",
            "protocol": self.protocol,
            "server": {"version": self.version, "connId": "c-1", "bootId": self.boot_id},
            "features": {"methods": sorted(self.methods), "events": ["tick"]},
            "auth": {"role": "operator", "scopes": list(self.granted_scopes), **issued},
            "policy": {"maxPayload": self.max_payload, "tickIntervalMs": 30000},
        } | self.hello_overrides

    def _authenticate(self, params: dict[str, Any]) -> dict[str, str]:
        """Check token and device; return the token that is issued to the device."""
        token = params.get("auth", {}).get("token", "")
        device = params.get("device")
        device_token = get_device_token(device["id"]) if device else None
        if token not in (self.token, device_token):
            retry = bool(
                device and device["id"] in self.approved_devices and self.accepts_device_token
            )
            details = {"code": "AUTH_TOKEN_MISMATCH", "canRetryWithDeviceToken": retry}
            raise ErrorResponse("INVALID_REQUEST", "unauthorized", details=details)
        if device is None:
            return {}
        if not has_valid_signature(params, token):
            details = {"code": "DEVICE_AUTH_SIGNATURE_INVALID"}
            raise ErrorResponse("INVALID_REQUEST", "device signature invalid", details=details)
        if self.requires_pairing and device["id"] not in self.approved_devices:
            details = {"code": "PAIRING_REQUIRED", "reason": "not-paired", "requestId": "req-123"}
            raise ErrorResponse("NOT_PAIRED", "pairing required", details=details)
        self.approved_devices.add(device["id"])
        return {"deviceToken": get_device_token(device["id"])}

    async def _handle_request(self, socket: ServerConnection, frame: dict[str, Any]) -> None:
        method, params = frame["method"], frame["params"]
        self.calls.append((method, params))
        if method in self.close_codes:
            await socket.close(self.close_codes.pop(method))
            return
        if method in self.raw_responses:
            raw = self.raw_responses[method]
            if raw is not None:
                await socket.send(raw)
            return
        with suppress(NoAnswer):
            await self._answer_request(socket, frame)

    async def _answer_request(self, socket: ServerConnection, frame: dict[str, Any]) -> None:
        method = frame["method"]
        try:
            handler = self.handlers.get(method)
            self._reject_unknown_parameters(method, frame["params"])
            if handler is None or (method in METHODS and method not in self.methods):
                raise ErrorResponse("INVALID_REQUEST", f"unknown method: {method}")
            await _send_response(socket, frame["id"], ok=True, payload=handler(frame["params"]))
        except ErrorResponse as response:
            await _send_response(socket, frame["id"], ok=False, error=response.error)

    def _reject_unknown_parameters(self, method: str, params: dict[str, Any]) -> None:
        for capability in self.missing:
            for name in CAPABILITY_RULES[capability].parameters:
                if name in params:
                    unexpected = f"at root: unexpected property '{name}'"
                    message = f"invalid {method} params: {unexpected}"
                    raise ErrorResponse("INVALID_REQUEST", message)


def get_device_token(id: str) -> str:
    return f"device token of {id}"


def create_target(gateway: FakeGateway, **fields: Any) -> GatewayTarget:
    """Return the target of a fake gateway, with its token and a new device."""
    credentials: dict[str, Any] = {"token": TOKEN, "device": DeviceIdentity.generate(), **fields}
    return GatewayTarget(gateway.url, **credentials)


def has_valid_signature(params: dict[str, Any], token: str) -> bool:
    """Verify the signature of a device like a gateway."""
    device, client = params["device"], params["client"]
    public = base64.urlsafe_b64decode(device["publicKey"] + "=")
    signed = "|".join(
        [
            *("v3", device["id"], client["id"], client["mode"], params["role"]),
            *(",".join(params["scopes"]), str(CHALLENGE_TIMESTAMP), token, "n-0nce"),
            *(client["platform"].lower(), client.get("deviceFamily", "").lower()),
        ]
    )
    signature = base64.urlsafe_b64decode(device["signature"] + "==")
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, signed.encode())
    except InvalidSignature:
        return False
    return (
        hashlib.sha256(public).hexdigest() == device["id"]
        and device["signedAt"] == CHALLENGE_TIMESTAMP
    )


@asynccontextmanager
async def run_fake_gateway(
    fake: FakeGateway, *, tls: ssl.SSLContext | None = None
) -> AsyncGenerator[FakeGateway]:
    """Run a fake gateway on a free local port, or again on the port that it had before."""

    def upgrade(_socket: ServerConnection, _request: Request) -> Response | None:
        if fake.http_response is None:
            return None
        status, body = fake.http_response
        return _socket.respond(HTTPStatus(status), body)

    running = serve(
        fake.handle_connection,
        "127.0.0.1",
        fake.port,
        process_request=upgrade,
        ssl=tls,
        close_timeout=0.1,
    )
    async with running as server:
        fake.port = next(iter(server.sockets)).getsockname()[1]
        fake.url = f"{'wss' if tls else 'ws'}://127.0.0.1:{fake.port}"
        yield fake


async def _send_response(socket: ServerConnection, id: str, **fields: Any) -> None:
    await socket.send(json.dumps({"type": "res", "id": id, **fields}))


async def wait_until(condition: Callable[[], object]) -> None:
    """Wait until a condition is true, and fail if that takes too long."""
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)
