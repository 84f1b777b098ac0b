"""Nothing of the API's contract is forgotten: a test pins each point of its two checklists."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parent

POINTS = set(range(1, 44))  # of the checklist for people and boards: `Point 31.`
AGENTS_POINTS = set(range(1, 16))  # of the one for agents and gateways: `A27.7`


def docstrings() -> Iterator[str]:
    """Yield what every test says of itself."""
    for file in TESTS.glob("**/test_*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield ast.get_docstring(node) or ""


def test_every_point_of_the_checklists_is_pinned_by_a_test() -> None:
    said = "\n".join(docstrings())
    assert set(map(int, re.findall(r"\bPoint (\d+)\.", said))) == POINTS
    assert set(map(int, re.findall(r"\bA27\.(\d+)\b", said))) == AGENTS_POINTS
