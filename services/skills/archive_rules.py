"""What archives of others may contain: the paths of entries, and the headers of a .tar."""

import tarfile
from collections.abc import Iterable

from core.text import is_storable, remove_invisible

MAX_ENTRIES = 20_000  # files, folders and links
MAX_PATH_LENGTH = 300  # characters
MAX_PATH_DEPTH = 30  # parts of a path
MAX_HEADER_SIZE = 64 * 1024  # bytes of an extended header in a .tar
MAX_GLOBAL_HEADER_SIZE = 1024  # bytes of the one about all files, where GitHub writes the commit
MAX_HEADERS_SIZE = 4 * 1024 * 1024  # bytes of all extended headers together

BLOCK = 512  # bytes, in a .tar
GLOBAL_HEADER = b"g"
EXTENDED_HEADERS = b"xgLKX"  # types of headers that are about the next file, or all
KINDS_WITHOUT_CONTENT = b"123456S"  # links, devices, folders, sparse files
MOVING_KEYS = (b" size=", b" GNU.sparse.")  # of extended headers, with which `tarfile` moves on


class InvalidArchive(Exception):
    """An archive cannot be used; `cause` is a stable code of the reason."""

    def __init__(self, cause: str, path: str = "") -> None:
        super().__init__(cause)
        self.cause = cause
        self.path = path[:MAX_PATH_LENGTH]


def check_tar_headers(unpacked: bytes) -> None:
    """Raise InvalidArchive for headers that need much memory, and for too many entries.

    `tarfile` must find each header where this function does: what moves its position otherwise, a
    size in an extended header or the content of a folder or link, is refused.
    """
    at, count, extended, total = 0, 0, 0, 0
    while at + BLOCK <= len(unpacked) and any(header := unpacked[at : at + BLOCK]):
        size = tarfile.nti(header[124:136])  # ty: ignore[missing-attribute]
        is_extended = header[156:157] in EXTENDED_HEADERS
        extended = extended + 1 if is_extended else 0
        total += size if is_extended else 0
        if extended > len(EXTENDED_HEADERS) or total > MAX_HEADERS_SIZE:
            raise InvalidArchive("header_too_large")
        if is_extended:
            _check_extended_header(header[156:157], size, at)
        at += BLOCK
        _check_position(header, size, unpacked[at : at + size] if is_extended else b"")
        count += 1
        if count > 2 * MAX_ENTRIES:
            raise InvalidArchive("too_many_entries")
        at += -(-size // BLOCK) * BLOCK


def _check_extended_header(kind: bytes, size: int, at: int) -> None:
    """Raise InvalidArchive if a header is too large.

    Every member of `tarfile` gets a copy of all records of the global headers, so only a small one
    at the beginning is allowed.
    """
    is_global = kind == GLOBAL_HEADER
    if size > (MAX_GLOBAL_HEADER_SIZE if is_global else MAX_HEADER_SIZE) or (is_global and at):
        raise InvalidArchive("header_too_large")


def _check_position(header: bytes, size: int, extended: bytes) -> None:
    """Raise InvalidArchive if `tarfile` could expect the next header somewhere else."""
    kind, name = header[156:157], header[:100].partition(b"\0")[0]
    is_folder = kind == b"\0" and name.endswith(b"/")
    has_no_content = kind in KINDS_WITHOUT_CONTENT or is_folder
    if size < 0 or (size and has_no_content) or any(key in extended for key in MOVING_KEYS):
        raise InvalidArchive("unreadable")


def check_path(path: str) -> str:
    """Return a path without "./" at its beginning. Raises InvalidArchive if it is not relative."""
    while path.startswith("./"):
        path = path[2:]
    if path in ("", "."):
        return ""
    if len(path) > MAX_PATH_LENGTH or not is_storable(path) or not path.isprintable():
        raise InvalidArchive("path", _make_storable(path))
    is_drive = len(path) > 1 and path[1] == ":"
    segments = path.split("/")
    is_deep = len(segments) > MAX_PATH_DEPTH
    if is_deep or is_drive or "\\" in path or any(part in ("", ".", "..") for part in segments):
        raise InvalidArchive("path", path)
    if remove_invisible(path) != path or any(part != part.strip() for part in segments):
        raise InvalidArchive("path", path)
    return path


def _make_storable(path: str) -> str:
    return path[:MAX_PATH_LENGTH].encode("ascii", "replace").decode().replace("\0", "?")


def list_folders(paths: Iterable[str]) -> set[str]:
    """Return all folders that contain something, also those that contain only folders."""
    folders: set[str] = set()
    for path in paths:
        folder = path.rpartition("/")[0]
        while folder and folder not in folders:
            folders.add(folder)
            folder = folder.rpartition("/")[0]
    return folders
