"""Limits of archives: headers that `tarfile` would read elsewhere, and downloads at a time."""

import asyncio
import gzip
import io
import re
import tarfile
from contextlib import ExitStack
from uuid import uuid4

import pytest

from core.errors import TooMany, UpstreamError
from core.http.outbound import OutboundRequest, OutboundResult
from services.skills import downloads
from services.skills.archives import BLOCK, InvalidArchive, open_archive
from services.skills.downloads import MAX_DOWNLOADS, download_archive, take_download_slot
from services.skills.sources import (
    MAX_FOLDER_LENGTH,
    build_folder_name,
    build_upload_url,
    is_upload,
)
from tests.support.skill_archives import ArchiveHost
from tests.support.tiers import repetition

MANY_RECORDS = b"5 x=\n" * 1_000_000  # each would become an object in memory


def make_header(name: str, kind: bytes, size: int) -> bytes:
    """Make a header that states a size, with a valid checksum."""
    member = tarfile.TarInfo(name)
    member.type, member.size = kind, size
    return member.tobuf(tarfile.USTAR_FORMAT)


def pad(content: bytes) -> bytes:
    return content + b"\0" * (-len(content) % BLOCK)


def pack(*blocks: bytes) -> bytes:
    return gzip.compress(b"".join(blocks) + b"\0" * 2 * BLOCK, 1)


def make_records() -> bytes:
    """Make an extended header that is larger than allowed."""
    return make_header("x", b"x", len(MANY_RECORDS)) + pad(MANY_RECORDS)


def check_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidArchive) as caught:
        open_archive(data)
    assert caught.value.cause in ("unreadable", "header_too_large")


def test_an_empty_name_does_not_end_the_check() -> None:
    check_is_refused(pack(make_header("", b"0", 0), make_records()))


@pytest.mark.parametrize(
    "kind",
    [
        b"1",
        b"2",
        b"5",
        b"S",
        *(pytest.param(kind, marks=repetition) for kind in (b"3", b"4", b"6")),
    ],
)
def test_what_has_no_content_states_no_size(kind: bytes) -> None:
    hidden = make_records()
    check_is_refused(pack(make_header("link", kind, len(hidden)), hidden))


def test_an_old_folder_states_no_size() -> None:
    hidden = make_records()
    check_is_refused(pack(make_header("folder/", b"\0", len(hidden)), hidden))


@pytest.mark.parametrize("record", [b"10 size=0\n", b"22 GNU.sparse.major=1\n"])
def test_an_extended_header_does_not_move_the_next_one(record: bytes) -> None:
    hidden = make_records()
    headers = make_header("x", b"x", len(record)) + pad(record)
    check_is_refused(pack(headers, make_header("a", b"0", len(hidden)), hidden))


def test_ordinary_headers_are_accepted() -> None:
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w:gz", format=tarfile.PAX_FORMAT) as made:
        for name, kind in (("top", tarfile.DIRTYPE), ("top/link", tarfile.SYMTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "a"
            made.addfile(member)
        file = tarfile.TarInfo("top/" + "long " * 50 + "é.md")
        file.size = 3
        made.addfile(file, io.BytesIO(b"abc"))
    archive = open_archive(output.getvalue())
    assert list(archive.sizes.values()) == [3]
    assert list(archive.links) == ["link"]


def test_one_download_for_each_organization_and_a_few_for_all() -> None:
    first, second = uuid4(), uuid4()
    with take_download_slot(first):
        with pytest.raises(TooMany), take_download_slot(first):
            pass
        with take_download_slot(second):
            pass
    with ExitStack() as stack:
        for _ in range(MAX_DOWNLOADS):
            stack.enter_context(take_download_slot(uuid4()))
        with pytest.raises(TooMany):
            stack.enter_context(take_download_slot(first))
    with take_download_slot(first):
        pass


class SlowHost(ArchiveHost):
    """A host that never answers."""

    async def send(
        self, request: OutboundRequest, *, allows_private: bool = False
    ) -> OutboundResult:
        await asyncio.Event().wait()
        raise AssertionError


async def test_all_requests_of_a_download_share_one_time_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(downloads, "DOWNLOAD_TIMEOUT", 0.01)
    with pytest.raises(UpstreamError) as caught:
        await download_archive(SlowHost(), "https://packs.example/a.zip", allows_private=False)
    assert caught.value.details["cause"] == "timeout"


def test_other_names_have_other_folders_and_addresses() -> None:
    names = ["\u9500\u552e", "\u5ba2\u670d", "", "!", "?", "Caf\u00e9", "caf", "C++", "C#", "c"]
    names += ["x" * 100, "x" * 101, "x" * MAX_FOLDER_LENGTH]
    folders = [build_folder_name(name) for name in names]
    addresses = [build_upload_url(name) for name in names]
    assert len(set(folders)) == len(set(addresses)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9-]{1,64}", folder) for folder in folders)
    assert all(is_upload(address) for address in addresses)


@pytest.mark.parametrize(
    "name", ["Report writer", "report-writer", " REPORT_writer ", "report - writer"]
)
def test_case_and_separators_make_no_other_name(name: str) -> None:
    assert build_folder_name(name) == "report-writer"
    assert build_upload_url(name) == "upload:report-writer"
    composed, decomposed = "Caf\u00e9 " + name, "Cafe\u0301 " + name
    assert build_upload_url(composed) == build_upload_url(decomposed.upper())
