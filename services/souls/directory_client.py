"""The client of the remote souls directory. It uses the network: keep no transaction open here."""

import asyncio
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple
from urllib.parse import urlsplit
from xml.parsers.expat import ExpatError, ParserCreate

from core.config.parsers import Network, get_host
from core.errors import Invalid
from core.http.address_policy import build_service_policy
from core.http.outbound import FetchError, FetchNotFound, fetch_text

MAX_NAME_LENGTH = 100  # characters of a handle or a slug
NAME_PATTERN = f"[A-Za-z0-9][A-Za-z0-9_-]{{0,{MAX_NAME_LENGTH - 1}}}"
NAME_REGEX = re.compile(NAME_PATTERN)
FETCH_INTERVAL = timedelta(seconds=30)  # between two fetches, also after a failure
MAX_LISTED_SOULS = 20_000

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RemoteDirectory:
    """The remote souls directory and the state of its cache. Without an address there is none."""

    address: str = ""
    fetched_at: datetime | None = None  # the last time the listing was fetched
    failed_at: datetime | None = None  # the last failure, unless a fetch succeeded since

    def is_stale(self, at: datetime) -> bool:
        """Return whether the cached listing may be out of date."""
        return bool(self.address) and is_outdated(self.fetched_at, at)

    def is_backing_off(self, at: datetime) -> bool:
        """Return whether to send no request, because one failed a moment ago."""
        return self.failed_at is not None and at - self.failed_at < FETCH_INTERVAL


def is_outdated(fetched_at: datetime | None, at: datetime) -> bool:
    """Return whether data fetched at that time has to be fetched again."""
    return fetched_at is None or at - fetched_at >= timedelta(hours=1)


def is_valid_name(text: str) -> bool:
    """Return whether a text is a valid author handle or soul slug."""
    return NAME_REGEX.fullmatch(text) is not None


def check_names(handle: str, slug: str) -> None:
    """Raise Invalid if the handle or the slug is not a valid name."""
    for field, text in (("handle", handle), ("slug", slug)):
        if not is_valid_name(text):
            reason = f"A {field} begins with a letter or a digit, and has only those, _ and -."
            raise Invalid(f"invalid_{field}", reason)


class InvalidSitemap(Exception):
    """A sitemap cannot be parsed. The text is for the log."""


class DirectoryEntry(NamedTuple):
    """A soul in the listing of a directory."""

    handle: str
    slug: str


class FetchResult(NamedTuple):
    """The result of fetching a soul: its content, or that it was deleted, or neither on failure."""

    content: str | None = None
    is_deleted: bool = False


async def fetch_listing(
    remote: RemoteDirectory, allowed_private: Sequence[Network]
) -> Sequence[DirectoryEntry] | None:
    """Fetch the list of souls. Return None if the directory fails; the reason is logged."""
    policy = build_service_policy(get_host(remote.address), allowed_private)
    try:
        address = f"{remote.address}/sitemap.xml"
        sitemap = await fetch_text(address, max_bytes=5_000_000, policy=policy)
        return await asyncio.to_thread(parse_sitemap, sitemap)
    except (FetchError, InvalidSitemap) as error:
        log.warning("The souls directory did not return its list: %s", error)
        return None


async def fetch_soul(
    remote: RemoteDirectory, handle: str, slug: str, allowed_private: Sequence[Network]
) -> FetchResult:
    """Fetch the content of one soul. Failures are logged."""
    policy = build_service_policy(get_host(remote.address), allowed_private)
    address = f"{remote.address}/api/souls/{handle}/{slug}.md"
    try:
        return FetchResult(await fetch_text(address, max_bytes=200_000, policy=policy))
    except FetchNotFound:
        return FetchResult(is_deleted=True)
    except FetchError as error:
        log.warning("The souls directory did not return a soul: %s", error)
        return FetchResult()


def parse_sitemap(sitemap: str) -> Sequence[DirectoryEntry]:
    """Return the distinct souls in a sitemap, taken from URLs that end with /souls/{handle}/{slug}.

    The hosts of the URLs are ignored. Raises InvalidSitemap.
    """
    locations = _locations(sitemap)
    entries = dict.fromkeys(entry for url in locations for entry in _parse_location(url))
    if not entries:
        raise InvalidSitemap("the sitemap lists no soul")
    if len(entries) > MAX_LISTED_SOULS:
        raise InvalidSitemap(f"the sitemap lists more than {MAX_LISTED_SOULS:,} souls")
    return list(entries)


def _locations(sitemap: str) -> Sequence[str]:
    """Return the text of the `loc` elements of a sitemap."""
    handler = _SitemapHandler()
    parser = ParserCreate("utf-8")  # overrides the XML declaration: the text is decoded already
    parser.StartElementHandler = handler.start_element
    parser.CharacterDataHandler = handler.character_data
    parser.StartDoctypeDeclHandler = handler.start_doctype
    try:
        parser.Parse(sitemap.encode(), True)
    except ExpatError as error:
        raise InvalidSitemap(f"the sitemap is not XML: {error}") from error
    return handler.locations


def _parse_location(url: str) -> Sequence[DirectoryEntry]:
    try:
        path = urlsplit(url.strip()).path
    except ValueError:
        return []
    kind, *names = path.strip("/").split("/")
    is_soul = kind == "souls" and len(names) == 2 and all(map(is_valid_name, names))
    return [DirectoryEntry(*names)] if is_soul else []


class _SitemapHandler:
    """Collects the locations while a sitemap is parsed."""

    def __init__(self) -> None:
        self.locations: list[str] = []
        self._is_location = False

    def start_element(self, name: str, _attributes: object) -> None:
        self._is_location = name.rpartition(":")[2] == "loc"
        if self._is_location:
            self.locations.append("")

    def character_data(self, text: str) -> None:
        if self._is_location and len(self.locations[-1]) < 2_000:
            self.locations[-1] += text

    def start_doctype(self, *_arguments: object) -> None:
        """Reject a document type declaration, because it can declare entities.

        Entities can expand to a huge text, or include other files.
        """
        raise InvalidSitemap("the sitemap has a document type")
