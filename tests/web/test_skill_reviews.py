"""What an admin sees of the files of a skill before an installation."""

from collections.abc import Mapping

import pytest

from models import SkillVersion
from services.skills.files import encode_file
from web.skills import presenter
from web.skills.presenter import list_file_changes
from web.souls import comparison
from web.souls.comparison import list_changes


def make_files(files: Mapping[str, bytes]) -> SkillVersion:
    return SkillVersion(files=[encode_file(path, content) for path, content in files.items()])


def test_the_lines_of_a_comparison_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others wait while the server renders a page."""
    monkeypatch.setattr(comparison, "MAX_SHOWN_LINES", 3_000)
    lines = list_changes("a\r" * 2_000, "b\r" * 2_000)
    assert len(lines) == 3_001
    assert lines[-1].text == "Further lines are not shown."


def test_the_lines_of_all_files_together_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presenter, "MAX_SHOWN_LINES", 5)
    changes = list_file_changes(None, make_files({"a.md": b"1\n2", "b.md": b"1\r2\r3\r4"}))
    assert [[line.text for line in change.lines] for change in changes] == [
        ["1", "2"],
        ["1", "2", "3", "Further lines are not shown."],
    ]
