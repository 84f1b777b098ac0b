"""Pages of a coding agent: its gate, its sessions with their calls, and its permissions."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from core.clock import now
from models import (
    Agent,
    AgentStatus,
    ApprovalStatus,
    ClientConnection,
    CodingClient,
    CodingSession,
    SessionState,
    Status,
    ToolAnswer,
    ToolGrant,
    new_id,
)
from services.coding_sessions import (
    REASON_UNGATED,
    ConnectionKind,
    SessionEvent,
    SessionEventKind,
    UsageReport,
    record_connection,
    record_event,
    record_signal,
)
from tests.services.test_coding_sessions import make_call

CLAUDE = CodingClient.CLAUDE
HTMX = {"HX-Request": "true"}


@pytest.fixture
def path(world) -> str:
    return f"/agents/{world.worker.id}"


async def begin_session(
    transaction, world, *, version: str = "2.1.332", **fields: Any
) -> CodingSession:
    """Let the hook of Claude Code call in a session of the worker."""
    async with transaction() as session:
        kind = ConnectionKind.HOOK
        await record_connection(session, world.worker, CLAUDE, kind=kind, version=version)
        fields = {"cwd": "/home/ada/shop", "is_call": True} | fields
        return await record_signal(session, world.worker, CLAUDE, "s1", **fields)


async def test_an_agent_without_a_client_shows_no_gate(alice, path) -> None:
    page = (await alice.get(path)).text
    assert 'id="gate"' not in page
    sessions = (await alice.get(f"{path}/sessions")).text
    assert "No sessions yet." in sessions
    assert f'href="{path}/connect"' in sessions


async def test_the_gate_is_shown_with_its_evidence(alice, world, transaction, path) -> None:
    coding_session = await begin_session(transaction, world)
    page = (await alice.get(path)).text
    assert 'Claude Code <span dir="auto">2.1.332</span>' in page
    assert "Claude Code has asked in its latest session." in page
    assert "Not tested with this version" not in page
    assert f'href="{path}/sessions/{coding_session.id}"' in page
    async with transaction() as session:
        await session.execute(
            update(ClientConnection).values(version="9.0", hook_at=now() - timedelta(days=3))
        )
        await session.execute(update(CodingSession).values(last_call_at=None))
    page = (await alice.get(path, headers=HTMX)).text
    assert "Not tested with this version" in page
    assert "Tested with 2.1.332." in page
    assert "No request in the latest session. The last one was 3 d ago." in page
    assert 'badge--good">On<' not in page


async def test_calls_that_ran_without_asking_are_a_warning(alice, world, transaction, path) -> None:
    coding_session = await begin_session(transaction, world)
    warning = "1 tool call ran without asking in the last 7 days."
    assert warning not in (await alice.get(path)).text
    async with transaction() as session:
        fields = {"answer": None, "answered_at": None, "abandoned_at": now()}
        ungated = {"is_ungated": True, "executed_at": now(), "reason": REASON_UNGATED}
        session.add(make_call(coding_session, **fields, **ungated))
    for address in (path, f"{path}/sessions"):
        page = (await alice.get(address)).text
        assert warning in page
        assert f'href="{path}/sessions/{coding_session.id}"' in page
    assert (
        "Claude Code called tools in its latest session without permission."
        in (await alice.get(path)).text
    )
    assert "Ran without asking" in (await alice.get(f"{path}/sessions/{coding_session.id}")).text


async def test_a_session_shows_its_calls_answers_and_tokens(
    alice, world, transaction, path
) -> None:
    task = world.make_task("Ship it", status=Status.IN_PROGRESS, assigned_agent_id=world.worker.id)
    async with transaction() as session:
        session.add(task)
    stored = await begin_session(transaction, world, model="claude-x")
    approval, *_ = world.make_approval(
        status=ApprovalStatus.REJECTED, decided_by_user_id=world.bob.id, decided_at=now()
    )
    denied = {"answer": ToolAnswer.DENY}
    waiting = {"answer": None, "answered_at": None}
    at = now()
    calls = {
        "Allowed by the rule “Tests &lt;1&gt;”": {"rule_name": "Tests <1>"},
        "Allowed: it only reads": {"reason": "plain_read"},
        "Denied by Bob": {"approval_id": approval.id} | denied,
        "Denied: the input is larger than 100 kB": {"reason": "too_large"} | denied,
        "Waits for a decision": {"waits_until": at + timedelta(minutes=1)} | waiting,
        "Not answered: the client no longer waits": {"abandoned_at": at} | waiting,
        "Ran without permission": {"is_ungated": True, "executed_at": at} | denied,
    }
    async with transaction() as session:
        session.add(approval)
        await session.flush()
        for fields in calls.values():
            session.add(make_call(stored, input_excerpt="echo <b>\u202e", **fields))
        usage = UsageReport("usage", "1", input=1234, output=10)
        kind = SessionEventKind.USAGE
        await record_event(session, world.worker, SessionEvent(CLAUDE, "s1", kind, usage=usage))
    page = (await alice.get(f"{path}/sessions/{stored.id}")).text
    for text in calls:
        assert text in page, text
    assert "1,234 input, 10 output" in page
    assert "claude-x" in page
    assert f'/tasks/{task.id}">Ship it</a>' in page
    assert f'href="/approvals/{approval.id}"' in page
    assert "echo &lt;b&gt;" in page
    assert "\u202e" not in page
    part = (await alice.get(f"{path}/sessions/{stored.id}", headers=HTMX)).text
    assert part.lstrip().startswith('<div class="stack stack--6" id="agent-session"')


async def test_a_silent_session_is_shown_as_unknown(alice, world, transaction, path) -> None:
    stored = await begin_session(transaction, world, state=SessionState.IDLE)
    assert 'class="badge">Idle<' in (await alice.get(f"{path}/sessions")).text
    async with transaction() as session:
        earlier = now() - timedelta(minutes=6)
        await session.execute(update(CodingSession).values(last_signal_at=earlier))
    page = (await alice.get(f"{path}/sessions")).text
    assert 'class="badge">Idle<' not in page
    assert 'class="badge">Unknown<' in page
    assert (
        "silent for more than 5 minutes" in (await alice.get(f"{path}/sessions/{stored.id}")).text
    )


async def test_pages_show_a_closed_client_without_an_alarm(alice, world, transaction, path) -> None:
    await begin_session(transaction, world, state=SessionState.ENDED)
    async with transaction() as session:
        agent = await session.get_one(Agent, world.worker.id)
        agent.last_seen_at, agent.status = now() - timedelta(hours=1), AgentStatus.OFFLINE
    for page in (path, "/agents?state=closed"):
        text = (await alice.get(page)).text
        assert "No session" in text, page
        assert "No heartbeat" not in text, page
        assert 'data-state="offline"' not in text, page
    assert world.worker.name not in (await alice.get("/agents?state=trouble")).text
    assert "silent" not in (await alice.get("/dashboard/summary")).text


async def test_who_may_change_the_board_revokes_a_permission(
    alice, bob, rita, world, transaction, path
) -> None:
    stored = await begin_session(transaction, world)
    at = now()
    approval, *_ = world.make_approval(status=ApprovalStatus.APPROVED, decided_at=at)
    grant = ToolGrant(
        id=new_id(),
        organization_id=world.tern.id,
        board_id=world.board.id,
        agent_id=world.worker.id,
        session_id=stored.id,
        approval_id=approval.id,
        request_hash="a" * 64,
        tool="Bash",
        input_excerpt="npm test",
        granted_by_user_id=world.bob.id,
        created_at=at,
    )
    async with transaction() as session:
        session.add(approval)
        await session.flush()
        session.add(grant)
    revoke = f"{path}/permissions/{grant.id}/endings"
    page = (await rita.get(f"{path}/sessions")).text
    assert "npm test" in page
    assert revoke not in page
    assert (await rita.post(revoke)).status_code == 403
    page = (await bob.get(f"{path}/sessions")).text
    assert f'action="{revoke}"' in page
    assert "until the session ends" in page
    response = await bob.post(revoke)
    assert (response.status_code, response.headers["Location"]) == (
        303,
        f"{path}/sessions#permissions",
    )
    page = (await bob.get(f"{path}/sessions")).text
    assert revoke not in page
    assert "until the session ends" not in page
    async with transaction() as session:
        stored_grant = await session.get(ToolGrant, grant.id, populate_existing=True)
        assert stored_grant.ended_by_user_id == world.bob.id


async def test_only_readers_of_the_board_see_its_sessions(
    bob, rita, charlie, world, transaction, path
) -> None:
    stored = await begin_session(transaction, world)
    for address in (f"{path}/sessions", f"{path}/sessions/{stored.id}"):
        assert (await rita.get(address)).status_code == 200
        assert (await charlie.get(address)).status_code == 404
    gardener = f"/agents/{world.gardener.id}"
    assert (await bob.get(f"{gardener}/sessions")).status_code == 403
    assert (await bob.get(f"{gardener}/sessions/{stored.id}")).status_code == 403
    other = f"/agents/{world.other_worker.id}"
    assert (await bob.get(f"{other}/sessions/{stored.id}")).status_code == 404
