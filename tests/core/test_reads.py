"""Statements that are compiled once give the same values on read connections as in transactions."""

import asyncio
import threading
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Double, Float, Integer, Numeric, bindparam, cast, select, true

from core.db.compiled_statement import CompiledStatement
from core.db.engine import TransactionFactory
from core.db.reads import CombinedQuery, Query, cache_queries, choose_columns
from models import Agent, Board, Status, Task
from tests.support.app_on_transactions import ReadsOn
from tests.support.world import World

NUMBER_TYPES = [
    (Float(), 2.5),
    (Double(), 2.5),
    (Numeric(), Decimal("2.5")),
    (Numeric(asdecimal=False), 2.5),
]


@pytest.mark.parametrize(("type", "expected"), NUMBER_TYPES)
async def test_numbers_have_the_same_type_on_every_connection(
    transaction: TransactionFactory, type: Numeric, expected: object
) -> None:
    query: Query[tuple[object]] = Query(select(cast(bindparam("number", type_=Double), type)))
    async with ReadsOn(transaction).acquire() as reader:
        [(read,)] = await query.fetch(reader, number=2.5)
    async with transaction() as session:
        [(found,)] = await query.fetch(session, number=2.5)
    assert repr(read) == repr(found) == repr(expected)


async def test_read_connections_load_only_chosen_columns(
    transaction: TransactionFactory, world: World
) -> None:
    statement = select(Agent, Board).join(Board, Board.id == Agent.board_id)
    statement = statement.where(Agent.id == world.worker.id)
    query = Query(choose_columns(statement, {Agent: ("id", "name")}))
    async with ReadsOn(transaction).acquire() as reader:
        [(agent, board)] = await query.fetch(reader)
    assert vars(agent) == {"id": world.worker.id, "name": world.worker.name}
    assert board.name == world.board.name
    async with transaction() as session:
        [(agent, _)] = await query.fetch(session)
    assert agent.organization_id == world.tern.id
    ids = Query(choose_columns(select(Agent), {Agent: ("id",)}))
    async with ReadsOn(transaction).acquire() as reader:
        assert {tuple(vars(one)) for [one] in await ids.fetch(reader)} == {("id",)}


async def test_objects_of_read_connections_cannot_be_changed(
    transaction: TransactionFactory, world: World
) -> None:
    query = Query(choose_columns(select(Agent), {Agent: ("id", "name")}))
    async with ReadsOn(transaction).acquire() as reader:
        agent = (await query.fetch(reader))[0][0]
    assert isinstance(agent, Agent)
    with pytest.raises(AttributeError, match="name cannot be changed without a session"):
        agent.name = "Other"
    with pytest.raises(AttributeError, match="board_id was not loaded"):
        _ = agent.board_id


async def test_read_connections_join_lateral_subqueries(
    transaction: TransactionFactory, world: World
) -> None:
    newest = select(Task.id).where(Task.assigned_agent_id == Agent.id).limit(1)
    work = newest.correlate(Agent).lateral("work")
    statement = select(Agent, Board, Task).outerjoin(Board, Board.id == Agent.board_id)
    statement = statement.outerjoin(work, true()).outerjoin(Task, Task.id == work.c.id)
    query = Query(statement.where(Agent.id == world.worker.id))
    async with ReadsOn(transaction).acquire() as reader:
        [(agent, board, task)] = await query.fetch(reader)
    assert (agent.name, board.name, task) == (world.worker.name, world.board.name, None)


async def test_constants_are_written_into_the_text_of_a_statement() -> None:
    given = bindparam("status", type_=Task.status.type)
    statement = select(Task.id).where(Task.status != Status.DONE, Task.status == given)
    compiled = CompiledStatement(statement.where(Task.priority == "it's").limit(3))
    assert "tasks.status != 'done' AND tasks.status = $1" in compiled.text
    assert "LIMIT 3" in compiled.text
    assert "it's" not in compiled.text
    assert compiled.list_arguments({"status": Status.REVIEW}) == ["review", "it's"]


async def test_a_query_that_is_planned_once_finds_the_same(
    transaction: TransactionFactory, world: World
) -> None:
    statement = select(Agent.id).where(
        Agent.id == bindparam("id"), Agent.board_id.in_([world.board.id])
    )
    query: Query[tuple[object]] = Query(
        statement.limit(bindparam("rows", type_=Integer)), is_planned_once=True
    )
    async with ReadsOn(transaction).acquire() as reader:
        assert await query.fetch(reader, id=world.worker.id, rows=5) == [(world.worker.id,)]
        assert await query.fetch(reader, id=world.worker.id, rows=0) == []
        assert await query.fetch(reader, id=world.board.id, rows=5) == []


def test_a_query_that_is_part_of_another_is_not_compiled_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compiled: list[str] = []
    create = CompiledStatement.__init__

    def record(self: CompiledStatement, *arguments: Any, **options: Any) -> None:
        create(self, *arguments, **options)
        compiled.append(self.text)

    monkeypatch.setattr(CompiledStatement, "__init__", record)
    parts = [Query(select(Task.id)), Query(select(Task).where(Task.title == "One"))]
    CombinedQuery(*parts).compile()
    assert len(compiled) == 1


async def test_queries_for_a_shape_are_built_in_a_thread_and_kept() -> None:
    built: list[tuple[int, bool]] = []

    @cache_queries(max_shapes=2)
    def build(number: int, *, is_negative: bool = False) -> tuple[Query[Any], CombinedQuery]:
        assert threading.current_thread() is not threading.main_thread()
        built.append((number, is_negative))
        query: Query[Any] = Query(select(cast(-number if is_negative else number, Integer)))
        return query, CombinedQuery(query)

    one = await build.get(1)
    assert await build.get(1) is one
    assert (await asyncio.gather(build.get(1), build.get(1, is_negative=True)))[0] is one
    await build.get(1)
    await build.get(2)  # the third shape replaces the one that was not used for the longest time
    assert await build.get(1) is one
    await build.get(1, is_negative=True)
    assert built == [(1, False), (1, True), (2, False), (1, True)]
    for query in one:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("core.db.reads.CompiledStatement", None)  # it is compiled already
            query.compile()
