"""Request and decide approvals in tests of pages, and read what these pages show."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from core.clock import now
from core.db.engine import TransactionFactory
from models import Approval
from tests.support.world import World

HTMX = {"HX-Request": "true", "HX-Request-Type": "partial", "HX-Target": "div#inbox"}

Ask = Callable[..., Any]


@pytest.fixture
def ask(transaction: TransactionFactory, world: World) -> Ask:
    """Ask a question on Launch, each a minute older than the one before."""
    minutes = 0

    async def ask(title: str = "Ship it", **fields: Any) -> Approval:
        nonlocal minutes
        minutes += 1
        asked_at = now() - timedelta(minutes=minutes)
        payload = {"title": title, "reason": "It is tested."} | fields.pop("payload", {})
        task = world.make_task(title, **fields.pop("task_fields", {}))
        has_stored_content = fields.pop("has_stored_content", True)
        rows = world.make_approval(task, payload=payload, created_at=asked_at, **fields)
        if not has_stored_content:  # as before the contents of approvals were stored
            rows[1].content = rows[1].content_hash = None
            rows[0].action_hash = rows[0].requested_hash = None
        async with transaction() as session:
            session.add_all([task, *rows])
        approval: Approval = rows[0]
        return approval

    return ask


def approving(approval: Approval) -> dict[str, str]:
    """Return the fields of a form that approves what was requested, or bound later."""
    return {"status": "approved", "action_hash": approval.action_hash or ""}


def checkbox(approval: Approval) -> str:
    """Return the value of the checkbox of an approval."""
    return f"{approval.id}:{approval.action_hash}"


async def stored(transaction: TransactionFactory, approval: Approval) -> Approval:
    async with transaction() as session:
        return await session.get_one(Approval, approval.id, populate_existing=True)


def selected(html: str) -> str:
    """Return the title of the task whose approval is shown in full, with a question mark."""
    found = re.search(r'<h2 class="question[^>]*>Complete the task “([^<]*)”\?', html)
    return f"{found[1]}?" if found else ""
