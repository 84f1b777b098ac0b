"""Page lists by limit and offset, or by limit and the cursor of a row.

A page after a cursor begins after the values by which its row was ordered, and not after a number
of rows: rows that are created or deleted meanwhile make no other one repeated or missing.
"""

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from functools import cached_property, partial
from typing import Annotated, Any, Generic, TypeVar, cast
from uuid import UUID

import pydantic_core
from pydantic import AfterValidator, Field, FiniteFloat, TypeAdapter
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    String,
    Subquery,
    and_,
    bindparam,
    func,
    literal_column,
    or_,
    select,
    tuple_,
)
from sqlalchemy.sql.elements import Over, UnaryExpression
from sqlalchemy.sql.operators import asc_op, desc_op, nulls_last_op
from sqlalchemy.types import NullType, TypeEngine

from core.clock import to_utc
from core.db.reads import AnySelect, Query, Source
from core.errors import Invalid
from core.fields import ALLOWED_YEARS

Item = TypeVar("Item")
MappedItem = TypeVar("MappedItem")

MAX_PAGE_SIZE = 200  # rows in one response
PAGE_LIMIT: Any = bindparam("page_limit", type_=BigInteger)
PAGE_OFFSET: Any = bindparam("page_offset", type_=BigInteger)
"""The parameters of a page. Their sum can be more than the maximum of either, an integer."""

CURSOR_HEADER = "X-Next-Cursor"
MAX_CURSOR_LENGTH = 4_000  # characters: a name of 255 characters of four bytes, as Base64
MAX_EXPONENT = 16_383  # of a decimal number, which is what PostgreSQL can compare


@dataclass(frozen=True)
class Paging:
    """The requested limit and offset, or the cursor after which the page begins.

    An empty cursor is for the first page. Only pages that are requested by a cursor have the next.
    """

    limit: int = MAX_PAGE_SIZE
    offset: int = 0
    after: str | None = None

    @property
    def parameters(self) -> dict[str, int]:
        """The parameters of a page in a statement."""
        return {"page_limit": self.limit, "page_offset": self.offset}


@dataclass(frozen=True)
class Page(Generic[Item]):
    """The items of one page and the total number of items, without regard to a cursor."""

    items: Sequence[Item]
    total: int
    limit: int
    offset: int
    next_cursor: Annotated[str | None, Field(exclude=True)] = None  # sent as a header

    def map(self, change: Callable[[Item], MappedItem]) -> "Page[MappedItem]":
        """Return the same page with converted items."""
        items = [change(item) for item in self.items]
        return Page(items, self.total, self.limit, self.offset, self.next_cursor)

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers of a response with this page."""
        return {CURSOR_HEADER: self.next_cursor} if self.next_cursor else {}


def build_page(
    items: Sequence[Item], total: int, paging: Paging, cursor: str | None = None
) -> Page[Item]:
    """Return a page; `cursor` is that of its last row. Only a full page has a next one."""
    next_cursor = cursor if len(items) >= paging.limit else None
    return Page(items, total, paging.limit, paging.offset, next_cursor)


def _check_moment(moment: datetime) -> datetime:
    if moment.year not in ALLOWED_YEARS:
        raise ValueError
    return to_utc(moment)


def _check_storable(text: str) -> str:
    if "\x00" in text:
        raise ValueError
    return text


def _check_exponent(number: Decimal) -> Decimal:
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int) or abs(exponent) > MAX_EXPONENT:
        raise ValueError
    return number


CURSOR_VALUES: Mapping[type, Any] = {
    bool: bool,
    datetime: Annotated[datetime, AfterValidator(_check_moment)],
    Decimal: Annotated[Decimal, Field(allow_inf_nan=False), AfterValidator(_check_exponent)],
    float: FiniteFloat,
    int: Annotated[int, Field(ge=-(2**63), lt=2**63)],
    str: Annotated[str, AfterValidator(_check_storable)],
    UUID: UUID,
}
"""What a cursor can have as values, by the Python types of the columns."""

CONTENT: TypeAdapter[list[Any]] = TypeAdapter(list[Any])


class Cursors:
    """Makes cursors of the values by which rows are ordered, and finds the rows after a cursor.

    Only values with NULLS LAST may be null, and the last value is unique.
    """

    def __init__(self, order: Sequence[Any]) -> None:
        """Take the elements of ORDER BY."""
        keys = self._keys = [_split_element(element) for element in order]
        types = [_find_type(key.column) for key in keys]
        given = [bindparam(f"cursor_{number}", type_=type) for number, type in enumerate(types)]
        self.columns = [key.column.label(f"key_{number}") for number, key in enumerate(keys)]
        self.follows: ColumnElement[bool] = _build_follows(keys, given)
        self.precedes: ColumnElement[bool] = _build_follows([one.reversed for one in keys], given)
        values = [CURSOR_VALUES[type.python_type] for type in types]
        self._adapters: list[TypeAdapter[Any]] = [
            TypeAdapter(value | None if key.is_nullable else value)
            for key, value in zip(keys, values, strict=True)
        ]
        text = ", ".join(map(str, order))  # by it, cursors of other lists are refused
        self._order = hashlib.sha256(text.encode()).hexdigest()[:8]

    def sort(self, columns: Sequence[Any], *, is_backwards: bool = False) -> list[Any]:
        """Return the elements of ORDER BY for columns with the values of the keys."""
        keys = [one.reversed for one in self._keys] if is_backwards else self._keys
        return [key.sort(column) for key, column in zip(keys, columns, strict=True)]

    def build(self, values: Sequence[Any]) -> str:
        """Return the cursor of a row with these values."""
        content = pydantic_core.to_json([self._order, *values])
        return base64.urlsafe_b64encode(content).decode().rstrip("=")

    def parse(self, cursor: str) -> dict[str, Any]:
        """Return the parameters of `follows`. Raises Invalid."""
        try:
            content = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True)
            order, *values = CONTENT.validate_json(content)
            if order != self._order or len(values) != len(self._adapters):
                raise ValueError
            return {
                f"cursor_{number}": adapter.validate_python(value)
                for number, (adapter, value) in enumerate(zip(self._adapters, values, strict=True))
            }
        except ValueError as error:
            reason = (
                "This is not a cursor of this list. Send the X-Next-Cursor of the page before, or"
                " nothing for the first page."
            )
            raise Invalid("cursor_invalid", reason) from error


@dataclass(frozen=True)
class _OrderKey:
    """What rows are ordered by. Nulls are last, or first in the reverse order."""

    column: ColumnElement[Any]
    is_descending: bool = False
    is_nullable: bool = False
    is_backwards: bool = False

    @property
    def reversed(self) -> "_OrderKey":
        """The key of the reverse order."""
        changed = {"is_descending": not self.is_descending, "is_backwards": not self.is_backwards}
        return replace(self, **changed)

    def sort(self, column: Any) -> Any:
        """Return the element of ORDER BY for a column with the values of the key."""
        ordered = column.desc() if self.is_descending else column
        if not self.is_nullable:
            return ordered
        return ordered.nulls_first() if self.is_backwards else ordered.nulls_last()

    def follows(self, value: ColumnElement[Any]) -> ColumnElement[bool]:
        """Match the rows that are after a value."""
        column = self.column
        is_later = column < value if self.is_descending else column > value
        if not self.is_nullable:
            return is_later
        earlier, later = (column, value) if self.is_backwards else (value, column)
        return or_(is_later, and_(earlier.is_not(None), later.is_(None)))

    def equals(self, value: ColumnElement[Any]) -> ColumnElement[bool]:
        """Match the rows with a value."""
        return self.column.is_not_distinct_from(value) if self.is_nullable else self.column == value


def _split_element(element: Any) -> _OrderKey:
    """Return what an element of ORDER BY orders by, and in which direction."""
    modifiers = []
    while isinstance(element, UnaryExpression) and element.modifier is not None:
        modifiers.append(element.modifier)
        element = element.element
    if unknown := {*modifiers} - {asc_op, desc_op, nulls_last_op}:
        raise ValueError(unknown)
    return _OrderKey(element, desc_op in modifiers, nulls_last_op in modifiers)


def _find_type(key: ColumnElement[Any]) -> TypeEngine[Any]:
    """Return the type of a parameter that is compared with a key."""
    if isinstance(key.type, NullType):  # of functions of texts, such as lower()
        return String()
    return BigInteger() if isinstance(key.type, Integer) else key.type


def _build_follows(
    keys: Sequence[_OrderKey], given: Sequence[ColumnElement[Any]]
) -> ColumnElement[bool]:
    """Build the condition for rows after the given values.

    With one direction it is a comparison of rows, for which PostgreSQL reads an index in order.
    """
    directions = {key.is_descending for key in keys}
    if len(directions) == 1 and not any(key.is_nullable for key in keys):
        row, values = tuple_(*(key.column for key in keys)), tuple_(*given)
        return row < values if directions.pop() else row > values
    key, value = keys[0], given[0]
    return or_(key.follows(value), and_(key.equals(value), _build_follows(keys[1:], given[1:])))


class PageRows(Generic[Item]):
    """The rows of a page by one ordered statement, which is compiled once for each use.

    `build_statement` makes the statement with limit and offset, and puts the conditions that it is
    given where they restrict the rows of the list, but not their number. `build` makes a value of
    each row; without it they are tuples. `order` is that of the list, if the statement has another
    one. `read_keys` returns the values by which a row is ordered; without it they are selected.
    """

    def __init__(
        self,
        build_statement: Callable[..., AnySelect],
        build: Callable[[Any], Item] | None = None,
        order: Sequence[Any] = (),
        read_keys: Callable[[Item], Sequence[Any]] | None = None,
        *,
        is_planned_once: bool = False,
    ) -> None:
        self.build_statement, self._order = build_statement, order
        self._build: Callable[[Any], Item] = build or cast("Any", tuple)
        self._read_keys, self._is_planned_once = read_keys, is_planned_once
        self._by_offset: Query[Item] = Query(
            build_statement(), build, is_planned_once=is_planned_once
        )

    async def fetch(
        self, source: Source, paging: Paging, **parameters: object
    ) -> tuple[list[Item], str | None]:
        """Return the rows, and the cursor of the last one if a cursor is requested.

        Raises Invalid for a cursor of another list.
        """
        given = {**parameters, **paging.parameters}
        if paging.after is None:
            return await self._by_offset.fetch(source, **given), None
        if paging.after:
            given |= self.cursors.parse(paging.after)
        query = self._after if paging.after else self._first
        rows = await query.fetch(source, **given)
        cursor = self.cursors.build(rows[-1][1]) if rows else None
        return [row for row, _ in rows], cursor

    @cached_property
    def cursors(self) -> Cursors:
        """The cursors of the list."""
        # there is no public access to the order of a statement
        return Cursors(self._order or self.build_statement()._order_by_clauses)

    @cached_property
    def _first(self) -> Query[tuple[Item, Sequence[Any]]]:
        return self._add_keys(self.build_statement())

    @cached_property
    def _after(self) -> Query[tuple[Item, Sequence[Any]]]:
        return self._add_keys(self.build_statement(self.cursors.follows))

    def _add_keys(self, statement: AnySelect) -> Query[tuple[Item, Sequence[Any]]]:
        build, read_keys, keys = self._build, self._read_keys, self.cursors.columns
        if read_keys is None:
            statement = statement.add_columns(*keys)

        def build_with_keys(row: Any) -> tuple[Item, Sequence[Any]]:
            if read_keys is None:
                return build(row[: -len(keys)]), row[-len(keys) :]
            item = build(row)
            return item, read_keys(item)

        return Query(statement, build_with_keys, is_planned_once=self._is_planned_once)


class PagedQuery(Generic[Item]):
    """An ordered SELECT statement that is read page by page, and compiled once.

    `build` makes an item of each row; without it the items are tuples. `total` is the column with
    the number of all rows: by default a subquery, which does not read what the rows show. With
    `max_counted` it counts so many rows after the offset, and one more if there are more.
    """

    def __init__(
        self,
        statement: AnySelect,
        build: Callable[[Any], Item] | None = None,
        total: ColumnElement[int] | None = None,
        *,
        max_counted: int | None = None,
        is_planned_once: bool = True,
    ) -> None:
        """Create the query of a page with the number of all rows, and the query of that number."""
        counted = statement.order_by(None)
        if max_counted is not None:
            counted = counted.limit(PAGE_OFFSET + literal_column(str(max_counted + 1)))
        count = select(func.count()).select_from(counted.subquery())
        self._statement, self._total_column = statement, total
        self._count = count.scalar_subquery()
        self._total: Query[tuple[int]] = Query(count)
        build_item: Callable[[Any], Item] = build or cast("Any", tuple)
        self._rows: PageRows[tuple[Item, int]] = PageRows(
            self._build_statement,
            lambda row: (build_item(row[:-1]), row[-1]),
            is_planned_once=is_planned_once,
        )

    def _build_statement(self, *conditions: ColumnElement[bool]) -> AnySelect:
        statement, total = self._statement, self._total_column
        if total is None or (conditions and isinstance(total, Over)):  # which counts what is left
            total = self._count
        # PostgreSQL moves conditions on columns from HAVING to WHERE
        restrict = statement.having if statement._group_by_clauses else statement.where
        return restrict(*conditions).add_columns(total).limit(PAGE_LIMIT).offset(PAGE_OFFSET)

    async def fetch_page(self, source: Source, paging: Paging, **parameters: object) -> Page[Item]:
        """Return one page; a second statement counts the rows if the page has none of them."""
        rows, cursor = await self._rows.fetch(source, paging, **parameters)
        if rows or not (paging.offset or paging.after):
            total = rows[0][1] if rows else 0
        else:
            given = {**parameters, **paging.parameters}
            [(total,)] = await self._total.fetch(source, **given)
        return build_page([item for item, _ in rows], total, paging, cursor)

    def build_cursor(self, *values: object) -> str:
        """Return the cursor of a row with the values by which the list is ordered."""
        return self._rows.cursors.build(values)


@dataclass(frozen=True)
class PagePlace:
    """The place of a page in a list: after a row, before a row, or the beginning.

    The rows are given by cursors.
    """

    after: str = ""
    before: str = ""


@dataclass(frozen=True)
class KeysetPage(Generic[Item]):
    """The rows of a page, and the cursors for the pages around it, or "" without one."""

    items: Sequence[Item]
    before: str = ""
    after: str = ""


class KeysetQuery(Generic[Item]):
    """An ordered list that is read page by page, forwards and backwards.

    `found` selects the keys of all rows, without an order. `show` makes the statement that reads
    the rows of a page of them; `build` makes a value of each row, without it they are tuples.
    """

    def __init__(
        self,
        found: AnySelect,
        order: Sequence[Any],
        show: Callable[[Subquery], AnySelect],
        build: Callable[[Any], Item] | None = None,
    ) -> None:
        self._found, self._show = found, show
        self._build: Callable[[Any], Item] = build or cast("Any", tuple)
        self._cursors = Cursors(order)

    @property
    def keys(self) -> Sequence[ColumnElement[Any]]:
        """The columns by which the rows are ordered, for statements that read other rows of it."""
        return self._cursors.columns

    def compile(self) -> None:
        """Compile the statements before their first use."""
        for query in (self._first, self._after, self._before):
            query.compile()

    def sort(self, columns: Sequence[Any]) -> list[Any]:
        """Return the elements of ORDER BY for columns with the values of the keys."""
        return self._cursors.sort(columns)

    def build_cursor(self, values: Sequence[Any]) -> str:
        """Return the cursor of the row with these values of the keys."""
        return self._cursors.build(values)

    async def fetch_page(
        self, source: Source, size: int, place: PagePlace, **parameters: object
    ) -> KeysetPage[Item]:
        """Return the page at a place, or the first one if there is no row or no such place."""
        cursor, is_backwards = place.before or place.after, bool(place.before)
        given = parameters | {"page_limit": size + 1}
        try:
            given |= self._cursors.parse(cursor) if cursor else {}
        except Invalid:
            cursor, is_backwards = "", False
        query = (self._before if is_backwards else self._after) if cursor else self._first
        rows = await query.fetch(source, **given)
        has_more = len(rows) > size
        rows = rows[:size]
        if cursor and not (has_more if is_backwards else rows):
            return await self.fetch_page(source, size, PagePlace(), **parameters)
        if is_backwards:
            rows.reverse()
        first, last = (self._cursors.build(rows[index][1]) if rows else "" for index in (0, -1))
        return KeysetPage(
            [item for item, _ in rows],
            before=first if cursor else "",
            after=last if is_backwards or has_more else "",
        )

    @cached_property
    def _first(self) -> Query[tuple[Item, Sequence[Any]]]:
        return self._build_query(self._found, is_backwards=False)

    @cached_property
    def _after(self) -> Query[tuple[Item, Sequence[Any]]]:
        return self._build_query(self._found.where(self._cursors.follows), is_backwards=False)

    @cached_property
    def _before(self) -> Query[tuple[Item, Sequence[Any]]]:
        return self._build_query(self._found.where(self._cursors.precedes), is_backwards=True)

    def _build_query(
        self, found: AnySelect, *, is_backwards: bool
    ) -> Query[tuple[Item, Sequence[Any]]]:
        keys = self._cursors.columns
        sort = partial(self._cursors.sort, is_backwards=is_backwards)
        page = found.add_columns(*keys).order_by(*sort(keys))
        rows = page.limit(PAGE_LIMIT).subquery("page")
        shown_keys = [rows.c[key.name] for key in keys]
        shown = self._show(rows).add_columns(*shown_keys)
        build, count = self._build, len(keys)
        return Query(
            shown.order_by(*sort(shown_keys)),
            lambda row: (build(row[:-count]), row[-count:]),
        )
