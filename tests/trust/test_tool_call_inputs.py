"""Inputs of tool calls can contain secrets: only who may read the board sees them."""

import logging

import httpx2
from sqlalchemy import select, text

from models import (
    Approval,
    ApprovalStatus,
    Base,
    EventType,
    ToolCall,
    WebhookDelivery,
)
from services import approvals
from services.webhook_endpoints.deliveries import create_deliveries
from tests.support.people_rows import token_secret
from tests.support.tool_calls import hook_body
from tests.support.webhook_rows import make_endpoint

MARK = "zqmarkedinput"
API = "/api/v1"
ORGANIZATION = f"{API}/organizations/me"


async def list_tables_with(session, mark: str) -> set[str]:
    """Return the tables with a row that contains a text."""
    return {
        table.name
        for table in Base.metadata.sorted_tables
        if await session.scalar(
            text(f'SELECT true FROM "{table.name}" t WHERE t::text LIKE :mark LIMIT 1'),
            {"mark": f"%{mark}%"},
        )
    }


async def test_the_input_of_a_held_call_stays_in_its_approval(
    browsers, anonymous, transaction, world, caplog
) -> None:
    caplog.set_level(logging.DEBUG)
    async with transaction() as session:
        session.add(endpoint := make_endpoint(world.tern, owner_user_id=world.alice.id))
    body = hook_body(f"curl -H 'X-Key: {MARK}' https://example.com")

    def headers(caller) -> dict[str, str]:
        return {"Authorization": f"Bearer {token_secret(caller)}"}

    path = "/hooks/claude?headless=1"
    asked = await anonymous.post(path, json=body, headers=headers(world.worker))
    assert "defer" in asked.text
    async with transaction() as session:
        approval = (await session.scalars(select(Approval))).one()
        call = (await session.scalars(select(ToolCall))).one()
        status = ApprovalStatus.APPROVED
        await approvals.decide_with_undo(
            session, world.alice, approval.id, status=status, undo_seconds=0
        )
        await create_deliveries(session, endpoint.id, "http://mission.test")
        sent = (await session.scalars(select(WebhookDelivery.event_type))).all()
        assert EventType.APPROVAL_REQUESTED in sent
        # Messages to people are made of notifications and events, which have no input.
        assert await list_tables_with(session, MARK) == {Approval.__tablename__, "tool_calls"}
    assert MARK not in caplog.text

    pages = [
        *(f"/search?q={MARK[:9]}", "/activity", "/audit", "/audit/export", "/notifications", "/"),
        f"/boards/{world.board.id}",
    ]
    operations = [
        *(f"/search?q={MARK}", f"/search?q={MARK[:9]}", "/activity?limit=200"),
        *("/organizations/me/audit?limit=200", "/organizations/me/audit/export"),
    ]
    own = [
        *(f"/approvals/{approval.id}", "/approvals?status=all", f"/agents/{world.worker.id}"),
        f"/agents/{world.worker.id}/sessions/{call.session_id}",
    ]
    own_operations = [
        f"/boards/{world.board.id}/approvals",
        f"/agents/{world.worker.id}/tool-calls",
        f"/agents/{world.worker.id}/sessions",
        "/approvals",
    ]
    readers = {world.alice: False, world.dana: True, world.charlie: True}
    for user, is_stranger in readers.items():
        browser: httpx2.AsyncClient = browsers(user)
        for path in [*pages, *(own if is_stranger else ())]:
            answer = await browser.get(path, follow_redirects=True)
            assert MARK not in answer.text, (user.name, path)
            assert is_stranger or answer.status_code == 200, path
        for path in [*operations, *(own_operations if is_stranger else ())]:
            answer = await anonymous.get(API + path, headers=headers(user))
            assert MARK not in answer.text, (user.name, path)
            assert is_stranger or answer.status_code == 200, (path, answer.text)
    shown = await browsers(world.rita).get(f"/approvals/{approval.id}")
    assert MARK in shown.text  # so the pages above would show it
