"""List and lock the custom fields of an organization."""

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Uuid, func, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession

from core.errors import NotFound
from models import BoardCustomField, CustomField, Member
from services import organizations


class CustomFieldDetail(NamedTuple):
    """A custom field with the ids of its boards."""

    field: CustomField
    board_ids: Sequence[UUID]


async def list_custom_fields(session: AsyncSession, member: Member) -> Sequence[CustomFieldDetail]:
    """Return the custom fields of the member's organization, by label."""
    binding = BoardCustomField
    bound_ids = select(binding.board_id).where(
        binding.task_custom_field_definition_id == CustomField.id
    )
    boards: Any = func.array(
        bound_ids.correlate(CustomField).scalar_subquery(), type_=ARRAY(Uuid())
    )
    query = select(CustomField, boards).where(CustomField.organization_id == member.organization_id)
    rows = await session.execute(query.order_by(func.lower(CustomField.label), CustomField.id))
    return [CustomFieldDetail(field, sorted(board_ids)) for field, board_ids in rows]


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
        raise NotFound("custom_field_not_found", "There is no such custom field.")
    return field
