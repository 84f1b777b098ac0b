"""Bringing back what a deleted task held, where its field has changed meanwhile."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from models import Board
from services.custom_fields.on_tasks import bound, bound_fields
from services.custom_fields.values import fault


async def fitting(
    session: AsyncSession, board: Board, rows: Sequence[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """Return those rows of values that tasks of a board, which is held, may still hold."""
    if not rows:
        return []
    found = await session.scalar(select(bound(board.id, of_tasks=False)))
    fields = {str(field.id): field for field in bound_fields(found or [])}
    return [row for row in rows if _fits(row, fields)]


def _fits(row: Mapping[str, Any], fields: Mapping[str, Any]) -> bool:
    field = fields.get(row["task_custom_field_definition_id"])
    return field is not None and fault(field.type, field.regex, row["value"]) is None
