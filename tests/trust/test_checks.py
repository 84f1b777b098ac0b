"""The table of checks in docs/trust.md names existing tests and files."""

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
TEXT = (ROOT / "docs/trust.md").read_text()
ROW = re.compile(r"^\| (\d+) \| ([^|]+) \| (\w+) \| ([^|]*) \|$", re.M)
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
PATH = re.compile(r"`((?:web|api|core|services|openclaw|static|models)/[\w/.]+)`")


@cache
def list_tests(file: str) -> set[str]:
    """Return the names of the tests in a file."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = ast.walk(ast.parse((ROOT / file).read_text()))
    return {node.name for node in nodes if isinstance(node, functions)}


def test_the_table_has_all_forty_checks_in_order() -> None:
    assert [int(number) for number, *_ in ROW.findall(TEXT)] == list(range(1, 41))
    assert len({statement for _, statement, *_ in ROW.findall(TEXT)}) == 40


def test_a_met_check_has_a_test_and_an_open_one_a_reason() -> None:
    for number, _, status, shown_by in ROW.findall(TEXT):
        tests = TEST.findall(shown_by)
        reason = TEST.sub("", shown_by).strip()
        if status == "met":
            assert tests, number
            assert not reason, number
        else:
            assert status == "open", number
            assert reason.endswith("."), number


def test_every_named_test_exists() -> None:
    named = TEST.findall(TEXT)
    assert len(named) > 80
    assert [(file, name) for file, name in named if name not in list_tests(file)] == []


def test_every_named_file_exists() -> None:
    assert [path for path in PATH.findall(TEXT) if not (ROOT / path).exists()] == []
