"""What a soul may be called, and when a directory elsewhere is to be asked. Pure."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from kit.errors import Invalid, NotFound, OutsideFailed

FRESH = timedelta(hours=1)  # after which what was heard is asked for again (contract, 3.14)
ONE_ASKS = timedelta(seconds=30)  # while somebody asks, or has just been told nothing, nobody does

LONGEST_NAME = 100  # characters of a handle or a slug
NAME = f"[A-Za-z0-9][A-Za-z0-9_-]{{0,{LONGEST_NAME - 1}}}"

_NAME = re.compile(NAME)


@dataclass(frozen=True)
class Remote:
    """A directory elsewhere, and what is known of it. Without an address there is none."""

    address: str = ""
    fetched_at: datetime | None = None  # when it last told what it has
    failed_at: datetime | None = None  # when it last did not answer, if it has not since

    def is_stale(self, at: datetime) -> bool:
        """Say whether what is known of it may be out of date."""
        return bool(self.address) and is_old(self.fetched_at, at)

    def rests(self, at: datetime) -> bool:
        """Say whether it is left alone, because it did not answer a moment ago."""
        return self.failed_at is not None and at - self.failed_at < ONE_ASKS


@dataclass(frozen=True)
class SoulFound:
    """A soul as far as it is known here."""

    handle: str
    slug: str
    title: str = ""
    description: str = ""
    content: str | None = None  # None while nobody has asked for it
    fetched_at: datetime | None = None
    is_ours: bool = False  # of the library
    is_gone: bool = False  # the directory says that there is none

    def is_stale(self, at: datetime) -> bool:
        """Say whether it may have changed since."""
        return not self.is_ours and is_old(self.fetched_at, at)

    def is_due(self, remote: Remote, at: datetime) -> bool:
        """Say whether the directory is to be asked for it now."""
        return bool(remote.address) and self.is_stale(at) and not remote.rests(at)


def settled(found: SoulFound, remote: Remote) -> SoulFound:
    """Return a soul if its content is known. Raises NotFound, or OutsideFailed if nobody knows."""
    if found.content is not None:
        return found
    if remote.address and not found.is_gone:
        raise unreachable()
    raise NotFound("soul_not_found", "There is no such soul.")


def is_old(fetched_at: datetime | None, at: datetime) -> bool:
    """Say whether what was fetched then is to be fetched again."""
    return fetched_at is None or at - fetched_at >= FRESH


def is_name(text: str) -> bool:
    """Say whether this can be the handle of an author, or the slug of a soul."""
    return _NAME.fullmatch(text) is not None


def check_names(handle: str, slug: str) -> None:
    """Raise Invalid unless these can be a handle and a slug."""
    for what, text in (("handle", handle), ("slug", slug)):
        if not is_name(text):
            reason = f"A {what} begins with a letter or a digit, and has only those, _ and -."
            raise Invalid(f"invalid_{what}", reason)


def unreachable() -> OutsideFailed:
    """Return what callers are told when nothing is known and nobody answers. Why is in the log."""
    reason = "The souls directory does not answer, and what was asked for was never heard of here."
    return OutsideFailed("souls_directory_unavailable", reason)
