"""Answer the tool calls that clients ask for: by the policy, by a permission, or by people.

A call that needs people is held: its row has no answer, and the request of its client waits without
a transaction until its approval is final. Calls of one session are answered one after the other:
the row of the session is locked (`coding_sessions.record_signal`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Uuid, bindparam, func, or_, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.reads import Query
from core.db.transactions import Write
from core.errors import AppError, Conflict
from models import (
    USER_NAME,
    Agent,
    Approval,
    ApprovalStatus,
    Board,
    ClientConnection,
    CodingClient,
    CodingSession,
    EventType,
    PolicyEffect,
    PolicyVerdict,
    ToolAnswer,
    ToolCall,
    User,
    new_id,
)
from services import approvals, boards, coding_sessions, events, policies
from services.approvals import EDITED_INPUT, ApprovalCreate
from services.coding_sessions import CONNECTION_TEST, TEST_COMMAND, SessionEvent, SessionEventKind
from services.policies import ToolVerdict
from services.tool_calls.clients import ToolRequest
from services.tool_calls.grants import end_session_grants, find_grant, list_limits
from services.tool_facts import ToolFacts, build_excerpt, hash_request, read_facts

MAX_OF_AGENT = 50  # calls that are held, and approvals of calls that are undecided
MAX_OF_ORGANIZATION = 200  # the same
LATE_PERIOD = timedelta(minutes=15)  # after a decision, in which the next identical call gets it
DELIVERY_TIME = timedelta(seconds=1)  # after a decision, until a held call must have its answer

TOO_LARGE = (
    "The input of this call is larger than 100 kB, so nobody can read it before it is allowed. Use"
    " several smaller calls."
)
NO_BOARD = "This agent has no board, so nobody can decide about its calls. A person must move it."
REPLAYED = "This call was answered before, or had another input. Make a new call."
STILL_WAITING = (
    "Mission Control is still waiting for a person to decide this call. Ask again: make the same"
    " call once more. If the decision comes first, that call gets it."
)
MOVED = "This agent was moved to another board while people were asked. Make a new call."
NOT_WAITING = "This call was asked again, or its request was deleted. Make a new call."
LIMITED = (
    "Too many calls wait for people: at most %(of_agent)s of an agent and %(of_organization)s of an"
    " organization. Ask again when people have decided some of them."
)


@dataclass(frozen=True)
class PreparedCall:
    """A question with what follows from it: facts for policies, the hash, and what is stored."""

    request: ToolRequest
    facts: ToolFacts | None  # None if the input is too large
    request_hash: str
    excerpt: str


def prepare_call(request: ToolRequest) -> PreparedCall:
    """Read the facts of a call. It takes up to some 10 ms, so call it outside of transactions."""
    is_large = request.is_too_large
    return PreparedCall(
        request,
        None if is_large else read_facts(request.client, request.tool, request.input, request.cwd),
        hash_request(request.tool, request.input, request.cwd),
        "" if is_large else build_excerpt(request.input),
    )


@dataclass(frozen=True)
class ToolReply:
    """The answer to a tool call, and a text for the model."""

    answer: ToolAnswer
    text: str
    updated_input: Mapping[str, Any] | None = None  # what the client must use instead


@dataclass(frozen=True)
class HeldCall:
    """A call that waits for a decision, without its input."""

    call_id: UUID
    approval_id: UUID
    agent_id: UUID
    client: CodingClient
    since: datetime
    waits_until: datetime  # another one is stored when the call was asked for again
    is_test: bool = False  # it gets no answer before TEST_SECONDS have passed


@dataclass(frozen=True)
class _Basis:
    """Why a call is answered as it is, or held. `code` is stored."""

    answer: ToolAnswer | None
    code: str
    text: str = ""
    rule_name: str | None = None
    approval_id: UUID | None = None
    grant_id: UUID | None = None
    updated_input: Mapping[str, Any] | None = None
    waits_until: datetime | None = None

    @property
    def reply(self) -> ToolReply:
        assert self.answer is not None
        return ToolReply(self.answer, self.text, self.updated_input)


def _deny(code: str, text: str) -> _Basis:
    return _Basis(ToolAnswer.DENY, code, text)


async def ask(
    session: AsyncSession, agent: Agent, call: PreparedCall, *, wait: timedelta
) -> ToolReply | HeldCall:
    """Answer a tool call of an agent, or hold it for at most `wait`.

    A call that is answered at once needs no lock of the board. Commit before the client gets the
    answer, and before anything waits.
    """
    board, denial = await boards.find_board_and_hold(session, agent)
    if board is None:
        return await _answer_at_once(session, agent, call, _deny("no_board", NO_BOARD))
    if denial is not None:
        return await _answer_at_once(session, agent, call, _refuse(denial))
    if call.facts is None:
        return await _answer_at_once(session, agent, call, _deny("too_large", TOO_LARGE))
    found = await policies.evaluate_tool_call(session, board, agent.id, call.facts, now())
    if await _is_test(session, agent, call, found):
        asks = found.verdict.effect is PolicyEffect.ASK_ONE
        found = ToolVerdict(found.verdict if asks else PolicyVerdict(), CONNECTION_TEST)
    if (basis := _read_verdict(found)) is not None:
        return await _answer_at_once(session, agent, call, basis)
    return await _ask_people(session, agent, call, found, wait)


async def _is_test(
    session: AsyncSession, agent: Agent, call: PreparedCall, found: ToolVerdict
) -> bool:
    """Return whether a call is the one with which people test the connection of its client."""
    assert call.facts is not None
    commands = [one.text for one in call.facts.commands]
    if commands != [TEST_COMMAND] or call.request.is_headless:
        return False
    if found.verdict.effect not in (PolicyEffect.ALLOW, PolicyEffect.ASK_ONE):
        return False
    assert agent.board_id is not None
    await boards.lock_board(session, agent, agent.board_id)
    return await coding_sessions.claim_test(session, agent, call.request.client)


def _refuse(error: AppError) -> _Basis:
    """Return the denial for an agent that may not work now."""
    return _deny(error.code, error.message)


def _read_verdict(found: ToolVerdict) -> _Basis | None:
    """Return the answer that the policy gives without people, if it does."""
    verdict = found.verdict
    rule = _name_rule(verdict)
    if verdict.effect is PolicyEffect.ALLOW:
        text = f"Allowed by {rule}."
        return _Basis(ToolAnswer.ALLOW, found.reason, text, verdict.rule_name)
    if verdict.effect is PolicyEffect.DENY:
        text = f"Denied by {rule} of Mission Control. Do not try the same in another way."
        return _Basis(ToolAnswer.DENY, found.reason, text, verdict.rule_name)
    return None


def _name_rule(verdict: PolicyVerdict) -> str:
    return f"the rule “{verdict.rule_name}”" if verdict.rule_name else "the policy"


async def _answer_at_once(
    session: AsyncSession, agent: Agent, call: PreparedCall, basis: _Basis
) -> ToolReply:
    coding_session = await _record_signal(session, agent, call.request)
    call_id = await _add_call(session, agent, coding_session, call, basis)
    if call_id is None:
        known = await _find_known_call(session, coding_session, call)
        basis = await _answer_known_call(session, agent, coding_session, call, known, basis)
    await _record_session_events(session, agent, coding_session)
    return basis.reply


async def _record_signal(
    session: AsyncSession, agent: Agent, request: ToolRequest
) -> CodingSession:
    """Record that a session has asked, and lock it."""
    return await coding_sessions.record_signal(
        session,
        agent,
        request.client,
        request.session_key,
        cwd=request.cwd,
        model=request.model,
        is_call=True,
    )


async def _record_session_events(
    session: AsyncSession,
    agent: Agent,
    coding_session: CodingSession,
    *more: events.NewEvent,
    is_changed: bool = False,
) -> None:
    """Record events last, with that of a session that is new or now waits for people."""
    is_new = coding_session.started_at == coding_session.last_signal_at
    changed = [coding_sessions.build_change_event(agent, coding_session)]
    if new_events := [*more, *(changed if is_new or is_changed else ())]:
        await events.record_events(session, new_events)


async def _add_call(
    session: AsyncSession,
    agent: Agent,
    coding_session: CodingSession,
    call: PreparedCall,
    basis: _Basis,
    *,
    has_key: bool = True,
) -> UUID | None:
    """Insert a call, and return its id; None if the session has a call with the same key."""
    at = now()
    rows = await ADD_CALL.execute(
        session,
        id=new_id(),
        organization_id=agent.organization_id,
        board_id=agent.board_id,
        agent_id=agent.id,
        session_id=coding_session.id,
        call_key=call.request.call_key if has_key else None,
        tool=call.request.tool,
        request_hash=call.request_hash,
        input_excerpt=call.excerpt,
        facts=call.facts.to_json() if call.facts else {},
        asked_at=at,
        is_ungated=False,
        **_list_values(basis, at),
    )
    return rows[0]["id"] if rows else None


ADD_CALL = Write(
    insert(ToolCall)
    .on_conflict_do_nothing(
        index_elements=["session_id", "call_key"], index_where=ToolCall.call_key.is_not(None)
    )
    .returning(ToolCall.id),
    [
        *("id", "organization_id", "board_id", "agent_id", "session_id", "call_key", "tool"),
        *("request_hash", "input_excerpt", "facts", "asked_at", "is_ungated", "reason"),
        *("rule_name", "approval_id", "grant_id", "answer", "answered_at", "waits_until"),
        "abandoned_at",
    ],
)


def _list_values(basis: _Basis, at: datetime) -> dict[str, Any]:
    return {
        "reason": basis.code,
        "rule_name": basis.rule_name,
        "approval_id": basis.approval_id,
        "grant_id": basis.grant_id,
        "answer": basis.answer,
        "answered_at": at if basis.answer else None,
        "waits_until": basis.waits_until,
        "abandoned_at": None,
    }


async def _find_known_call(
    session: AsyncSession, coding_session: CodingSession, call: PreparedCall
) -> ToolCall | None:
    """Return the call of the locked session with the same key."""
    if call.request.call_key is None:
        return None
    return await KNOWN_CALL.first(
        session, session_id=coding_session.id, call_key=call.request.call_key
    )


KNOWN_CALL: Query[ToolCall] = Query(
    select(ToolCall)
    .where(
        ToolCall.session_id == bindparam("session_id", type_=Uuid()),
        ToolCall.call_key == bindparam("call_key"),
    )
    .with_for_update(key_share=True)
    .execution_options(populate_existing=True),
    itemgetter(0),
)


def _may_ask_again(known: ToolCall, call: PreparedCall) -> bool:
    """Return whether a call with this key may be asked for again: it has had no final answer.

    A call that telemetry has reported was executed without a question.
    """
    is_open = known.answer in (None, ToolAnswer.DEFER) and not known.is_ungated
    return is_open and known.request_hash == call.request_hash


async def _answer_known_call(
    session: AsyncSession,
    agent: Agent,
    coding_session: CodingSession,
    call: PreparedCall,
    known: ToolCall | None,
    basis: _Basis,
) -> _Basis:
    """Store the answer of a call whose key is known; an answer is given once."""
    if known is None or not _may_ask_again(known, call):
        basis = _deny("replayed", REPLAYED)
        await _add_call(session, agent, coding_session, call, basis, has_key=False)
        return basis
    await _update_call(session, agent, known.id, basis)
    return basis


async def _update_call(session: AsyncSession, agent: Agent, call_id: UUID, basis: _Basis) -> None:
    """Store what follows from a call that was asked for again, maybe on another board."""
    values = {**_list_values(basis, now()), "board_id": agent.board_id}
    await session.execute(
        update(ToolCall)
        .where(ToolCall.id == call_id)
        .values(values)
        .execution_options(synchronize_session=False)
    )


async def _ask_people(
    session: AsyncSession, agent: Agent, call: PreparedCall, found: ToolVerdict, wait: timedelta
) -> ToolReply | HeldCall:
    """Answer a call by a permission or an earlier decision, or hold it for people."""
    assert agent.board_id is not None
    board = await boards.lock_board(session, agent, agent.board_id)
    try:
        await boards.check_agent_may_work(session, board, agent)
    except Conflict as error:
        return await _answer_at_once(session, agent, call, _refuse(error))
    coding_session = await _record_signal(session, agent, call.request)
    known = await _find_known_call(session, coding_session, call)
    if known is not None and not _may_ask_again(known, call):
        basis = await _answer_known_call(session, agent, coding_session, call, known, _NO_BASIS)
        await _record_session_events(session, agent, coding_session)
        return basis.reply
    basis = await _find_earlier_answer(session, coding_session, call, found, known)
    new_events: list[events.NewEvent] = []
    if basis is None:
        basis, new_events = await _request_decision(
            session, agent, board, coding_session, call, found, known, wait
        )
    call_id = known.id if known is not None else None
    if call_id is None:
        call_id = await _add_call(session, agent, coding_session, call, basis)
    else:
        await _update_call(session, agent, call_id, basis)
    assert call_id is not None  # the session is locked
    await _record_session_events(
        session, agent, coding_session, *new_events, is_changed=basis.answer is None
    )
    if basis.answer is not None:
        return basis.reply
    assert basis.approval_id is not None
    assert basis.waits_until is not None
    return HeldCall(
        call_id,
        basis.approval_id,
        agent.id,
        call.request.client,
        since=now(),
        waits_until=basis.waits_until,
        is_test=basis.code == CONNECTION_TEST,
    )


_NO_BASIS = _Basis(None, "")


async def _find_earlier_answer(
    session: AsyncSession,
    coding_session: CodingSession,
    call: PreparedCall,
    found: ToolVerdict,
    known: ToolCall | None,
) -> _Basis | None:
    """Return the answer of a permission or of a decision about an identical call, if any."""
    if found.reason == CONNECTION_TEST:
        return None
    verdict = found.verdict
    if verdict.effect is PolicyEffect.ASK_ONE and found.reason != "client_config":
        grant = await find_grant(session, coding_session, call.request_hash, verdict)
        if grant is not None:
            text = "A person has allowed this call for the rest of the session."
            if grant.task_id is not None:
                text = "A person has allowed this call until the task is done."
            return _Basis(
                ToolAnswer.ALLOW, "grant", text, verdict.rule_name, None, grant_id=grant.id
            )
    decision = await EQUAL_CALL_DECISION.first(
        session,
        session_id=coding_session.id,
        request_hash=call.request_hash,
        board_id=coding_session.board_id,
    )
    if decision is None or not await _claim(session, decision, verdict, known):
        return None
    return _Basis(
        decision.answer,
        "deferred" if known is not None and known.answer is ToolAnswer.DEFER else "late_decision",
        decision.text,
        decision.approval.policy_verdict.rule_name,
        decision.approval.id,
        updated_input=decision.updated_input,
    )


@dataclass(frozen=True)
class _Decision:
    """An approval of a tool call, with the name of the person who decided it."""

    approval: Approval
    decider_name: str | None

    @property
    def is_final(self) -> bool:
        return self.approval.status is not ApprovalStatus.PENDING

    @property
    def answer(self) -> ToolAnswer:
        is_approved = self.approval.status is ApprovalStatus.APPROVED
        return ToolAnswer.ALLOW if is_approved else ToolAnswer.DENY

    @property
    def text(self) -> str:
        """What the model reads."""
        approval = self.approval
        if approval.is_decided_by_policy:
            is_allowed = self.answer is ToolAnswer.ALLOW
            done = f"Allowed by {_name_rule(approval.policy_verdict)}." if is_allowed else ""
            return approval.decision_note or done or "Denied by the policy."
        note = f": {approval.decision_note}" if approval.decision_note else "."
        done = "allowed" if self.answer is ToolAnswer.ALLOW else "denied"
        return f"{self.decider_name or 'A former member'} {done} this call{note}"

    @property
    def updated_input(self) -> Mapping[str, Any] | None:
        """What the person allowed instead of the input of the call."""
        return (self.approval.payload or {}).get(EDITED_INPUT)


SELECT_DECISIONS = select(Approval, USER_NAME).outerjoin(
    User, User.id == Approval.decided_by_user_id
)
EQUAL_CALL_DECISION: Query[_Decision] = Query(
    SELECT_DECISIONS.join(ToolCall, ToolCall.approval_id == Approval.id)
    .where(
        ToolCall.session_id == bindparam("session_id", type_=Uuid()),
        ToolCall.request_hash == bindparam("request_hash"),
        ToolCall.board_id == bindparam("board_id", type_=Uuid()),
        ~ToolCall.is_ungated,
    )
    .order_by(Approval.created_at.desc())
    .limit(1)
    .execution_options(populate_existing=True),
    lambda row: _Decision(*row),
)
"""The newest approval of identical calls of a session by the people of its board."""


async def _claim(
    session: AsyncSession, decision: _Decision, verdict: PolicyVerdict, known: ToolCall | None
) -> bool:
    """Return whether a final decision about identical calls answers this call too. Once it does.

    It does if the call was deferred, or if nobody waited for the decision: all connections had
    closed, or the server that held them was killed. Calls that are still held one second after the
    decision count as abandoned, and are marked first, so that they cannot be answered as well.
    """
    approval, at = decision.approval, now()
    if not decision.is_final or approval.is_decided_by_policy or approval.resolved_at is None:
        return False
    is_expired = approval.expires_at is not None and approval.expires_at <= at
    if is_expired or not _satisfies(approval.policy_verdict, verdict):
        return False
    if known is not None and known.approval_id == approval.id and known.answer is ToolAnswer.DEFER:
        return True
    if at - approval.resolved_at > LATE_PERIOD:
        return False
    if at - approval.resolved_at >= DELIVERY_TIME:
        await session.execute(
            update(ToolCall)
            .where(_lock_calls(ToolCall.approval_id == approval.id, IS_HELD))
            .values(abandoned_at=at)
            .execution_options(synchronize_session=False)
        )
    return not await session.scalar(
        select(
            select(ToolCall.id)
            .where(
                ToolCall.approval_id == approval.id,
                or_(ToolCall.answer.is_not(None), ToolCall.abandoned_at.is_(None)),
            )
            .exists()
        )
    )


def _satisfies(earlier: PolicyVerdict, verdict: PolicyVerdict) -> bool:
    """Return whether those who decide by an earlier verdict may decide by this one, too."""
    are_enough = earlier.required_approvals >= verdict.required_approvals
    return are_enough and list_limits(earlier) == list_limits(verdict)


IS_HELD = ToolCall.answer.is_(None) & ToolCall.abandoned_at.is_(None)


def _lock_calls(*conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    """Select calls for an update, locked in one order, so that no updates wait for each other."""
    ids = select(ToolCall.id).where(*conditions).order_by(ToolCall.id)
    return ToolCall.id.in_(ids.with_for_update(key_share=True))


def _is_one_of(held: Sequence[HeldCall]) -> ColumnElement[bool]:
    """Select the calls for which these requests wait; another one waits if it was asked again."""
    keys = [(one.call_id, one.waits_until) for one in held]
    return tuple_(ToolCall.id, ToolCall.waits_until).in_(keys)


async def _request_decision(
    session: AsyncSession,
    agent: Agent,
    board: Board,
    coding_session: CodingSession,
    call: PreparedCall,
    found: ToolVerdict,
    known: ToolCall | None,
    wait: timedelta,
) -> tuple[_Basis, list[events.NewEvent]]:
    """Ask people about a call of a locked session and board, and return the events to record.

    Identical calls share an approval until it is final.
    """
    request = call.request
    counts = await COUNTS.first(
        session, organization_id=board.organization_id, agent_id=agent.id, at=now()
    )
    assert counts is not None
    held, held_of_all, undecided, undecided_of_all = counts
    pending = await PENDING_OF_EQUAL_CALLS.first(
        session,
        session_id=coding_session.id,
        request_hash=call.request_hash,
        board_id=coding_session.board_id,
    )
    if pending is not None and not _satisfies(pending.policy_verdict, found.verdict):
        pending = None
    is_limited = not request.is_headless and (
        held >= MAX_OF_AGENT or held_of_all >= MAX_OF_ORGANIZATION
    )
    is_new_limited = pending is None and (
        undecided >= MAX_OF_AGENT or undecided_of_all >= MAX_OF_ORGANIZATION
    )
    if is_limited or is_new_limited:
        limits = {"of_agent": MAX_OF_AGENT, "of_organization": MAX_OF_ORGANIZATION}
        return _deny("limited", LIMITED % limits), []
    new_event: events.NewEvent | None = None
    if pending is None:
        detail, new_event = await approvals.request_tool_approval(
            session, agent, board, _build_request(request, found), found.verdict
        )
        pending = detail.approval
    elif known is None or known.approval_id != pending.id:
        pending.request_count += 1
        await session.flush()
    if new_event is None:
        new_event = _build_wait_event(agent, board, pending)
    code, rule_name = found.reason, found.verdict.rule_name
    if request.is_headless:
        text = "A person must decide this call. Resume the session when they have."
        basis = _Basis(ToolAnswer.DEFER, code, text, rule_name, pending.id)
    else:
        basis = _Basis(None, code, "", rule_name, pending.id, waits_until=now() + wait)
    return basis, [new_event]


def _build_request(request: ToolRequest, found: ToolVerdict) -> ApprovalCreate:
    """Build the request for people, with the exact input."""
    payload = {
        "client": request.client.value,
        "session": request.session_key,
        "tool": request.tool,
        "input": request.input,
        "cwd": request.cwd,
        "reason": _explain(found),
    }
    values = {"action_type": request.kind, "confidence": 0, "payload": payload}
    return ApprovalCreate.parse(values)


def _explain(found: ToolVerdict) -> str:
    """Return why people are asked."""
    if found.verdict.rule_name:
        return f"The rule “{found.verdict.rule_name}” asks people."
    return {
        "client_config": "It can change the settings of a client, which always needs a person.",
        "not_understood": "What it does is not understood, so a person is needed.",
        CONNECTION_TEST: "It tests the connection.",
    }.get(found.reason, "No rule allows it.")


PENDING_OF_EQUAL_CALLS: Query[Approval] = Query(
    select(Approval)
    .join(ToolCall, ToolCall.approval_id == Approval.id)
    .where(
        ToolCall.session_id == bindparam("session_id", type_=Uuid()),
        ToolCall.request_hash == bindparam("request_hash"),
        ToolCall.board_id == bindparam("board_id", type_=Uuid()),
        Approval.status == ApprovalStatus.PENDING,
    )
    .order_by(Approval.created_at.desc())
    .limit(1)
    .execution_options(populate_existing=True),
    itemgetter(0),
)


def _build_counts() -> Query[tuple[int, int, int, int]]:
    """Build the query of what an agent and its organization have held and undecided."""
    is_own = ToolCall.agent_id == bindparam("agent_id", type_=Uuid())
    held = select(
        func.count().filter(is_own).label("own"), func.count().label("all_of_them")
    ).where(
        ToolCall.organization_id == bindparam("organization_id", type_=Uuid()),
        IS_HELD,
        ToolCall.waits_until > bindparam("at"),
    )
    is_own = Approval.agent_id == bindparam("agent_id", type_=Uuid())
    undecided = (
        select(func.count().filter(is_own).label("own"), func.count().label("all_of_them"))
        .join(Board, Board.id == Approval.board_id)
        .where(
            Board.organization_id == bindparam("organization_id", type_=Uuid()),
            Approval.is_tool_call,
            Approval.status == ApprovalStatus.PENDING,
            Approval.decided_status.is_(None),
        )
    )
    one, two = held.subquery("held"), undecided.subquery("undecided")
    return Query(select(one.c.own, one.c.all_of_them, two.c.own, two.c.all_of_them))


COUNTS = _build_counts()


def _build_wait_event(agent: Agent, board: Board, approval: Approval) -> events.NewEvent:
    """Build the event that shows on pages who waits."""
    return events.NewEvent(
        EventType.APPROVAL_WAIT_CHANGED,
        agent,
        organization_id=board.organization_id,
        board=board,
        approval=approval,
        data={"question": approvals.format_question(approval.action_type)},
    )


async def answer_held_calls(
    session: AsyncSession, held: Sequence[HeldCall]
) -> dict[HeldCall, ToolReply]:
    """Answer the held calls of one approval with its decision; there are none before it is final.

    Calls that share an approval are of one session. An agent that may not work now gets no answer:
    the next identical call can have it. One that is on another board now gets a denial, because
    other people decide there.
    """
    row = await OF_APPROVAL.first(session, approval_id=held[0].approval_id)
    if row is None:
        return _deny_all(held, NOT_WAITING)
    agent, coding_session, approval, _, decider_name = row
    if agent.board_id != approval.board_id:
        await abandon_calls(session, held)
        return _deny_all(held, MOVED)
    decision = _Decision(approval, decider_name)
    if not decision.is_final:
        return {}
    if not await boards.block_agent_deletion(session, agent.id):
        return _deny_all(held, NOT_WAITING)
    _, denial = await boards.find_board_and_hold(session, agent)
    if denial is not None:
        await abandon_calls(session, held)
        return _deny_all(held, denial.message)
    at = now()
    values: dict[str, Any] = {"answer": decision.answer, "answered_at": at}
    if approval.is_decided_by_policy:  # another rule may have asked people
        values["rule_name"] = approval.policy_verdict.rule_name
    rows = await session.execute(
        update(ToolCall)
        .where(_lock_calls(_is_one_of(held), IS_HELD))
        .values(values)
        .returning(ToolCall.id, ToolCall.waits_until)
        .execution_options(synchronize_session=False)
    )
    waiting = {(one.call_id, one.waits_until): one for one in held}
    answered = [waiting[row.id, row.waits_until] for row in rows]
    if answered:
        await _record_wait(session, answered, "held_seconds", at)
        changed = coding_sessions.build_change_event(agent, coding_session)
        await events.record_events(session, [changed])
    reply = ToolReply(decision.answer, decision.text, decision.updated_input)
    return _deny_all(held, NOT_WAITING) | dict.fromkeys(answered, reply)


def _deny_all(held: Sequence[HeldCall], text: str) -> dict[HeldCall, ToolReply]:
    return dict.fromkeys(held, ToolReply(ToolAnswer.DENY, text))


OF_APPROVAL: Query[tuple[Agent, CodingSession, Approval, Board, str | None]] = Query(
    select(Agent, CodingSession, Approval, Board, USER_NAME)
    .select_from(ToolCall)
    .join(Agent, Agent.id == ToolCall.agent_id)
    .join(CodingSession, CodingSession.id == ToolCall.session_id)
    .join(Approval, Approval.id == ToolCall.approval_id)
    .join(Board, Board.id == Approval.board_id)
    .outerjoin(User, User.id == Approval.decided_by_user_id)
    .where(ToolCall.approval_id == bindparam("approval_id", type_=Uuid()))
    .limit(1)
    .execution_options(populate_existing=True)
)
"""What the calls of an approval have in common."""


async def abandon_calls(
    session: AsyncSession,
    held: Sequence[HeldCall],
    *,
    is_cut: bool = False,
    is_shown: bool = True,
) -> None:
    """Record that nobody waits for calls any more; an answer that was not sent is taken back.

    `is_cut`: the connection has closed, instead of the wait having ended. It is shown on open
    pages, for calls of one approval, unless the server stops: they are loaded again.
    """
    if is_shown and not await boards.block_agent_deletion(session, held[0].agent_id):
        return
    at = now()
    abandoned = await session.scalars(
        update(ToolCall)
        .where(_lock_calls(_is_one_of(held), ToolCall.abandoned_at.is_(None)))
        .values(answer=None, answered_at=None, abandoned_at=at)
        .returning(ToolCall.id)
        .execution_options(synchronize_session=False)
    )
    if not abandoned.all() or not is_shown:
        return
    row = await OF_APPROVAL.first(session, approval_id=held[0].approval_id)
    if row is None:
        return
    agent, coding_session, approval, board, _ = row
    if is_cut:
        await _record_wait(session, held, "cut_seconds", at)
    wait_changed = _build_wait_event(agent, board, approval)
    session_changed = coding_sessions.build_change_event(agent, coding_session)
    await events.record_events(session, [wait_changed, session_changed])


async def _record_wait(
    session: AsyncSession, held: Sequence[HeldCall], name: str, at: datetime
) -> None:
    """Record for how long a connection of the client was held, for the check of the connection."""
    first = min(held, key=lambda one: one.since)
    seconds: Any = (at - first.since).total_seconds()
    if name == "held_seconds":
        seconds = func.greatest(func.coalesce(ClientConnection.held_seconds, 0), seconds)
    await session.execute(
        update(ClientConnection)
        .where(ClientConnection.agent_id == first.agent_id, ClientConnection.client == first.client)
        .values({name: seconds})
        .execution_options(synchronize_session=False)
    )


async def record_session_event(session: AsyncSession, agent: Agent, event: SessionEvent) -> None:
    """Record what a hook reports that asks nothing. The end of a session ends its permissions."""
    coding_session = await coding_sessions.record_event(session, agent, event)
    if event.kind is SessionEventKind.ENDED:
        await end_session_grants(session, coding_session)
