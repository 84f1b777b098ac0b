"""Clients of coding agents ask before they call a tool: allowed, denied, held, asked again."""

from datetime import timedelta

import pytest
from sqlalchemy import func, select, update

from core.clock import now
from core.errors import Conflict, Invalid, NotFound
from core.paging import Paging
from models import (
    Agent,
    Approval,
    ApprovalPolicy,
    CodingClient,
    CodingSession,
    EventType,
    PolicyEffect,
    PolicyRule,
    Role,
    Status,
    ToolAnswer,
    ToolCall,
    ToolGrant,
    new_id,
)
from services import approvals, boards, coding_sessions, organizations, policies, tool_calls
from services.coding_sessions import SessionEvent, SessionEventKind
from services.organizations import AgentStopCreate
from services.tool_calls import GrantScope, HeldCall, ToolReply
from services.tool_calls.clients import MAX_INPUT_SIZE
from services.tool_calls.gate import MAX_OF_AGENT, NOT_WAITING
from tests.support.approval_helpers import (
    APPROVED,
    PENDING,
    REJECTED,
    decide_approval,
    list_recorded_events,
)
from tests.support.statement_counter import count_statements
from tests.support.tool_calls import PUSH, answer_held, ask, prepare

ALLOW, DENY, DEFER = ToolAnswer


async def hold(session, agent, **fields) -> HeldCall:
    held = await ask(session, agent, prepare(**fields))
    assert isinstance(held, HeldCall)
    return held


async def answer(session, agent, **fields) -> ToolReply:
    reply = await ask(session, agent, prepare(**fields))
    assert isinstance(reply, ToolReply)
    return reply


async def load_call(session, call_id) -> ToolCall:
    query = select(ToolCall).where(ToolCall.id == call_id)
    return (await session.scalars(query.execution_options(populate_existing=True))).one()


async def load_approval(session, held: HeldCall) -> Approval:
    approval = await session.get(Approval, held.approval_id, populate_existing=True)
    assert approval is not None
    return approval


async def decide(session, world, held: HeldCall, status=APPROVED, *, note=None) -> None:
    approval = await load_approval(session, held)
    await decide_approval(session, world.alice, approval, status, note=note, undo_seconds=0)


async def set_rule(session, world, effect: PolicyEffect, **conditions) -> None:
    """Replace the rules of the board by one."""
    rule = PolicyRule(id=new_id(), name="Pushes", effect=effect, **conditions)

    session.add(
        ApprovalPolicy(
            id=new_id(),
            organization_id=world.tern.id,
            board_id=world.board.id,
            rules=[rule],
            updated_at=now(),
        )
    )
    await session.flush()


class TestAnswers:
    async def test_plain_reads_are_allowed_and_stored_masked(self, session, world) -> None:
        reply = await answer(session, world.worker, command="ls src", tool_use_id="toolu_1")
        assert reply.answer is ALLOW
        call = (await session.scalars(select(ToolCall))).one()
        assert (call.answer, call.reason, call.call_key) == (ALLOW, "plain_read", "toolu_1")
        assert (call.tool, call.approval_id) == ("Bash", None)
        assert call.facts["commands"][0]["words"] == ["ls", "src"]
        assert (await session.scalars(select(Approval))).all() == []

    async def test_a_call_that_needs_people_is_held_with_its_exact_input(
        self, session, world
    ) -> None:
        value = PUSH | {"description": "Publish the work"}
        held = await hold(session, world.worker, tool_input=value)
        approval = await load_approval(session, held)
        assert (approval.action_type, approval.is_tool_call) == ("tool.Bash", True)
        assert approval.payload == {
            "client": "claude",
            "session": "session-1",
            "tool": "Bash",
            "input": value,
            "cwd": "/home/dev/project",
            "reason": "No rule allows it.",
        }
        assert approvals.format_question(approval.action_type) == "Call Bash?"
        call = await load_call(session, held.call_id)
        assert (call.answer, call.abandoned_at, call.approval_id) == (None, None, approval.id)

    async def test_the_answer_of_a_person_reaches_the_held_call(self, session, world) -> None:
        held = await hold(session, world.worker)
        assert await answer_held(session, held) is None
        await decide(session, world, held, note="Go ahead")
        reply = await answer_held(session, held)
        assert reply == ToolReply(ALLOW, "Alice allowed this call: Go ahead")
        assert (await load_call(session, held.call_id)).answer is ALLOW

    async def test_a_decision_that_can_be_undone_answers_nothing(self, session, world) -> None:
        held = await hold(session, world.worker)
        await decide_approval(session, world.alice, await load_approval(session, held))
        assert await answer_held(session, held) is None

    async def test_the_agent_gets_no_message_about_a_decision(self, session, world) -> None:
        held = await hold(session, world.worker)
        await decide(session, world, held, REJECTED, note="Not today")
        reply = await answer_held(session, held)
        assert reply == ToolReply(DENY, "Alice denied this call: Not today")
        types = {event.type for event in await list_recorded_events(session)}
        assert EventType.APPROVAL_LEAD_NOTIFIED not in types

    async def test_a_rule_denies_with_its_name(self, session, world) -> None:
        await set_rule(session, world, PolicyEffect.DENY, kinds=("tool.bash",))
        reply = await answer(session, world.worker)
        assert (reply.answer, "the rule “Pushes”" in reply.text) == (DENY, True)

    async def test_stopped_agents_and_agents_without_a_board_are_denied(
        self, session, world
    ) -> None:
        held = await hold(session, world.worker)
        await organizations.stop_agents(session, world.alice_member, AgentStopCreate(reason="Stop"))
        reply = await answer(session, world.worker, command="ls")
        assert (reply.answer, "All agents were stopped by Alice" in reply.text) == (DENY, True)
        await decide(session, world, held)
        reply = await answer_held(session, held)
        assert reply is not None
        assert (reply.answer, "All agents were stopped by Alice" in reply.text) == (DENY, True)
        await organizations.resume_agents(session, world.alice_member)
        assert (await answer(session, world.worker)).answer is ALLOW  # as decided
        await session.execute(
            update(Agent).where(Agent.id == world.worker.id).values(board_id=None)
        )
        reply = await answer(session, world.worker, command="ls")
        assert (reply.answer, "has no board" in reply.text) == (DENY, True)

    async def test_an_input_that_nobody_can_read_is_denied(self, session, world) -> None:
        reply = await answer(session, world.worker, command="ls " + "a" * 100_000)
        assert (reply.answer, "larger than 100 kB" in reply.text) == (DENY, True)
        stored = (await session.scalars(select(ToolCall))).one()
        assert (stored.reason, stored.input_excerpt) == ("too_large", "")

    async def test_an_automatic_answer_needs_four_statements(self, session, world) -> None:
        await answer(session, world.worker, command="ls", tool_use_id="first")
        with count_statements(await session.connection()) as statements:
            await answer(session, world.worker, command="ls", tool_use_id="second")
        assert len(statements) == 4, statements


class TestRepeats:
    async def test_equal_calls_of_a_session_share_an_approval(self, session, world) -> None:
        first = await hold(session, world.worker)
        value = PUSH | {"description": "Other words of the model"}
        second = await hold(session, world.worker, tool_input=value)
        other = await hold(session, world.worker, session_id="session-2")
        assert first.approval_id == second.approval_id != other.approval_id
        assert (await load_approval(session, first)).request_count == 2
        await decide(session, world, first)
        for held in (first, second):
            reply = await answer_held(session, held)
            assert reply is not None
            assert reply.answer is ALLOW
        assert await answer_held(session, other) is None

    async def test_a_call_id_is_answered_once(self, session, world) -> None:
        assert (
            await answer(session, world.worker, command="ls", tool_use_id="toolu_1")
        ).answer is ALLOW
        reply = await answer(session, world.worker, command="ls", tool_use_id="toolu_1")
        assert (reply.answer, "answered before" in reply.text) == (DENY, True)

    async def test_a_call_id_does_not_stand_for_another_input(self, session, world) -> None:
        held = await hold(session, world.worker, tool_use_id="toolu_1")
        await tool_calls.abandon_calls(session, [held])
        reply = await answer(session, world.worker, command="git push evil", tool_use_id="toolu_1")
        assert reply.answer is DENY
        again = await hold(session, world.worker, tool_use_id="toolu_1")
        assert again.call_id == held.call_id

    async def test_the_next_equal_call_gets_a_late_decision_once(self, session, world) -> None:
        held = await hold(session, world.worker)
        await tool_calls.abandon_calls(session, [held], is_cut=True)
        await decide(session, world, held)
        assert isinstance(await ask(session, world.worker, prepare(session_id="s2")), HeldCall)
        reply = await answer(session, world.worker)
        assert reply == ToolReply(ALLOW, "Alice allowed this call.")
        assert (await hold(session, world.worker)).approval_id != held.approval_id

    async def test_a_late_decision_is_void_after_15_minutes(self, session, world) -> None:
        held = await hold(session, world.worker)
        await tool_calls.abandon_calls(session, [held], is_cut=True)
        await decide(session, world, held)
        approval = await load_approval(session, held)
        approval.resolved_at = now() - timedelta(minutes=15, seconds=1)
        await session.flush()
        assert (await hold(session, world.worker)).approval_id != held.approval_id

    async def test_an_answered_call_leaves_nothing_for_the_next(self, session, world) -> None:
        first = await hold(session, world.worker)
        second = await hold(session, world.worker)
        await tool_calls.abandon_calls(session, [first], is_cut=True)
        await decide(session, world, second)
        assert await answer_held(session, second) is not None
        assert (await hold(session, world.worker)).approval_id != first.approval_id

    async def test_the_decision_survives_a_killed_server(self, session, world) -> None:
        held = await hold(session, world.worker)  # its server is killed
        await decide(session, world, held)
        approval = await load_approval(session, held)
        approval.resolved_at = now() - timedelta(seconds=1)
        await session.flush()
        assert (await answer(session, world.worker)).answer is ALLOW
        late = await answer_held(session, held)
        assert late is not None
        assert late.answer is DENY

    async def test_an_answer_that_was_not_sent_is_for_the_next_call(self, session, world) -> None:
        held = await hold(session, world.worker)
        await decide(session, world, held)
        assert await answer_held(session, held) is not None
        await tool_calls.abandon_calls(session, [held], is_cut=True)
        assert (await answer(session, world.worker)).answer is ALLOW

    async def test_a_connection_that_was_replaced_takes_no_answer_back(
        self, session, world
    ) -> None:
        first = await hold(session, world.worker, tool_use_id="toolu_1")
        second = await hold(session, world.worker, tool_use_id="toolu_1")
        await decide(session, world, second)
        reply = await answer_held(session, first)
        assert reply == ToolReply(DENY, NOT_WAITING)
        reply = await answer_held(session, second)
        assert reply == ToolReply(ALLOW, "Alice allowed this call.")
        await tool_calls.abandon_calls(session, [first], is_cut=True)
        assert (await hold(session, world.worker)).approval_id != second.approval_id

    async def test_a_headless_call_is_deferred_until_it_is_decided(self, session, world) -> None:
        fields = {"is_headless": True, "tool_use_id": "toolu_1"}
        assert (await answer(session, world.worker, **fields)).answer is DEFER
        assert (await answer(session, world.worker, **fields)).answer is DEFER
        approval = (await session.scalars(select(Approval))).one()
        assert (approval.status, approval.request_count) == (PENDING, 1)
        await decide_approval(session, world.alice, approval, undo_seconds=0)
        approval.resolved_at = now() - timedelta(days=2)
        await session.flush()
        assert (await answer(session, world.worker, **fields)).answer is ALLOW
        assert (await answer(session, world.worker, **fields)).answer is DENY

    async def test_a_rule_that_limits_who_decides_asks_those_people(self, session, world) -> None:
        commands = ["git push pending", "git push late"]
        pending, late = [await hold(session, world.worker, command=one) for one in commands]
        await tool_calls.abandon_calls(session, [late], is_cut=True)
        await decide(session, world, late)
        deferred = {"is_headless": True, "tool_use_id": "toolu_1"}
        await answer(session, world.worker, **deferred)
        approval = await session.scalar(select(Approval).order_by(Approval.created_at.desc()))
        await decide_approval(session, world.alice, approval, undo_seconds=0)
        limited = {"kinds": ("tool.bash",), "decider_role": Role.ADMIN}
        await set_rule(session, world, PolicyEffect.ASK_ONE, **limited)
        for one, command in zip((pending, late), commands, strict=True):
            held = await hold(session, world.worker, command=command)
            assert held.approval_id != one.approval_id
            verdict = (await load_approval(session, held)).policy_verdict
            assert verdict.decider_role is Role.ADMIN
        assert (await answer(session, world.worker, **deferred)).answer is DEFER

    async def test_too_many_calls_are_denied_and_say_so(self, session, world) -> None:
        for number in range(MAX_OF_AGENT):
            await hold(session, world.worker, command=f"git push origin branch-{number}")
        reply = await answer(session, world.worker)
        assert (reply.answer, "at most 50" in reply.text) == (DENY, True)
        assert isinstance(await ask(session, world.other_worker, prepare()), HeldCall)
        request = approvals.ApprovalCreate(
            action_type="deploy", confidence=90, lead_reasoning="It is ready."
        )
        await approvals.request_approval(session, world.worker, world.board, request)


class TestPermissions:
    async def grant(
        self, session, world, held: HeldCall, scope=GrantScope.SESSION, *, undo_seconds: float = 0
    ):
        return await tool_calls.approve_for(
            session, world.alice, held.approval_id, scope, undo_seconds=undo_seconds
        )

    async def test_equal_calls_of_the_session_are_allowed(self, session, world) -> None:
        held = await hold(session, world.worker)
        await self.grant(session, world, held)
        await self.grant(session, world, held)  # as a browser that repeats its request
        assert await answer_held(session, held) is not None
        for _ in range(2):
            assert (await answer(session, world.worker)).answer is ALLOW
        await hold(session, world.worker, command="git push --force")
        await hold(session, world.worker, cwd="/home/dev/other")
        await hold(session, world.worker, session_id="session-2")
        await hold(session, world.other_worker)
        page = await tool_calls.list_grants(session, world.worker, Paging())
        assert [(one.scope, one.granted_by, one.is_active) for one in page.items] == [
            ("session", "Alice", True)
        ]
        types = [event.type for event in await list_recorded_events(session)]
        assert types.count(EventType.AGENT_GRANT_CREATED) == 1

    async def test_it_counts_only_if_the_decision_is_final(self, session, world) -> None:
        held = await hold(session, world.worker)
        await self.grant(session, world, held, undo_seconds=8)
        await hold(session, world.worker)
        await approvals.undo_decision(session, world.alice, held.approval_id)
        await decide(session, world, held)  # once
        for one in (await session.scalars(select(ToolCall))).all():
            await session.execute(
                update(ToolCall)
                .where(ToolCall.id == one.id)
                .values(answer=ALLOW, answered_at=now())
            )
        await hold(session, world.worker)
        assert (await tool_calls.list_grants(session, world.worker, Paging())).items == []

    async def test_it_ends_with_the_session_or_when_it_is_revoked(self, session, world) -> None:
        held = await hold(session, world.worker)
        await self.grant(session, world, held)
        await answer_held(session, held)
        ended = SessionEvent(CodingClient.CLAUDE, "session-1", SessionEventKind.ENDED)
        await tool_calls.record_session_event(session, world.worker, ended)
        again = await hold(session, world.worker)
        await self.grant(session, world, again)
        await answer_held(session, again)
        assert (await answer(session, world.worker)).answer is ALLOW
        newest, oldest = (await tool_calls.list_grants(session, world.worker, Paging())).items
        assert (newest.is_active, oldest.is_active) == (True, False)
        with pytest.raises(NotFound):
            await tool_calls.end_grant(session, world.alice, world.other_worker, newest.grant.id)
        await tool_calls.end_grant(session, world.alice, world.worker, newest.grant.id)
        await hold(session, world.worker)

    async def test_a_permission_for_a_task_ends_when_it_is_done(self, session, world) -> None:
        task = world.make_task(
            status=Status.IN_PROGRESS, assigned_agent_id=world.worker.id, in_progress_at=now()
        )
        session.add(task)
        await session.flush()
        held = await hold(session, world.worker)
        await self.grant(session, world, held, GrantScope.TASK)
        assert (await answer(session, world.worker, session_id="session-2")).answer is ALLOW
        task.status, task.in_progress_at = Status.DONE, None
        await session.flush()
        asked = await hold(session, world.worker, session_id="session-2")
        with pytest.raises(Conflict, match="not possible"):
            await self.grant(session, world, asked, GrantScope.TASK)
        task.status, task.in_progress_at = Status.IN_PROGRESS, now()
        await session.flush()
        await hold(session, world.worker, session_id="session-2")

    async def test_without_a_task_there_is_none_for_a_task(self, session, world) -> None:
        held = await hold(session, world.worker)
        with pytest.raises(Conflict, match="not possible"):
            await self.grant(session, world, held, GrantScope.TASK)

    async def test_it_never_weakens_a_rule_that_denies_or_asks_two(self, session, world) -> None:
        held = await hold(session, world.worker)
        await self.grant(session, world, held)
        await answer_held(session, held)
        await set_rule(session, world, PolicyEffect.ASK_TWO, kinds=("tool.bash",))
        asked_two = await hold(session, world.worker)
        with pytest.raises(Conflict, match="not possible"):
            await self.grant(session, world, asked_two)

    async def test_it_does_not_count_once_a_rule_limits_who_decides(self, session, world) -> None:
        held = await hold(session, world.worker)
        await self.grant(session, world, held)
        await answer_held(session, held)
        limited = {"kinds": ("tool.bash",), "decider_role": Role.ADMIN}
        await set_rule(session, world, PolicyEffect.ASK_ONE, **limited)
        again = await hold(session, world.worker)
        await self.grant(session, world, again)
        await answer_held(session, again)
        assert (await answer(session, world.worker)).answer is ALLOW

    async def test_the_settings_of_clients_always_need_a_person(self, session, world) -> None:
        value = {"file_path": "/home/dev/project/.claude/settings.json", "content": "{}"}
        held = await hold(session, world.worker, tool_name="Write", tool_input=value)
        with pytest.raises(Conflict, match="not possible"):
            await self.grant(session, world, held)


async def test_a_moved_agent_leaves_decisions_and_calls_on_its_board(session, world) -> None:
    """People of the earlier board do not decide on the new one, and its readers see nothing."""
    commands = ["git push late", "git push granted", "git push pending"]
    late, granted, _ = [await hold(session, world.worker, command=one) for one in commands]
    await tool_calls.abandon_calls(session, [late], is_cut=True)
    await decide(session, world, late)
    await tool_calls.approve_for(
        session, world.alice, granted.approval_id, GrantScope.SESSION, undo_seconds=0
    )
    deferred = {"command": "git push deferred", "is_headless": True, "tool_use_id": "toolu_1"}
    await answer(session, world.worker, **deferred)
    moved = await session.get_one(Agent, world.worker.id)
    moved.board_id = world.garden.id
    await session.flush()
    assert (await coding_sessions.list_sessions(session, moved, Paging())).total == 0
    for one in commands:
        held = await hold(session, moved, command=one)
        assert (await load_approval(session, held)).board_id == world.garden.id
    for _ in range(2):  # the people of the new board are asked once
        assert (await answer(session, moved, **deferred)).answer is DEFER
    asked = await session.scalars(select(Approval).where(Approval.board_id == world.garden.id))
    assert len(asked.all()) == 4
    assert (await tool_calls.list_calls(session, moved, Paging())).total == 4
    assert (await tool_calls.list_grants(session, moved, Paging())).total == 0


class TestEdits:
    async def edit(self, session, world, held: HeldCall, command: str, **fields):
        return await tool_calls.approve_with_edit(
            session, world.alice, held.approval_id, {"command": command}, undo_seconds=0, **fields
        )

    async def test_the_client_gets_the_edited_input(self, session, world) -> None:
        held = await hold(session, world.worker)
        requested = (await load_approval(session, held)).action_hash
        await self.edit(session, world, held, "git push --dry-run", action_hash=requested)
        approval = await load_approval(session, held)
        assert approval.payload is not None
        assert (approval.status, approval.payload["input"]) == (APPROVED, PUSH)
        assert approval.requested_hash == requested != approval.action_hash
        reply = await answer_held(session, held)
        assert reply is not None
        assert reply.updated_input == {"command": "git push --dry-run"}

    async def test_the_policy_decides_about_the_edited_input_too(self, session, world) -> None:
        await set_rule(session, world, PolicyEffect.DENY, commands=("rm",))
        held = await hold(session, world.worker)
        with pytest.raises(Conflict, match="denies the edited call"):
            await self.edit(session, world, held, "rm -rf /")
        with pytest.raises(Conflict, match="has changed"):
            await self.edit(session, world, held, "ls", action_hash="0" * 64)

    async def test_an_edit_that_is_undone_leaves_the_request_as_it_was(
        self, session, world
    ) -> None:
        held = await hold(session, world.worker)
        approval = await load_approval(session, held)
        requested = (approval.payload, approval.requested_hash)
        await tool_calls.approve_with_edit(
            session, world.alice, held.approval_id, {"command": "ls"}, undo_seconds=8
        )
        await approvals.undo_decision(session, world.alice, held.approval_id)
        approval = await load_approval(session, held)
        assert (approval.payload, approval.action_hash) == requested
        await decide(session, world, held)
        reply = await answer_held(session, held)
        assert reply == ToolReply(ALLOW, "Alice allowed this call.")

    async def test_other_clients_know_no_edits(self, session, world) -> None:
        held = await ask(session, world.worker, prepare(client=CodingClient.CODEX))
        assert isinstance(held, HeldCall)
        with pytest.raises(Conflict, match="does not support edited inputs"):
            await self.edit(session, world, held, "ls")

    async def test_an_edited_input_has_the_limits_of_others(self, session, world) -> None:
        held = await hold(session, world.worker)
        with pytest.raises(Invalid):
            await self.edit(session, world, held, "a" * MAX_INPUT_SIZE)


class TestChangedPolicies:
    """A rule that is added while people are asked."""

    @pytest.mark.parametrize("of_board", [True, False])
    async def test_a_new_rule_allows_the_calls_that_wait(self, session, world, of_board) -> None:
        board = None
        if of_board:
            board = await boards.lock_board(session, world.alice, world.board.id)
        ask_all = PolicyRule(id=new_id(), name="Ask", effect=PolicyEffect.ASK_ONE, tools=("*",))
        await policies.replace_policy(session, world.alice_member, board, [ask_all])
        waiting = await hold(session, world.worker)
        abandoned = await hold(session, world.worker, session_id="session-2")
        await tool_calls.abandon_calls(session, [abandoned])
        other = await hold(session, world.worker, command="git reset --hard")
        await coding_sessions.request_test(session, world.worker, CodingClient.CLAUDE)
        test = await hold(session, world.worker, command=coding_sessions.TEST_COMMAND)
        commands = (PUSH["command"], coding_sessions.TEST_COMMAND)
        allow = PolicyRule(id=new_id(), name="Pushes", effect=PolicyEffect.ALLOW, commands=commands)
        await policies.replace_policy(session, world.alice_member, board, [allow, ask_all])

        for held in (waiting, abandoned):
            approval = await load_approval(session, held)
            decided = approval.status, approval.is_decided_by_policy, approval.decided_by_user_id
            assert decided == (APPROVED, True, None)
            assert approval.policy_verdict.rule_name == "Pushes"
        for held in (other, test):
            assert (await load_approval(session, held)).status == PENDING
        reply = await answer_held(session, waiting)
        assert reply == ToolReply(ALLOW, "Allowed by the rule “Pushes”.")
        assert (await load_call(session, waiting.call_id)).rule_name == "Pushes"
        assert [one.type for one in await list_recorded_events(session)].count(
            EventType.APPROVAL_APPROVED
        ) == 2

    async def test_always_allows_the_equal_calls_of_other_sessions(self, session, world) -> None:
        held, equal = [await hold(session, world.worker, session_id=one) for one in ("s1", "s2")]
        await tool_calls.approve_always(
            session, world.alice_member, held.approval_id, undo_seconds=10
        )
        decided, allowed = [await load_approval(session, one) for one in (held, equal)]
        assert (decided.status, decided.decided_by_user_id) == (PENDING, world.alice.id)
        assert (allowed.status, allowed.is_decided_by_policy) == (APPROVED, True)


class TestReads:
    async def test_an_approval_shows_who_waits(self, session, world) -> None:
        first = await hold(session, world.worker)
        second = await hold(session, world.worker)
        state = (await tool_calls.list_waiting(session, [first.approval_id]))[first.approval_id]
        assert (state.waiting, state.abandoned_at) == (2, None)
        for held in (first, second):
            await tool_calls.abandon_calls(session, [held], is_cut=True)
        state = (await tool_calls.list_waiting(session, [first.approval_id]))[first.approval_id]
        assert (state.waiting, state.waiting_since) == (0, None)
        assert state.abandoned_at is not None
        found = await tool_calls.find_call_of_approval(session, first.approval_id)
        assert found is not None
        assert (found.scopes, found.may_be_edited) == ([GrantScope.SESSION], True)
        types = [event.type for event in await list_recorded_events(session)]
        assert EventType.APPROVAL_WAIT_CHANGED in types


class TestRetention:
    async def test_a_call_is_valid_only_while_its_input_is_kept(self, session, world) -> None:
        await set_rule(session, world, PolicyEffect.ASK_ONE, expires_after=80 * 86_400)
        held = await hold(session, world.worker)
        approval = await load_approval(session, held)
        latest = approval.created_at + approvals.TOOL_CALL_RETENTION
        await decide_approval(session, world.alice, approval)
        assert approval.expires_at == latest
        await approvals.undo_decision(session, world.alice, approval.id)
        assert approval.expires_at == latest

    async def test_inputs_are_deleted_after_30_days(self, session, world) -> None:
        held = await hold(session, world.worker, command="git push https://u:hunter2x@git.test")
        approval = await load_approval(session, held)
        hash = approval.action_hash
        approval.created_at -= timedelta(days=31)
        await session.execute(update(ToolCall).values(asked_at=now() - timedelta(days=31)))
        await session.flush()
        await tool_calls.delete_old_calls(session)
        approval = await load_approval(session, held)
        assert approval.payload is not None
        assert sorted(approval.payload) == ["client", "excerpt", "reason", "session", "tool"]
        assert "git push" in approval.payload["excerpt"]
        assert "hunter2x" not in str(approval.payload)
        assert approval.action_hash == hash
        assert await session.scalar(select(func.count()).select_from(ToolCall)) == 0
        assert await session.scalar(select(func.count()).select_from(CodingSession)) == 1

    async def test_a_permission_is_kept_for_30_days_or_as_long_as_it_counts(
        self, session, world
    ) -> None:
        task = world.make_task(
            status=Status.IN_PROGRESS,
            assigned_agent_id=world.worker.id,
            in_progress_at=now() - timedelta(days=32),
        )
        session.add(task)
        await session.flush()
        held = await hold(session, world.worker)
        await tool_calls.approve_for(
            session, world.alice, held.approval_id, GrantScope.TASK, undo_seconds=0
        )
        given_at = now() - timedelta(days=31)
        await session.execute(update(Approval).values(decided_at=given_at))
        await session.execute(update(ToolGrant).values(created_at=given_at))
        await tool_calls.delete_old_calls(session)
        [grant] = (await tool_calls.list_grants(session, world.worker, Paging())).items
        assert grant.is_active
        task.status = Status.DONE
        await session.flush()
        await tool_calls.delete_old_calls(session)
        assert (await tool_calls.list_grants(session, world.worker, Paging())).items == []
