"""Delete old sessions and usage."""

from datetime import timedelta

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from models import CodingSession, ToolCall, UsageFact

SESSION_RETENTION = timedelta(days=30)  # since the last sign of life
USAGE_RETENTION = timedelta(days=400)  # numbers without a session: a year can be compared
BATCH_SIZE = 5_000  # rows in one run, which is repeated


async def delete_old_sessions(session: AsyncSession) -> None:
    """Delete sessions without a sign of life for 30 days, and usage of more than 400 days ago.

    Usage outlives its session. A session is kept as long as one of its calls.
    """
    at = now()
    has_calls = select(ToolCall.id).where(ToolCall.session_id == CodingSession.id).exists()
    old = select(CodingSession.id).where(
        CodingSession.last_signal_at < at - SESSION_RETENTION, ~has_calls
    )
    old_usage = select(UsageFact.id).where(UsageFact.used_at < at - USAGE_RETENTION)
    for model, ids in ((CodingSession, old), (UsageFact, old_usage)):
        await session.execute(delete(model).where(model.id.in_(ids.limit(BATCH_SIZE))))
