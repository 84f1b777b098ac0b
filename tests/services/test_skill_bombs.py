"""Small archives that would need much memory or time: headers, deep paths, and many lines."""

import gzip
import tarfile
from collections.abc import Callable

import pytest

from services.skills.archives import (
    BLOCK,
    MAX_GLOBAL_HEADER_SIZE,
    MAX_HEADER_SIZE,
    MAX_HEADERS_SIZE,
    MAX_PATH_DEPTH,
    InvalidArchive,
    list_folders,
    open_archive,
)
from services.skills.discovery import read_pack
from services.skills.files import MAX_SKILL_LINES, count_line_breaks
from tests.support.skill_archives import FILES, REPOSITORY, make_tar, make_zip
from web.ui.text_comparison import split_lines


def make_member(name: str, kind: bytes = tarfile.REGTYPE, content: bytes = b"") -> bytes:
    """Make a header with its content, without the extended headers that `tarfile` would add."""
    member = tarfile.TarInfo(name)
    member.type, member.size = kind, len(content)
    return member.tobuf(tarfile.USTAR_FORMAT) + content + b"\0" * (-len(content) % BLOCK)


def make_records(size: int, first: str) -> bytes:
    """Make records with distinct keys, as many as there is space for."""
    records = b""
    for number in range(size // 10 - 1):
        records += f"10 {first}{number:04x}=\n".encode()
    return records


def pack(*members: bytes) -> bytes:
    return gzip.compress(b"".join(members) + b"\0" * 2 * BLOCK, 1)


def get_cause(data: bytes) -> str:
    with pytest.raises(InvalidArchive) as caught:
        read_pack(data, REPOSITORY, "main")
    return caught.value.cause


def test_a_large_global_header_is_refused() -> None:
    """`tarfile` copies its records into every member."""
    large = make_member("pax", b"g", make_records(2 * MAX_GLOBAL_HEADER_SIZE, "a"))
    assert get_cause(pack(large, make_member("SKILL.md"))) == "header_too_large"


def test_a_global_header_is_only_allowed_at_the_beginning() -> None:
    small = make_member("pax", b"g", make_records(100, "a"))
    assert get_cause(pack(make_member("SKILL.md"), small)) == "header_too_large"
    assert get_cause(pack(small, small, make_member("SKILL.md"))) == "header_too_large"


def test_all_extended_headers_together_are_limited() -> None:
    records = make_records(MAX_HEADER_SIZE, "a")
    one = make_member("pax", b"x", records) + make_member("SKILL.md")
    assert len(open_archive(pack(one)).sizes) == 1
    names = [f"{number}.md" for number in range(MAX_HEADERS_SIZE // len(records) + 1)]
    many = [make_member("pax", b"x", records) + make_member(name) for name in names]
    assert get_cause(pack(*many)) == "header_too_large"


def test_the_records_of_headers_are_not_kept() -> None:
    records = make_records(MAX_GLOBAL_HEADER_SIZE, "a")
    opened = open_archive(pack(make_member("pax", b"g", records), make_member("SKILL.md")))
    [member] = opened._members.values()
    assert isinstance(member, tarfile.TarInfo)
    assert member.pax_headers == {}


@pytest.mark.parametrize("make", [make_tar, make_zip])
def test_a_path_that_is_too_deep_makes_an_archive_invalid(
    make: Callable[..., bytes],
) -> None:
    deepest = "/".join(["a"] * (MAX_PATH_DEPTH - 2))
    made = make({**FILES, f"{deepest}/SKILL.md": "# Deep\n"})
    assert len(read_pack(made, REPOSITORY, "main").skills) == 3
    assert get_cause(make({**FILES, f"{deepest}/a/b/SKILL.md": "# Deeper\n"})) == "path"


def test_each_folder_is_visited_once() -> None:
    visited: list[str] = []

    class Path(str):
        def rpartition(self, separator: str) -> tuple[str, str, str]:
            visited.append(self)
            head, middle, tail = super().rpartition(separator)
            return Path(head), middle, tail

    folder = "/".join(["a"] * MAX_PATH_DEPTH)
    found = list_folders(Path(f"{folder}/{number}.md") for number in range(100))
    assert len(found) == MAX_PATH_DEPTH
    assert len(visited) == 100 + MAX_PATH_DEPTH


@pytest.mark.parametrize("line_break", ["\n", "\r", "\r\n", "\n\r"])
def test_a_skill_with_too_many_lines_is_left_out(line_break: str) -> None:
    """Its review would block the server."""
    lines = line_break * (MAX_SKILL_LINES + 1)
    found = read_pack(make_zip({**FILES, "many/SKILL.md": lines}), REPOSITORY, "main")
    assert [one.path for one in found.skills] == ["planner", "writer"]
    assert found.warnings == [["too_large", "many"]]


@pytest.mark.parametrize("text", ["", "a", "\r", "\n", "a\r\nb", "\n\r\r\n", "\r\r\n\n", "é\rü"])
def test_lines_are_counted_as_pages_split_them(text: str) -> None:
    assert count_line_breaks(text.encode()) == max(len(split_lines(text)) - 1, 0)
