"""The search of all objects for garbage, and the transactions that it waits for."""

import gc
from collections.abc import Generator

import pytest

from core.config.settings import Settings
from core.db.engine import create_database_engine, has_open_transaction
from core.garbage import IS_INCREMENTAL, MIN_SIZE, FullCollections

pytestmark = pytest.mark.skipif(IS_INCREMENTAL, reason="Python divides the search")


@pytest.fixture(autouse=True)
def _without_earlier_objects() -> Generator[None]:
    thresholds = gc.get_threshold()
    gc.set_threshold(2_000, 10, 10)  # as in Python
    gc.freeze()  # not undone: a search of what all tests have imported takes seconds
    yield
    gc.set_threshold(*thresholds)


def count_searches() -> int:
    return int(gc.get_stats()[2]["collections"])


def make_objects(count: int) -> list[list[int]]:
    return [[number] for number in range(count)]


async def test_a_search_waits_for_the_end_of_a_transaction(isolated_settings: Settings) -> None:
    engine = create_database_engine(isolated_settings)
    collections = FullCollections(has_open_transaction)
    collections.start()
    before = count_searches()
    async with engine.connect():
        kept = make_objects(3 * MIN_SIZE // 2)
        assert collections.collect_if_due()
        assert count_searches() == before
    assert not collections.collect_if_due()
    assert count_searches() == before + 1
    assert not collections.collect_if_due()
    assert count_searches() == before + 1
    await engine.dispose()
    del kept


async def test_a_search_does_not_wait_for_ever(isolated_settings: Settings) -> None:
    engine = create_database_engine(isolated_settings)
    collections = FullCollections(has_open_transaction)
    collections.start()
    before = count_searches()
    async with engine.connect():
        kept = make_objects(3 * MIN_SIZE // 2)
        assert collections.collect_if_due()
        kept += make_objects(2 * MIN_SIZE)
        assert not collections.collect_if_due()
    assert count_searches() == before + 1
    await engine.dispose()
