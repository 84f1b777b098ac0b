"""What commands on the rows of objects have in common: get, build, update, flush."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.engine import violates_constraint
from core.db.reads import Query, Source
from core.errors import Conflict, NotFound
from models import Base, new_id

Item = TypeVar("Item")
Row = TypeVar("Row", bound=Base)

Differences = Mapping[str, Any]
"""The values before and after a change by field, as events record them: `{"name": [old, new]}`."""

UniqueErrors = Mapping[str, Callable[[], Conflict]]
"""What creates the error for a unique constraint, by its name."""


async def get_one(
    source: Source, query: Query[Item], not_found: Callable[[], NotFound], **parameters: object
) -> Item:
    """Return the first row of a query. Raises NotFound without one."""
    found = await query.first(source, **parameters)
    if found is None:
        raise not_found()
    return found


def build_row(model: type[Row], **values: Any) -> Row:
    """Return a new row with an id and the time of its creation."""
    at = now()
    return model(id=new_id(), created_at=at, updated_at=at, **values)


async def update_row(
    session: AsyncSession,
    row: Any,
    values: Mapping[str, Any],
    unique: UniqueErrors = MappingProxyType({}),
    others: Differences = MappingProxyType({}),
) -> Differences:
    """Set the values that differ in a locked row, and return the differences.

    `others` are differences of what is not in the row: they set its `updated_at`, too. Raises
    Conflict if a unique constraint is violated.
    """
    differences = {
        name: [before, after]
        for name, after in values.items()
        if (before := getattr(row, name)) != after
    }
    for name, (_, after) in differences.items():
        setattr(row, name, after)
    if differences or others:
        row.updated_at = now()
        await flush(session, unique)
    return {**differences, **others}


async def flush(session: AsyncSession, unique: UniqueErrors) -> None:
    """Flush the session. Raises Conflict if a unique constraint is violated."""
    try:
        await session.flush()
    except IntegrityError as error:
        for name, conflict in unique.items():
            if violates_constraint(error, name):
                raise conflict() from error
        raise
