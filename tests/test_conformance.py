"""Every point of the contract's checklists and every defect of the original has a test.

The tests that the comparison of the interface names exist.
"""

import ast
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs/decisions/compatibility.md"
INTERFACE_PAGE = TESTS.parent / "docs/decisions/interface.md"

POINTS = set(range(1, 44))  # of the checklist for users and boards: `Point 31.`
AGENTS_POINTS = set(range(1, 16))  # of the checklist for agents and gateways: `A27.7`

DEFECTS = [
    *[f"S{n}" for n in range(1, 26)],
    *[f"C{n}" for n in range(1, 44)],
    *[f"R{n}" for n in range(1, 11)],
    *[f"P{n}" for n in range(1, 14)],
    *[f"W-{n:02}" for n in range(1, 60)],
]
ROW = re.compile(r"^\| (\w+-?\d+) \| (.*) \|$", re.MULTILINE)
NAMED = re.compile(r"`tests/([^`]+\.py)::([\w:]+)`")
ROWS = ROW.findall(PAGE.read_text())
NAMED_NODES = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@cache
def parse_file(file: Path) -> ast.Module:
    return ast.parse(file.read_text())


def iterate_docstrings() -> Iterator[str]:
    """Yield the docstring of every test."""
    for file in TESTS.glob("**/test_*.py"):
        for node in ast.walk(parse_file(file)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield ast.get_docstring(node) or ""


def get_docstring(file: str, names: Sequence[str]) -> str:
    """Return the docstring of a test; raise KeyError if there is no such test."""
    node: ast.AST = parse_file(TESTS / file)
    for name in names:
        children = [child for child in ast.iter_child_nodes(node) if isinstance(child, NAMED_NODES)]
        node = {child.name: child for child in children}[name]
    assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    return ast.get_docstring(node) or ""


def test_every_checklist_point_has_a_test() -> None:
    all_docstrings = "\n".join(iterate_docstrings())
    assert set(map(int, re.findall(r"\bPoint (\d+)\.", all_docstrings))) == POINTS
    assert set(map(int, re.findall(r"\bA27\.(\d+)\b", all_docstrings))) == AGENTS_POINTS


def test_every_defect_of_the_original_has_a_row() -> None:
    assert Counter(id for id, _ in ROWS) == Counter(DEFECTS)


@pytest.mark.parametrize(("id", "row"), ROWS, ids=[id for id, _ in ROWS])
def test_a_defect_has_tests_that_name_it_or_does_not_apply(id: str, row: str) -> None:
    tests = NAMED.findall(row)
    assert row.count("tests/") == len(tests)
    assert bool(tests) != ("| does not apply: " in row)
    for file, names in tests:
        assert re.search(rf"\b{id}\b(?!\.\d)", get_docstring(file, names.split("::"))), names


def test_every_test_that_the_interface_page_names_exists() -> None:
    tests = NAMED.findall(INTERFACE_PAGE.read_text())
    assert tests
    for file, names in tests:
        get_docstring(file, names.split("::"))
