"""Nothing of the API's contract is forgotten: neither of its checklists, nor of its defects."""

import ast
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs/decisions/compatibility.md"

POINTS = set(range(1, 44))  # of the checklist for people and boards: `Point 31.`
AGENTS_POINTS = set(range(1, 16))  # of the one for agents and gateways: `A27.7`

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
WITH_A_NAME = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def docstrings() -> Iterator[str]:
    """Yield what every test says of itself."""
    for file in TESTS.glob("**/test_*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield ast.get_docstring(node) or ""


def said_by(file: str, names: Sequence[str]) -> str:
    """Return what a test says of itself. Raises where there is none of that name."""
    node: ast.AST = ast.parse((TESTS / file).read_text())
    for name in names:
        inside = [one for one in ast.iter_child_nodes(node) if isinstance(one, WITH_A_NAME)]
        node = {one.name: one for one in inside}[name]
    assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    return ast.get_docstring(node) or ""


def test_every_point_of_the_checklists_is_pinned_by_a_test() -> None:
    said = "\n".join(docstrings())
    assert set(map(int, re.findall(r"\bPoint (\d+)\.", said))) == POINTS
    assert set(map(int, re.findall(r"\bA27\.(\d+)\b", said))) == AGENTS_POINTS


def test_every_defect_of_the_original_has_its_row() -> None:
    assert Counter(id for id, _ in ROWS) == Counter(DEFECTS)


@pytest.mark.parametrize(("id", "told"), ROWS, ids=[id for id, _ in ROWS])
def test_a_defect_is_pinned_by_tests_that_name_it_or_does_not_apply(id: str, told: str) -> None:
    tests = NAMED.findall(told)
    assert told.count("tests/") == len(tests)
    assert bool(tests) != ("| does not apply: " in told)
    for file, names in tests:
        assert re.search(rf"\b{id}\b(?!\.\d)", said_by(file, names.split("::"))), names
