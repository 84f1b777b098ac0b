"""Read the files of an archive that others have made: .zip or .tar.gz, in memory only.

Nothing is written to a disk. Links and devices are never followed; their paths are returned, so
that the caller can refuse what needs them. A path that leads out of the archive, or appears twice,
makes the whole archive invalid. Time and memory are limited: see the constants.
"""

import io
import re
import stat
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from core.text import N_, is_storable, remove_invisible

MAX_ARCHIVE_SIZE = 32 * 1024 * 1024  # bytes
MAX_UNPACKED_SIZE = 128 * 1024 * 1024  # bytes of all files together
MAX_DIRECTORY_SIZE = 8 * 1024 * 1024  # bytes of the list of files in a .zip
MAX_ENTRIES = 20_000  # files, folders and links
MAX_PATH_LENGTH = 300  # characters
MAX_PATH_DEPTH = 30  # parts of a path
MAX_HEADER_SIZE = 64 * 1024  # bytes of an extended header in a .tar
MAX_GLOBAL_HEADER_SIZE = 1024  # bytes of the one about all files, where GitHub writes the commit
MAX_HEADERS_SIZE = 4 * 1024 * 1024  # bytes of all extended headers together

CHUNK = 1024 * 1024  # bytes that are unpacked at a time
COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
END_RECORD, END_RECORD_SIZE, MAX_COMMENT_SIZE = b"PK\x05\x06", 22, 65_535
ZIP64_LOCATOR, ZIP64_LOCATOR_SIZE = b"PK\x06\x07", 20
ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
BLOCK = 512  # bytes, in a .tar
GLOBAL_HEADER = b"g"
EXTENDED_HEADERS = b"xgLKX"  # types of headers that are about the next file, or all
KINDS_WITHOUT_CONTENT = b"123456S"  # links, devices, folders, sparse files
MOVING_KEYS = (b" size=", b" GNU.sparse.")  # of extended headers, with which `tarfile` moves on
READ_ERRORS = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError),
    *(RuntimeError, OverflowError, LookupError),
)
"""What the standard library raises for damaged archives.

A RuntimeError is raised for passwords, unknown methods of compression, and deep nesting.
"""


REASONS: Mapping[str, str] = {
    "unreadable": N_("The archive is damaged."),
    "unknown_format": N_("This is not a readable .zip or .tar.gz file."),
    "no_skills": N_("There is no skill in the archive."),
    "too_large": N_("The archive is too large."),
    "too_large_unpacked": N_("The archive is too large when unpacked."),
    "too_many_entries": N_("The archive has too many files."),
    "header_too_large": N_("The archive is damaged."),
    "path": N_("A path in the archive is not allowed: %(path)s"),
    "duplicate": N_("A path appears twice in the archive: %(path)s"),
    "device": N_("There is a device in the archive: %(path)s"),
    "encrypted": N_("The archive is encrypted."),
}
"""Why an archive cannot be used, by the stable code of the cause."""


class InvalidArchive(Exception):
    """An archive cannot be used; `cause` is a key of REASONS."""

    def __init__(self, cause: str, path: str = "") -> None:
        super().__init__(cause)
        self.cause = cause
        self.path = path[:MAX_PATH_LENGTH]


@dataclass
class Archive:
    """The files of an archive by their path, with their sizes, and the paths of its links.

    A folder that contains everything, as in the archives of GitHub, is not part of the paths.
    """

    sizes: Mapping[str, int]
    links: Collection[str] = ()
    commit: str | None = None  # that the archive is of, if it says so
    _members: Mapping[str, zipfile.ZipInfo | tarfile.TarInfo] = field(default_factory=dict)
    _opened: zipfile.ZipFile | tarfile.TarFile | None = None

    def read(self, path: str) -> bytes:
        """Return the content of a file. Raises InvalidArchive."""
        member, opened, size = self._members[path], self._opened, self.sizes[path]
        try:
            if isinstance(opened, zipfile.ZipFile) and isinstance(member, zipfile.ZipInfo):
                with opened.open(member) as file:
                    content = file.read(size + 1)
            else:
                assert isinstance(opened, tarfile.TarFile)
                assert isinstance(member, tarfile.TarInfo)
                found = opened.extractfile(member)
                content = found.read(size + 1) if found else b""
        except READ_ERRORS:
            raise InvalidArchive("unreadable", path) from None
        if len(content) != size:
            raise InvalidArchive("unreadable", path)
        return content


@dataclass(frozen=True)
class _Entry:
    path: str
    size: int
    is_file: bool
    is_link: bool
    member: zipfile.ZipInfo | tarfile.TarInfo


def open_archive(data: bytes) -> Archive:
    """Open an archive; its format is recognized by its content. Raises InvalidArchive."""
    if len(data) > MAX_ARCHIVE_SIZE:
        raise InvalidArchive("too_large")
    try:
        if data.startswith(b"PK"):
            _check_zip_directory(data)
            opened = zipfile.ZipFile(io.BytesIO(data))  # in memory only: nothing has to be closed
            comment = opened.comment.decode("ascii", "replace")
            return _collect(opened, map(_read_zip_entry, opened.infolist()), comment)
        if data.startswith(b"\x1f\x8b"):
            unpacked = _unpack(data)
            check_tar_headers(unpacked)
            tar = tarfile.TarFile(fileobj=io.BytesIO(unpacked), encoding="utf-8")
            return _collect(tar, map(_read_tar_entry, tar), tar.pax_headers.get("comment", ""))
    except READ_ERRORS:
        raise InvalidArchive("unreadable") from None
    raise InvalidArchive("unknown_format")


def _check_zip_directory(data: bytes) -> None:
    """Raise InvalidArchive if the list of files is too large to be loaded."""
    tail = data[-(END_RECORD_SIZE + MAX_COMMENT_SIZE) :]
    at = tail.rfind(END_RECORD)
    if tail[-END_RECORD_SIZE:].startswith(END_RECORD) and tail.endswith(b"\0\0"):
        at = len(tail) - END_RECORD_SIZE
    record = tail[at : at + END_RECORD_SIZE]
    if at < 0 or len(record) < END_RECORD_SIZE:
        raise InvalidArchive("unreadable")
    if tail[max(at - ZIP64_LOCATOR_SIZE, 0) : at].startswith(ZIP64_LOCATOR):
        raise InvalidArchive("unknown_format")
    if int.from_bytes(record[12:16], "little") > MAX_DIRECTORY_SIZE:
        raise InvalidArchive("too_many_entries")


def _read_zip_entry(member: zipfile.ZipInfo) -> _Entry:
    mode = member.external_attr >> 16
    kind = stat.S_IFMT(mode)
    if member.flag_bits & 0x1:
        raise InvalidArchive("encrypted", member.filename)
    if member.compress_type not in ZIP_METHODS:
        raise InvalidArchive("unknown_format", member.filename)
    is_link = kind == stat.S_IFLNK
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK):
        raise InvalidArchive("device", member.filename)
    # `filename` ends at a NUL character, which the original name may contain.
    path = member.orig_filename
    is_file = not (member.is_dir() or is_link)
    return _Entry(path, member.file_size, is_file, is_link, member)


def _unpack(data: bytes) -> bytes:
    """Decompress gzip data up to the limit; further members after the first are not read."""
    decompressor = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    unpacked, rest = bytearray(), data
    while rest and not decompressor.eof:
        unpacked += decompressor.decompress(rest, CHUNK)
        rest = decompressor.unconsumed_tail
        if len(unpacked) > MAX_UNPACKED_SIZE:
            raise InvalidArchive("too_large_unpacked")
    if not decompressor.eof:
        raise InvalidArchive("unreadable")
    return bytes(unpacked)


def check_tar_headers(unpacked: bytes) -> None:
    """Raise InvalidArchive for headers that need much memory, and for too many entries.

    `tarfile` must find each header where this function does: what moves its position otherwise, a
    size in an extended header or the content of a folder or link, is refused.
    """
    at, count, extended, total = 0, 0, 0, 0
    while at + BLOCK <= len(unpacked) and any(header := unpacked[at : at + BLOCK]):
        kind, name = header[156:157], header[:100].partition(b"\0")[0]
        size = tarfile.nti(header[124:136])  # ty: ignore[missing-attribute]
        records = b""
        if kind in EXTENDED_HEADERS:
            extended, total = extended + 1, total + size
            # Every member of `tarfile` gets a copy of all records of the global headers, so only a
            # small one at the beginning is allowed.
            is_global = kind == GLOBAL_HEADER
            is_large = size > (MAX_GLOBAL_HEADER_SIZE if is_global else MAX_HEADER_SIZE)
            has_many = extended > len(EXTENDED_HEADERS) or total > MAX_HEADERS_SIZE
            if is_large or has_many or (is_global and at):
                raise InvalidArchive("header_too_large")
            records = unpacked[at + BLOCK : at + BLOCK + size]
        else:
            extended = 0
        is_folder = kind == b"\0" and name.endswith(b"/")
        has_no_content = kind in KINDS_WITHOUT_CONTENT or is_folder
        if size < 0 or (size and has_no_content) or any(key in records for key in MOVING_KEYS):
            raise InvalidArchive("unreadable")
        count += 1
        if count > 2 * MAX_ENTRIES:
            raise InvalidArchive("too_many_entries")
        at += BLOCK + -(-size // BLOCK) * BLOCK


def _read_tar_entry(member: tarfile.TarInfo) -> _Entry:
    is_link = member.issym() or member.islnk()
    if not (is_link or member.isdir() or member.isreg()) or member.issparse():
        raise InvalidArchive("device", member.name)
    # `tarfile` keeps all members, each with a copy of the records in the global header.
    member.pax_headers = {}
    return _Entry(member.name, member.size, member.isreg(), is_link, member)


def _collect(
    opened: zipfile.ZipFile | tarfile.TarFile, entries: Iterator[_Entry], comment: str
) -> Archive:
    """Check all entries, and return the archive without the folder that contains everything."""
    checked = _check_entries(entries)
    files = {path: entry for path, entry in checked.items() if entry.is_file}
    tops = {path.partition("/")[0] if "/" in path else "" for path in checked}
    top = f"{tops.pop()}/" if len(tops) == 1 and "" not in tops else ""
    return Archive(
        {path.removeprefix(top): entry.size for path, entry in files.items()},
        [path.removeprefix(top) for path, entry in checked.items() if entry.is_link],
        comment if COMMIT.fullmatch(comment) else None,
        {path.removeprefix(top): entry.member for path, entry in files.items()},
        opened,
    )


def _check_entries(entries: Iterator[_Entry]) -> dict[str, _Entry]:
    """Return the files and links by their path. Raises InvalidArchive."""
    checked: dict[str, _Entry] = {}
    seen: set[str] = set()
    total = 0
    for count, entry in enumerate(entries, 1):
        total += entry.size
        if count > MAX_ENTRIES:
            raise InvalidArchive("too_many_entries")
        if total > MAX_UNPACKED_SIZE:
            raise InvalidArchive("too_large_unpacked")
        path = check_path(entry.path.removesuffix("/"))
        if not path or not (entry.is_file or entry.is_link):
            continue
        key = unicodedata.normalize("NFC", path).casefold()
        if key in seen:
            raise InvalidArchive("duplicate", path)
        seen.add(key)
        checked[path] = entry
    if not seen.isdisjoint(list_folders(seen)):
        raise InvalidArchive("duplicate")
    return checked


def check_path(path: str) -> str:
    """Return a path without "./" at its beginning. Raises InvalidArchive if it is not relative."""
    while path.startswith("./"):
        path = path[2:]
    if path in ("", "."):
        return ""
    if len(path) > MAX_PATH_LENGTH or not is_storable(path) or not path.isprintable():
        shown = path[:MAX_PATH_LENGTH].encode("ascii", "replace").decode().replace("\0", "?")
        raise InvalidArchive("path", shown)
    is_drive = len(path) > 1 and path[1] == ":"
    segments = path.split("/")
    is_deep = len(segments) > MAX_PATH_DEPTH
    if is_deep or is_drive or "\\" in path or any(part in ("", ".", "..") for part in segments):
        raise InvalidArchive("path", path)
    if remove_invisible(path) != path or any(part != part.strip() for part in segments):
        raise InvalidArchive("path", path)
    return path


def list_folders(paths: Iterable[str]) -> set[str]:
    """Return all folders that contain something, also those that contain only folders."""
    folders: set[str] = set()
    for path in paths:
        folder = path.rpartition("/")[0]
        while folder and folder not in folders:
            folders.add(folder)
            folder = folder.rpartition("/")[0]
    return folders
