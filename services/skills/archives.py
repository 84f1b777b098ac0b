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
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from services.skills.archive_rules import (
    MAX_ENTRIES,
    InvalidArchive,
    check_path,
    check_tar_headers,
    list_folders,
)

MAX_ARCHIVE_SIZE = 32 * 1024 * 1024  # bytes
MAX_UNPACKED_SIZE = 128 * 1024 * 1024  # bytes of all files together
MAX_DIRECTORY_SIZE = 8 * 1024 * 1024  # bytes of the list of files in a .zip

CHUNK = 1024 * 1024  # bytes that are unpacked at a time
COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
END_RECORD, END_RECORD_SIZE, MAX_COMMENT_SIZE = b"PK\x05\x06", 22, 65_535
ZIP64_LOCATOR, ZIP64_LOCATOR_SIZE = b"PK\x06\x07", 20
ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
READ_ERRORS = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError),
    *(RuntimeError, OverflowError, LookupError),
)
"""What the standard library raises for damaged archives.

A RuntimeError is raised for passwords, unknown methods of compression, and deep nesting.
"""


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


def open_archive(data: bytes) -> Archive:
    """Open an archive; its format is recognized by its content. Raises InvalidArchive."""
    if len(data) > MAX_ARCHIVE_SIZE:
        raise InvalidArchive("too_large")
    try:
        if data.startswith(b"PK"):
            return _open_zip(data)
        if data.startswith(b"\x1f\x8b"):
            return _open_tar(data)
    except READ_ERRORS:
        raise InvalidArchive("unreadable") from None
    raise InvalidArchive("unknown_format")


@dataclass(frozen=True)
class _Entry:
    path: str
    size: int
    is_file: bool
    is_link: bool
    member: zipfile.ZipInfo | tarfile.TarInfo


def _open_zip(data: bytes) -> Archive:
    _check_zip_directory(data)
    opened = zipfile.ZipFile(io.BytesIO(data))  # in memory only: nothing has to be closed
    comment = opened.comment.decode("ascii", "replace")
    return _collect(opened, (_zip_entry(one) for one in opened.infolist()), comment)


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


def _zip_entry(member: zipfile.ZipInfo) -> _Entry:
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


def _open_tar(data: bytes) -> Archive:
    unpacked = _unpack(data)
    check_tar_headers(unpacked)
    opened = tarfile.TarFile(fileobj=io.BytesIO(unpacked), encoding="utf-8")
    entries = (_tar_entry(one) for one in opened)
    return _collect(opened, entries, opened.pax_headers.get("comment", ""))


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


def _tar_entry(member: tarfile.TarInfo) -> _Entry:
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
    top = _find_top_folder(checked)
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
        _check_limits(count, total)
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


def _check_limits(count: int, total: int) -> None:
    if count > MAX_ENTRIES:
        raise InvalidArchive("too_many_entries")
    if total > MAX_UNPACKED_SIZE:
        raise InvalidArchive("too_large_unpacked")


def _find_top_folder(paths: Collection[str]) -> str:
    """Return the folder that contains everything, with a slash, or ""."""
    tops = {path.partition("/")[0] if "/" in path else "" for path in paths}
    [top] = tops if len(tops) == 1 else [""]
    return f"{top}/" if top else ""
