"""A gateway of our own, that speaks protocol 4 and can misbehave in every way we know of.

What it says was compared with a real one of version 2026.9.6: tests/openclaw/test_real.py.
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

from openclaw import SCOPES, Device, Target

TOKEN = "the gateway's own token"
TS = 1_795_559_329_690
Answer = dict[str, Any]
Method = Callable[[dict[str, Any]], Any]


class Refused(Exception):
    """An error answer."""

    def __init__(self, code: str, message: str = "no", close: int = 1008, **more: Any) -> None:
        super().__init__(message)
        self.error = {"code": code, "message": message, **more}
        self.close = close


@dataclass
class Fake:
    """How it behaves, which a test may change at any time, and what it has heard."""

    token: str = TOKEN
    protocol: int = 4
    grants: tuple[str, ...] = SCOPES
    asks_for_pairing: bool = False
    takes_device_token: bool = True  # in place of a shared token that is wrong
    largest: int = 25 * 1024 * 1024
    starting: int = 0  # so many connections more are told that it is starting
    upgrade_status: tuple[int, str] | None = None  # an answer of HTTP instead of a WebSocket
    refuses: dict[str, Any] | None = None  # the error that it answers to whoever connects
    first: str | bytes | None = None  # what it sends instead of its challenge
    is_silent: bool = False  # sends nothing at all
    turns_away: int | None = None  # the code with which it closes on whoever comes, without a word
    is_mute: bool = False  # never answers `connect`
    hello: dict[str, Any] = field(default_factory=dict)  # what the hello has besides
    methods: dict[str, Method] = field(default_factory=dict)
    answers: dict[str, str | bytes | None] = field(default_factory=dict)  # raw; None: nothing
    closes: dict[str, int] = field(default_factory=dict)  # the code it closes with, once each

    url: str = ""
    port: int = 0
    connects: list[dict[str, Any]] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)  # the lines and headers of HTTP
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    approved: set[str] = field(default_factory=set)  # devices
    most_connected: int = 0  # at one time
    _open: set[ServerConnection] = field(default_factory=set)

    @property
    def times_connected(self) -> int:
        """How often somebody has asked to be let in."""
        return len(self.connects)

    @property
    def is_connected(self) -> bool:
        """Whether somebody is."""
        return bool(self._open)

    def approve(self) -> None:
        """Do what `openclaw devices approve` does, for the device that asked last."""
        self.approved.add(self.connects[-1]["device"]["id"])

    async def tell(self, event: str, payload: dict[str, Any]) -> None:
        """Send an event to all who are connected."""
        for socket in tuple(self._open):
            with suppress(ConnectionClosed):
                await socket.send(json.dumps({"type": "event", "event": event, "payload": payload}))

    async def drop(self, code: int) -> None:
        """Close all connections."""
        for socket in tuple(self._open):
            await socket.close(code)

    async def serve(self, socket: ServerConnection) -> None:
        """Answer one connection until it ends."""
        assert socket.request
        self.requests.append(f"{socket.request.path} {socket.request.headers}")
        if self.is_silent:
            await socket.wait_closed()
            return
        if self.turns_away is not None:
            await socket.close(self.turns_away)
            return
        challenge = {"nonce": "n-0nce", "ts": TS}
        event = {"type": "event", "event": "connect.challenge", "payload": challenge}
        await socket.send(json.dumps(event) if self.first is None else self.first)
        with suppress(ConnectionClosed):
            if await self._let_in(socket):
                self._open.add(socket)
                self.most_connected = max(self.most_connected, len(self._open))
                try:
                    async for raw in socket:
                        await self._answer(socket, json.loads(raw))
                finally:
                    self._open.discard(socket)

    async def _let_in(self, socket: ServerConnection) -> bool:
        frame = json.loads(await socket.recv())
        self.connects.append(frame["params"])
        if self.is_mute:
            await socket.wait_closed()
            return False
        try:
            payload = self._hello(frame["params"])
        except Refused as no:
            await _send(socket, frame["id"], ok=False, error=no.error)
            await socket.close(no.close)
            return False
        await _send(socket, frame["id"], ok=True, payload=payload)
        return True

    def _hello(self, params: dict[str, Any]) -> dict[str, Any]:
        if self.starting:
            self.starting -= 1
            details = {"reason": "startup-sidecars"}
            raise Refused(
                "UNAVAILABLE", close=1013, retryable=True, retryAfterMs=10, details=details
            )
        if self.refuses is not None:
            raise Refused(**self.refuses)
        if not params["minProtocol"] <= self.protocol <= params["maxProtocol"]:
            details = {"code": "PROTOCOL_MISMATCH", "expectedProtocol": self.protocol}
            raise Refused("INVALID_REQUEST", "protocol mismatch", 1002, details=details)
        issued = self._known(params)
        return {
            "type": "hello-ok",
            "protocol": self.protocol,
            "server": {"version": "2026.9.6", "connId": "c-1"},
            "features": {"methods": ["health", "sessions.list"], "events": ["tick"]},
            "auth": {"role": "operator", "scopes": list(self.grants), **issued},
            "policy": {"maxPayload": self.largest, "tickIntervalMs": 30000},
        } | self.hello

    def _known(self, params: dict[str, Any]) -> dict[str, str]:
        """Look at token and device. Returns what is issued to a device."""
        token = params.get("auth", {}).get("token", "")
        device = params.get("device")
        given = token_of_device(device["id"]) if device else None
        if token not in (self.token, given):
            retry = bool(device and device["id"] in self.approved and self.takes_device_token)
            details = {"code": "AUTH_TOKEN_MISMATCH", "canRetryWithDeviceToken": retry}
            raise Refused("INVALID_REQUEST", "unauthorized", details=details)
        if device is None:
            return {}
        if not is_signed(params, token):
            details = {"code": "DEVICE_AUTH_SIGNATURE_INVALID"}
            raise Refused("INVALID_REQUEST", "device signature invalid", details=details)
        if self.asks_for_pairing and device["id"] not in self.approved:
            asked = {"code": "PAIRING_REQUIRED", "reason": "not-paired", "requestId": "req-123"}
            raise Refused("NOT_PAIRED", "pairing required", details=asked)
        self.approved.add(device["id"])
        return {"deviceToken": token_of_device(device["id"])}

    async def _answer(self, socket: ServerConnection, frame: dict[str, Any]) -> None:
        method, params = frame["method"], frame["params"]
        self.calls.append((method, params))
        if method in self.closes:
            await socket.close(self.closes.pop(method))
            return
        if method in self.answers:
            raw = self.answers[method]
            if raw is not None:
                await socket.send(raw)
            return
        try:
            does = self.methods.get(method)
            if does is None:
                raise Refused("INVALID_REQUEST", f"unknown method: {method}")
            await _send(socket, frame["id"], ok=True, payload=does(params))
        except Refused as no:
            await _send(socket, frame["id"], ok=False, error=no.error)


def token_of_device(id: str) -> str:
    return f"device token of {id}"


def target(gateway: Fake, **more: Any) -> Target:
    """Return a way to a fake: with its token, and a device that it has never seen."""
    shown: dict[str, Any] = {"token": TOKEN, "device": Device.new(), **more}
    return Target(gateway.url, **shown)


def is_signed(params: dict[str, Any], token: str) -> bool:
    """Check a device's proof as a gateway does."""
    device, client = params["device"], params["client"]
    public = base64.urlsafe_b64decode(device["publicKey"] + "=")
    signed = "|".join(
        [
            *("v3", device["id"], client["id"], client["mode"], params["role"]),
            *(",".join(params["scopes"]), str(TS), token, "n-0nce"),
            *(client["platform"].lower(), client.get("deviceFamily", "").lower()),
        ]
    )
    signature = base64.urlsafe_b64decode(device["signature"] + "==")
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, signed.encode())
    except InvalidSignature:
        return False
    return hashlib.sha256(public).hexdigest() == device["id"] and device["signedAt"] == TS


@asynccontextmanager
async def running(fake: Fake, *, tls: ssl.SSLContext | None = None) -> AsyncGenerator[Fake]:
    """Let a fake listen at a free port of this machine, or again at the one that it had."""

    def upgrade(_socket: ServerConnection, _request: Request) -> Response | None:
        if fake.upgrade_status is None:
            return None
        status, body = fake.upgrade_status
        return _socket.respond(HTTPStatus(status), body)

    opened = serve(
        fake.serve, "127.0.0.1", fake.port, process_request=upgrade, ssl=tls, close_timeout=0.1
    )
    async with opened as server:
        fake.port = next(iter(server.sockets)).getsockname()[1]
        fake.url = f"{'wss' if tls else 'ws'}://127.0.0.1:{fake.port}"
        yield fake


async def _send(socket: ServerConnection, id: str, **said: Any) -> None:
    await socket.send(json.dumps({"type": "res", "id": id, **said}))


async def soon(condition: Callable[[], object]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)
