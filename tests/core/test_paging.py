"""Pages of ordered statements, on read connections and in transactions."""

import pytest
from sqlalchemy import Integer, bindparam, func, select

from core.paging import Page, PagedQuery, Paging
from tests.support.app_on_transactions import ReadsOn
from tests.support.statement_counter import count_statements

LAST = bindparam("last", type_=Integer)
SERIES = func.generate_series(1, LAST).table_valued("number").render_derived()
NUMBERS: PagedQuery[int] = PagedQuery(
    select(SERIES.c.number).order_by(SERIES.c.number.desc()), lambda row: row[0]
)

PAGES = [
    (Paging(), 5, [5, 4, 3, 2, 1]),
    (Paging(limit=2, offset=2), 5, [3, 2]),
    (Paging(limit=2, offset=5), 5, []),
    (Paging(), 0, []),
]


@pytest.mark.parametrize(("paging", "last", "items"), PAGES)
async def test_a_page_has_its_rows_in_order_and_the_number_of_all(
    transaction, paging, last, items
) -> None:
    expected = Page(items, last, paging.limit, paging.offset)
    async with ReadsOn(transaction).acquire() as reader:
        assert await NUMBERS.fetch_page(reader, paging, last=last) == expected
    async with transaction() as session:
        assert await NUMBERS.fetch_page(session, paging, last=last) == expected


@pytest.mark.parametrize(
    ("paging", "last", "statements"),
    [(Paging(), 5, 1), (Paging(offset=4), 5, 1), (Paging(offset=5), 5, 2), (Paging(), 0, 1)],
)
async def test_rows_are_counted_separately_only_after_the_last(
    session, paging, last, statements
) -> None:
    with count_statements(await session.connection()) as counted:
        await NUMBERS.fetch_page(session, paging, last=last)
    assert len(counted) == statements
