"""List, load and lock the custom fields of an organization, and those of a board or task."""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import String, Uuid, and_, bindparam, func, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession

from core.db.reads import Query, Source
from core.errors import NotFound
from core.text import N_
from models import Board, BoardCustomField, CustomField, CustomFieldValue, Member
from services import organizations, rows
from services.custom_fields.rules import is_blank


class CustomFieldDetail(NamedTuple):
    """A custom field with the ids of its boards."""

    field: CustomField
    board_ids: Sequence[UUID]


class TaskField(NamedTuple):
    """A custom field of a board, with the stored value of one task."""

    field: CustomField
    stored: Any = None  # None: the default applies

    @property
    def value(self) -> Any:
        """The effective value: the stored one, or the default."""
        return self.field.default_value if self.stored is None else self.stored

    @property
    def is_missing(self) -> bool:
        """Whether the field is required and has no value."""
        return self.field.required and is_blank(self.value)


async def list_custom_fields(source: Source, member: Member) -> Sequence[CustomFieldDetail]:
    """Return the custom fields of the member's organization, by label."""
    return await CUSTOM_FIELDS.fetch(source, organization_id=member.organization_id)


BOARD_IDS: Any = func.array(
    select(BoardCustomField.board_id)
    .where(BoardCustomField.task_custom_field_definition_id == CustomField.id)
    .correlate(CustomField)
    .scalar_subquery(),
    type_=ARRAY(Uuid()),
)
CUSTOM_FIELDS = Query(
    select(CustomField, BOARD_IDS)
    .where(CustomField.organization_id == bindparam("organization_id"))
    .order_by(func.lower(CustomField.label), CustomField.id),
    lambda row: CustomFieldDetail(row[0], sorted(row[1])),
)


CUSTOM_FIELD = Query(
    select(CustomField, BOARD_IDS).where(
        CustomField.organization_id == bindparam("organization_id"),
        CustomField.id == bindparam("field_id"),
    ),
    lambda row: CustomFieldDetail(row[0], sorted(row[1])),
)
VALUE_COUNT: Query[tuple[int]] = Query(
    select(func.count())
    .select_from(CustomFieldValue)
    .where(CustomFieldValue.task_custom_field_definition_id == bindparam("field_id"))
)
TASK_FIELDS = Query(
    select(CustomField, CustomFieldValue.value)
    .join(BoardCustomField, BoardCustomField.task_custom_field_definition_id == CustomField.id)
    .outerjoin(
        CustomFieldValue,
        and_(
            CustomFieldValue.task_custom_field_definition_id == CustomField.id,
            CustomFieldValue.task_id == bindparam("task_id", type_=Uuid()),
        ),
    )
    .where(BoardCustomField.board_id == bindparam("board_id"))
    .order_by(func.lower(CustomField.label), CustomField.id),
    TaskField._make,
)


async def get_custom_field(source: Source, member: Member, field_id: UUID) -> CustomFieldDetail:
    """Return a custom field of the member's organization, for its admins.

    Raises NotFound and Forbidden.
    """
    organizations.require_admin(member)
    ids = {"organization_id": member.organization_id, "field_id": field_id}
    return await rows.get_one(source, CUSTOM_FIELD, _field_not_found, **ids)


async def count_field_values(source: Source, field: CustomField) -> int:
    """Return the number of tasks with a stored value for a field."""
    [(count,)] = await VALUE_COUNT.fetch(source, field_id=field.id)
    return count


async def list_task_fields(
    source: Source, board: Board, task_id: UUID | None = None
) -> Sequence[TaskField]:
    """Return the custom fields of a board by label, with the stored values of one of its tasks."""
    return await TASK_FIELDS.fetch(source, board_id=board.id, task_id=task_id)


async def load_field_labels(
    source: Source, organization_id: UUID, keys: Collection[str]
) -> dict[str, str]:
    """Return the labels of the custom fields of an organization that still exist, by key."""
    if not keys:
        return {}
    return dict(await LABELS.fetch(source, organization_id=organization_id, keys=list(keys)))


LABELS: Query[tuple[str, str]] = Query(
    select(CustomField.field_key, CustomField.label).where(
        CustomField.organization_id == bindparam("organization_id"),
        CustomField.field_key == func.any(bindparam("keys", type_=ARRAY(String()))),
    )
)


async def lock_custom_field(session: AsyncSession, member: Member, field_id: UUID) -> CustomField:
    """Lock a custom field of the member's organization until the commit, and return it.

    Raises NotFound, and Forbidden unless the member is an admin.
    """
    organizations.require_admin(member)
    query = select(CustomField).where(
        CustomField.id == field_id, CustomField.organization_id == member.organization_id
    )
    query = query.with_for_update(key_share=True).execution_options(populate_existing=True)
    field = await session.scalar(query)
    if field is None:
        raise _field_not_found()
    return field


def _field_not_found() -> NotFound:
    return NotFound("custom_field_not_found", N_("There is no such field."))
