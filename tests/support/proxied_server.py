"""A real server behind a real proxy with TLS: nginx or Caddy with the examples of the project."""

import os
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from tests.cli.conftest import ROOT, SAME_SITE
from tests.support.installation import LOCAL_AUTH, Installation, find_free_port
from tests.support.tls_certificates import PrivateCa

TIMEOUT = 60  # seconds
CLIENT = "127.0.0.2"  # another address than the trusted one of the proxy


@dataclass(frozen=True)
class ProxiedServer:
    """A server behind a proxy, and the certificate authority that its clients trust."""

    server: Installation
    port: int
    ca_file: Path
    proxy: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    def open_client(self, **headers: str) -> httpx2.Client:
        """Return a client of the proxy at the address CLIENT, which forges other addresses."""
        tls = ssl.create_default_context(cafile=str(self.ca_file))
        forged = {"X-Forwarded-For": "198.51.100.7", "Forwarded": "for=198.51.100.8"}
        return httpx2.Client(
            base_url=self.url,
            transport=httpx2.HTTPTransport(verify=tls, local_address=CLIENT),
            headers={**SAME_SITE, **forged, **headers},
            timeout=TIMEOUT,
        )


def adapt(file: str, replaced: dict[str, str]) -> str:
    """Return an example with the ports and files of a test. All of these must be there."""
    text = (ROOT / "deploy" / file).read_text()
    for old, new in replaced.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


def start_nginx(folder: Path, port: int, server_port: int, silence: int) -> subprocess.Popen[bytes]:
    """Start nginx with the example, in which most responses may be silent for some seconds."""
    if os.geteuid() != 0:
        pytest.skip("nginx needs root for the folders of its package")
    replaced = {
        "listen 80;": f"listen 127.0.0.1:{find_free_port()};",
        "listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;",
        "listen [::]:80;": "",
        "listen [::]:443 ssl;": "",
        "http2 on;": f"http2 on; proxy_read_timeout {silence}s;",
        "/etc/ssl/control.example.com/fullchain.pem": f"{folder}/server.pem",
        "/etc/ssl/control.example.com/privkey.pem": f"{folder}/server.pem",
        "/var/log/nginx": str(folder),
        "/run/nginx.pid": f"{folder}/nginx.pid",
        "control.example.com": "localhost",
        "127.0.0.1:8000": f"127.0.0.1:{server_port}",
    }
    file = folder / "nginx.conf"
    file.write_text(adapt("nginx.conf", replaced))
    return subprocess.Popen([find_program("nginx"), "-c", file, "-g", "daemon off;"])


def start_caddy(
    folder: Path, port: int, server_port: int, _silence: int
) -> subprocess.Popen[bytes]:
    """Start Caddy with the example and our certificate. Any response may be silent."""
    site = f"{{\n\tadmin off\n\tauto_https disable_redirects\n}}\n\nhttps://localhost:{port} {{"
    replaced = {
        "control.example.com {": f"{site}\n\ttls {folder}/server.pem {folder}/server.pem",
        "127.0.0.1:8000": f"127.0.0.1:{server_port}",
    }
    file = folder / "Caddyfile"
    file.write_text(adapt("Caddyfile", replaced))
    command = [find_program("caddy"), "run", "--config", file]
    with (folder / "caddy.log").open("w") as log:
        environment = {"PATH": os.defpath, "HOME": str(folder)}
        return subprocess.Popen(command, env=environment, stderr=log)


def find_program(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


STARTERS = {"nginx": start_nginx, "caddy": start_caddy}


@contextmanager
def run_behind(
    proxy_name: str, folder: Path, silence: int = 60, settings: Mapping[str, str] = {}
) -> Generator[ProxiedServer]:
    """Run a server behind a proxy during the block."""
    ca = PrivateCa.create()
    ca.create_tls_context(folder, "localhost")
    (folder / "ca.pem").write_text(ca.pem)
    port, server_port = find_free_port(), find_free_port()
    proxy = STARTERS[proxy_name](folder, port, server_port, silence)
    own = {"BASE_URL": f"https://localhost:{port}", "TRUSTED_PROXIES": "127.0.0.1"}
    server = Installation(folder / "data", server_port, {**LOCAL_AUTH, **own, **settings})
    try:
        server.start()
        wait_for_port(port)
        yield ProxiedServer(server, port, folder / "ca.pem", proxy)
    finally:
        try:
            server.stop()
        finally:
            proxy.terminate()
            proxy.wait(TIMEOUT)


def wait_for_port(port: int) -> None:
    deadline = time.monotonic() + TIMEOUT
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), TIMEOUT).close()
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        else:
            return
