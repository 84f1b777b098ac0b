"""Pages of ordered statements, on read connections and in transactions."""

from decimal import Decimal

import pytest
from sqlalchemy import Integer, Numeric, bindparam, cast, func, select

from core.errors import Invalid
from core.paging import Cursors, Page, PagedQuery, Paging
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


DECIMAL = cast(SERIES.c.number, Numeric)


@pytest.mark.parametrize("number", ["0E-16383", "1E-16383", "1E+16383", "9" * 2_900, "-0.5"])
async def test_a_cursor_has_any_number_that_can_be_stored(session, number) -> None:
    cursors = Cursors([DECIMAL])
    given = cursors.parse(cursors.build([Decimal(number)]))
    query = select(func.count()).where(cursors.follows)
    assert await session.scalar(query, {"last": 5, **given}) == (5 if Decimal(number) < 1 else 0)


@pytest.mark.parametrize(
    "number", ["1E-16384", "1E-200000", "1E+16384", "1E+999999999", "0E-200000", "NaN", "Infinity"]
)
def test_a_cursor_with_a_number_that_cannot_be_stored_is_refused(number) -> None:
    cursors = Cursors([DECIMAL])
    with pytest.raises(Invalid, match="not a cursor of this list"):
        cursors.parse(cursors.build([number]))
