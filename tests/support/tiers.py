"""The tiers of the tests.

`./run test` states every rule. `./run test --all`, which `.ci/run` uses, adds what repeats a rule:
the other sizes, themes and addresses of a page, all values of a kind of field, more rounds of a
race, further processes that are killed.
`./run test --scale` runs what needs more than a minute, and nothing else.
"""

import os
import zlib
from collections.abc import Container, Iterable, Sequence
from typing import TypeVar

import pytest

T = TypeVar("T")

IS_COMPLETE_RUN = os.environ.get("MC_TEST_ALL") == "1"

repetition = pytest.mark.skipif(
    not IS_COMPLETE_RUN, reason="repeats a rule that another test states: ./run test --all"
)
"""Marks a test, or one of its cases, that runs with `--all` only."""


def mark_repetitions(values: Iterable[T], representative: Container[T]) -> list[object]:
    """Return the parameters of a test, marked with `repetition` unless representative."""
    return [pytest.param(one, marks=() if one in representative else repetition) for one in values]


IS_SCALE_RUN = os.environ.get("MC_TEST_SCALE") == "1"

scale = pytest.mark.scale
"""Marks a test that needs more than a minute, and runs with `--scale` only."""

_skip_scale = pytest.mark.skip(reason="needs more than a minute: ./run test --scale")


def skip_scale_tests(items: Iterable[pytest.Item]) -> None:
    """Skip the tests that are marked with `scale`, unless this is a run of them."""
    for item in items:
        if not IS_SCALE_RUN and item.get_closest_marker("scale"):
            item.add_marker(_skip_scale)


def select_options(case: str, options: Sequence[T]) -> Sequence[T]:
    """Return all options with `--all`, otherwise one: for the same case always the same."""
    return options if IS_COMPLETE_RUN else [options[zlib.crc32(case.encode()) % len(options)]]
