"""Archives are downloaded from a real TLS server, and every address on the way is checked."""

from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from core.config.parsers import LOOPBACK_NETWORKS
from core.config.settings import Settings
from core.errors import UpstreamError
from core.http.outbound import OutboundClient
from services.skills import downloads
from services.skills.downloads import MAX_REDIRECTS, create_download_client, download_archive
from tests.support.http_host import HostPage, HttpHost, run_http_host
from tests.support.skill_archives import FILES, make_tar
from tests.support.tls_certificates import create_tls_context

ARCHIVE = make_tar(FILES)
START, STORED = "/archive/main.tar.gz", "/stored.tar.gz"


@pytest.fixture
async def hosts(tmp_path: Path) -> AsyncIterator[tuple[HttpHost, HttpHost]]:
    """Two TLS servers: the first one redirects to the second one, which has the archive."""
    tls = create_tls_context(tmp_path)
    async with run_http_host(tls) as host, run_http_host(tls) as storage:
        storage.pages[STORED] = HostPage(ARCHIVE)
        redirect(host, f"{storage.address}{STORED}")
        yield host, storage


@pytest.fixture
def client(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OutboundClient:
    """The client of an installation that allows this machine, and trusts the servers.

    Archives are small here, because no test is about the size itself.
    """
    monkeypatch.setattr(downloads, "MAX_ARCHIVE_SIZE", 100_000)
    allowed = settings.model_copy(update={"outbound_allow_private": LOOPBACK_NETWORKS})
    client = create_download_client(allowed)
    client.tls_context.load_verify_locations(tmp_path / "server.pem")
    return client


def redirect(host: HttpHost, location: str, *, path: str = START) -> None:
    host.pages[path] = HostPage(status=302, headers={"Location": location})


async def find_cause(client: OutboundClient, host: HttpHost, **options: Any) -> tuple[str, Any]:
    """Return why an archive cannot be downloaded, and the status of the response."""
    with pytest.raises(UpstreamError) as error_info:
        await download_archive(
            client, f"{host.address}{START}", **({"allows_private": True} | options)
        )
    details: Any = error_info.value.details
    return details["cause"], details["status"]


async def test_a_redirect_to_another_host_is_followed_over_tls(
    hosts: tuple[HttpHost, HttpHost], client: OutboundClient
) -> None:
    host, storage = hosts
    found = await download_archive(client, f"{host.address}{START}", allows_private=True)
    assert (found.data, found.digest) == (ARCHIVE, sha256(ARCHIVE).hexdigest())
    assert (host.requests, storage.requests) == ([START], [STORED])
    redirect(host, "archive/v2.tar.gz", path="/latest")  # relative to its own address
    redirect(host, f"{storage.address}{STORED}", path="/archive/v2.tar.gz")
    found = await download_archive(client, f"{host.address}/latest", allows_private=True)
    assert found.data == ARCHIVE


async def test_a_private_host_is_not_asked_unless_it_is_allowed(
    hosts: tuple[HttpHost, HttpHost], client: OutboundClient
) -> None:
    host, storage = hosts
    cause = await find_cause(client, host, allows_private=False)
    assert cause == ("address_forbidden", None)
    assert host.requests == []
    for location in ("https://169.254.169.254/latest", "https://10.1.2.3/stored", "https://[::]/"):
        redirect(host, location)
        assert await find_cause(client, host) == ("address_forbidden", None)
    assert storage.requests == []


async def test_a_redirect_never_leaves_https(
    hosts: tuple[HttpHost, HttpHost], client: OutboundClient
) -> None:
    host, _ = hosts
    async with run_http_host() as plain:
        plain.pages[STORED] = HostPage(ARCHIVE)
        for location in (f"{plain.address}{STORED}", "file:///etc/passwd", "https://:0/"):
            redirect(host, location)
            assert await find_cause(client, host) == ("address_invalid", None)
        assert plain.requests == []


async def test_an_untrusted_certificate_ends_the_download(
    hosts: tuple[HttpHost, HttpHost], client: OutboundClient, tmp_path: Path
) -> None:
    host, _ = hosts
    (folder := tmp_path / "other").mkdir()
    async with run_http_host(create_tls_context(folder)) as stranger:
        stranger.pages[STORED] = HostPage(ARCHIVE)
        redirect(host, f"{stranger.address}{STORED}")
        assert await find_cause(client, host) == ("tls", None)
        assert stranger.requests == []


async def test_a_loop_of_redirects_and_a_large_archive_end(
    hosts: tuple[HttpHost, HttpHost], client: OutboundClient
) -> None:
    host, storage = hosts
    redirect(host, START)
    assert await find_cause(client, host) == ("redirected", None)
    assert len(host.requests) == 1 + MAX_REDIRECTS
    redirect(host, f"{storage.address}/missing")
    assert await find_cause(client, host) == ("not_found", 404)
    storage.pages["/large"] = HostPage(bytes(downloads.MAX_ARCHIVE_SIZE + 1))
    redirect(host, f"{storage.address}/large")
    assert await find_cause(client, host) == ("too_large", None)
