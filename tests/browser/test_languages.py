"""Texts of scripts are in the language of the page."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial

import pytest
from playwright.async_api import Page

from core.clock import now
from tests.support.installation import Installation
from tests.support.tiers import repetition
from web.ui import time_format
from web.ui.translation import LANGUAGES, PSEUDO, reader_language

HALF = timedelta(seconds=30)  # so that no text changes while the test runs
PERIODS = [timedelta(), *(timedelta(minutes=count) for count in (1, 59)), timedelta(hours=2)]
PERIODS += [timedelta(days=1), timedelta(days=6), timedelta(days=6, hours=14)]

UPDATE = """(times) => times.map(([attributes, moment]) => {
  const time = document.createElement("time");
  time.dateTime = moment;
  Object.assign(time.dataset, attributes);
  document.body.append(time);
  document.dispatchEvent(new Event("visibilitychange"));
  return time.textContent;
})"""
"""Adds elements of relative times, and returns what static/relative_time.js writes into them."""

Case = tuple[dict[str, str], Callable[[datetime], str], datetime]


def build_cases() -> Iterator[Case]:
    moment = now()
    for period in PERIODS:
        yield {"age": "ago"}, partial(time_format.format_age, ago=True), moment - period - HALF
        yield {"age": ""}, time_format.format_age, moment - period - HALF
        yield {"left": ""}, time_format.format_time_left, moment + period + HALF


@pytest.mark.parametrize(
    "language", [*(pytest.param(one, marks=repetition) for one in LANGUAGES), PSEUDO]
)
async def test_scripts_and_server_have_the_same_texts_of_times(
    tab: Page, installation: Installation, language: str
) -> None:
    await tab.goto(f"{installation.url}/sign-in?lang={language}")
    cases = list(build_cases())
    shown = await tab.evaluate(
        UPDATE, [[attributes, moment.isoformat()] for attributes, _, moment in cases]
    )
    token = reader_language.set(language)
    try:
        assert shown == [describe(moment) for _, describe, moment in cases]
    finally:
        reader_language.reset(token)


async def test_the_values_of_a_text_are_put_in_by_the_script(
    tab: Page, installation: Installation
) -> None:
    await tab.goto(f"{installation.url}/sign-in?lang={PSEUDO}")
    shown = await tab.evaluate('getText("connected", { time: "15:13" })')
    assert " 15:13.~" in shown
