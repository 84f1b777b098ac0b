"""Every point of the contract and every known defect of the original is named by a test."""

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs/decisions/compatibility.md"
DEFECTS = set(re.findall(r"^\| ([SCRPW]-?\d+) \|", PAGE.read_text(), re.MULTILINE))
POINTS = {f"Point {number}." for number in range(1, 44)}  # for users and boards
AGENTS_POINTS = {f"A27.{number}" for number in range(1, 16)}  # for agents and gateways
WITHOUT_TEST = {"C38"}  # what is not there


def test_every_point_and_every_defect_is_named_by_a_test() -> None:
    docstrings = "\n".join(
        ast.get_docstring(node) or ""
        for file in TESTS.glob("**/test_*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    named = set(re.findall(r"\bPoint \d+\.|\bA27\.\d+\b|\b[SCRPW]-?\d+\b(?!\.\d)", docstrings))
    assert len(DEFECTS) == 150
    assert (POINTS | AGENTS_POINTS | DEFECTS) - named == WITHOUT_TEST
