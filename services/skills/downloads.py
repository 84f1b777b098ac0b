"""Download the archive of a pack. It uses the network: keep no transaction open here."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from urllib.parse import urljoin
from uuid import UUID

from core.config.settings import Settings
from core.errors import TooMany, UpstreamError
from core.http.outbound import (
    InvalidUrl,
    OutboundClient,
    OutboundOutcome,
    OutboundRequest,
    OutboundResult,
    parse_url,
)
from core.text import N_
from services.skills.archives import MAX_ARCHIVE_SIZE

MAX_REDIRECTS = 5
DOWNLOAD_TIMEOUT = 60.0  # seconds for all requests of a download, with the bodies
MAX_DOWNLOADS = 4  # at the same time in a process; each may need several times MAX_ARCHIVE_SIZE
RETRY_AFTER = 60  # seconds

_busy_organizations: set[UUID] = set()


@dataclass(frozen=True)
class DownloadedArchive:
    """An archive as it was received, and its SHA-256."""

    data: bytes = field(repr=False)
    digest: str

    @classmethod
    def of(cls, data: bytes) -> "DownloadedArchive":
        """Return the archive of these bytes."""
        return cls(data, sha256(data).hexdigest())


FAILURES = {
    "not_found": N_("There is no such archive. Check the address and the branch."),
    OutboundOutcome.ADDRESS_FORBIDDEN: N_(
        "The address is in a private network, where this server sends nothing. An operator can"
        " allow it with OUTBOUND_ALLOW_PRIVATE."
    ),
    OutboundOutcome.DNS: N_("The host name is unknown. Check the address."),
    OutboundOutcome.TIMEOUT: N_("The download took too long. Try again."),
    "too_large": N_("The archive is too large."),
}
"""Why an archive cannot be downloaded, by the cause."""


@contextmanager
def take_download_slot(organization_id: UUID) -> Generator[None]:
    """Allow one download for each organization, and a few for all. Raises TooMany."""
    if organization_id in _busy_organizations or len(_busy_organizations) >= MAX_DOWNLOADS:
        raise TooMany(RETRY_AFTER, N_("Another archive is being downloaded."))
    _busy_organizations.add(organization_id)
    try:
        yield
    finally:
        _busy_organizations.discard(organization_id)


def create_download_client(settings: Settings) -> OutboundClient:
    """Create the client for archives of this installation."""
    return OutboundClient(
        settings.outbound_allow_private,
        total_timeout=DOWNLOAD_TIMEOUT,
        body_timeout=DOWNLOAD_TIMEOUT,
        max_response_bytes=MAX_ARCHIVE_SIZE,
    )


async def download_archive(
    client: OutboundClient, url: str, *, allows_private: bool
) -> DownloadedArchive:
    """Download an archive over https. Each redirect is checked as the first address is.

    Slow hosts do not get more time by redirects, because few downloads are possible at a time.
    Raises UpstreamError, whose cause is the outcome of the request.
    """
    try:
        async with asyncio.timeout(DOWNLOAD_TIMEOUT):
            for _ in range(1 + MAX_REDIRECTS):
                if not url.startswith("https://"):
                    raise _download_failed(OutboundOutcome.ADDRESS_INVALID.value)
                request = OutboundRequest(url, method="GET")
                result = await client.send(request, allows_private=allows_private)
                location = result.headers.get("location")
                if result.outcome is not OutboundOutcome.REDIRECTED or not location:
                    return _check_result(result)
                try:
                    url = str(parse_url(urljoin(url, location)))
                except (InvalidUrl, ValueError):
                    raise _download_failed(OutboundOutcome.ADDRESS_INVALID.value) from None
    except TimeoutError:
        raise _download_failed(OutboundOutcome.TIMEOUT.value) from None
    raise _download_failed(OutboundOutcome.REDIRECTED.value)


def _check_result(result: OutboundResult) -> DownloadedArchive:
    if not result.is_delivered:
        cause = "not_found" if result.status in (404, 410) else result.outcome.value
        raise _download_failed(cause, status=result.status)
    if result.is_truncated:
        is_large = len(result.body) >= MAX_ARCHIVE_SIZE
        raise _download_failed("too_large" if is_large else OutboundOutcome.TIMEOUT.value)
    return DownloadedArchive.of(result.body)


def _download_failed(cause: str, *, status: int | None = None) -> UpstreamError:
    other = N_("The archive cannot be downloaded. Check the address and the branch, and try again.")
    hint = f"The cause is {cause}, with status {status}." if status else f"The cause is {cause}."
    return UpstreamError(
        "skill_pack_unavailable", FAILURES.get(cause, other), hint=hint, cause=cause, status=status
    )
