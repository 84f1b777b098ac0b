"""The canonical form of an action and its hash, without a database."""

import hashlib
import json
from typing import Any
from uuid import UUID

import pytest

from core.canonical_json import format_canonical_json, hash_json
from services import approval_actions
from services.approval_actions import COMPLETION_KINDS, ActionObject, is_completion_kind
from tests.support.cpu_time import limit_cpu

ONE, TWO = UUID(int=1), UUID(int=2)
CONTENT = approval_actions.build_task_content("Write", "All of it", {"effort": 3, "link": None})
HASH = approval_actions.hash_content(CONTENT)


@pytest.mark.parametrize(
    "kind",
    [
        *COMPLETION_KINDS,
        *("Task.Complete", " task_complete ", "TASK-DONE", "taskDone", "move to done"),
    ],
)
def test_spellings_of_completing_a_task_are_recognized(kind) -> None:
    assert is_completion_kind(kind)


@pytest.mark.parametrize(
    "kind", ["", "deploy", "spelling.choice", "task.completed?", "incomplete", "task", "not_done"]
)
def test_other_kinds_do_not_complete_tasks(kind) -> None:
    assert not is_completion_kind(kind)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": 1, "a": [True, False, None]}, '{"a":[true,false,null],"b":1}'),
        ({"Ü": 'ä\n"\\', "a": "\u2028\x01"}, '{"a":"\u2028\\u0001","Ü":"ä\\n\\"\\\\"}'),
        ([1, 1.0, -0.0, 0, 1.10, 100.0, 1e3], "[1,1,0,0,1.1,100,1000]"),
        (
            [1e22, 1e-7, -2.5, 123456789012345678901],
            "[" + "1" + "0" * 22 + ",0.0000001,-2.5,123456789012345678901]",
        ),
        ([], "[]"),
        ({}, "{}"),
    ],
)
def test_the_canonical_form_of_json(value, text) -> None:
    assert format_canonical_json(value) == text


def test_equal_numbers_of_the_database_have_the_same_form() -> None:
    """PostgreSQL stores 1e+300 as an integer with 301 digits."""
    assert format_canonical_json(1e300) == format_canonical_json(10**300)


def test_the_example_of_the_documentation() -> None:
    """Without fractions, Python's own JSON gives the canonical form (docs/approvals.md)."""

    def sha256(value: Any) -> str:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()

    content = {"title": "Write", "description": "All of it", "fields": {"effort": 3}}
    assert sha256(content) == HASH
    action = {
        "board_id": str(TWO),
        "kind": "task.complete",
        "objects": [{"task_id": str(ONE), "content_hash": HASH}],
        "parameters": {"reason": "Ünique"},
    }
    objects = [ActionObject(ONE, HASH)]
    assert sha256(action) == approval_actions.hash_action(
        TWO, "task.complete", objects, {"reason": "Ünique"}
    )


def test_everything_that_is_allowed_changes_the_hash() -> None:
    one, two = ActionObject(ONE, HASH), ActionObject(TWO, HASH)

    def compute(board=ONE, kind="deploy", objects=(one,), parameters=None) -> str:
        return approval_actions.hash_action(board, kind, objects, parameters)

    hashes = [
        compute(),
        compute(board=TWO),
        compute(kind="Deploy"),
        compute(objects=(two,)),
        compute(objects=(one, two)),
        compute(objects=(ActionObject(ONE, "0" * 64),)),
        compute(parameters={}),
        compute(parameters={"target": "production"}),
    ]
    assert len(set(hashes)) == len(hashes)
    assert compute(objects=(one, two)) == compute(objects=(two, one))


def test_differences_are_named_by_field() -> None:
    other = approval_actions.build_task_content("Write", None, {"effort": 3.0, "link": "x"})
    assert approval_actions.list_changed_fields(CONTENT, other) == ["description", "fields.link"]
    assert approval_actions.list_changed_fields(CONTENT, CONTENT) == []


def test_a_large_hostile_payload_is_hashed_quickly() -> None:
    """The only timing that a test asserts: one second of CPU."""
    numbers = {"n": [1e308] * 43_000}
    nested: Any = []
    for _ in range(200):
        nested = [nested]
    with limit_cpu():
        hash_json(numbers)
        hash_json(nested)
        hash_json({"text": "\x01" * 256 * 1024})
