"""Rules for souls: names, freshness of cached data, titles and descriptions."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from core.errors import Invalid, NotFound, UpstreamError
from core.text import N_

MAX_AGE = timedelta(hours=1)  # of cached data (contract, 3.14)
FETCH_INTERVAL = timedelta(seconds=30)  # between two fetches, also after a failure

MAX_NAME_LENGTH = 100  # characters of a handle or a slug
MAX_TITLE_LENGTH = 200  # characters
MAX_DESCRIPTION_LENGTH = 400  # characters

NAME_PATTERN = f"[A-Za-z0-9][A-Za-z0-9_-]{{0,{MAX_NAME_LENGTH - 1}}}"
NAME_REGEX = re.compile(NAME_PATTERN)


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


@dataclass(frozen=True)
class CachedSoul:
    """A soul with the data that is cached of it."""

    handle: str
    slug: str
    title: str = ""
    description: str = ""
    content: str | None = None  # None: not fetched yet
    fetched_at: datetime | None = None
    is_bundled: bool = False  # in the library of the product
    is_deleted: bool = False  # the directory returned "not found"

    def is_stale(self, at: datetime) -> bool:
        """Return whether the cached content may be out of date. Bundled souls never are."""
        return not self.is_bundled and is_outdated(self.fetched_at, at)

    def needs_fetch(self, remote: RemoteDirectory, at: datetime) -> bool:
        """Return whether to fetch it from the directory now."""
        return bool(remote.address) and self.is_stale(at) and not remote.is_backing_off(at)


def require_content(soul: CachedSoul, remote: RemoteDirectory) -> CachedSoul:
    """Return a soul if its content is cached.

    Raises NotFound if the soul does not exist, UpstreamError if the directory could not be reached.
    """
    if soul.content is not None:
        return soul
    if remote.address and not soul.is_deleted:
        raise directory_unavailable()
    raise NotFound("soul_not_found", N_("There is no such soul."))


def is_outdated(fetched_at: datetime | None, at: datetime) -> bool:
    """Return whether data fetched at that time has to be fetched again."""
    return fetched_at is None or at - fetched_at >= MAX_AGE


def is_valid_name(text: str) -> bool:
    """Return whether a text is a valid author handle or soul slug."""
    return NAME_REGEX.fullmatch(text) is not None


def check_names(handle: str, slug: str) -> None:
    """Raise Invalid if the handle or the slug is not a valid name."""
    for field, text in (("handle", handle), ("slug", slug)):
        if not is_valid_name(text):
            reason = f"A {field} begins with a letter or a digit, and has only those, _ and -."
            raise Invalid(f"invalid_{field}", reason)


def directory_unavailable() -> UpstreamError:
    """Return the error for data that is not cached and cannot be fetched. The log has the cause."""
    reason = N_("The directory of souls does not answer.")
    return UpstreamError("souls_directory_unavailable", reason)


def extract_summary(content: str, slug: str) -> tuple[str, str]:
    """Return the title (the first heading) and the description (the first paragraph) of a soul."""
    title, paragraph = "", list[str]()
    for line in content.splitlines():
        line = line.strip()
        if not title and not paragraph and line.startswith("# "):
            title = line.removeprefix("# ").strip()
        elif line and not line.startswith("#"):
            paragraph.append(line)
        elif paragraph:
            break
    description = " ".join(paragraph)[:MAX_DESCRIPTION_LENGTH]
    return (title or title_from_slug(slug))[:MAX_TITLE_LENGTH], description


def title_from_slug(slug: str) -> str:
    """Return a title for a soul whose content is not fetched yet."""
    return slug.replace("-", " ").replace("_", " ").strip().capitalize()
