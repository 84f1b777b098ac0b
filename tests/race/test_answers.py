"""Answers that are accepted once, and numbers that are given once, with real commits."""

from collections import Counter
from typing import Any

from sqlalchemy import func, select

from core.db.engine import TransactionFactory
from core.errors import Conflict
from models import (
    AuditRecord,
    Event,
    EventType,
    GatewayRequest,
    IdempotencyKey,
    Note,
    RequestState,
    UserQuestionRecord,
)
from services import audit, boards, idempotency, memory
from services.audit import AuditAction, AuditObject, NewAuditRecord
from services.gateways import requests
from services.gateways.requests import GatewayAnswer
from services.idempotency import IdempotentRequest, StoredResponse
from services.memory import NoteCreate
from tests.race.test_onboarding import add_gateway
from tests.support.gateway_rows import make_gateway, make_gateway_request
from tests.support.rounds import ROUNDS, Operation, run_concurrently, run_rounds
from tests.support.secret_key import CIPHER
from tests.support.world import World

ANSWER = StoredResponse(200, {}, "{}")


def get_conflicts(results: list[Any]) -> list[str]:
    """Return the codes of the conflicts; fail for other errors."""
    errors = [one for one in results if isinstance(one, BaseException)]
    assert all(isinstance(one, Conflict) for one in errors), errors
    return [one.code for one in errors]


async def test_a_gateway_request_is_answered_once(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    world = isolated_world
    gateway = make_gateway(world.tern)
    rows = [make_gateway_request(gateway, world.worker, exact=f"ls {n}") for n in range(ROUNDS)]
    async with isolated_transaction() as session:
        session.add(gateway)
        await session.flush()
        session.add_all(rows)
    given = [(world.alice, "allow-once"), (world.bob, "deny")]

    async def answer_twice(request: GatewayRequest) -> None:
        results = await run_concurrently(
            isolated_transaction,
            *[
                lambda session, user=user, decision=decision: requests.answer_request(
                    session,
                    user,
                    request.id,
                    GatewayAnswer(sha256=request.sha256, decision=decision),
                )
                for user, decision in given
            ],
        )
        assert get_conflicts(results) == ["already_answered"]
        winner, decision = given[isinstance(results[0], Exception)]
        async with isolated_transaction() as session:
            stored = await session.get_one(GatewayRequest, request.id)
            assert stored.state is RequestState.ANSWERING
            assert stored.answered_by_user_id == winner.id
            assert stored.answer == {"decision": decision}

    await run_rounds(rows, answer_twice)
    async with isolated_transaction() as session:
        answered = select(Event.data["request_id"].astext)
        answered = answered.where(Event.type == EventType.GATEWAY_REQUEST_ANSWERED)
        assert Counter(await session.scalars(answered)) == Counter(str(row.id) for row in rows)


async def test_a_reply_of_a_user_is_accepted_once(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    main = await add_gateway(isolated_transaction, isolated_world)
    board_id = isolated_world.board.id
    questions = [f"question-{number}" for number in range(ROUNDS)]
    async with isolated_transaction() as session:
        board = await boards.lock_board(session, isolated_world.alice, board_id)
        for question in questions:
            await memory.record_user_question(session, board, main, question)

    def replying(question: str, content: str) -> Operation:
        async def reply(session: Any) -> None:
            scope = memory.board_scope(await boards.lock_board(session, main, board_id))
            draft = NoteCreate(content=content, tags=["user_reply"], correlation_id=question)
            await memory.create_note(session, main, scope, draft, base_url="http://mc.test")

        return reply

    async def reply_twice(question: str) -> None:
        replies = [replying(question, content) for content in ("Yes.", "No.")]
        results = await run_concurrently(isolated_transaction, *replies)
        assert get_conflicts(results) == ["user_question_not_open"]

    await run_rounds(questions, reply_twice)
    async with isolated_transaction() as session:
        assert await session.scalar(select(func.count()).select_from(Note)) == ROUNDS
        is_open = UserQuestionRecord.answered_at.is_(None)
        assert await session.scalar(select(func.count()).where(is_open)) == 0


async def test_an_idempotency_key_is_claimed_once(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    """Each of the other requests gets a conflict or the stored response."""
    executed: Counter[str] = Counter()

    async def request_thrice(key: str) -> None:
        requested = IdempotentRequest(isolated_world.alice.id, key, "f")

        async def execute(session: Any) -> StoredResponse:
            stored = await idempotency.claim_key(session, requested, CIPHER)
            if stored is None:
                executed[key] += 1
                await idempotency.store_response(session, requested, ANSWER, CIPHER)
            return stored or ANSWER

        results = await run_concurrently(isolated_transaction, *[execute] * 3)
        assert set(get_conflicts(results)) <= {"idempotency_key_in_use"}

    keys = [f"key {number}" for number in range(ROUNDS)]
    await run_rounds(keys, request_thrice, at_once=3)
    assert executed == Counter(keys)
    async with isolated_transaction() as session:
        assert await session.scalar(select(func.count()).select_from(IdempotencyKey)) == ROUNDS


async def test_the_numbers_of_an_audit_chain_have_no_gap_and_no_repeat(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    """Also when some of the transactions are rolled back."""
    chains = [None, isolated_world.tern.id, isolated_world.plover.id]

    async def record(number: int) -> None:
        async def write(session: Any, *, keeps: bool) -> None:
            target = AuditObject("token", None, f"No. {number}")
            records = [
                NewAuditRecord(AuditAction.TOKEN_CREATED, target, organization_id=chain)
                for chain in chains
            ]
            await audit.record_audit(session, records)
            if not keeps:
                await session.rollback()

        await run_concurrently(
            isolated_transaction,
            lambda session: write(session, keeps=True),
            lambda session: write(session, keeps=False),
        )

    await run_rounds(range(ROUNDS), record)
    async with isolated_transaction() as session:
        query = select(AuditRecord).where(AuditRecord.action == AuditAction.TOKEN_CREATED)
        rows = (await session.scalars(query.order_by(AuditRecord.sequence))).all()
    for chain in chains:
        records = [row for row in rows if row.organization_id == chain]
        first = records[0].sequence
        assert [row.sequence for row in records] == list(range(first, first + ROUNDS))
        hashes = [row.hash for row in records[:-1]]
        assert [row.previous_hash for row in records[1:]] == hashes
