"""Every connection to another host passes one guard, core/http/address_policy.py.

Connections to the database and to the receiver of traces go where the operator says.
"""

import ast
import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from core.config.parsers import LOOPBACK_NETWORKS, PRIVATE_NETWORKS
from core.config.settings import Settings
from core.errors import Unavailable
from core.security.openid import OpenIdProvider
from services.channels import MailError, open_mail_connection
from services.souls import RemoteDirectory, fetch_listing, fetch_soul
from tests.support.name_service import resolve_to
from tests.test_structure import FILES, relative, tree_of

NETWORK_MODULES = {
    *(
        "aiosmtplib",
        "authlib.integrations",
        "ftplib",
        "http.client",
        "httpcore",
        "httpx",
        "httpx2",
        "aiohttp",
        "opentelemetry.exporter",
    ),
    *("imaplib", "poplib", "requests", "smtplib", "telnetlib", "urllib.request", "urllib3"),
    *("websockets", "xmlrpc.client"),
}
NETWORK_CALLS = {
    *("create_connection", "create_datagram_endpoint", "getaddrinfo", "gethostbyname"),
    *("getnameinfo", "open_connection", "sock_connect", "connect_ex"),
}
GUARDED = {
    "core/http/address_policy.py": "is the guard",
    "core/http/outbound.py": "resolves with the guard, and connects to the checked address",
    "core/security/openid.py": "uses GuardedTransport",
    "openclaw/connection.py": "uses openclaw/websocket.py; it handles its exceptions",
    "openclaw/websocket.py": "resolves with the guard, and connects to the checked address",
    "services/channels/mail.py": "resolves with the guard, and connects to the checked address",
}
OWN_SERVER = {
    "cli/demo.py": "calls the server of this installation",
    "cli/demo_agents.py": "calls the server of this installation",
    "cli/doctor.py": "calls the server of this installation",
    "cli/readiness.py": "calls the server of this installation",
    "cli/server_process.py": "resolves the address to listen on",
    "cli/update.py": "calls the server of this installation",
}

NAMED_BY_OPERATOR = {"core/open_telemetry.py": "sends traces where the environment says"}


MAY_CONNECT = re.compile(
    rf"^ *(?:from|import) (?:{'|'.join({one.split('.')[0] for one in NETWORK_MODULES})})\b"
    rf"|{'|'.join(NETWORK_CALLS)}",
    re.MULTILINE,
)
"""Matches texts of modules that are worth a closer look, which takes longer."""


def list_network_uses(file: Path) -> Iterator[str]:
    """Yield what a module imports or calls to connect to another host."""
    for node in ast.walk(tree_of(file)):
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            modules = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for module in modules:
            parts = module.split(".")
            prefixes = {".".join(parts[:length]) for length in range(1, len(parts) + 1)}
            if prefixes & NETWORK_MODULES:
                yield module
        if isinstance(node, ast.Attribute) and node.attr in NETWORK_CALLS:
            yield node.attr


def test_no_other_module_connects_to_another_host() -> None:
    chosen = [file for file in FILES if MAY_CONNECT.search(file.read_text())]
    found = {relative(file) for file in chosen if any(list_network_uses(file))}
    assert found == {*GUARDED, *OWN_SERVER, *NAMED_BY_OPERATOR}


def test_every_module_with_the_guard_uses_it() -> None:
    for file in GUARDED:
        if file not in ("core/http/address_policy.py", "openclaw/websocket.py"):
            names = {
                alias.name
                for one in FILES
                if relative(one) == file
                for node in ast.walk(tree_of(one))
                if isinstance(node, ast.ImportFrom)
                for alias in node.names
            }
            guards = {
                "resolve_host",
                "resolve_address",
                "GuardedTransport",
                "open_gateway_websocket",
            }
            assert names & guards, file


async def sign_in(settings: Settings) -> None:
    provider = OpenIdProvider(settings)
    try:
        with pytest.raises(Unavailable):
            await provider.verify_bearer("a.b.c")
    finally:
        await provider.close()


async def search_souls(settings: Settings) -> None:
    remote = RemoteDirectory(settings.souls_directory_url)
    assert await fetch_listing(remote, settings.services_allow_private) is None
    found = await fetch_soul(remote, "ada", "writer", settings.services_allow_private)
    assert found.content is None


async def send_mail(settings: Settings) -> None:
    with pytest.raises(MailError):
        async with open_mail_connection(settings):
            pass


@dataclass
class ClosingServer:
    """A server on this machine that closes all connections, and counts them."""

    port: int = 0
    count: int = 0

    async def accept(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.count += 1
        writer.close()


@pytest.fixture
async def server() -> AsyncIterator[ClosingServer]:
    closing = ClosingServer()
    running = await asyncio.start_server(closing.accept, "127.0.0.1", 0)
    closing.port = running.sockets[0].getsockname()[1]
    yield closing
    running.close()
    await running.wait_closed()


@pytest.mark.parametrize("use", [sign_in, search_souls, send_mail])
async def test_a_service_is_private_only_where_the_operator_allowed_it(
    use: Callable[[Settings], Awaitable[None]],
    server: ClosingServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolve_to(monkeypatch, ["127.0.0.1"])
    settings = Settings().model_copy(
        update={
            "oidc_issuer": f"http://id.example:{server.port}",
            "souls_directory_url": f"http://souls.example:{server.port}",
            "smtp_host": "mail.example",
            "smtp_port": server.port,
            "smtp_security": "tls",
        }
    )
    await use(settings)
    assert server.count == 0
    await use(settings.model_copy(update={"services_allow_private": LOOPBACK_NETWORKS}))
    assert server.count > 0
    resolve_to(monkeypatch, ["169.254.169.254"])
    connected = server.count
    await use(settings.model_copy(update={"services_allow_private": PRIVATE_NETWORKS}))
    assert server.count == connected
