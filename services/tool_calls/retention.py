"""Delete what was stored of tool calls after 30 days: inputs can contain secrets and files."""

from datetime import datetime
from typing import Any

from sqlalchemy import func, or_, select, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.transactions import DELETION_BATCH_SIZE, delete_unlocked
from models import Approval, ToolCall, ToolGrant
from services.approvals import EDITED_INPUT, TOOL_CALL_RETENTION
from services.tool_calls.grants import IS_GIVEN, IS_IN_SCOPE, JOINED_GRANTS

EXCERPT = "excerpt"  # the key in a payload without its input
DELETED_KEYS = ("input", EDITED_INPUT, "cwd")


async def delete_old_calls(session: AsyncSession) -> int:
    """Delete old calls and permissions, and the inputs in the payloads of their approvals.

    The hash of an approval stays, and the excerpt of its input. Undecided approvals of this age
    have expired: they cannot be approved. It handles a batch of each, and returns the number of
    rows.
    """
    before = now() - TOOL_CALL_RETENTION
    reduced = await _reduce_payloads(session, before)
    deleted = await delete_unlocked(session, ToolCall, ToolCall.asked_at < before)
    counts = func.coalesce(IS_GIVEN & IS_IN_SCOPE, False)
    is_over = ToolGrant.ended_at.is_(None) & (ToolGrant.created_at < before) & ~counts
    over = JOINED_GRANTS.with_only_columns(ToolGrant.id).where(
        or_(ToolGrant.ended_at < before, is_over)
    )
    return reduced + deleted + await delete_unlocked(session, ToolGrant, ToolGrant.id.in_(over))


async def _reduce_payloads(session: AsyncSession, before: datetime) -> int:
    excerpt = (
        select(ToolCall.input_excerpt)
        .where(ToolCall.approval_id == Approval.id)
        .order_by(ToolCall.asked_at)
        .limit(1)
        .correlate(Approval)
        .scalar_subquery()
    )
    old = (
        select(Approval.id)
        .where(
            Approval.is_tool_call, Approval.created_at < before, Approval.payload.has_key("input")
        )
        .limit(DELETION_BATCH_SIZE)
        .with_for_update(skip_locked=True)
    )
    payload: Any = Approval.payload
    for key in DELETED_KEYS:
        payload = payload.op("-", return_type=JSONB)(key)
    reduced = payload.op("||", return_type=JSONB)(
        func.jsonb_build_object(EXCERPT, func.coalesce(excerpt, ""))
    )
    changed = await session.scalars(
        update(Approval)
        .where(Approval.id.in_(old))
        .values(payload=reduced)
        .returning(Approval.id)
        .execution_options(synchronize_session=False)
    )
    return len(changed.all())
