"""The two tiers of the tests.

`./run test` states every rule. `./run test --all`, which `.ci/run` uses, adds what repeats a rule:
the other sizes and themes of a page, more rounds of a race, further processes that are killed.
"""

import os
import zlib
from collections.abc import Sequence
from typing import TypeVar

import pytest

T = TypeVar("T")

IS_SCALE_RUN = os.environ.get("MC_TEST_SCALE") == "1"
IS_COMPLETE_RUN = os.environ.get("MC_TEST_ALL") == "1"

repetition = pytest.mark.skipif(
    not IS_COMPLETE_RUN, reason="repeats a rule that another test states: ./run test --all"
)
"""Marks a test, or one of its cases, that runs with `--all` only."""

scale = pytest.mark.skipif(not IS_SCALE_RUN, reason="runs with --scale")
"""Marks a test that needs more than a minute."""


def select_options(case: str, options: Sequence[T]) -> Sequence[T]:
    """Return all options with `--all`, otherwise one: for the same case always the same."""
    return options if IS_COMPLETE_RUN else [options[zlib.crc32(case.encode()) % len(options)]]
