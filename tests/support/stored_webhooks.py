"""Webhooks of a board that are stored in the database of a test."""

from typing import Any

from core.db.engine import TransactionFactory
from models import BoardWebhook
from tests.support.board_rows import make_webhook
from tests.support.world import World


async def add_webhook(
    transaction: TransactionFactory, world: World, **fields: Any
) -> tuple[BoardWebhook, str]:
    """Add a webhook of Launch for the worker, and return it with the path of its page."""
    async with transaction() as session:
        given: dict[str, Any] = {"agent_id": world.worker.id} | fields
        hook = make_webhook(world.board, **given)
        session.add(hook)
    return hook, f"/boards/{hook.board_id}/webhooks/{hook.id}"
