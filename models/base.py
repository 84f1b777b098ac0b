"""What every table has."""

import enum
import secrets
import time
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Column, Computed, DateTime, Enum, Index, MetaData, Table, TypeDecorator
from sqlalchemy.dialects.postgresql import JSONB, TSVECTOR
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

CONSTRAINT_NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
}

NONE = "NULL::character varying"  # as PostgreSQL writes it, so that the two can be compared


def new_id() -> UUID:
    """Make an id that sorts by the millisecond in which it was made (RFC 9562, version 7)."""
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds << 80) | secrets.randbits(80)
    value = (value & ~(0xF << 76)) | (0x7 << 76)
    value = (value & ~(0x3 << 62)) | (0x2 << 62)
    return UUID(int=value)


class OrderedJson(TypeDecorator[dict[str, Any]]):
    """A JSON object whose keys stay in their order: JSONB would forget it, but for lists.

    Objects that were written otherwise are read too.
    """

    impl = JSONB(none_as_null=True)
    cache_ok = True

    def process_bind_param(self, value: dict[str, Any] | None, dialect: Any) -> Any:
        """Write the pairs one after the other."""
        return None if value is None else [[name, one] for name, one in value.items()]

    def process_result_value(self, value: Any, dialect: Any) -> dict[str, Any] | None:
        """Make an object of pairs."""
        return value if value is None else dict(value)

    def compare_values(self, x: Any, y: Any) -> bool:
        """Say whether nothing has to be written; another order has to be."""
        return x == y and (x is None or list(x) == list(y))


class Base(DeclarativeBase):
    """A row with an id. Times are with time zone; enums are stored as their values, as text."""

    metadata = MetaData(naming_convention=CONSTRAINT_NAMES)
    type_annotation_map = {
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB(none_as_null=True),
        list[Any]: JSONB(none_as_null=True),
        enum.StrEnum: Enum(
            enum.StrEnum,
            native_enum=False,
            create_constraint=False,
            length=40,
            values_callable=lambda members: [member.value for member in members],
        ),
    }

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id, sort_order=-1)


def add_search_vector(model: type[Base], *, title: str = NONE, text: str, more: str = NONE) -> None:
    """Give a table the words of its rows, by which they are searched: see core/db/full_text.py.

    The database computes them from the named columns. They are not an attribute of the model:
    nothing reads them with a row, and nothing writes them.
    """
    table = model.__table__
    assert isinstance(table, Table)
    computed = Computed(f"words_of({title}, {text}, {more})", persisted=True)
    table.append_column(Column("words", TSVECTOR, computed))
    Index(None, table.c.words, postgresql_using="gin")
